"""Several providers of one chain: who is asked, who rests, and who lied."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.domain.errors import SourceDataError, SourceError, SourceRefusedError, SourceUnavailableError
from tests.unit.connectors.evm_rpc_support import A, B, C, Clock, Net, client, down, error, named

CALLS = [Call("eth_a"), Call("eth_b")]
SAID = ["eth_a", "eth_b"]


def card(of: RpcClient, name: str) -> Any:
    """The scorecard of one provider."""
    return next(one for one in of.scorecards() if one.provider == name)


def test_providers_are_named_by_their_hosts_alone() -> None:
    """Two URLs of one host are two providers; no name, fault or scorecard shows a URL's secret."""
    net = Net()
    net.answering["a"] = lambda _: error("upstream https://a.test/key-of-a and other-key are odd")
    it = client(net, A, "https://a.test/other-key", B)
    assert it.providers == ("a.test", "a.test#2", "b.test")
    it.ask([Call("eth_a")])
    it.blame(Lie.MALFORMED, "it sent key-of-a")
    shown = f"{it.scorecards()} {it.liars()}"
    assert "key-of-a" not in shown
    assert it.liars() == ("a.test: malformed x1",)


def test_the_first_provider_is_kept_to_while_it_is_good() -> None:
    """In the order of the configuration; nobody else is asked without need."""
    net = Net()
    it = client(net, A, B)
    assert [it.ask(CALLS) for _ in range(5)] == [SAID] * 5
    assert (it.provider, net.asked("a"), net.asked("b")) == ("a.test", 5, 0)


def test_a_provider_that_fails_rests_and_is_tried_again() -> None:
    """It is left alone for a growing time, then is a candidate again, and comes back when the other fails."""
    net, clock = Net(), Clock()
    net.answering["a"] = down
    it = client(net, A, B, clock=clock)
    assert it.ask(CALLS) == SAID
    assert (it.provider, net.asked("a")) == ("b.test", 2)
    assert card(it, "a.test").resting
    for _ in range(5):
        it.ask(CALLS)
    assert net.asked("a") == 2
    clock.now_s += 10
    assert not card(it, "a.test").resting
    net.answering = {"b": down}
    assert it.ask(CALLS) == SAID
    assert it.provider == "a.test"


def test_a_provider_at_rest_is_asked_where_there_is_no_other() -> None:
    """Resting is a preference: a pull never fails for want of somebody who is awake."""
    net = Net()
    net.answering["a"] = down
    it = client(net, A)
    with pytest.raises(SourceUnavailableError):
        it.ask(CALLS)
    net.answering = {}
    assert it.ask(CALLS) == SAID


def test_failing_over_goes_round_those_that_are_awake() -> None:
    """A provider that answers uselessly is turned from, but not to one that is known to be down."""
    net = Net()
    net.answering["a"] = down
    it = client(net, A, B, C)
    it.ask(CALLS)
    turns = []
    for _ in range(4):
        it.fail_over()
        turns.append(it.provider)
    assert turns == ["c.test", "b.test", "c.test", "b.test"]
    alone = client(Net(), A)
    alone.fail_over()
    assert alone.provider == "a.test"


def test_all_answers_to_many_calls_come_from_one_provider() -> None:
    """Where a provider breaks off in the middle, the next one is asked everything, and is named for it."""
    net = Net()
    turn = itertools.count()
    net.answering["a"] = lambda calls: named(calls) if next(turn) == 0 else down(calls)
    it = client(net, A, B, batch_calls=2)
    calls = [Call(f"eth_{number}") for number in range(6)]
    results, _ = it.many(calls)
    assert results == [call.method for call in calls]
    assert it.provider == "b.test"
    assert net.asked("b") == 3


