"""What one pull hands to the next: the recent window and the cursor, whatever became of them in between."""

from __future__ import annotations

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.cursor import Cursor
from payhealth.connectors.evm.reading.recent import ChainMovedError, Recent
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.errors import SourceDataError
from tests.golden.evm.regenerate import settings
from tests.unit.connectors.evm_reading_support import hash_of

unhurried = examples(deadline=None)
START = datetime(2026, 1, 1, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
    max_leaves=6,
)


def block(number: int, branch: int = 0) -> Header:
    """A block on a branch; branches part at block 0, which is in all of them."""
    own = hash_of(number + (1000 * branch if number else 0))
    before = hash_of(number - 1 + (1000 * branch if number > 1 else 0)) if number else hash_of(999_999)
    return Header(number=number, hash=own, parent=before, at=START + timedelta(seconds=2 * number))


def window(lower: int, upper: int, branch: int = 0) -> Recent:
    """The blocks of ``[lower, upper)``."""
    return Recent(block(number, branch) for number in range(lower, upper))


@unhurried
@given(st.integers(0, 50), st.integers(0, 60))
def test_a_window_survives_its_keeping(lower: int, count: int) -> None:
    """What is kept as JSON comes back block for block, with parents and times."""
    before = window(lower, lower + count)
    kept = orjson.loads(orjson.dumps(before.state()))
    after = Recent.restored(kept)
    assert after.above(-1) == before.above(-1) == [block(number) for number in range(lower, lower + count)]
    assert after.state() == before.state()


@unhurried
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=30))
def test_a_window_links_whatever_it_is_made_of(headers: list[tuple[int, int]]) -> None:
    """Its blocks link by parent hash without gaps up to the newest that was given."""
    given_ = [block(number, branch) for number, branch in headers]
    blocks = Recent(given_).above(-1)
    assert all(child.parent == parent.hash for parent, child in pairwise(blocks))
    assert [one.number for one in blocks] == list(
        range(blocks[0].number, blocks[-1].number + 1) if blocks else []
    )
    assert set(blocks) <= set(given_)
    assert max((one.number for one in given_), default=None) == (blocks[-1].number if blocks else None)


@unhurried
@given(json_values)
def test_what_no_window_wrote_is_an_empty_window(kept: Any) -> None:
    """A kept window that is not readable is none: the blocks are read anew, nothing is raised."""
    assert Recent.restored(kept).tip is None


@pytest.mark.parametrize(
    "damage",
    [
        {"hashes": "not base64!"},
        {"hashes": None},
        {"hashes": 7},
        {"hashes": "€"},
        {"seconds": None},
        {"seconds": [1]},
        {"seconds": ["x"] * 5},
        {"seconds": [None] * 5},
        {"first": None},
        {"first": "x"},
        {"first": [1]},
    ],
    ids=str,
)
def test_a_damaged_window_is_an_empty_window(damage: dict[str, Any]) -> None:
    """One part that cannot be read makes the whole of it worth nothing."""
    state = window(3, 8).state()
    assert state is not None
    assert Recent.restored({**state, **damage}).tip is None
    for name in damage:
        assert Recent.restored({key: part for key, part in state.items() if key != name}).tip is None


@pytest.mark.parametrize("seconds", [2**62, -(2**62)])
def test_a_window_of_moments_beyond_time_is_an_empty_window(seconds: int) -> None:
    """No date holds such a number of seconds: the window is not readable."""
    assert Recent.restored({**(window(3, 4).state() or {}), "seconds": [seconds]}).tip is None


def test_a_window_of_cut_hashes_is_an_empty_window() -> None:
    """Hashes are 32 bytes each: a text that was cut in the middle of one is damaged."""
    state = window(3, 5).state() or {}
    cut = base64.b64encode(base64.b64decode(state["hashes"])[:-1]).decode()
    assert Recent.restored({**state, "hashes": cut}).tip is None


def test_a_block_on_top_must_link() -> None:
    """The next block is added, another branch's is not, one known already changes nothing."""
    recent = window(0, 5)
    with pytest.raises(ChainMovedError, match="block 5 does not link"):
        recent.put(block(5, branch=1))
    with pytest.raises(ChainMovedError, match="two blocks at height 3"):
        recent.put(block(3, branch=1))
    recent.put(block(3))
    assert recent.numbers() == [4, 3, 2, 1, 0]
    recent.put(block(5))
    assert recent.tip == block(5)
    recent.put(block(9))
    assert recent.numbers() == [9]


