"""Chains that lose blocks: whatever happens between pulls, the records end as the chain's own truth."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from payhealth.domain.chain_records import Block, TransferObservation
from payhealth.domain.errors import SourceDataError
from payhealth.domain.records import Movement
from tests.simulation.test_evm_fake_node import (
    OPERATOR,
    OURS,
    STRANGERS,
    TOKEN,
    TREASURY,
    FakeNode,
    Tx,
    assert_exact,
    deposit,
    pull,
)
from tests.simulation.test_evm_shelf import Shelf

DEEPEST = 10
EVERYONE = (*OURS, TREASURY, OPERATOR, *STRANGERS)


@dataclass
class World:
    """A chain that lives by chance.

    Args:
        waiting: dropped transactions that may come back.
    """

    seed: int
    node: FakeNode = field(default_factory=FakeNode)
    waiting: list[Tx] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.count = 0

    def transaction(self) -> Tx:
        """Any transfer among everyone: tokens, several at once, or native value that may fail."""
        self.count += 1
        name, pick = f"{self.seed}/{self.count}", self.random.choice
        if self.random.random() < 0.3:
            value, status = self.random.randrange(3) * 10**17, min(1, self.random.randrange(4))
            return Tx(name, value=value, status=status, sender=pick(EVERYONE), to=pick(EVERYONE))
        several = tuple(
            (pick((TOKEN, TOKEN, "0x" + "66" * 20)), pick(EVERYONE), pick(EVERYONE), self.random.randrange(4))
            for _ in range(self.random.randrange(1, 4))
        )
        return Tx(name, transfers=several)

    def mine(self, blocks: int) -> None:
        """Mine new transactions and some of the dropped ones, in any order."""
        for _ in range(blocks):
            txs = [self.transaction() for _ in range(self.random.randrange(3))]
            back = [tx for tx in self.waiting if self.random.random() < 0.5]
            self.waiting = [tx for tx in self.waiting if tx not in back]
            txs += back
            self.random.shuffle(txs)
            self.node.mine(*txs)

    def reorg(self) -> None:
        """Lose blocks, never final ones; the new branch may for a while be shorter than the old."""
        depth = min(self.random.randrange(1, DEEPEST + 1), self.node.head - self.node.finalized)
        if depth <= 0:
            return
        self.waiting += self.node.drop(depth)
        if self.random.random() < 0.3:
            self.waiting = []
        self.mine(max(1, depth + self.random.randrange(-2, 3)))

    def step(self) -> None:
        """Something happens."""
        if self.random.random() < 0.4:
            self.reorg()
        else:
            self.mine(self.random.randrange(1, 6))


def settle(world: World, shelf: Shelf, **changes: Any) -> None:
    """Let the chain grow past every old tip, and pull it whole."""
    world.mine(6)
    while world.node.head <= max((row.block_number for row in shelf.all(Block)), default=0):
        world.mine(1)
    pull(world.node, shelf, **changes)


@pytest.mark.parametrize("seed", range(12))
def test_records_end_as_the_chain(seed: int) -> None:
    """After reorgs of depth 1 to 10, pulls and kills at random points, the records are the chain's truth."""
    world, shelf = World(seed), Shelf()
    changes = {
        "step_blocks": world.random.choice([1, 3, 200]),
        "addresses_per_filter": world.random.choice([1, 2, 500]),
    }
    for _ in range(25):
        world.step()
        if world.random.random() < 0.6:
            pull(world.node, shelf, most_batches=world.random.choice([1, 2, 3, None, None]), **changes)
    settle(world, shelf, **changes)
    assert_exact(shelf, world.node)
    versions = shelf.versions
    pull(world.node, shelf, **changes)
    assert shelf.versions == versions


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    acts=st.lists(st.sampled_from(["mine", "reorg", "pull", "kill"]), max_size=14),
    final_depth=st.integers(11, 20),
)
def test_any_order_of_events_ends_exact(seed: int, acts: list[str], final_depth: int) -> None:
    """No order of mining, reorgs, pulls and kills leaves the records other than the chain."""
    world, shelf = World(seed, node=FakeNode(final_depth=final_depth)), Shelf()
    for act in acts:
        if act == "mine":
            world.mine(3)
        elif act == "reorg":
            world.reorg()
        else:
            pull(world.node, shelf, most_batches=1 if act == "kill" else None)
    settle(world, shelf)
    assert_exact(shelf, world.node)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kill_after", [0, 1, 2, 4])
def test_a_killed_pull_that_resumes_equals_an_undisturbed_one(seed: int, kill_after: int) -> None:
    """Kill between two commits and pull again: the current records equal those of one whole pull."""
    world, whole, killed = World(seed), Shelf(), Shelf()
    for _ in range(4):
        world.mine(9)
        world.reorg()
        pull(world.node, whole, step_blocks=2, max_block_range=5)
        pull(world.node, killed, most_batches=kill_after, step_blocks=2, max_block_range=5)
        pull(world.node, killed, step_blocks=2, max_block_range=5)
    assert whole.current == killed.current
    assert whole.cursors == killed.cursors


