"""A feed's round at an old block whose state the node no longer keeps: found among the rounds themselves.

Rounds are kept in the newest state. Within a phase they are numbered in the order of their time, so that
the one that stood at a block is found by steps that double and then by halving: some twenty questions for
a year of rounds, the same batch for all blocks. Older phases are not walked: their last round is nowhere
told.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from payhealth.connectors.evm.proofs.prices_feed import (
    LATEST_ROUND,
    FeedRef,
    NoRound,
    Round,
    feed_call,
    round_call,
    round_of,
)
from payhealth.connectors.evm.rpc.endpoint import Call

Ask = Callable[[Sequence[Call]], list[Any]]
"""Asks the node: an answer a call, faults as values."""
Found = Round | NoRound
_Search = Generator[int, Found, Found]
_Probe = tuple[FeedRef, int]


def walk_back(jobs: Sequence[tuple[FeedRef, int]], ask: Ask) -> list[Found]:
    """The newest round of each feed that is not later than a moment.

    Args:
        jobs: feed, and the block's time in seconds since 1970.
    """
    feeds = list(dict.fromkeys(feed for feed, _ in jobs))
    if not feeds:
        return []
    answers = ask([feed_call(feed, LATEST_ROUND, "latest") for feed in feeds])
    newest = {feed: round_of(answer) for feed, answer in zip(feeds, answers, strict=True)}
    return _together([(feed, _search(newest[feed], at_s)) for feed, at_s in jobs], ask)


def _together(searches: Sequence[tuple[FeedRef, _Search]], ask: Ask) -> list[Found]:
    """Run searches side by side, a batch of questions at a time, none asked twice."""
    found: dict[int, Found] = {}
    asking: dict[int, _Probe] = {}
    known: dict[_Probe, Found] = {}

    def go_on(at: int, answer: Found | None) -> None:
        feed, search = searches[at]
        try:
            asking[at] = (feed, next(search) if answer is None else search.send(answer))
        except StopIteration as end:
            asking.pop(at, None)
            found[at] = end.value

    for at in range(len(searches)):
        go_on(at, None)
    while asking:
        probes = [probe for probe in dict.fromkeys(asking.values()) if probe not in known]
        answers = ask([round_call(*probe) for probe in probes]) if probes else []
        known.update(
            (probe, _asked_for(probe[1], round_of(answer)))
            for probe, answer in zip(probes, answers, strict=True)
        )
        for at, probe in list(asking.items()):
            go_on(at, known[probe])
    return [found[at] for at in range(len(searches))]


def _asked_for(round_id: int, found: Found) -> Found:
    """A round that is not the one asked for, or was never finished, is missing."""
    if isinstance(found, NoRound):
        return found if found.passing else _missing(round_id)
    return found if found.id == round_id and found.updated_s else _missing(round_id)


def _missing(round_id: int) -> NoRound:
    return NoRound(reason=f"missing round: the feed does not tell its round {round_id}")


def _search(newest: Found, at_s: int) -> _Search:
    """Yields ids of rounds to look at; returns the round that stood at the moment."""
    if isinstance(newest, NoRound):
        # What the newest state says is not about the old block: nothing can be kept of it.
        return NoRound(reason=newest.reason, passing=True)
    if not newest.updated_s:
        return NoRound(reason="incomplete round: the feed's newest one has no time", passing=True)
    if newest.updated_s <= at_s:
        return newest
    return (yield from _step_back(newest, at_s))


def _step_back(later: Round, at_s: int) -> _Search:
    """From a round that is too young back by steps that double, to one that is not; then between the two."""
    step = 1
    while True:
        if later.number <= 1:
            return NoRound(reason=f"older phase: the feed's phase {later.phase} began after the block")
        found = yield later.back(min(step, later.number - 1))
        if isinstance(found, NoRound):
            return found
        if found.updated_s <= at_s:
            return (yield from _halve(found, later, at_s))
        later, step = found, 2 * step


def _halve(earlier: Round, later: Round, at_s: int) -> _Search:
    """The last round that is not too young, of those from ``earlier`` to just before ``later``."""
    while later.number - earlier.number > 1:
        found = yield earlier.back(-((later.number - earlier.number) // 2))
        if isinstance(found, NoRound):
            return found
        if found.updated_s <= at_s:
            earlier = found
        else:
            later = found
    return earlier
