"""The completeness identity by example: what is found, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from payhealth.checks import balance_identity
from payhealth.domain.chain_records import AddressBalance, TransactionFee, TransferObservation
from payhealth.domain.records import Movement
from payhealth.domain.results import Outcome
from payhealth.ports import Batch
from payhealth.store import open_store
from tests.unit.checks.support import context
from tests.unit.connectors.evm_identity_support import (
    COIN,
    NOW,
    STRANGER,
    TOKEN,
    Keeper,
    addresses,
    deposit,
    world,
)

ONE, TWO = addresses(2)


@pytest.mark.parametrize("states", [None, 128])
def test_an_internal_transfer_that_no_log_shows_is_found_to_the_block(states: int | None) -> None:
    """Without traces, on a full node as on an archive: the balance names address, amount and block."""
    chain = world(states=states)
    keeper = Keeper(chain)
    keeper.settle()
    for number in range(30):
        deposit(chain, (ONE, COIN), 10**18)
        if number == 17:
            deposit(chain, (ONE, COIN), 5 * 10**17, how="hidden")
            hidden_in = chain.head.number
        if number % 3 == 0:
            keeper.step()
    keeper.settle()
    row = chain.records.balances()[ONE, COIN]
    assert (row.state, row.difference) == ("mismatch", Decimal("0.5"))
    assert (row.gap_lower, row.gap_upper) == (hidden_in, hidden_in)
    (refuted,) = [window for window in keeper.windows if window.refuted]
    assert (refuted.lower, refuted.upper) == (hidden_in, hidden_in + 1)
    assert refuted.unproved
    assert refuted.finality == "final"
    proved = keeper.proved()
    assert proved is not None
    assert proved[1] <= hidden_in


def test_a_mismatch_ends_when_its_transfer_is_found() -> None:
    """Until then it stays, with its first moment and what was proved before; then the proof goes on."""
    chain = world()
    keeper = Keeper(chain)
    keeper.settle()
    deposit(chain, (ONE, TOKEN), 7, how="hidden")
    keeper.settle()
    before = chain.records.balances()[ONE, TOKEN]
    keeper.settle()
    assert chain.records.balances()[ONE, TOKEN] == before
    assert before.since is not None
    chain.reveal(next(effect for effect in chain.effects if effect.record is None))
    keeper.step()
    after = chain.records.balances()[ONE, TOKEN]
    assert after.difference is None
    assert (after.since, after.gap_lower, after.gap_upper) == (None, None, None)
    assert after.proved_block == before.pending_block
    assert not [window for window in keeper.windows if window.refuted]
    keeper.settle()
    assert chain.records.balances()[ONE, TOKEN].state == "proved"
    proved = keeper.proved()
    assert proved is not None
    assert proved[1] > (before.pending_block or 0)


def test_fees_of_failed_transactions_dust_and_sweeps_add_up() -> None:
    """Each of them moves a balance, whether it counts as a payment or not."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 10**18)
    deposit(chain, (ONE, COIN), 3, how="dust")
    chain.mine()
    chain.transfer(COIN, ONE, TWO, 10**17)
    chain.transfer(COIN, ONE, ONE, 10**16)
    chain.fee(ONE, 21_000)
    chain.fee(ONE, 21_001)
    keeper.settle()
    rows = chain.records.balances()
    assert {pair: row.state for pair, row in rows.items()} == {(ONE, COIN): "proved", (TWO, COIN): "proved"}
    assert rows[ONE, COIN].proved_amount == Decimal(9 * 10**17 + 3 - 42_001).scaleb(-18)


