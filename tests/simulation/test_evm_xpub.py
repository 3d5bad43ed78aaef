"""Deposit addresses from an extended public key: as many as the gap limit asks for, with their whole past."""

from __future__ import annotations

import random

import pytest

from payhealth.connectors.evm.registry.xpub import Derived
from payhealth.domain.records import Movement
from tests.simulation.test_evm_fake_node import FakeNode, assert_exact, deposit, pull
from tests.simulation.test_evm_shelf import Shelf

# anvil's well-known mnemonic "test test … junk", m/44'/60'/0'
XPUB = (
    "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwf"
    "zvZNSd54JoNXVsXFYSYwHsnJxqP"
)
ADDRESSES = Derived(XPUB).first(120)


def node_with(used: list[int], *, blocks: int = 30, seed: int = 0) -> FakeNode:
    """A chain with a deposit to each of some derived addresses, in any order."""
    chance, node = random.Random(seed), FakeNode()
    places = [chance.randrange(blocks) for _ in used]
    for number in range(blocks):
        here = [index for index, place in zip(used, places, strict=True) if place == number]
        node.mine(*(deposit(f"i{index}", index + 1, to=ADDRESSES[index]) for index in here))
    return node


@pytest.mark.parametrize("seed", range(4))
def test_every_address_within_the_gap_is_read_whatever_the_order(seed: int) -> None:
    """Use reveals further addresses, whose past is read too, in one pull, near the head and far from it."""
    used = [0, 3, 9, 14, 22, 30, 41]
    node, shelf = node_with(used, seed=seed), Shelf()
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12, assets=["native"])
    assert_exact(shelf, node, ours=ADDRESSES)
    assert len([row for row in shelf.all(Movement) if row.kind == "transfer"]) == len(used)


def test_beyond_the_gap_nothing_is_watched() -> None:
    """An address further than the gap limit from the last used one is not ours until the gap is closed."""
    node, shelf = node_with([0, 40]), Shelf()
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12)
    assert [row.recipient for row in shelf.all(Movement)] == [ADDRESSES[0]]
    for index in (12, 24, 36):
        node.mine(deposit(f"later{index}", 5, to=ADDRESSES[index]))
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12)
    assert_exact(shelf, node, ours=ADDRESSES)
    assert ADDRESSES[40] in {row.recipient for row in shelf.all(Movement)}


@pytest.mark.parametrize("kill_after", [0, 1, 2, 3])
def test_a_kill_while_catching_up_loses_nothing(kill_after: int) -> None:
    """What new addresses missed is committed whole with their number, or read again."""
    node, shelf = node_with([0, 11, 22, 33]), Shelf()
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12, most_batches=kill_after)
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12)
    assert_exact(shelf, node, ours=ADDRESSES)


def test_nothing_is_read_anew_when_the_number_is_known() -> None:
    """A second pull asks for the newest blocks alone."""
    node, shelf = node_with([0, 11]), Shelf()
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12)
    before, versions = node.calls.count("eth_getLogs"), shelf.versions
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=12)
    assert node.calls.count("eth_getLogs") - before <= 4
    assert shelf.versions == versions


def test_a_raised_gap_limit_reads_the_past_of_what_it_adds() -> None:
    """Payments to addresses that were beyond the limit are found when it is raised, not only new ones."""
    node, shelf = node_with([0, 30]), Shelf()
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=5)
    assert len(shelf.all(Movement)) == 1
    pull(node, shelf, addresses=[], xpub=XPUB, gap_limit=40)
    assert_exact(shelf, node, ours=ADDRESSES)
    assert len(shelf.all(Movement)) == 2