@unhurried
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_cutting_and_forgetting_are_by_height(count: int, fork: int, final: int) -> None:
    """Above the fork nothing stays, below the last final block nothing, and all that lies between does."""
    recent = window(0, count)
    lost = recent.above(fork)
    recent.cut(fork)
    recent.forget_below(final)
    assert [one.number for one in lost] == list(range(fork + 1, count))
    assert recent.numbers() == sorted(range(final, min(count, fork + 1)), reverse=True)


def cursor(**changes: Any) -> Cursor:
    """A cursor in the middle of a chain."""
    given_: dict[str, Any] = {
        "block": 41,
        "of": settings().fingerprint(),
        "settled": 30,
        "derived": 25,
        "used": 4,
        "reorgs": 2,
        "window": window(35, 42).state(),
        "planner": {"node.invalid": {"ends/3": [500, 0, 0]}},
        "proofs": {"rotated": 7},
    }
    return Cursor(**(given_ | changes))


@unhurried
@given(
    st.integers(-1, 2**53),
    st.integers(-1, 2**53),
    st.integers(0, 10_000),
    st.integers(-1, 10_000),
    st.integers(0, 9),
)
def test_a_cursor_survives_its_keeping(
    block_: int, settled: int, derived: int, used: int, reorgs: int
) -> None:
    """What a pull hands on is what the next one gets."""
    before = cursor(block=block_, settled=settled, derived=derived, used=used, reorgs=reorgs)
    assert Cursor.parse(before.text(), settings()) == before


def test_the_first_cursor_is_before_the_start() -> None:
    """Nothing was read, nothing is settled, and the caller is told so."""
    fresh = Cursor.parse(None, settings(start_block=100))
    assert (fresh.block, fresh.settled, fresh.starts_anew, fresh.used) == (99, 99, True, -1)
    assert Cursor.parse(cursor().text(), settings()).starts_anew is False


def test_the_old_format_is_read() -> None:
    """A cursor of the first version named its block and what it is of: all of that was settled."""
    old = json.dumps({"block": 41, "of": settings().fingerprint()})
    found = Cursor.parse(old, settings())
    assert (found.block, found.settled, found.reorgs, found.window) == (41, 41, 0, None)
    assert not found.starts_anew


@pytest.mark.parametrize(
    "change",
    [
        {"addresses": ["0x" + "a1" * 20]},
        {"operators": []},
        {"assets": ["USDC"]},
        {"dust": {"USDC": "1"}},
        {"start_block": 7},
    ],
    ids=str,
)
def test_another_set_starts_anew_and_keeps_what_does_not_depend_on_it(change: dict[str, Any]) -> None:
    """Blocks may hold payments to what was added; the window still tells of reorgs, the planner of limits."""
    other = settings(**change)
    found = Cursor.parse(cursor().text(), other)
    before = other.start_block - 1
    assert (found.block, found.settled, found.starts_anew) == (before, before, True)
    assert (found.window, found.planner, found.reorgs) == (cursor().window, cursor().planner, 2)
    assert (found.used, found.proofs, found.again_to) == (-1, {}, cursor().block)
    assert Cursor.parse(cursor(again_to=90).text(), other).again_to == 90


@unhurried
@given(st.text() | json_values.map(json.dumps))
def test_what_is_no_cursor_is_said_to_be_none(text: str) -> None:
    """A text that no pull wrote is refused in words; it never passes for a position."""
    with pytest.raises(SourceDataError, match="the stored cursor is not readable"):
        Cursor.parse(text, settings())


@unhurried
@given(
    st.sampled_from(["block", "settled", "derived", "used", "reorgs", "planner", "proofs", "window"]),
    json_values,
)
def test_a_damaged_cursor_is_refused_or_read(name: str, damage: Any) -> None:
    """Whatever stands in one of its parts, there is a cursor or a refusal in words."""
    content = json.loads(cursor().text())
    found = None
    with contextlib.suppress(SourceDataError):
        found = Cursor.parse(json.dumps({**content, name: damage}), settings())
    if found is not None:
        assert type(found.block) is int
        assert isinstance(found.planner, dict)