@pytest.mark.parametrize("depth", range(1, DEEPEST + 1))
def test_a_dropped_deposit_is_retracted_at_the_block_that_stands_there(depth: int) -> None:
    """A lost deposit gets a retraction at the moment of the new block of its height."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    block = node.mine(deposit("lost"))
    for _ in range(depth - 1):
        node.mine()
    pull(node, shelf)
    node.drop(depth)
    for _ in range(depth + 1):
        node.mine()
    pull(node, shelf)
    assert_exact(shelf, node)
    by_kind = {row.kind: row for row in shelf.all(Movement)}
    assert by_kind["transfer"].status == "retracted"
    undoing = by_kind["retraction"]
    assert int(undoing.effective_at.timestamp()) == node.blocks[block.number].timestamp
    kept = ("amount", "asset", "account", "payment_key", "handle", "rail", "chain")
    assert [getattr(undoing, name) for name in kept] == [getattr(by_kind["transfer"], name) for name in kept]
    assert {row.canonical for row in shelf.all(TransferObservation)} == {False}


def test_a_retraction_on_a_shorter_branch_happens_with_its_head() -> None:
    """Where the new branch does not reach the lost block's height, its head gives the moment."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    node.mine(deposit("lost"))
    pull(node, shelf)
    node.drop(3)
    node.mine()
    pull(node, shelf)
    (undoing,) = [row for row in shelf.all(Movement) if row.kind == "retraction"]
    assert int(undoing.effective_at.timestamp()) == node.blocks[-1].timestamp
    assert undoing.block_number == node.head


@pytest.mark.parametrize("at_once", [True, False], ids=["within one pull", "a pull later"])
def test_a_deposit_that_returns_lives_again(at_once: bool) -> None:
    """Seen again in another block: status seen, the new height, and its retraction is void."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    node.mine(deposit("back"))
    pull(node, shelf)
    (tx,) = node.drop(1)
    node.mine()
    if not at_once:
        node.mine()
        pull(node, shelf)
    block = node.mine(tx)
    pull(node, shelf)
    assert_exact(shelf, node)
    states = {row.kind: (row.status, row.block_number) for row in shelf.all(Movement)}
    assert states["transfer"] == ("seen", block.number)
    assert states["retraction"][0] == "failed"
    node.drop(1)
    node.mine()
    node.mine()
    pull(node, shelf)
    assert {row.kind: row.status for row in shelf.all(Movement)} == {
        "transfer": "retracted",
        "retraction": "succeeded",
    }


def test_a_deposit_that_returns_with_another_log_index_is_the_same_movement() -> None:
    """It lives under the id of its first sighting, says where it stands now, and its retraction is void."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    node.mine(deposit("moved"))
    pull(node, shelf)
    (tx,) = node.drop(1)
    node.mine(deposit("before", to=STRANGERS[1]), tx)
    node.mine()
    pull(node, shelf)
    assert_exact(shelf, node)
    (row,) = [row for row in shelf.all(Movement) if row.kind == "transfer"]
    assert (row.movement_id[-1], row.position, row.status) == ("0", "1", "seen")
    assert {row.status for row in shelf.all(Movement) if row.kind == "retraction"} <= {"failed"}


def test_a_rollback_past_the_last_final_block_is_fatal() -> None:
    """A node that takes back what it called final is refused, and nothing is retracted."""
    node, shelf = FakeNode(), Shelf()
    for number in range(30):
        node.mine(deposit(f"d{number}"))
    pull(node, shelf)
    before = shelf.versions
    node.drop(node.final_depth + 1)
    for _ in range(30):
        node.mine()
    with pytest.raises(SourceDataError, match="rolled back past block 18, which was final"):
        pull(node, shelf)
    assert shelf.versions == before


def test_a_node_that_is_merely_behind_changes_nothing() -> None:
    """A shorter chain on our own branch is a node that lags: nothing is retracted or read."""
    node, shelf = FakeNode(), Shelf()
    for number in range(30):
        node.mine(deposit(f"d{number}"))
    pull(node, shelf)
    before = shelf.versions
    behind = replace(node, blocks=node.blocks[:-4])
    behind.finalized = node.finalized
    pull(behind, shelf)
    assert shelf.versions == before


@pytest.mark.parametrize("finality", [{"depth": 11}, "safe", "finalized"])
def test_marks_follow_the_configured_finality(finality: Any) -> None:
    """By depth, by tag, and by the chain's fallback depth where the node lacks the tags."""
    from payhealth.domain.chain_records import ChainMark

    for tags in (True, False):
        node, shelf = FakeNode(tags=tags), Shelf()
        for _ in range(60):
            node.mine(deposit(f"d{node.head}"))
        pull(node, shelf, finality=finality)
        (mark,) = shelf.all(ChainMark)
        depth = 11 if isinstance(finality, dict) else node.final_depth if tags else 30
        safe_depth = node.safe_depth if tags and not isinstance(finality, dict) else depth
        assert (mark.head, mark.safe, mark.final) == (60, 60 - safe_depth, 60 - depth)
        assert {row.finality for row in shelf.all(Movement)} == {"safe" if finality == "safe" else "final"}
        assert_exact(shelf, node)


def test_a_lost_sweep_expects_no_clawback() -> None:
    """Sweeps, gas and payments out that a reorg removes are retracted without a movement that undoes them."""
    node, shelf = FakeNode(), Shelf()
    for _ in range(20):
        node.mine()
    node.mine(
        deposit("sweep", sender=OURS[0], to=TREASURY),
        deposit("gas", sender=OPERATOR),
        deposit("out", sender=TREASURY, to=STRANGERS[0]),
    )
    pull(node, shelf)
    node.drop(1)
    node.mine()
    node.mine()
    pull(node, shelf)
    assert {(row.kind, row.status) for row in shelf.all(Movement)} == {
        ("internal", "retracted"),
        ("funding", "retracted"),
        ("outgoing", "retracted"),
    }
