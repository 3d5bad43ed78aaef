"""The check over payouts: mismatches fail, proofs that wait for too long warn."""

from __future__ import annotations

from datetime import datetime

import pytest

from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import iso
from tests.unit.checks.support import FakeStore, ago, complete, context, judge

DAY_S = 86_400
READ: dict[tuple[str, str], datetime | None] = {("cards", "payouts"): ago(10)}


def mismatch(number: int = 1, at_risk: str = "5", asset: str = "USD") -> dict[str, object]:
    """A row of v_breaks."""
    return {
        "break_id": f"b_{number}",
        "primary_reason": "payout_mismatch",
        "at_risk": at_risk,
        "asset": asset,
        "effective_at": iso(ago(DAY_S)),
        "movement_ids": "[]",
    }


def waiting(age_s: float, payout_id: str = "po_1") -> dict[str, object]:
    """A row of the waiting proofs; the bank should have had it so many seconds ago."""
    return {"payout_id": payout_id, "amount": "10", "asset": "USD", "due_at": iso(ago(age_s))}


def run(
    breaks: list[dict[str, object]],
    waits: list[dict[str, object]] | None = None,
    *,
    proved: int = 3,
    last_ok: dict[tuple[str, str], datetime | None] | None = None,
    ran_ago_s: float | None = 5,
    **thresholds: object,
) -> CheckResult:
    """The verdict on these breaks and waiting proofs."""
    canned = {
        "as proved": [{"proved": proved}],
        "v_payout_proofs": waits or [],
        "v_breaks": breaks,
        "v_runs": [] if ran_ago_s is None else [{"ran_at": iso(ago(ran_ago_s))}],
    }
    given = context(last_ok=READ if last_ok is None else last_ok)
    return judge("payout_recon", FakeStore(canned), given, **thresholds)


def test_proved_payouts_pass() -> None:
    """Nothing differs and nothing waits for too long."""
    result = run([])
    assert result.outcome is Outcome.PASS
    assert result.message == "every payout of 3 is proved"
    assert run([], proved=0).message == "no payout to prove yet"
    assert complete(result)


def test_a_mismatch_fails_with_its_amounts() -> None:
    """Amounts are added by asset, exactly; the breaks are named."""
    result = run([mismatch(1, "0.1"), mismatch(2, "0.2"), mismatch(3, "7", "EUR")])
    assert result.outcome is Outcome.FAIL
    assert "3 x a payout that differs" in result.message
    assert "7 EUR, 0.3 USD" in result.message
    assert result.examples == ("b_1", "b_2", "b_3")
    assert complete(result)


def test_a_mismatch_under_the_threshold_still_warns() -> None:
    """Whoever lets small ones pass is told of them all the same."""
    result = run([mismatch(at_risk="5")], fail={"amount": "100"})
    assert result.outcome is Outcome.WARN
    assert run([mismatch(at_risk="100")], fail={"amount": "100"}).outcome is Outcome.FAIL


def test_breaks_of_other_reasons_are_left_to_their_checks() -> None:
    """Only payout_mismatch is this check's."""
    assert run([mismatch() | {"primary_reason": "amount_over"}]).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(-DAY_S, "pass"), (5 * DAY_S, "pass"), (5 * DAY_S + 1, "warn"), (50 * DAY_S, "warn")],
)
def test_a_proof_may_wait_for_five_days_after_arrival(age_s: float, expected: str) -> None:
    """Until then it is shown, after it, it warns and is named."""
    result = run([], [waiting(age_s)])
    assert result.outcome == expected
    assert ("po_1" in result.examples) == (expected == "warn")
    assert ("1 wait for their proof" in result.message) == (expected == "pass")
    assert complete(result)


def test_payouts_that_were_not_read_are_no_data() -> None:
    """A source without payouts, or one that was never read, proves nothing."""
    for last_ok in ({("cards", "charges"): ago(1)}, {("cards", "payouts"): None}, {}):
        result = run([], last_ok=last_ok)  # type: ignore[arg-type]
        assert result.outcome is Outcome.NO_DATA
        assert complete(result)


def test_mismatches_are_judged_by_a_reconciliation_that_is_not_too_old() -> None:
    """Breaks of before what was read last are not judged by."""
    assert run([], ran_ago_s=None).outcome is Outcome.NO_DATA
    assert run([], ran_ago_s=7201).outcome is Outcome.STALE
    assert run([], ran_ago_s=80_000, reconciled_within_s=86_400).outcome is Outcome.PASS
