"""How coverage windows are merged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.coverage import CoverageWindow
from payhealth.store.windows import merged, no_longer_refuted
from payhealth.testing.samples import MOMENT, window


def test_touching_windows_are_one() -> None:
    """Windows that touch become one, with both providers and the sum of their objects."""
    found = merged([window(10, 20, objects=3), window(0, 10, provider="other", objects=2)])
    assert found == [window(0, 20, provider="api.stripe.com, other", objects=5)]


def test_a_gap_stays() -> None:
    """Windows with a hole between them stay apart."""
    assert merged([window(11, 20), window(0, 10)]) == [window(0, 10), window(11, 20)]


def test_reading_again_adds_no_objects() -> None:
    """A stretch that is read again counts once."""
    assert merged([window(0, 10, objects=5), window(0, 10, objects=5), window(2, 4, objects=1)]) == [
        window(0, 10, objects=5)
    ]


def test_a_proof_is_not_lent() -> None:
    """Proved and unproved neighbours stay apart; an unproved stretch inside a proved one is dropped."""
    proved = window(0, 10, unproved=False)
    assert merged([proved, window(10, 20)]) == [proved, window(10, 20)]
    assert merged([window(2, 4), proved]) == [proved]


def test_empty_windows_are_nothing() -> None:
    """A window of no length is no coverage."""
    assert merged([window(5, 5)]) == []


def test_a_refuted_stretch_cuts_what_was_only_read() -> None:
    """What a balance refutes is said of that stretch, and the rest keeps what is said of it."""
    read = window(0, 10, finality="final", objects=7)
    refuted = window(4, 6, finality="final", refuted=True, objects=2)
    assert merged([read, refuted]) == [
        window(0, 4, finality="final", objects=5),
        refuted,
        window(6, 10, finality="final", objects=0),
    ]
    proved = window(0, 8, unproved=False, finality="final", objects=3)
    assert [(one.lower, one.upper, one.refuted, one.unproved) for one in merged([read, refuted, proved])] == [
        (0, 4, False, False),
        (4, 6, True, True),
        (6, 8, False, False),
        (8, 10, False, True),
    ]
    freed = [no_longer_refuted(one) for one in merged([read, refuted])]
    assert [(one.lower, one.upper, one.unproved) for one in merged(freed)] == [(0, 10, True)]


def test_what_was_seen_becomes_final_without_being_told_twice() -> None:
    """Blocks read near the head are read again once they are final: one window, not two."""
    seen = window(5, 10, finality="seen", objects=4)
    final = window(5, 8, finality="final", objects=3)
    assert merged([seen, final]) == [final, window(8, 10, finality="seen", objects=1)]
    assert merged([seen, window(5, 10, finality="final", objects=4)]) == [
        window(5, 10, finality="final", objects=4)
    ]


# The docstring of merged(), held against a reading of it unit by unit.

Strength = tuple[bool, bool, bool, str]
KINDS: list[dict[str, Any]] = [
    {"unproved": False},
    {"unproved": False, "finality": "final"},
    {"refuted": True},
    {"refuted": True, "finality": "final"},
    {"finality": "final"},
    {"finality": "seen"},
    {},
]
some_windows = st.lists(
    st.builds(
        lambda lower, length, kind, provider, doubt, later, objects: window(
            lower,
            lower + length,
            provider=provider,
            doubts=doubt,
            read_at=MOMENT + timedelta(days=later),
            objects=objects,
            **kind,
        ),
        st.integers(0, 24),
        st.integers(0, 9),
        st.sampled_from(KINDS),
        st.sampled_from(["a.test", "b.test", "c.test"]),
        st.sampled_from(["", "a.test: missing logs x1"]),
        st.integers(0, 3),
        st.integers(0, 5),
    ),
    max_size=9,
)


def strength(one: CoverageWindow) -> Strength:
    """Refuted before proved, proved before read and final, final before seen."""
    return (one.refuted, not one.unproved, one.finality == "final", one.finality)


def by_unit(windows: Sequence[CoverageWindow]) -> dict[int, Strength]:
    """What the strongest window that covers a unit says of it."""
    found: dict[int, Strength] = {}
    for one in windows:
        for unit in range(one.lower, one.upper):
            found[unit] = max(found.get(unit, strength(one)), strength(one))
    return found


@given(some_windows)
def test_merging_says_of_each_unit_what_the_strongest_says(windows: list[CoverageWindow]) -> None:
    """Nothing that is covered is lost, nothing is covered that was not, and the strongest wins everywhere."""
    assert by_unit(merged(windows)) == by_unit(windows)


@given(some_windows)
def test_merged_windows_never_overlap_and_are_whole(windows: list[CoverageWindow]) -> None:
    """Ascending, none empty, none in another; two that touch say different things, or they would be one."""
    found = merged(windows)
    assert all(one.lower < one.upper for one in found)
    for left, right in pairwise(found):
        assert left.upper <= right.lower
        assert left.upper < right.lower or strength(left) != strength(right)


@given(some_windows, st.randoms(use_true_random=False), st.integers(0, 9))
def test_order_and_steps_of_merging_are_irrelevant_to_what_is_said(
    windows: list[CoverageWindow], order: random.Random, cut: int
) -> None:
    """A store merges step by step, in whatever order windows came: the same stretches say the same."""
    shuffled = list(windows)
    order.shuffle(shuffled)
    stepwise = merged([*merged(shuffled[:cut]), *shuffled[cut:]])
    expected = [(one.lower, one.upper, strength(one)) for one in merged(windows)]
    assert [(one.lower, one.upper, strength(one)) for one in stepwise] == expected


@given(some_windows)
def test_merging_again_changes_nothing(windows: list[CoverageWindow]) -> None:
    """What was merged is merged: objects, providers and moments too."""
    assert merged(merged(windows)) == merged(windows)


@given(some_windows)
def test_a_merged_window_names_whoever_read_it(windows: list[CoverageWindow]) -> None:
    """Every provider and doubt of those of its kind, the newest moment, and nobody else."""
    given_ = [one for one in windows if one.lower < one.upper]
    for one in merged(windows):
        inside = [
            other
            for other in given_
            if strength(other) == strength(one) and other.lower < one.upper and one.lower < other.upper
        ]
        assert {other.provider for other in inside} <= set(one.provider.split(", "))
        assert {other.doubts for other in inside} - {""} <= set(one.doubts.split(", "))
        assert one.read_at >= max(other.read_at for other in inside)
        assert set(one.provider.split(", ")) <= {
            other.provider for other in given_ if strength(other) == strength(one)
        }


@given(some_windows)
def test_objects_are_never_invented(windows: list[CoverageWindow]) -> None:
    """Merged windows hold at most what all windows held; windows that nothing overlaps hold all of it."""
    found = merged(windows)
    total = sum(one.objects for one in windows if one.lower < one.upper)
    assert 0 <= sum(one.objects for one in found) <= total
    apart = sorted((one for one in windows if one.lower < one.upper), key=lambda one: one.lower)
    if all(left.upper <= right.lower for left, right in pairwise(apart)):
        assert sum(one.objects for one in found) == total
