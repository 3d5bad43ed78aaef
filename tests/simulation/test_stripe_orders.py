"""Whatever order knowledge of a Stripe account comes in, the final records are the same.

Lists, events and webhooks, doubled, late, out of order and lost, with pulls between them that are killed and
processes that start again: all of them end where one pull of a fresh store ends, and where the auditor says.

``PAYHEALTH_ORDERS=1000`` lives through so many random accounts instead of the suite's few, and through every
order of the small stories instead of a part of them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.simulation.stripe_world import World, contents

DEEP = int(os.environ.get("PAYHEALTH_ORDERS", "0"))
EXAMPLES = DEEP or 3
YEAR_S = 31_536_000
LOOK = settings(
    phases=tuple(Phase) if DEEP else (Phase.explicit, Phase.generate),
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not DEEP,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

BEGINNINGS = (
    "pay",
    "pay_unnamed",
    "pay_late_fee",
    "decline",
    "hold",
    "intent",
    "setup",
    "setup_fails",
    "session",
    "invoice",
)
CHANGES = (
    *("retry", "capture", "capture_part", "cancel", "refund", "refund_part", "refund_pending"),
    *("refund_settles", "refund_fails", "dispute", "dispute_part", "inquiry", "escalate", "win", "lose"),
    *("close_inquiry", "warn", "pay_out", "pay_out_part", "fail_payout", "session_pays", "session_fails"),
    *("invoice_pays", "void_invoice"),
)
HIDDEN = ("charges", "refunds", "disputes", "balance_transactions")

picks = st.integers(0, 5)
steps = st.sampled_from(BEGINNINGS) | st.sampled_from(CHANGES) | st.sampled_from(CHANGES)
waits = st.tuples(st.just("wait"), st.sampled_from([0, 1, 30, 700, 4000, 40_000, 90_000]))
pulls = st.tuples(st.just("pull"), st.none() | st.none() | st.integers(0, 8))
deliveries = st.tuples(
    st.just("deliver"), st.sampled_from([1, -1]), st.integers(1, 2), st.sampled_from(["all", "odd", "none"])
)
restarts = st.just(("restart",))
listed = st.tuples(st.just("happen"), steps, picks, st.just("listed"), st.booleans())
lost = st.tuples(st.just("happen"), steps, picks, st.just("lost"), st.just(False))
told = st.tuples(st.just("happen"), steps, picks, st.sampled_from(["listed", "lost"]), st.booleans())
hidings = st.tuples(st.just("hide"), st.sampled_from(HIDDEN))
between = waits | waits | pulls | restarts
_ONLY = {"all": slice(None), "odd": slice(1, None, 2), "none": slice(0, 0)}


def lives(*moves: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """A short life that begins with a payment."""
    begun = st.just([("happen", "pay", 0, "listed", True), ("wait", 700)])
    return st.builds(lambda a, b: a + b, begun, st.lists(st.one_of(*moves), min_size=6, max_size=26))


def play(world: World, moves: Sequence[Any]) -> None:
    """Live through moves, one after another."""
    for move, *how in moves:
        if move == "happen":
            step, pick, event, webhook = how
            world.happen(step, pick, event=event, webhook=webhook)
        elif move == "wait":
            world.wait(how[0])
        elif move == "pull":
            world.pull(batches=how[0])
        elif move == "deliver":
            world.deliver(order=how[0], times=how[1], only=_ONLY[how[2]])
        elif move == "hide":
            world.hide_newest(how[0])
        else:
            world.restart()


def settled(world: World) -> None:
    """The next pull, once the second is over in which something happened."""
    world.wait(2)
    report = world.pull()
    assert not report.failed, report.failed


@LOOK
@given(moves=lives(told, told, told, between, deliveries, hidings))
def test_every_order_ends_in_the_same_records(moves: list[Any]) -> None:
    """After the daily reading the records are the account's, and those of a store that was pulled once."""
    world = World()
    try:
        play(world, moves)
        report = world.finish()
        assert not report.failed, report.failed
        assert world.differences() == []
        assert contents(world.store) == world.pulled_afresh()
    finally:
        world.close()


@LOOK
@given(moves=lives(listed, listed, listed, between, deliveries))
def test_without_a_lost_event_the_next_pull_is_right(moves: list[Any]) -> None:
    """Where every event is listed, no second reading is needed for any change to be known."""
    world = World(settings={"repull_every_s": YEAR_S})
    try:
        play(world, moves)
        settled(world)
        assert world.differences() == []
    finally:
        world.close()


