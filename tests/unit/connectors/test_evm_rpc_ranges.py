"""The range planner: quick to grow, never beyond a named limit, and remembered between runs."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault, classify
from payhealth.connectors.evm.rpc.ranges import RangePlanner, RangePlanners

KINDS = [FaultKind.RANGE_LIMIT, FaultKind.RESULT_LIMIT, FaultKind.OTHER]


def accepts(planner: RangePlanner, times: int) -> list[int]:
    """The sizes of so many ranges in a row, each accepted."""
    sizes = []
    for _ in range(times):
        sizes.append(planner.upper(0, 10**9) + 1)
        planner.accepted(sizes[-1])
    return sizes


@given(
    st.integers(min_value=1, max_value=10**6),
    st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.sampled_from(FaultKind), st.none() | st.integers(min_value=1, max_value=10**7)),
        ),
        max_size=60,
    ),
)
def test_no_range_exceeds_a_limit_that_was_named(
    most: int, answers: list[tuple[FaultKind, int | None] | None]
) -> None:
    """Whatever the answers are, a range has a block and keeps within the configured and every named limit."""
    planner, named = RangePlanner(most), most
    for answer in answers:
        blocks = planner.upper(1000, 10**9) - 999
        assert 1 <= blocks <= named
        if answer is None:
            planner.accepted(blocks)
        else:
            kind, limit = answer
            shrank = planner.refused(blocks, RpcFault(kind, "no", limit=limit))
            assert shrank == (kind in KINDS and blocks > 1)
            if shrank and kind is FaultKind.RANGE_LIMIT and limit is not None and limit < blocks:
                named = min(named, limit)


@given(st.integers(min_value=1, max_value=5000), st.integers(min_value=1, max_value=10**6))
def test_a_hidden_limit_is_found_in_few_steps(limit: int, most: int) -> None:
    """A node that only says no, for every range above its limit, is read with few refusals."""
    planner, refusals, lower = RangePlanner(most), 0, 0
    for _ in range(100):
        blocks = planner.upper(lower, 10**12) - lower + 1
        if blocks > limit:
            refusals += 1
            assert planner.refused(blocks, RpcFault(FaultKind.OTHER, "no"))
        else:
            planner.accepted(blocks)
            lower += blocks
    assert lower > 0
    assert refusals <= 60


def test_the_range_doubles_until_a_limit_then_grows_by_a_fixed_step() -> None:
    """500, 1000, 2000 …; after a limit by a tenth of what was left, never beyond a named number."""
    planner = RangePlanner(10_000)
    assert accepts(planner, 6) == [500, 1000, 2000, 4000, 8000, 10_000]
    assert planner.refused(10_000, classify("query returned more than 10000 results"))
    assert accepts(planner, 4) == [5000, 5500, 6000, 6500]
    assert planner.refused(7000, classify("block range too large, max 2000"))
    assert accepts(planner, 3) == [2000, 2000, 2000]


@pytest.mark.parametrize("ends", ["[0x10, 0x1f]", "[0x1f, 0x10]"])
def test_a_suggested_range_is_used_for_these_blocks_alone(ends: str) -> None:
    """Either way round it is sixteen blocks; later ranges may be longer again."""
    planner = RangePlanner(10_000)
    assert planner.refused(
        500, classify(f"query returned more than 10000 results. Try with this block range {ends}.")
    )
    assert accepts(planner, 3) == [16, 17, 18]


def test_a_suggestion_that_is_no_smaller_halves() -> None:
    """A node that suggests what it just refused is not asked the same again."""
    planner = RangePlanner(10_000)
    assert planner.refused(500, classify("Try with this block range [0x0, 0xffff]"))
    assert planner.size == 250


def test_one_block_is_not_shrunk() -> None:
    """Too much in a single block is for its receipts."""
    assert not RangePlanner(10_000).refused(1, classify("query returned more than 10000 results"))


@pytest.mark.parametrize(
    "message", ["unknown block", "too many requests", "missing trie node", "batch too large"]
)
def test_what_a_smaller_range_does_not_mend_never_shrinks(message: str) -> None:
    """A head that lags, throttling and the like leave the range as it is."""
    planner = RangePlanner(10_000)
    assert not planner.refused(500, classify(message))
    assert planner.size == 500


def test_each_provider_and_shape_learns_on_its_own_and_is_remembered() -> None:
    """A limit met with one provider says nothing about another; the next run goes on from there."""
    planners = RangePlanners(10_000)
    assert planners.of("a.test", "to").refused(500, classify("block range too large, max 7"))
    accepts(planners.of("b.test", "to"), 2)
    assert planners.of("a.test", "from").size == 500
    again = RangePlanners(10_000)
    again.restore(orjson.loads(orjson.dumps(planners.state())))
    assert accepts(again.of("a.test", "to"), 3) == [7, 7, 7]
    assert accepts(again.of("b.test", "to"), 2) == [2000, 4000]
    assert again.of("c.test", "to").size == 500


def test_the_configured_bound_is_that_of_the_present_run() -> None:
    """A remembered range obeys a smaller bound, and may grow to a larger one."""
    planners = RangePlanners(1000)
    accepts(planners.of("a.test", "to"), 3)
    smaller, larger = RangePlanners(100), RangePlanners(4000)
    smaller.restore(planners.state())
    larger.restore(planners.state())
    assert smaller.of("a.test", "to").size == 100
    assert accepts(larger.of("a.test", "to"), 3) == [1000, 2000, 4000]


def test_what_is_remembered_is_bounded() -> None:
    """Of many providers and shapes the ones used last are kept."""
    planners = RangePlanners(10_000)
    for number in range(500):
        planners.of(f"{number}.test" + "x" * 1000, "shape" * 1000)
    state = planners.state()
    assert sum(len(shapes) for shapes in state.values()) == 64
    assert next(iter(state)).startswith("436.test")
    assert len(orjson.dumps(state)) < 64 * 700


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON | st.dictionaries(st.text(max_size=3), st.dictionaries(st.text(max_size=3), JSON, max_size=3)))
def test_a_state_of_another_hand_is_ignored(state: Any) -> None:
    """A cursor that was tampered with never breaks the planner, nor widens its bounds."""
    planners = RangePlanners(10_000)
    planners.restore(state)
    shapes = [(p, s) for p, inner in planners.state().items() for s in inner]
    for provider, shape in [*shapes, ("a.test", "to")]:
        assert 1 <= planners.of(provider, shape).upper(5, 10**9) - 4 <= 10_000
