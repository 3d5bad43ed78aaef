"""The check over the processor's books and balances of addresses: what fails, what waits, what is said."""

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


USDC = "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
ADDRESS = "0x" + "a1" * 20


def balance(state: str = "mismatch", **changed: object) -> dict[str, object]:
    """An open row of v_address_balances: half a USDC that nobody saw come, in block 120."""
    return {
        "balance_id": f"base:{ADDRESS}:{USDC}",
        "connector": "base",
        "address": ADDRESS,
        "asset": USDC,
        "state": state,
        "proved_from": 0,
        "proved_block": 100,
        "pending_block": 140,
        "difference": "0.500000" if state == "mismatch" else None,
        "gap_lower": 120 if state == "mismatch" else None,
        "gap_upper": 120 if state == "mismatch" else None,
        "since": iso(ago(DAY_S)) if state == "mismatch" else None,
        **changed,
    }


def chains(
    balances: list[dict[str, object]],
    *,
    proved_to: int | None = None,
    settled: int = 0,
    symbol: str = "USDC",
    proofs: list[dict[str, object]] | None = None,
) -> CheckResult:
    """The verdict on these balances, with every balance proved below ``proved_to`` of 201 blocks."""
    coverage = [{"connector": "base", "proved_to": proved_to, "read_to": 201}]
    store = FakeStore(
        {
            "as settled": [{"connector": "base", "settled": settled}] if settled else [],
            "v_address_balances": balances,
            "v_coverage": coverage if balances or settled or proved_to else [],
            "v_movements": [{"symbol": symbol}] if symbol else [],
            "v_balance_proofs": proofs or [],
            "v_booking_gaps": [],
            "v_breaks": [],
        }
    )
    return judge("balance_identity", store, context(last_ok=READ if proofs else {}))  # type: ignore[arg-type]


def run(
    proofs: list[dict[str, object]],
    gaps: list[dict[str, object]] | None = None,
    breaks: list[dict[str, object]] | None = None,
    *,
    read: bool = True,
    **thresholds: object,
) -> CheckResult:
    """The verdict on these proofs and gaps."""
    canned = {"v_balance_proofs": proofs, "v_booking_gaps": gaps or [], "v_breaks": breaks or []}
    store = FakeStore({**canned, "v_address_balances": [], "v_coverage": []})
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "moved by 0.5 USDC more than was read, in block 120"),
        ({"difference": "-0.000000000000000001"}, "0.000000000000000001 USDC less"),
        ({"gap_lower": 101}, "in one of the blocks 101 to 120"),
        ({"difference": None}, "beyond 38 digits"),
    ],
)
def test_an_address_that_moved_by_something_else_fails(changed: dict[str, object], said: str) -> None:
    """Connector, address, asset, exact amount and block are named, and what to do about them."""
    result = chains([balance(**changed)], proved_to=101)
    assert result.outcome is Outcome.FAIL
    assert f"base: the balance of {ADDRESS}" in result.message
    assert said in result.message
    assert result.value == "1"
    assert result.examples == (f"base:{ADDRESS}:{USDC}",)
    assert "internal transfer" in result.next_step
    assert "traces" in result.next_step
    assert complete(result)


def test_an_asset_without_a_symbol_is_named_by_its_id() -> None:
    """A balance may differ before any movement of its asset is known."""
    assert f"0.5 {USDC} more" in chains([balance()], symbol="").message


def test_many_differences_are_counted() -> None:
    """Five are told in full, the others by number; ten ids are given."""
    result = chains([balance(balance_id=f"base:{n:02}") for n in range(30)])
    assert result.message.count("the balance of") == 5
    assert "and 25 x more balances" in result.message
    assert len(result.examples) == 10
    assert result.value == "30"


def test_readings_that_wait_are_told_and_never_fail() -> None:
    """Neither a block that is not final yet nor a balance that nobody gives is a difference."""
    result = chains(
        [balance("waiting"), balance("waiting"), balance("waiting", pending_block=None)], proved_to=101
    )
    assert result.outcome is Outcome.PASS
    assert "base: 2 balances wait for their block to become final" in result.message
    assert "base: 1 balances could not be read yet" in result.message
    assert "every balance moved by what was read, up to block 100" in result.message
    assert "blocks 101 to 200" in result.not_seen


def test_only_proved_balances_pass() -> None:
    """A whole proof names its block; proofs of single balances say that the rotation is not through."""
    result = chains([], proved_to=201, settled=3)
    assert result.outcome is Outcome.PASS
    assert result.message == "base: every balance moved by what was read, up to block 200"
    part = chains([], settled=3)
    assert part.outcome is Outcome.PASS
    assert "3 x a balance" in part.message
    assert "rotation has not reached" in part.not_seen


def test_balances_that_only_wait_are_no_data() -> None:
    """Nothing was held against anything yet."""
    result = chains([balance("waiting", proved_block=None)])
    assert result.outcome is Outcome.NO_DATA
    assert "1 balance waits" in result.message
    assert complete(result)
    assert chains([]).message == "no balance was read"


def test_one_bad_balance_is_not_hidden_by_a_good_processor() -> None:
    """Nor the other way round: each side fails the check by itself, and both are told."""
    assert chains([balance()], proofs=[proof()]).outcome is Outcome.FAIL
    both = chains([balance()], proofs=[proof("mismatch", difference="2")])
    assert "2 USD more" in both.message
    assert "in block 120" in both.message
    assert "Stripe" in both.next_step
    assert "traces" in both.next_step
    good = chains([], proved_to=201, proofs=[proof("mismatch", difference="2")])
    assert good.outcome is Outcome.FAIL


def test_a_hole_in_the_transfers_is_stale() -> None:
    """Balances cannot be held against what was not read."""
    given = context(last_ok=READ, holes=[hole("base", "transfers")])  # type: ignore[arg-type]
    assert judge("balance_identity", FakeStore({}), given).outcome is Outcome.STALE