@LOOK
@given(moves=lives(lost, lost, lost, between))
def test_money_is_right_at_the_next_pull_without_any_event(moves: list[Any]) -> None:
    """Balance transactions tell of every refund, dispute, capture and payout whose event was lost."""
    world = World(settings={"repull_every_s": YEAR_S})
    try:
        play(world, moves)
        settled(world)
        assert world.money_differences() == []
    finally:
        world.close()


STORIES = {
    "capture": ("hold", "capture_part"),
    "release": ("hold", "cancel"),
    "refund": ("pay", "refund_pending", "refund_fails"),
    "dispute": ("pay", "dispute", "win"),
    "inquiry": ("pay", "inquiry", "escalate"),
    "lost": ("pay", "dispute_part", "lose"),
    "payout": ("pay", "pay_out", "fail_payout"),
    "warning": ("pay", "warn", "refund"),
    "intent": ("intent", "cancel"),
    "retried": ("decline", "retry"),
    "session": ("session", "session_fails", "session_pays"),
    "invoice": ("invoice", "invoice_pays", "refund"),
}
TOLD = ("listed", "lost", "webhook", "both", "twice", "late")
_LOST = {"lost", "webhook", "twice", "late"}
_PACE_S = 3 * 86_400
"""Between the chapters of a story: longer than any overlap, and a payout has its money by then."""


def orders(story: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[bool, ...]]]:
    """Every way in which a story's last two chapters are told, with a pull after any of its chapters."""
    ways = itertools.product(TOLD, repeat=2)
    pulled = itertools.product([True, False], repeat=len(story) - 1)
    return list(itertools.product(ways, pulled))


def tell(world: World, story: Sequence[str], ways: Sequence[str], pulled: Sequence[bool]) -> None:
    """Live through a story whose last chapters are told in certain ways."""
    ways = ["listed"] * (len(story) - len(ways)) + list(ways)
    late = []
    for chapter, (step, way) in enumerate(zip(story, ways, strict=True)):
        event = "lost" if way in _LOST else "listed"
        assert world.happen(step, event=event, webhook=way not in {"listed", "lost"}), step
        if way == "late":
            late, world.undelivered = late + world.undelivered, []
        world.deliver(times=2 if way == "twice" else 1)
        world.wait(_PACE_S)
        if chapter < len(pulled) and pulled[chapter]:
            assert not world.pull().failed
    world.undelivered = late
    world.deliver(order=-1)


@pytest.mark.parametrize("name", STORIES)
def test_every_order_of_a_short_story(name: str) -> None:
    """Listed, lost, by webhook, both, twice, late and the wrong way round, with every choice of pulls."""
    story = STORIES[name]
    every = orders(story)
    # A prime stride touches every way and every choice of pulls; the deep run takes them all.
    chosen = every if DEEP else every[sum(name.encode()) % 211 :: 211]
    afresh = None
    for ways, pulled in chosen:
        world = World()
        try:
            tell(world, story, ways, pulled)
            assert not world.finish().failed
            assert world.differences() == [], (ways, pulled)
            afresh = afresh or world.pulled_afresh()
            assert contents(world.store) == afresh, (ways, pulled)
        finally:
            world.close()


@pytest.mark.parametrize("name", STORIES)
def test_a_story_that_is_told_is_known_at_the_next_pull(name: str) -> None:
    """Every change that is listed or delivered, once or twice, is known without a second reading."""
    story = STORIES[name]
    every = [("webhook", "twice"), ("late", "late"), ("listed", "webhook"), ("listed", "listed")]
    for ways in every if DEEP else [every[len(name) % len(every)]]:
        world = World(settings={"repull_every_s": YEAR_S})
        try:
            tell(world, story, ways, [True] * (len(story) - 1))
            settled(world)
            assert world.differences() == [], ways
        finally:
            world.close()


def test_an_order_can_fail() -> None:
    """The tests above see a lost event: untold and not read again, a change stays unknown."""
    world = World(settings={"repull_every_s": YEAR_S})
    try:
        tell(world, STORIES["intent"], ("lost", "lost"), [True])
        settled(world)
        found = world.differences()
        assert any("status" in difference for difference in found), found
    finally:
        world.close()
