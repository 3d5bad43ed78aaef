"""The completeness identity from step to step: what waits, comes in turn, is lost, and what it costs."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.unit.connectors.evm_identity_support import (
    COIN,
    STRANGER,
    TOKEN,
    Keeper,
    Pair,
    addresses,
    deposit,
    world,
)

ONE, TWO = addresses(2)


def test_a_reading_waits_for_its_block_and_is_never_overwritten() -> None:
    """A newer reading would never become final on a busy address."""
    chain = world()
    keeper = Keeper(chain, depth=30)
    deposit(chain, (ONE, COIN), 5)
    keeper.step()
    first = chain.records.balances()[ONE, COIN]
    assert first.state == "waiting"
    for _ in range(20):
        deposit(chain, (ONE, COIN), 5)
        keeper.step()
        assert chain.records.balances()[ONE, COIN] == first
    chain.mine(30)
    keeper.step()
    row = chain.records.balances()[ONE, COIN]
    assert row.proved_block == first.pending_block
    assert row.pending_block == chain.head.number


def test_a_reading_whose_block_was_lost_is_taken_again() -> None:
    """A balance of a block that no longer stands proves nothing."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 5)
    keeper.step()
    lost = chain.records.balances()[ONE, COIN].pending_hash
    keeper.reorg(1)
    chain.mine(3)
    keeper.step()
    row = chain.records.balances()[ONE, COIN]
    assert row.pending_hash not in (lost, None)
    keeper.settle()
    assert chain.records.balances()[ONE, COIN].proved_amount == 0


def test_quiet_readings_of_a_lost_block_are_taken_again() -> None:
    """What was quiet in a block that no longer stands may have moved in the one that took its place."""
    chain = world()
    keeper = Keeper(chain)
    keeper.settle()
    chain.mine()
    keeper.step()
    keeper.reorg(1)
    deposit(chain, (ONE, TOKEN), 9, how="hidden")
    hidden_in = chain.head.number
    chain.mine(keeper.depth)
    keeper.step()
    proved = keeper.proved()
    assert proved is not None
    assert proved[1] <= hidden_in
    keeper.settle()
    row = chain.records.balances()[ONE, TOKEN]
    assert (row.state, row.gap_lower, row.gap_upper) == ("mismatch", hidden_in, hidden_in)


def test_a_lost_sample_is_no_part_of_its_round() -> None:
    """The round is not through until the pairs of the lost sample were read in a block that stands."""
    chain = world()
    keeper = Keeper(chain, sample=1)
    keeper.settle()
    while keeper.state is not None and keeper.state["position"] != 1:
        chain.mine()
        keeper.step()
    keeper.reorg(1)
    deposit(chain, (ONE, TOKEN), 9, how="hidden")
    hidden_in = chain.head.number
    # The lost sample is noticed at the third of these steps, and the round would be through at the fourth.
    for blocks in (1, 1, keeper.depth - 2, keeper.depth, 1, 1, 1, 1):
        chain.mine(blocks)
        keeper.step()
        assert (keeper.proved() or (0, 0))[1] <= hidden_in
    keeper.settle()
    assert chain.records.balances()[ONE, TOKEN].gap_lower == hidden_in


def test_what_came_after_a_reading_is_not_forgotten_while_it_waits() -> None:
    """A node that cannot name an old block holds a reading up; what moved since is asked for afterwards.

    Here a deposit that was read and a payment out that was not leave the balance as it was.
    """
    chain = world()
    keeper = Keeper(chain)
    keeper.settle()
    deposit(chain, (ONE, TOKEN), 100)
    keeper.step()
    deposit(chain, (ONE, TOKEN), 7)
    chain.mine()
    chain.transfer(TOKEN, ONE, STRANGER, 7, how="hidden")
    hidden_in = chain.head.number
    chain.mine(40)
    chain.names_blocks = False
    for _ in range(3):
        keeper.step()
        chain.mine(2)
    assert chain.records.balances()[ONE, TOKEN].state == "waiting"
    chain.names_blocks = True
    keeper.settle()
    row = chain.records.balances()[ONE, TOKEN]
    assert (row.state, row.gap_lower) == ("mismatch", hidden_in)


def test_a_reading_that_adds_up_is_enough() -> None:
    """An address that did not move since its reading is not read again on its own account."""
    chain = world()
    keeper = Keeper(chain, sample=1)
    deposit(chain, (ONE, COIN), 5)
    keeper.step()
    chain.mine(keeper.depth)
    keeper.step()
    row = chain.records.balances()[ONE, COIN]
    assert (row.state, row.pending_block) == ("proved", None)


@pytest.mark.parametrize("pair", [(ONE, COIN), (TWO, TOKEN)])
def test_a_long_quiet_is_proved_by_the_rotation_alone(pair: Pair) -> None:
    """Without a row a pull; when the address moves again only the blocks since the last round are summed."""
    chain = world()
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 5)
    keeper.settle()
    rows = chain.records.balances()
    for _ in range(5):
        keeper.settle()
        assert chain.records.balances() == rows
    deposit(chain, pair, 5)
    keeper.step()
    row = chain.records.balances()[pair]
    assert row.state == "waiting"
    assert (row.proved_from, (row.proved_block or 0) > chain.head.number - 30) == (0, True)