@pytest.mark.parametrize("leave_out", [Movement, TransactionFee, TransferObservation])
def test_each_kind_of_record_is_needed(leave_out: type) -> None:
    """Losing any one of them from the store is a mismatch: none is counted by accident."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 10**18)
    deposit(chain, (ONE, COIN), 3, how="dust")
    chain.fee(ONE, 21_000)
    chain.records.kept[leave_out].clear()
    keeper.settle()
    row = chain.records.balances()[ONE, COIN]
    assert row.state == "mismatch"
    assert row.gap_lower == row.gap_upper


def test_what_was_retracted_ignored_or_counted_already_does_not_count() -> None:
    """Lost transfers, retractions, fees of lost blocks, and dust that became a movement."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 100)
    (seen,) = chain.records.kept[Movement].values()
    assert isinstance(seen, Movement)
    chain.records.put(
        replace(seen, movement_id="lost", status="retracted"),
        replace(seen, movement_id="undone", kind="retraction", status="succeeded"),
        replace(seen, movement_id="by card", rail="card"),
        replace(seen, movement_id="other asset", asset="eip155:1/slip44:1"),
    )
    deposit(chain, (ONE, COIN), 7, how="dust")
    (dust,) = chain.records.kept[TransferObservation].values()
    assert isinstance(dust, TransferObservation)
    chain.records.put(
        replace(dust, movement_id="gone", canonical=False),
        replace(dust, movement_id="sighting", ignored_reason=None),
        replace(dust, movement_id=seen.movement_id, block_number=seen.block_number or 0),
    )
    keeper.settle()
    assert chain.records.balances()[ONE, COIN].state == "proved"


def test_a_mismatch_that_stays_is_looked_for_once() -> None:
    """It is summed again at every step, and costs no request."""
    chain = world()
    keeper = Keeper(chain)
    keeper.settle()
    deposit(chain, (ONE, TOKEN), 7, how="hidden")
    keeper.settle()
    chain.calls.clear()
    keeper.settle()
    assert not [call for call in chain.calls if isinstance(call.params[-1], str)]
    # With half of it found, the other half is a new difference, and is looked for again.
    effect = next(effect for effect in chain.effects if effect.record is None)
    chain.reveal(replace(effect, units=3))
    keeper.step()
    assert [call for call in chain.calls if isinstance(call.params[-1], str)]
    row = chain.records.balances()[ONE, TOKEN]
    assert (row.state, row.difference, row.gap_lower) == ("mismatch", Decimal("0.000004"), effect.block)


def test_without_old_states_the_proof_begins_at_the_first_reading() -> None:
    """What is older is not proved, and is no gap; the node is asked for it once."""
    chain = world(states=20, genesis={(ONE, COIN): 1000})
    for _ in range(100):
        deposit(chain, (ONE, COIN), 1)
    keeper = Keeper(chain)
    keeper.step()
    assert any("older ranges stay unproved" in note for note in (keeper.last.notes if keeper.last else ()))
    chain.calls.clear()
    first_read = chain.head.number
    keeper.settle()
    assert not [call for call in chain.calls if call.params and call.params[-1] == hex(0)]
    row = chain.records.balances()[ONE, COIN]
    assert row.state == "proved"
    assert row.proved_from == first_read
    assert keeper.proved() is not None
    assert (keeper.proved() or (0, 0))[0] == first_read + 1
    assert not [window for window in keeper.windows if window.refuted]


@pytest.mark.parametrize("start", [0, 1, 40])
def test_with_old_states_everything_since_the_start_is_proved(start: int) -> None:
    """What was held before ``start_block`` is the opening, genesis included."""
    chain = world(genesis={(ONE, COIN): 1000}, states=None)
    for _ in range(80):
        deposit(chain, (ONE, COIN), 1)
    for record in list(chain.records.kept[Movement].values()):
        if (getattr(record, "block_number", None) or 0) < start:  # what lies before was never read
            del chain.records.kept[Movement][tuple(getattr(record, name) for name in record.KEY)]
    keeper = Keeper(chain, start=start)
    keeper.settle()
    row = chain.records.balances()[ONE, COIN]
    assert (row.state, row.proved_from) == ("proved", max(0, start - 1))
    proved = keeper.proved()
    assert proved is not None
    assert proved[0] == start


