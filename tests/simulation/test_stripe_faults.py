"""Stripe's answers are broken on their way, and the store holds the server's records all the same.

Within what a source bears, a pull ends with exactly the account's records; beyond it, with one clear error, a
state that goes on, and the next undisturbed pull exactly right. ``PAYHEALTH_FAULTS=500`` tries as many mixes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payhealth import pipeline
from payhealth.connectors.stripe.source import StripeSource
from payhealth.outcomes import PullReport
from payhealth.sandbox.serve import LoopbackServer
from tests.simulation.stripe_breakage import FAULTS, SHIFTS, Breaking, TcpProxy, drawn, listed
from tests.simulation.stripe_life import KEY
from tests.simulation.stripe_world import NAME, World, contents

DEEP = int(os.environ.get("PAYHEALTH_FAULTS", "0"))
ATTEMPTS = 6
"""The default of ``max_attempts``: so many faults in a row less one are borne."""

LOOK = settings(
    phases=tuple(Phase) if DEEP else (Phase.explicit, Phase.generate),
    max_examples=DEEP or 3,
    deadline=None,
    derandomize=not DEEP,
    suppress_health_check=[HealthCheck.too_slow],
)
BUSY = (
    *("pay", "hold", "capture_part", "pay", "refund_part", "pay", "dispute", "win", "pay", "refund_pending"),
    *("refund_fails", "decline", "retry", "pay", "inquiry", "escalate", "lose", "warn", "setup", "pay_out"),
    *("intent", "cancel", "pay_late_fee", "hold", "cancel", "pay", "dispute_part", "setup_fails", "pay"),
)
SECRETS = ("sk_live_leak", KEY)


def no_fault(number: int, row: int, path: str) -> str | None:
    """Every request arrives."""
    return None


class Disturbed(World):
    """A busy account behind a transport that breaks answers as ``self.breaking.plan`` says."""

    def __init__(self, plan: Callable[[int, int, str], str | None] = no_fault, **given: Any) -> None:
        self.breaking: Breaking

        def carried(wire: httpx.BaseTransport) -> httpx.BaseTransport:
            self.breaking = Breaking(wire, self.patience, no_fault)
            return self.breaking

        super().__init__(carried=carried, **given)
        self.show_pages_of(4)
        for step in BUSY:
            self.happen(step)
            self.wait(7001)
        self.breaking.plan = plan

    def clean_pull(self) -> None:
        """The disturbance is over, and the next pull is exactly right."""
        self.breaking.plan = no_fault
        self.wait(2)
        report = self.pull()
        assert not report.failed, report.failed
        assert self.differences() == []
        assert contents(self.store) == self.pulled_afresh()


def one_clear_error(report: PullReport) -> str:
    """The first stream's error: one line, nothing of the answer's text or the key in it."""
    assert report.failed, "nothing failed"
    error = report.failed[0].error or ""
    assert error, report
    assert "\n" not in error, error
    assert len(error) < 300, error
    assert "<html" not in error, error
    assert not any(secret in error for secret in SECRETS), error
    return error


def exactly_right(world: Disturbed) -> None:
    """A pull bears everything that comes, and what is then in the store is what the server holds."""
    world.wait(2)
    report = world.pull()
    assert not report.failed, report.failed
    assert world.breaking.broken, "nothing was broken"
    assert world.differences() == []
    world.breaking.plan = no_fault
    assert contents(world.store) == world.pulled_afresh()


@pytest.mark.parametrize("seed", [1, 22, 333])
def test_faults_within_bounds_leave_exactly_the_servers_records(seed: int) -> None:
    """A third of all attempts fail somehow, pages shift, new charges arrive: nothing is missing."""
    world = Disturbed(drawn(seed, share=0.35, in_a_row=ATTEMPTS - 1))

    def meanwhile(number: int) -> None:
        if number % 9 == 0:
            world.wait(1)
            world.happen("pay" if number % 2 else "refund_part", number)

    try:
        world.before_request = meanwhile
        report = world.pull()
        assert not report.failed, report.failed
        world.before_request = lambda _: None
        # What happened in the pull's own second is the next one's; that one is disturbed as well.
        exactly_right(world)
    finally:
        world.close()


@LOOK
@given(
    names=st.lists(st.sampled_from(["", "", *sorted(FAULTS), *sorted(SHIFTS)]), max_size=25),
    meanwhile=st.lists(st.sampled_from(["pay", "refund", "dispute", "capture", "pay_out", ""]), max_size=6),
)
def test_any_mix_of_faults_within_bounds_is_borne(names: list[str], meanwhile: list[str]) -> None:
    """Whatever comes in whatever order, while the account lives on: exactly the server's records."""
    world = Disturbed(listed([*names, "500"], in_a_row=ATTEMPTS - 2))
    left = list(meanwhile)

    def live(number: int) -> None:
        if number % 4 == 0 and left and (step := left.pop()):
            world.wait(1)
            world.happen(step, number)

    try:
        world.before_request = live
        assert not world.pull().failed
        world.before_request = lambda _: None
        exactly_right(world)
    finally:
        world.close()


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_each_fault_alone_is_borne(name: str) -> None:
    """Every first attempt fails in the same way."""
    world = Disturbed(lambda number, row, path: name if row == 0 else None)
    try:
        exactly_right(world)
    finally:
        world.close()