class Test429:
    """HTTP 429, and the same in words."""

    def test_the_next_provider_is_asked_meanwhile(self) -> None:
        """Where there is another, nobody waits; the busy one is left alone for as long as it said."""
        net, clock = Net(), Clock()
        net.answering["a"] = lambda _: httpx.Response(429, headers={"retry-after": "20"})
        it = client(net, A, B, clock=clock)
        assert it.ask(CALLS) == SAID
        assert (clock.slept, it.provider) == ([], "b.test")
        assert card(it, "a.test").resting
        assert card(it, "a.test").failures == 1
        clock.now_s += 19
        assert card(it, "a.test").resting
        clock.now_s += 2
        assert not card(it, "a.test").resting

    @pytest.mark.parametrize("headers", [{}, {"retry-after": "7"}])
    def test_the_only_provider_is_waited_for(self, headers: dict[str, str]) -> None:
        """With Retry-After for that long, without it a little longer each time."""
        net, clock = Net(), Clock()
        replies = iter([httpx.Response(429, headers=headers)] * 2)
        net.answering["a"] = lambda calls: next(replies, None) or named(calls)
        it = client(net, A, clock=clock, attempts=3)
        assert it.ask(CALLS) == SAID
        assert clock.slept == ([7.0, 7.0] if headers else [0.1, 0.2])

    def test_a_pause_outlasts_the_question(self) -> None:
        """A provider that was asked too often is not asked before its time by the next question either."""
        net, clock = Net(), Clock()
        net.answering["a"] = lambda _: httpx.Response(429, headers={"retry-after": "9"})
        it = client(net, A, clock=clock, attempts=1)
        with pytest.raises(SourceUnavailableError, match="too many requests"):
            it.ask(CALLS)
        net.answering = {}
        began_s = clock.now_s
        assert it.ask(CALLS) == SAID
        assert clock.now_s - began_s == pytest.approx(9)

    def test_where_all_are_busy_the_wait_is_bounded(self) -> None:
        """Each is asked, then waited for; the end is a clear refusal."""
        net, clock = Net(), Clock()
        for host in "ab":
            net.answering[host] = lambda _: httpx.Response(429, headers={"retry-after": "3600"})
        with pytest.raises(SourceUnavailableError, match=r"a\.test.*too many requests"):
            client(net, A, B, clock=clock, max_pause_s=30).ask(CALLS)
        assert sum(clock.slept) <= 4 * 30

    @pytest.mark.parametrize("status", [200, 403, 500])
    def test_words_count_as_much_as_the_status(self, status: int) -> None:
        """Throttling in words is throttling, not a refusal of the key."""
        net, clock = Net(), Clock()
        net.answering["a"] = lambda _: httpx.Response(status, json=error("credits limited to 6000/sec"))
        assert client(net, A, B, clock=clock).ask(CALLS) == SAID
        assert clock.slept == []


def test_requests_keep_to_the_rate_of_each_provider() -> None:
    """Ten a second and no more, whoever asks."""
    net, clock = Net(), Clock()
    it = client(net, A, clock=clock, rate_limit_per_s=10)
    began_s = clock.now_s
    for _ in range(100):
        it.ask(CALLS)
    assert 9.5 < clock.now_s - began_s < 10.5


class TestWrongChain:
    """A provider of another chain."""

    def test_it_is_named_and_never_asked_again(self) -> None:
        """The others go on; it gets no question beyond its chain id, and stands among the liars."""
        net = Net(a=137)
        it = client(net, A, B)
        it.check_chains()
        assert [it.ask(CALLS) for _ in range(3)] == [SAID] * 3
        assert (it.provider, net.requests["a"]) == ("b.test", [["eth_chainId"]])
        assert it.liars() == ("a.test: wrong chain x1",)
        assert card(it, "a.test").lies == {Lie.WRONG_CHAIN: 1}
        assert "serves chain 137" in card(it, "a.test").last_fault
        it.fail_over()
        assert it.provider == "b.test"
        assert it.second_opinion(CALLS) is None

    @pytest.mark.parametrize("hosts", [(A,), (A, B)])
    def test_it_is_an_error_where_nobody_serves_the_right_one(self, hosts: tuple[str, ...]) -> None:
        """The configuration is wrong, and says so each time."""
        it = client(Net(a=137, b=10), *hosts)
        for question in (it.check_chains, lambda: it.ask(CALLS), lambda: it.ask(CALLS)):
            with pytest.raises(SourceDataError, match=r"a\.test: serves chain 137, but chain_id = 1 is conf"):
                question()

    def test_a_proved_chain_that_is_down_is_no_fault_of_the_configuration(self) -> None:
        """Where the right one is known and does not answer, it is a matter of time."""
        net = Net(b=137)
        it = client(net, A, B)
        it.check_chains()
        net.answering["a"] = down
        with pytest.raises(SourceUnavailableError):
            it.ask(CALLS)