def test_empty_addresses_are_proved_from_the_first_round_on() -> None:
    """Without old states nobody knows what came and went before, though nothing is held now."""
    chain = world(states=20)
    chain.mine(100)
    first_read = chain.head.number
    keeper = Keeper(chain)
    keeper.settle()
    proved = keeper.proved()
    assert proved is not None
    assert proved[0] > first_read
    assert chain.records.balances() == {}


def test_a_block_older_than_the_window_is_asked_of_the_node() -> None:
    """After a long pause nobody here remembers the reading's block; one that was lost is dropped."""
    for lost in (False, True):
        chain = world(states=None)
        keeper = Keeper(chain)
        deposit(chain, (ONE, COIN), 5)
        keeper.step()
        if lost:
            keeper.reorg(1)
            chain.mine()
            chain.transfer(COIN, STRANGER, ONE, 50)
        chain.mine(60)
        chain.calls.clear()
        keeper.step()
        assert [call.method for call in chain.calls].count("eth_getBlockByNumber") >= 1
        row = chain.records.balances()[ONE, COIN]
        assert row.pending_block in ({chain.head.number} if lost else {None})
        keeper.settle()
        assert chain.records.balances()[ONE, COIN].proved_amount == Decimal(50 if lost else 5).scaleb(-18)


def test_a_kill_before_the_commit_changes_nothing_later() -> None:
    """Steps whose result is lost are as if they had not been; a step that is repeated adds nothing."""
    histories = []
    for killed in (False, True):
        chain = world(3)
        keeper = Keeper(chain, sample=2)
        for number in range(25):
            deposit(chain, (chain.ours[number % 3], COIN), 1, how="hidden" if number == 9 else "movement")
            if killed:
                keeper.try_step(touched=[(ONE, COIN)])
            keeper.step()
            again = keeper.try_step()
            assert again.balances == []
            assert again.windows == keeper.windows
            assert again.state == keeper.state
        keeper.settle()
        histories.append((chain.records.balances(), keeper.state, keeper.windows))
    assert histories[0] == histories[1]


def test_a_head_that_is_final_at_once_is_proved_at_once() -> None:
    """Chains whose newest block is final need no second step."""
    chain = world()
    keeper = Keeper(chain, depth=0)
    deposit(chain, (ONE, COIN), 5)
    keeper.step(touched=[(ONE, COIN)])
    row = chain.records.balances()[ONE, COIN]
    assert (row.state, row.proved_block) == ("proved", chain.head.number)


def test_other_addresses_begin_the_rotation_anew() -> None:
    """Positions mean nothing for another set; what single rows prove stays."""
    chain = world(3)
    keeper = Keeper(chain)
    deposit(chain, (TWO, COIN), 5)
    keeper.settle()
    chain.ours = [*chain.ours, *addresses(5)[3:]]
    deposit(chain, (chain.ours[-1], COIN), 6, how="hidden")
    keeper.settle()
    rows = chain.records.balances()
    assert rows[TWO, COIN].state == "proved"
    assert rows[chain.ours[-1], COIN].state == "mismatch"
    chain.ours = chain.ours[:2]
    keeper.settle()
    assert keeper.proved() is not None


def test_quiet_addresses_cost_no_rows_and_many_of_them_few_requests() -> None:
    """100 000 addresses: a step reads so many balances and no more, and keeps a few hundred bytes."""
    chain = world(100_000, states=128)
    keeper = Keeper(chain, depth=2, sample=2000)
    asked = []
    for number in range(103):
        deposit(chain, (chain.ours[number * 900], TOKEN), 1)
        before = chain.asks, len(chain.calls)
        keeper.step()
        asked.append((chain.asks - before[0], len(chain.calls) - before[1]))
    # The contract's code once; 2000 balances by four calls at the head, and before the start by four more.
    assert max(requests for requests, _ in asked) <= 3
    assert max(calls for _, calls in asked) <= 9
    assert len(chain.records.balances()) == 103
    assert len(json.dumps(keeper.state)) < 4000
    assert keeper.state is not None
    assert keeper.state["quiet_to"] is not None
    never_touched = (chain.ours[keeper.state["position"] // 2 + 1500], TOKEN)
    deposit(chain, never_touched, 1, how="hidden")
    for _ in range(6):
        chain.mine()
        keeper.step()
    row = chain.records.balances()[never_touched]
    assert (row.state, row.difference) == ("mismatch", Decimal("0.000001"))
    assert row.gap_lower == row.gap_upper


def test_the_rotation_reaches_every_pair() -> None:
    """A hidden deposit to an address that was never touched is found within two rounds, wherever it is."""
    for size, sample in ((7, 3), (10, 4), (5, 200)):
        for target in range(size):
            chain = world(size)
            keeper = Keeper(chain, depth=2, sample=sample)
            keeper.settle()
            deposit(chain, (chain.ours[target], TOKEN), 1, how="hidden")
            for _ in range(2 * -(-size * 2 // sample) + 3):
                chain.mine(2)
                keeper.step()
            states = [row.state for row in chain.records.balances().values()]
            assert states == ["mismatch"]


def test_steps_ask_for_balances_by_block_hash() -> None:
    """A number may mean another block on the node that answers."""
    chain = world(multicall=False)
    keeper = Keeper(chain)
    deposit(chain, (ONE, COIN), 5)
    keeper.settle()
    chain.calls.clear()
    chain.mine()
    keeper.step()
    readings = [call for call in chain.calls if call.method in ("eth_getBalance", "eth_call")]
    assert readings
    assert all(call.params[1] == {"blockHash": chain.head.hash} for call in readings)
