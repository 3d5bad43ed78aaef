"""Several lists read at once: everything once, in bounded memory, and stopped when nobody takes any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from payhealth.connectors.stripe.parallel import WAITING_MAX, as_they_come

Job = TypeVar("Job")


def given(jobs: Iterable[Job]) -> Callable[[], Job | None]:
    """These jobs one by one, then none."""
    coming = iter(jobs)
    return lambda: next(coming, None)


@drawn(
    st.lists(st.integers(min_value=0, max_value=2 * WAITING_MAX), max_size=12),
    st.integers(min_value=1, max_value=5),
)
def test_everything_comes_once(lengths: list[int], workers: int) -> None:
    """Whatever the lengths and the number of threads: each job's items in their order, then its end."""
    found: dict[int, list[int | None]] = {number: [] for number in range(len(lengths))}
    jobs = enumerate(lengths)
    for (number, _), item in as_they_come(given(jobs), lambda job: iter(range(job[1])), workers=workers):
        found[number].append(item)
    assert found == {number: [*range(length), None] for number, length in enumerate(lengths)}


def test_no_job_is_begun_after_a_failure() -> None:
    """What comes after it may hang on it."""
    begun: list[int] = []

    def read(job: int) -> Iterator[int]:
        begun.append(job)
        yield job
        if job == 2:
            raise ValueError("broken")

    coming = as_they_come(given(range(100)), read, workers=1)
    taken = [next(coming) for _ in range(5)]
    with pytest.raises(ValueError, match="broken"):
        next(coming)
    assert begun == [0, 1, 2]
    assert taken == [(0, 0), (0, None), (1, 1), (1, None), (2, 2)]


def test_what_is_under_way_is_brought_to_its_end() -> None:
    """A failure of one job takes nothing from another that was begun already."""
    both_there = threading.Barrier(2, timeout=5)

    def read(job: int) -> Iterator[int]:
        both_there.wait()
        if job == 0:
            raise ValueError("broken")
        yield from range(3)

    coming = as_they_come(given(range(2)), read, workers=2)
    assert [next(coming) for _ in range(4)] == [(1, 0), (1, 1), (1, 2), (1, None)]
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_nothing_runs_ahead_without_bounds() -> None:
    """A list that nobody takes is read a few pages ahead and no more, and ends when it is given up."""
    read_pages: list[int] = []
    given_up = threading.Event()

    def read(_job: int) -> Iterator[int]:
        try:
            for page in range(1_000):
                read_pages.append(page)
                yield page
        finally:
            given_up.set()

    pages = as_they_come(given([0]), read, workers=1)
    assert next(pages) == (0, 0)
    pages.close()  # type: ignore[attr-defined]
    assert given_up.wait(5)
    # One was taken, so many wait, and one was in the hand of the thread when the list was given up.
    assert len(read_pages) <= WAITING_MAX + 2


def test_as_many_at_once_as_asked_for() -> None:
    """So many lists are under way together: here each waits until all of them are."""
    workers = 4
    all_there = threading.Barrier(workers, timeout=5)

    def read(job: int) -> Iterator[int]:
        all_there.wait()
        yield job

    found = [job for job, item in as_they_come(given(range(workers)), read, workers=workers) if item is None]
    assert sorted(found) == list(range(workers))
