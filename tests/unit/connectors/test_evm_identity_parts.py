"""The parts of the completeness identity: words of Multicall3, halving, exact sums."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from eth_abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.proofs.balances import Universe
from payhealth.connectors.evm.proofs.balances_moved import Moved
from payhealth.connectors.evm.proofs.bisection import first_difference
from payhealth.connectors.evm.proofs.multicall import AGGREGATE3, aggregate3, results_of
from payhealth.connectors.evm.wire.values import WireError
from payhealth.domain.money import MAX_SCALED, from_scaled
from payhealth.domain.records import Movement
from tests.unit.connectors.evm_identity_support import ASSETS, COIN, STRANGER, World, addresses

CONTRACT = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
DATA = st.binary(max_size=100)


@given(st.lists(st.tuples(CONTRACT, DATA), max_size=8))
def test_calls_are_written_as_the_abi_says(calls: list[tuple[str, bytes]]) -> None:
    """An independent decoder reads the same contracts and data."""
    text = aggregate3([(contract, data.hex()) for contract, data in calls])
    assert text[2:10] == AGGREGATE3
    (read,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(text[10:]))
    assert list(read) == [(contract, True, data) for contract, data in calls]


@given(st.lists(st.tuples(st.booleans(), DATA), max_size=8))
def test_results_are_read_as_the_abi_says(results: list[tuple[bool, bytes]]) -> None:
    """What an independent encoder writes; a call that failed is None, whatever it says."""
    text = "0x" + encode(["(bool,bytes)[]"], [results]).hex()
    assert results_of(text, len(results)) == [data.hex() if well else None for well, data in results]
    with pytest.raises(WireError):
        results_of(text, len(results) + 1)


@pytest.mark.parametrize("answer", [None, 5, "", "0x", "0x00", "zz", "0x" + "f" * 64, "0x" + "g" * 640])
def test_an_answer_that_is_none_is_refused(answer: object) -> None:
    """A contract that is not there answers nothing: that is no balance of nothing."""
    with pytest.raises(WireError):
        results_of(answer, 1)


@given(st.binary(max_size=400), st.integers(0, 3))
def test_no_answer_breaks_the_reading(answer: bytes, count: int) -> None:
    """Any bytes are either results or refused."""
    with contextlib.suppress(WireError):
        assert len(results_of("0x" + answer.hex(), count)) == count


@given(st.integers(1, 300), st.data())
def test_halving_finds_where_a_difference_arose(length: int, data: st.DataObject) -> None:
    """The named block differs and the one before does not; asking is logarithmic."""
    steps = data.draw(st.lists(st.integers(-2, 2), min_size=length, max_size=length))
    there = [0]
    for step in steps:
        there.append(there[-1] + step)
    there[-1] = there[-1] or 1
    asked: list[int] = []
    gap = first_difference(100, 100 + length, lambda block: asked.append(block) or there[block - 100])
    assert gap.lower == gap.upper
    assert there[gap.lower - 100] != 0
    assert there[gap.lower - 101] == 0
    assert len(asked) <= length.bit_length()


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 300))
def test_halving_over_pruned_states_gives_a_true_range(length: int, at: int, pruned: int) -> None:
    """The block is always inside; where its own state and the one before are there, it is named."""
    at, pruned = min(at, length), min(pruned, length)
    gap = first_difference(0, length, lambda block: None if block <= pruned else int(block >= at))
    assert gap.lower <= at <= gap.upper
    if at - 1 > pruned:
        assert gap.lower == gap.upper == at
    else:
        assert gap.lower in (1, gap.upper)
        assert gap.upper <= max(at, pruned + 1)


@settings(deadline=None)
@given(st.lists(st.integers(0, MAX_SCALED), min_size=1, max_size=40), st.randoms())
def test_sums_are_exact_beyond_the_domain(amounts: list[int], rng: random.Random) -> None:
    """Sums of amounts at the edge of 38 digits are those of Python's integers, whatever pair and span."""
    ours = addresses(3)
    world = World(rng, ours)
    rows = []
    for number, amount in enumerate(amounts):
        world.mine()
        ends = rng.choice(((STRANGER, ours[0]), (ours[0], ours[1]), (ours[2], STRANGER)))
        world.transfer(COIN, *ends, 1)
        (record,) = [row for row in world.records.kept[Movement].values() if row.block_number == number + 1]  # type: ignore[attr-defined]
        del world.records.kept[Movement]["chain", record.movement_id]  # type: ignore[attr-defined]
        rows.append((number + 1, *ends, amount, record))
    world.records.put(*(replace(record, amount=from_scaled(amount)) for *_, amount, record in rows))  # type: ignore[call-arg]
    universe = Universe(ours, ASSETS)
    moved = Moved(world.records, "chain", universe)  # type: ignore[arg-type]
    spans = {}
    for address in ours:
        lower = rng.randrange(0, len(amounts))
        spans[universe.pair(address, COIN) or 0] = (lower, rng.randrange(lower, len(amounts) + 1))
    wanted = {
        pair: sum(
            amount * ((recipient == universe.address(pair)) - (sender == universe.address(pair)))
            for block, sender, recipient, amount, _ in rows
            if lower < block <= upper
        )
        for pair, (lower, upper) in spans.items()
    }
    assert moved.sums(spans) == wanted
    histories = moved.histories(spans)
    assert {pair: histories[pair].until(upper) for pair, (_, upper) in spans.items()} == wanted
    last = {
        pair: max((block for block, *ends, _, _ in rows if universe.address(pair) in ends), default=None)
        for pair in spans
    }
    assert moved.last_touched((0, len(amounts))) == {
        pair: block for pair, block in last.items() if block is not None
    }