@pytest.mark.parametrize("name", sorted(FAULTS) if DEEP else ("429", "drip", "html 200", "truncated"))
def test_a_fault_that_does_not_end_is_one_clear_error(name: str) -> None:
    """The pull gives up within its bounds, says why in one line, and the next one is exactly right."""
    world = Disturbed()
    try:
        after = world.breaking.requests + 14
        world.breaking.plan = lambda number, row, path: name if number > after else None
        one_clear_error(world.pull())
        assert world.breaking.requests - after <= 4 * ATTEMPTS, "it was tried without bound"
        world.clean_pull()
    finally:
        world.close()


@LOOK
@given(
    name=st.sampled_from(sorted(FAULTS)),
    path=st.sampled_from(["charges", "refunds", "events", "transactions"]),
)
def test_one_list_that_never_answers_spoils_nothing(name: str, path: str) -> None:
    """One endpoint is down for a whole pull: an error, nothing wrong in the store, all right afterwards."""
    world = Disturbed()
    try:
        world.breaking.plan = lambda number, row, asked: name if asked.endswith(path) else None
        one_clear_error(world.pull())
        world.happen("refund_part")
        world.wait(4000)
        world.clean_pull()
    finally:
        world.close()


@pytest.mark.parametrize("after", [0, 3, 15, 30, 45])
def test_a_key_revoked_in_the_middle(after: int) -> None:
    """From some request on the key is refused: one clear error, and a new key goes on from there."""
    world = Disturbed()

    def revoked(request: httpx.Request) -> httpx.Response:
        error = {"type": "invalid_request_error", "message": f"Expired API Key provided: {KEY}"}
        return httpx.Response(401, json={"error": error})

    until = world.wire.requests + after
    answer = world.wire.handle_request
    try:
        world.wire.handle_request = (  # type: ignore[method-assign]
            lambda request: revoked(request) if world.wire.requests >= until else answer(request)
        )
        report = world.pull()
        error = one_clear_error(report)
        assert "key" in error.lower(), error
        world.wire.handle_request = answer  # type: ignore[method-assign]
        world.restart()
        world.clean_pull()
    finally:
        world.close()


@pytest.mark.parametrize("kind", ["payment_intents", "setup_intents", "charges"])
def test_a_page_cursor_whose_object_was_deleted(kind: str) -> None:
    """The object that the next page was to start after is gone: the pull goes on, or the next one does."""
    world = Disturbed()
    step = {"payment_intents": "intent", "setup_intents": "setup", "charges": "decline"}[kind]
    for _ in range(11):
        world.happen(step)
        world.wait(1)
    world.wait(2)
    gone: list[str] = []

    def delete(number: int) -> None:
        """The last object of the first page goes before the second page is asked for."""
        if not gone and world.breaking.last_after(kind):
            gone.append(world.breaking.last_after(kind))
            world.account.delete(gone[0])

    try:
        world.before_request = delete
        world.pull()
        assert gone, "no page followed another"
        world.before_request = lambda _: None
        world.wait(2)
        report = world.pull()
        assert not report.failed, report.failed
        left = [difference for difference in world.differences() if gone[0] not in difference]
        assert left == []
    finally:
        world.close()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_wrong_loses_nothing_for_good(hours: int) -> None:
    """Our clock is an hour off while pulls run, and is set right later: then everything is there."""
    world = Disturbed()
    try:
        assert not world.pull().failed
        world.skew = timedelta(hours=hours)
        world.clock.advance(world.skew)
        for step in ("pay", "refund_part", "hold", "capture", "dispute", "win", "pay_out"):
            world.happen(step)
            world.wait(900)
            assert not world.pull().failed
        world.clock.advance(timedelta(0) - world.skew)
        world.skew = timedelta(0)
        assert not world.finish().failed
        assert world.differences() == []
        assert contents(world.store) == world.pulled_afresh()
    finally:
        world.close()


def test_a_clock_that_stays_wrong_by_an_hour_is_right_at_the_next_pull() -> None:
    """With a clock an hour ahead for ever, what Stripe tells of its own clock is enough to miss nothing."""
    world = Disturbed(settings={"repull_every_s": 31_536_000})
    try:
        world.skew = timedelta(hours=1)
        world.clock.advance(world.skew)
        for step in ("pay", "refund_part", "pay", "dispute", "win"):
            world.wait(1200)
            world.happen(step)
            world.wait(2)
            assert not world.pull().failed
        world.wait(2)
        assert not world.pull().failed
        assert world.differences() == []
    finally:
        world.close()


def test_resets_and_cuts_of_a_real_connection_are_borne() -> None:
    """Over TCP: half of all connections are reset or closed in the middle of an answer."""
    world = Disturbed()
    world.source.close()
    fates = ("whole", "reset", "whole", "cut", "cut", "reset", "whole")
    with LoopbackServer(world.app) as server, TcpProxy(server.port, fates) as proxy:
        settings = world.settings().model_copy(update={"api_base": proxy.url, "parallel_windows": 1})
        source = StripeSource(NAME, settings, sleep=world.patience.sleep, jitter=lambda: 0.0)
        try:
            report = pipeline.pull([source], world.store, world.clock)
        finally:
            source.close()
        assert not report.failed, report.failed
        assert proxy.spoilt > 5
    world.source = world.new_source()
    try:
        assert world.differences() == []
    finally:
        world.close()
