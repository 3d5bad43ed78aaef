"""Checks over breaks: thresholds in age, amount and count, exact sums, and what was reconciled."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal

import pytest

from payhealth import registry
from payhealth.domain.breaks import BreakReason
from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import iso
from tests.unit.checks.support import CHECKS, FakeStore, ago, complete, context, judge

LARGEST = "99999999999999999999.999999999999999999"
JUST_NOW = ago(5)


def found(
    reason: str = "paid_not_credited",
    *,
    at_risk: str = "10",
    overdue_s: float = 0,
    asset: str = "USD",
    movement: str = "ch_1",
    number: int = 1,
) -> dict[str, object]:
    """A row of v_breaks whose time to clear (900 s) ended so many seconds ago."""
    return {
        "break_id": f"brk_{number}",
        "primary_reason": reason,
        "at_risk": at_risk,
        "asset": asset,
        "effective_at": iso(ago(900 + overdue_s)),
        "movement_ids": f'["{movement}"]',
    }


def run(
    name: str,
    rows: list[dict[str, object]],
    *,
    ran_at: datetime | None = JUST_NOW,
    last_ok: dict[tuple[str, str], datetime | None] | None = None,
    **thresholds: object,
) -> CheckResult:
    """A check's verdict on these breaks."""
    runs = [] if ran_at is None else [{"ran_at": iso(ran_at)}]
    store = FakeStore({"v_breaks": rows, "v_runs": runs})
    return judge(name, store, context(last_ok=last_ok), **thresholds)


def test_every_break_reason_is_read_by_exactly_one_check() -> None:
    """A reason that no check reads would be a break that nobody is told of; two readers would tell twice."""
    readers = Counter(reason for plugin in registry.checks() for reason in plugin.reasons)
    assert set(readers) == {str(reason) for reason in BreakReason}
    assert set(readers.values()) == {1}


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        (
            "paid_not_credited",
            "paid_not_credited wrong_account wrong_asset reversal_not_recredited clawed_back_not_refunded",
        ),
        ("credited_not_paid", "credited_not_paid"),
        ("duplicate_credit", "duplicate_credit"),
        ("not_clawed_back", "refund_not_clawed_back dispute_not_clawed_back reorg_not_clawed_back"),
        ("amount_mismatch", "amount_over amount_under duplicate_payment"),
    ],
)
def test_a_check_sees_its_own_reasons_and_no_other(name: str, reasons: str) -> None:
    """Of one break of every reason, a check counts those that the facts give it."""
    rows = [found(str(reason), number=number) for number, reason in enumerate(BreakReason)]
    result = run(name, rows)
    assert {segment.value for segment in result.segments} == set(reasons.split())
    assert result.value == str(len(reasons.split()))
    assert sum(segment.share for segment in result.segments) == pytest.approx(1)


@pytest.mark.parametrize(
    ("overdue_s", "at_risk", "movement", "expected"),
    [
        (0, "10", "ch_1", "pass"),
        (599, "10", "ch_1", "pass"),
        (600, "10", "ch_1", "warn"),
        (3599, "999.99", "ch_1", "warn"),
        (3600, "10", "ch_1", "fail"),
        (0, "999.999999999999999999", "ch_1", "pass"),
        (0, "1000", "ch_1", "fail"),
        (1799, "10", "eip155:8453:0xaa:1", "pass"),
        (1800, "10", "eip155:8453:0xaa:1", "warn"),
        (14_399, "10", "eip155:8453:0xaa:1", "warn"),
        (14_400, "10", "eip155:8453:0xaa:1", "fail"),
        (0, "1000", "eip155:8453:0xaa:1", "fail"),
    ],
)
def test_paid_not_credited_by_age_or_amount(
    overdue_s: float, at_risk: str, movement: str, expected: str
) -> None:
    """Either reaches a severity; chains have more time than cards."""
    result = run("paid_not_credited", [found(at_risk=at_risk, overdue_s=overdue_s, movement=movement)])
    assert result.outcome == expected
    assert complete(result)
    assert result.examples == ("brk_1",)


@pytest.mark.parametrize(
    ("name", "reason", "amounts", "expected"),
    [
        ("credited_not_paid", "credited_not_paid", [], "pass"),
        ("credited_not_paid", "credited_not_paid", ["0.01"], "warn"),
        ("credited_not_paid", "credited_not_paid", ["99.99"], "warn"),
        ("credited_not_paid", "credited_not_paid", ["50", "50"], "fail"),
        ("duplicate_credit", "duplicate_credit", [], "pass"),
        ("duplicate_credit", "duplicate_credit", ["0.000000000000000001"], "fail"),
        ("not_clawed_back", "refund_not_clawed_back", ["1"], "warn"),
        ("not_clawed_back", "reorg_not_clawed_back", ["100"], "fail"),
        ("amount_mismatch", "amount_over", ["0.01"], "warn"),
        ("amount_mismatch", "amount_under", ["0.999999999999999999"], "warn"),
        ("amount_mismatch", "duplicate_payment", ["1"], "fail"),
    ],
)
def test_the_other_checks_by_count_and_amount(
    name: str, reason: str, amounts: list[str], expected: str
) -> None:
    """Any break is at least a warning; the sum of an asset decides on failure."""
    rows = [found(reason, at_risk=amount, number=number) for number, amount in enumerate(amounts)]
    result = run(name, rows)
    assert result.outcome == expected
    assert complete(result)
    assert bool(result.next_step) == bool(amounts)