def test_a_liar_is_turned_from() -> None:
    """Its score falls below any honest one's; what it did is counted by kind and told in words."""
    net = Net()
    it = client(net, A, B)
    it.ask(CALLS)
    it.blame(Lie.MISSING_LOGS, "block 7 has logs by its bloom, the answer had none")
    it.blame("missing_logs", "block 8")
    it.blame(Lie.STALE_HEAD, "head 5 after 9", "b.test")
    it.ask(CALLS)
    assert it.provider == "b.test"
    assert it.liars() == ("a.test: missing logs x2", "b.test: stale head x1")
    assert card(it, "a.test").last_fault == "missing logs: block 8"
    with pytest.raises(ValueError, match=r"no provider 'd\.test'"):
        it.blame(Lie.DISAGREES, "", "d.test")


def test_a_scorecard_cannot_be_changed() -> None:
    """It is a picture of a moment."""
    it = client(Net(), A)
    it.blame(Lie.DISAGREES, "")
    (before,) = it.scorecards()
    it.blame(Lie.DISAGREES, "")
    assert before.lies == {Lie.DISAGREES: 1}
    with pytest.raises(TypeError):
        before.lies[Lie.DISAGREES] = 7


def test_requests_and_calls_are_counted_apart() -> None:
    """A batch is one request and many calls; repeated ones count again."""
    it = client(Net(), A, B)
    it.ask(CALLS)
    it.second_opinion(CALLS)
    assert (it.requests, it.calls) == (4, 6)
    assert [(one.requests, one.calls) for one in it.scorecards()] == [(2, 3), (2, 3)]


FAULTS: list[Any] = [
    down,
    lambda _: httpx.Response(200, text="<html>"),
    lambda _: httpx.Response(401),
    lambda _: error("invalid api key"),
    lambda _: httpx.Response(302, headers={"location": "https://c.test/"}),
    lambda _: error("batch requests are not supported"),
]


@pytest.mark.parametrize("first", FAULTS)
@pytest.mark.parametrize("second", [None, *FAULTS])
def test_whatever_one_provider_does_the_other_answers_or_the_error_is_clear(first: Any, second: Any) -> None:
    """Every way to fail is failed over from; where all fail, one line names each host."""
    net = Net()
    net.answering["a"] = first
    if second is not None:
        net.answering["b"] = second
    it = client(net, A, B)
    if second is None:
        assert it.many(CALLS)[0] == SAID
        assert it.provider == "b.test"
        return
    with pytest.raises(SourceError) as caught:
        it.many(CALLS)
    assert {"a.test", "b.test"} <= {word.strip(":;") for word in str(caught.value).split()}
    assert "\n" not in str(caught.value)


def test_a_refused_key_rests_for_long() -> None:
    """A key does not become good in a few seconds."""
    net, clock = Net(), Clock()
    net.answering["a"] = lambda _: httpx.Response(401)
    it = client(net, A, B, clock=clock)
    it.ask(CALLS)
    clock.now_s += 299
    assert card(it, "a.test").resting
    with pytest.raises(SourceRefusedError):
        client(net, A).ask(CALLS)


def test_a_fault_of_a_call_is_no_failure_of_its_provider() -> None:
    """A range that is too large says nothing against the node: it is not left for it."""
    net = Net()
    net.answering["a"] = lambda calls: [error("block range too large, max 5", call["id"]) for call in calls]
    it = client(net, A, B)
    with pytest.raises(RpcFault):
        it.many(CALLS)
    assert (it.provider, card(it, "a.test").failures, net.asked("b")) == ("a.test", 0, 0)
