"""Coverage: windows joined and holes found, held against a naive set of points."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.coverage import (
    NOT_READ,
    REFUTED,
    CoverageUnit,
    HoleKind,
    StreamState,
    holes,
    merge,
)

OK_AT = datetime(2026, 1, 1, tzinfo=UTC)
windows = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12)


def points(ranges: object) -> set[int]:
    """The oracle: every point of half-open windows, one by one."""
    return {point for lower, upper in ranges for point in range(lower, upper)}  # type: ignore[attr-defined]


def stream(
    covered: tuple[tuple[int, int], ...],
    *,
    required_lower: int = 0,
    last_ok_at: datetime | None = OK_AT,
    last_error: str | None = None,
    refuted: tuple[tuple[int, int], ...] = (),
) -> StreamState:
    """A stream of blocks."""
    return StreamState(
        connector="base",
        stream="transfers",
        unit=CoverageUnit.BLOCK,
        required_lower=required_lower,
        last_ok_at=last_ok_at,
        last_error=last_error,
        covered=covered,
        refuted=refuted,
    )


@given(windows)
def test_merging_keeps_exactly_the_points(given_: list[tuple[int, int]]) -> None:
    """Joined windows hold the points of the given ones, ascending, apart, none empty."""
    merged = merge(given_)
    assert points(merged) == points(given_)
    assert all(lower < upper for lower, upper in merged)
    assert all(left[1] < right[0] for left, right in pairwise(merged))


@given(windows, st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_order(given_: list[tuple[int, int]], random: object) -> None:
    """Any order of windows, and merging again, gives the same result."""
    shuffled = list(given_)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(given_) == merge(merge(given_))


@given(windows, st.integers(0, 40))
def test_gaps_are_exactly_the_points_that_were_not_read(
    given_: list[tuple[int, int]], required_lower: int
) -> None:
    """Between the start and the newest reading, the holes and what was read are everything, once each."""
    covered = merge(given_)
    if not covered:
        return
    found = holes(stream(covered, required_lower=required_lower))
    assert {hole.kind for hole in found} <= {HoleKind.GAP}
    newest = covered[-1][1]
    expected = set(range(required_lower, newest)) - points(covered)
    assert points([(hole.lower, hole.upper) for hole in found]) == expected
    assert sum((hole.upper or 0) - (hole.lower or 0) for hole in found) == len(expected)


@pytest.mark.parametrize(
    ("covered", "last_ok_at"),
    [((), OK_AT), (((0, 9),), None), ((), None)],
    ids=["empty", "never ok", "neither"],
)
def test_a_stream_that_was_never_read_to_the_end_is_a_hole(
    covered: tuple[tuple[int, int], ...], last_ok_at: datetime | None
) -> None:
    """Unread is a hole, whatever pieces were committed before the pull broke off."""
    found = holes(stream(covered, last_ok_at=last_ok_at))
    assert [hole.kind for hole in found] == [HoleKind.UNREAD]


def test_a_failed_pull_is_a_hole_beside_the_gaps() -> None:
    """The newest pull's error is a hole of its own, with its words, and hides no gap."""
    found = holes(stream(((0, 5), (7, 9)), last_error="the key was refused"))
    assert [hole.kind for hole in found] == [HoleKind.FAILED, HoleKind.GAP]
    assert "the key was refused" in found[0].reason
    assert (found[1].lower, found[1].upper) == (5, 7)


def test_a_stream_read_whole_has_no_hole() -> None:
    """One window from before the start on leaves nothing to name."""
    assert holes(stream(((0, 9),), required_lower=3)) == ()


@given(windows, windows, st.integers(0, 40))
def test_what_is_refuted_is_a_hole_and_not_unread(
    read: list[tuple[int, int]], denied: list[tuple[int, int]], required_lower: int
) -> None:
    """Refuted stretches are holes that say so; the others are what lies between and was never read."""
    refuted = merge(denied)
    covered = merge((point, point + 1) for point in points(read) - points(refuted))
    if not covered:
        return
    found = holes(stream(covered, required_lower=required_lower, refuted=refuted))
    by_reason = {
        reason: [(hole.lower, hole.upper) for hole in found if hole.reason == reason]
        for reason in (REFUTED, NOT_READ)
    }
    assert tuple(by_reason[REFUTED]) == refuted
    newest = max(upper for _, upper in (*covered, *refuted))
    expected = set(range(required_lower, newest)) - points(covered) - points(refuted)
    assert points(by_reason[NOT_READ]) == expected
    assert len(found) == sum(map(len, by_reason.values()))
    assert {hole.kind for hole in found} <= {HoleKind.GAP}


def test_a_stream_that_is_refuted_altogether_has_a_hole() -> None:
    """With nothing left that can be relied on, all is well must not be said."""
    assert holes(stream((), refuted=((0, 9),)))


def test_a_stream_that_is_refuted_altogether_says_so() -> None:
    """It was read: what is wrong is that a balance contradicts it, and where."""
    found = holes(stream((), refuted=((0, 9),)))
    assert [(hole.lower, hole.upper, hole.reason) for hole in found] == [(0, 9, REFUTED)]