def test_amounts_of_different_assets_are_not_added() -> None:
    """60 USD and 60 EUR at risk are not 120 of anything."""
    rows = [
        found("credited_not_paid", at_risk="60", asset=asset, number=n)
        for n, asset in enumerate(("USD", "EUR"))
    ]
    result = run("credited_not_paid", rows)
    assert result.outcome is Outcome.WARN
    assert "60 EUR, 60 USD" in result.message


def test_a_count_is_a_floor_for_the_other_keys() -> None:
    """With a count beside an age, both must be reached."""
    rows = [found(overdue_s=4000, number=number) for number in range(2)]
    fail = {"age_s": 3600, "count": 3}
    assert run("paid_not_credited", rows, warn={}, fail=fail).outcome is Outcome.PASS
    assert run("paid_not_credited", [*rows, found(number=3)], warn={}, fail=fail).outcome is Outcome.FAIL


def test_a_sum_beyond_the_domain_of_one_amount_still_fails_exactly() -> None:
    """Two of the largest amounts are a failure with their exact sum, not an arithmetic error."""
    rows = [found("credited_not_paid", at_risk=LARGEST, number=number) for number in range(2)]
    result = run("credited_not_paid", rows)
    assert result.outcome is Outcome.FAIL
    assert str(2 * int(LARGEST.replace(".", "")))[:21] in result.message
    assert "199999999999999999999.999999999999999998 USD" in result.message


def test_amounts_come_as_text_or_decimals() -> None:
    """What SQLite and PostgreSQL give for one amount is judged alike."""
    for amount in ("100", Decimal("100.000000000000000000")):
        row = {**found("credited_not_paid"), "at_risk": amount}
        assert run("credited_not_paid", [row]).outcome is Outcome.FAIL


def test_moments_come_as_text_or_datetimes() -> None:
    """Likewise for when a break began and when a run was."""
    row = {**found(overdue_s=0), "effective_at": ago(900 + 3600)}
    store = FakeStore({"v_breaks": [row], "v_runs": [{"ran_at": ago(5)}]})
    assert judge("paid_not_credited", store, context()).outcome is Outcome.FAIL


def test_a_thousand_breaks_name_the_ten_oldest() -> None:
    """Examples are bounded, in order of age."""
    rows = [found(overdue_s=number, number=number) for number in range(1000)]
    result = run("paid_not_credited", rows)
    assert result.examples == tuple(f"brk_{number}" for number in range(999, 989, -1))


BREAK_CHECKS = [name for name, plugin in CHECKS.items() if "reconciliation" in plugin.tags]
"""Those that read breaks and nothing else."""


@pytest.mark.parametrize("name", BREAK_CHECKS)
def test_nothing_reconciled_is_no_data(name: str) -> None:
    """Before the first reconciliation an empty list of breaks means nothing."""
    result = run(name, [], ran_at=None)
    assert result.outcome is Outcome.NO_DATA
    assert complete(result)


@pytest.mark.parametrize("name", BREAK_CHECKS)
def test_nothing_read_is_no_data(name: str) -> None:
    """A reconciliation of no source at all finds no break and proves nothing."""
    result = run(name, [], last_ok={})
    assert result.outcome is Outcome.NO_DATA
    assert complete(result)


@pytest.mark.parametrize(
    ("ran_ago_s", "read_ago_s", "expected"),
    [
        (5, 10, "pass"),
        (7200, 10, "pass"),
        (7201, 10, "stale"),
        (90_000, 90_001, "pass"),
        (90_000, 5, "stale"),
    ],
)
@pytest.mark.parametrize("name", BREAK_CHECKS)
def test_a_reconciliation_that_stopped_running_is_stale(
    name: str, ran_ago_s: float, read_ago_s: float, expected: str
) -> None:
    """Data that was read and not reconciled for two hours is not judged by the breaks of before."""
    last_ok: dict[tuple[str, str], datetime | None] = {("cards", "charges"): ago(read_ago_s)}
    result = run(name, [], ran_at=ago(ran_ago_s), last_ok=last_ok)
    assert result.outcome == expected
    assert complete(result)


@pytest.mark.parametrize("name", BREAK_CHECKS)
def test_how_old_a_reconciliation_may_be_is_a_threshold(name: str) -> None:
    """A business that reconciles daily says so."""
    last_ok: dict[tuple[str, str], datetime | None] = {("cards", "charges"): ago(5)}
    result = run(name, [], ran_at=ago(80_000), last_ok=last_ok, reconciled_within_s=86_400)
    assert result.outcome is Outcome.PASS
