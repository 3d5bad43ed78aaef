"""The check over the processor's own books: what fails, what waits, what is said to do."""

from __future__ import annotations

import pytest

from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import iso
from tests.unit.checks.support import FakeStore, ago, complete, context, hole, judge

DAY_S = 86_400
READ = {("cards", "balance"): ago(10)}


def proof(state: str = "proved", asset: str = "USD", difference: str = "0") -> dict[str, object]:
    """A row of v_balance_proofs of two days ago."""
    return {
        "proof_id": f"cards:{asset}",
        "connector": "cards",
        "asset": asset,
        "state": state,
        "since": iso(ago(2 * DAY_S)),
        "difference": difference,
        "attempts": 0,
    }


def gap(age_s: float, object_id: str = "ch_1") -> dict[str, object]:
    """A row of v_booking_gaps."""
    return {
        "object_id": object_id,
        "connector": "cards",
        "reason": "money moved, but no line of the balance says so",
        "since": iso(ago(age_s)),
        "amount": "1",
        "asset": "USD",
    }


def run(
    proofs: list[dict[str, object]],
    gaps: list[dict[str, object]] | None = None,
    breaks: list[dict[str, object]] | None = None,
    *,
    read: bool = True,
    **thresholds: object,
) -> CheckResult:
    """The verdict on these proofs and gaps."""
    store = FakeStore({"v_balance_proofs": proofs, "v_booking_gaps": gaps or [], "v_breaks": breaks or []})
    last_ok = READ if read else {("cards", "balance"): None}
    return judge("balance_identity", store, context(last_ok=last_ok), **thresholds)  # type: ignore[arg-type]


def test_a_proved_balance_passes() -> None:
    """Every currency that is proved is named."""
    result = run([proof(), proof(asset="EUR")])
    assert result.outcome is Outcome.PASS
    assert result.message == "the balance moved by what was listed: EUR, USD"
    assert complete(result)


@pytest.mark.parametrize(("difference", "said"), [("12.5", "12.5 USD more"), ("-0.01", "0.01 USD less")])
def test_a_balance_that_moved_by_something_else_fails(difference: str, said: str) -> None:
    """The message has currency, moment, amount and direction, and the next step what to do with them."""
    result = run([proof("mismatch", difference=difference), proof(asset="EUR")])
    assert result.outcome is Outcome.FAIL
    assert said in result.message
    assert iso(ago(2 * DAY_S)) in result.message
    assert result.examples == ("cards:USD",)
    assert "support" in result.next_step
    assert complete(result)


def test_waiting_is_shown_and_never_fails() -> None:
    """A currency that is not proved yet is named beside the proved ones, and the check passes."""
    result = run([proof(), proof("waiting", asset="EUR", difference="5")])
    assert result.outcome is Outcome.PASS
    assert "not proved yet, tried again at the next pull: EUR" in result.message
    assert "not proved yet" in result.not_seen


@pytest.mark.parametrize("proofs", [[], [proof("waiting")]])
def test_nothing_proved_is_no_data(proofs: list[dict[str, object]]) -> None:
    """A balance that was never held against a list is no pass."""
    result = run(proofs)
    assert result.outcome is Outcome.NO_DATA
    assert complete(result)


def test_a_balance_that_was_never_read_is_no_data() -> None:
    """Proofs of a source that is not read any more are none."""
    result = run([proof()], read=False)
    assert result.outcome is Outcome.NO_DATA
    assert result.message == "no balance was read"


@pytest.mark.parametrize(
    ("age_s", "expected"), [(60, "pass"), (DAY_S, "pass"), (DAY_S + 1, "fail"), (10 * DAY_S, "fail")]
)
def test_half_a_movement_may_wait_for_a_day(age_s: float, expected: str) -> None:
    """Until then it is shown; after it, it fails, and is named with its reason and its age."""
    result = run([proof()], [gap(age_s)])
    assert result.outcome == expected
    assert "half a movement" in result.message
    assert (result.examples == ("ch_1",)) == (expected == "fail")
    assert complete(result)


def test_the_oldest_half_is_named_and_examples_are_bounded() -> None:
    """Of many gaps ten ids are given, the oldest first."""
    result = run([proof()], [gap((40 - n) * DAY_S, f"ch_{n:02}") for n in range(20)])
    assert result.examples == tuple(f"ch_{n:02}" for n in range(10))
    assert "20 x half a movement" in result.message
    assert "40.0 d (ch_00" in result.message


def test_how_long_a_half_may_wait_is_a_threshold() -> None:
    """And without one no gap fails, however old; a mismatch still does."""
    assert run([proof()], [gap(120)], fail={"age_s": 60}).outcome is Outcome.FAIL
    assert run([proof()], [gap(90 * DAY_S)], fail={}).outcome is Outcome.PASS
    assert run([proof("mismatch", difference="1")], fail={}).outcome is Outcome.FAIL


def test_a_changed_ledger_fails() -> None:
    """The one break reason that this check owns fails it; breaks of others do not."""
    changed = {"break_id": "b_9", "primary_reason": "ledger_changed", "explanation": ""}
    other = {"break_id": "b_8", "primary_reason": "amount_over", "explanation": ""}
    result = run([proof()], [], [changed, other])
    assert result.outcome is Outcome.FAIL
    assert result.examples == ("b_9",)
    assert run([proof()], [], [other]).outcome is Outcome.PASS


@pytest.mark.parametrize("stream", ["balance", "bookings", "balance_transactions", "charges"])
def test_a_hole_in_the_books_is_stale(stream: str) -> None:
    """A proof over what was not read is none."""
    store = FakeStore({})
    given = context(last_ok=READ, holes=[hole("cards", stream)])  # type: ignore[arg-type]
    assert judge("balance_identity", store, given).outcome is Outcome.STALE
