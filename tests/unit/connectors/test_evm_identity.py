"""The completeness identity against a chain that is told block by block: random worlds of every kind."""

from __future__ import annotations

import json
import random

import pytest

from payhealth.domain.chain_records import AddressBalance
from tests.unit.connectors.evm_identity_support import (
    COIN,
    STRANGER,
    TOKEN,
    Effect,
    Keeper,
    Pair,
    World,
    addresses,
    units_of,
)

WORLDS = 96
"""Worlds of the default run; run as a script with ``UPPER LOWER``, this file tries the seeds between."""


def live(world: World, keeper: Keeper, rng: random.Random, *, hidden: set[int]) -> None:
    """Some blocks with random events, reorgs of what is not final, steps, and kills between them."""
    for turn in range(rng.randrange(6, 25)):
        world.mine(rng.choice((1, 1, 2, 5)))
        for _ in range(rng.randrange(4)):
            event(world, rng)
        if turn in hidden:
            hide(world, rng)
        if rng.random() < 0.15:
            keeper.reorg(rng.randrange(1, 9))
            world.mine(rng.randrange(1, 4))
        what = rng.random()
        if what < 0.15:
            keeper.try_step()
        elif what < 0.75:
            keeper.step()
            hold(world, keeper)


def event(world: World, rng: random.Random) -> None:
    """Something that is read: a deposit, a sweep, dust, a payment out, a fee."""
    one, asset = rng.choice(world.ours), rng.choice((COIN, TOKEN))
    other = rng.choice((STRANGER, rng.choice(world.ours)))
    has = world.balance((one, asset), world.head.number)
    kind = rng.random()
    if kind < 0.5 or has < 10:
        world.transfer(asset, STRANGER, one, rng.randrange(1, 10**9), how=rng.choice(("movement", "dust")))
    elif kind < 0.8:
        world.transfer(asset, one, other, rng.randrange(1, has))
    elif asset == COIN:
        world.fee(one, rng.randrange(1, has))


def hide(world: World, rng: random.Random) -> None:
    """Something that nobody reads; one a pair, so that no two can cancel out."""
    taken = {effect.pair for effect in world.effects if effect.record is None}
    free = [(one, asset) for one in world.ours for asset in (COIN, TOKEN) if (one, asset) not in taken]
    if free:
        one, asset = rng.choice(free)
        has = world.balance((one, asset), world.head.number)
        out = has > 1 and rng.random() < 0.4
        ends = (one, STRANGER) if out else (STRANGER, one)
        world.transfer(asset, *ends, rng.randrange(1, has) if out else rng.randrange(1, 10**6), how="hidden")


def hidden_of(world: World) -> dict[Pair, Effect]:
    """What was hidden and still stands."""
    return {effect.pair: effect for effect in world.effects if effect.record is None}


def hold(world: World, keeper: Keeper) -> None:
    """What must hold after every step, whatever happened."""
    hidden = hidden_of(world)
    assert json.loads(json.dumps(keeper.state)) == keeper.state
    for pair, row in world.records.balances().items():
        if row.proved_block is not None and row.proved_amount is not None:
            assert row.proved_block <= keeper.final
            assert units_of(row.proved_amount, pair[1]) == world.balance(pair, row.proved_block)
            if pair in hidden:
                assert not (row.proved_from or 0) < hidden[pair].block <= row.proved_block
        if row.state == "mismatch":
            assert_named(world, row, hidden.get(pair))
    proved = keeper.proved()
    if proved is not None:
        assert proved[1] <= keeper.final + 1
        assert not [effect for effect in hidden.values() if proved[0] <= effect.block < proved[1]]
    for window in keeper.windows:
        assert window.upper > window.lower
        if window.refuted:
            assert any(window.lower <= effect.block < window.upper for effect in hidden.values())


def assert_named(world: World, row: AddressBalance, effect: Effect | None) -> None:
    """A mismatch is true, of the right amount, and where it is said to be."""
    assert effect is not None, f"a mismatch where nothing was hidden: {row}"
    assert row.difference is not None
    assert units_of(row.difference, row.asset) == effect.units
    assert row.gap_lower is not None
    assert row.gap_upper is not None
    assert row.gap_lower <= effect.block <= row.gap_upper
    if world.states is None:
        assert row.gap_lower == row.gap_upper


def found_all(world: World, keeper: Keeper, began_to_settle: int) -> None:
    """When all is final, what was hidden since the proof began is found, and everything else is proved."""
    hidden, rows = hidden_of(world), world.records.balances()
    assert keeper.state is not None
    for one in world.ours:
        for asset in (COIN, TOKEN):
            row, effect = rows.get((one, asset)), hidden.get((one, asset))
            began = keeper.state["quiet_from"] if row is None else row.proved_from
            if effect is not None and effect.block > began:
                assert row is not None
                assert row.state == "mismatch"
            elif row is not None and effect is None:
                # What was hidden while the first round went round may be found, or lie before the proof.
                assert row.state == "proved"
    if not any(row.state == "mismatch" for row in rows.values()):
        proved = keeper.proved()
        assert proved is not None
        assert proved[1] > began_to_settle


def world_of(seed: int) -> None:
    """One random world from beginning to end."""
    rng = random.Random(seed)
    ours = addresses(rng.randrange(1, 6))
    genesis = {(one, COIN): rng.randrange(10**9) for one in ours if rng.random() < 0.3}
    world = World(
        rng, ours, states=rng.choice((None, 3, 20, 128)), multicall=rng.random() < 0.5, genesis=genesis
    )
    keeper = Keeper(
        world,
        start=rng.choice((0, 0, 1, 3)),
        depth=rng.choice((1, 4, 8)),
        sample=rng.choice((1, 3, 200)),
        most_balances=rng.choice((3, 2000)),
    )
    hidden = set(rng.sample(range(25), rng.choice((0, 0, 1, 3))))
    live(world, keeper, rng, hidden=hidden)
    lived_to = world.head.number
    keeper.settle()
    hold(world, keeper)
    found_all(world, keeper, lived_to)
    for effect in hidden_of(world).values():
        world.reveal(effect)
    keeper.settle()
    # Where nothing is hidden any more, a mismatch may only stand for what came before its proof began.
    rows = world.records.balances()
    assert all(row.state == "proved" and row.difference is None for row in rows.values())
    assert not [window for window in keeper.windows if window.refuted]
    assert keeper.proved() is not None


@pytest.mark.parametrize("group", range(4))
def test_what_is_proved_is_true_and_what_is_hidden_is_found(group: int) -> None:
    """In any world: proofs never cover a hidden movement, and each one since the proof began is named."""
    for seed in range(group * WORLDS // 8, (group + 1) * WORLDS // 8):
        world_of(seed)


if __name__ == "__main__":
    import sys

    for number in range(int(sys.argv[2]), int(sys.argv[1])):
        try:
            world_of(number)
        except Exception:
            print("seed", number)  # noqa: T201
            raise
    print("ok")  # noqa: T201