def test_a_pruned_state_gives_the_narrowest_range_that_is_known() -> None:
    """The reading was judged long after: the block's neighbourhood is gone, the range is named."""
    chain = world(states=20)
    keeper = Keeper(chain)
    keeper.settle()
    deposit(chain, (ONE, COIN), 5, how="hidden")
    hidden_in = chain.head.number
    chain.mine(25)
    keeper.step()
    chain.mine(60)
    keeper.step()
    row = chain.records.balances()[ONE, COIN]
    assert row.state == "mismatch"
    assert row.gap_lower is not None
    assert row.gap_upper is not None
    assert row.gap_lower <= hidden_in <= row.gap_upper
    assert row.gap_lower == (row.proved_block or 0) + 1
    assert row.gap_upper == row.pending_block


def test_one_call_for_many_balances_says_the_same_as_many_calls() -> None:
    """With the contract or without it: the same rows, windows and state, by fewer calls."""
    results, calls = [], []
    for multicall in (True, False):
        chain = world(20, multicall=multicall, genesis={(ONE, COIN): 3})
        keeper = Keeper(chain)
        for number in range(30):
            deposit(chain, (chain.ours[number % 20], (COIN, TOKEN)[number % 2]), number + 1)
            if number == 20:
                deposit(chain, (TWO, TOKEN), 9, how="hidden")
            keeper.step()
        keeper.settle()
        state = {**(keeper.state or {}), "multicall": None}
        results.append((chain.records.balances(), keeper.windows, state))
        calls.append(len(chain.calls))
        assert any(row.state == "mismatch" for row in chain.records.balances().values())
    assert results[0] == results[1]
    assert calls[0] < calls[1] / 4


def test_an_amount_beyond_the_domain_waits_without_a_reading() -> None:
    """A token of absurd supply neither breaks the step nor is proved, and others are not held up by it."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 5)
    chain.blocks[-1].balances[TWO, TOKEN] = 10**60
    keeper.settle()
    rows = chain.records.balances()
    assert (rows[TWO, TOKEN].state, rows[TWO, TOKEN].pending_block) == ("waiting", None)
    assert rows[ONE, COIN].state == "proved"
    assert keeper.proved() is None
    chain.mine()
    chain.blocks[-1].balances[TWO, TOKEN] = 0
    keeper.settle()
    assert chain.records.balances()[TWO, TOKEN].state == "proved"


def test_a_difference_beyond_the_domain_is_a_mismatch_all_the_same() -> None:
    """Its size cannot be kept; that there is one is."""
    huge = 99_999_999_999_999_999_999 * 10**18
    chain = world(genesis={(ONE, COIN): huge})
    keeper = Keeper(chain)
    keeper.settle()
    chain.mine()
    chain.transfer(COIN, ONE, STRANGER, huge, how="hidden")
    chain.transfer(COIN, STRANGER, ONE, huge)
    chain.transfer(COIN, ONE, STRANGER, huge, how="hidden")
    keeper.settle()
    row = chain.records.balances()[ONE, COIN]
    assert (row.state, row.difference) == ("mismatch", None)


def test_the_store_and_the_check_read_what_a_step_gives() -> None:
    """A real store answers a step as the test's own does; its views make the check fail, naming the block."""
    chain = world(3)
    keeper = Keeper(chain)
    keeper.settle()
    deposit(chain, (ONE, COIN), 10**18)
    deposit(chain, (TWO, TOKEN), 250_000, how="hidden")
    hidden_in = chain.head.number
    deposit(chain, (TWO, TOKEN), 10**6)
    chain.fee(ONE, 21_000)
    deposit(chain, (ONE, COIN), 4, how="dust")
    chain.mine(5)
    keeper.step()
    chain.mine(20)
    store = open_store("sqlite://")
    records = {kind: list(rows.values()) for kind, rows in chain.records.kept.items()}
    store.commit("chain", Batch(stream="transfers", records=records, windows=keeper.windows))
    plain = keeper.try_step()
    keeper.reader = store
    real = keeper.try_step()
    assert plain == real
    store.commit(
        "chain", Batch(stream="transfers", records={AddressBalance: real.balances}, windows=real.windows)
    )
    data = balance_identity.load(store, context(), {})
    result = balance_identity.evaluate(data, {}, NOW)
    assert result.outcome is Outcome.FAIL
    assert f"chain: the balance of {TWO} moved by 0.25 X more than was read, in block {hidden_in}" in (
        result.message
    )
    store.close()
