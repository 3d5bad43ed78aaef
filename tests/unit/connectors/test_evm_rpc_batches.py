"""Many calls in few requests: no answer is missed, whatever a provider does to a batch."""

from __future__ import annotations

import itertools
import random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.domain.errors import SourceDataError, SourceError, SourceUnavailableError
from tests.unit.connectors.evm_rpc_support import A, B, Net, client, error, named, result

TAIL = Call("eth_tail")


def calls(number: int) -> list[Call]:
    """So many calls, each with a name of its own."""
    return [Call(f"eth_{at}") for at in range(number)]


def names(number: int) -> list[str]:
    """What they are answered with."""
    return [f"eth_{at}" for at in range(number)]


def most(limit: int, refusal: Any) -> Any:
    """A provider that takes so many calls in one request."""
    return lambda asked: named(asked) if len(asked) <= limit else refusal(asked)


REFUSALS: dict[str, Any] = {
    "one object": lambda _: error("batch too large"),
    "geth: an array with the first id": lambda asked: [error("batch too large", asked[0]["id"])],
    "an array without an id": lambda _: [error("batch too large")],
    "drpc: HTTP 500 and the number": lambda _: httpx.Response(
        500, json=error("Batch of more than 3 requests are not allowed on free plan")
    ),
    "HTTP 413": lambda _: httpx.Response(413, text="too large"),
    "an error for each call beyond": lambda asked: [
        *named(asked[:3]),
        *(error("too many calls in a batch", call["id"]) for call in asked[3:]),
    ],
    "cut off without a word": lambda asked: named(asked[:3]),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("tail", [None, TAIL])
def test_a_batch_that_is_too_large_is_made_smaller(refusal: Any, tail: Call | None) -> None:
    """In whatever way it is refused: all answers come, and the next batch starts with the size that works."""
    net = Net()
    net.answering["a"] = most(3, refusal)
    it = client(net, A)
    results, tails = it.many(calls(40), tail)
    assert results == names(40)
    assert set(tails) <= {"eth_tail"}
    # Where a response is merely cut off, a few more calls than it holds still come together.
    assert 2 <= it.batch_calls <= 5
    before = it.requests
    it.many(calls(6), tail)
    assert it.requests - before <= 6


def test_each_provider_has_its_own_batch_size() -> None:
    """What one of them does not take says nothing about the other."""
    net = Net()
    net.answering["a"] = most(10, REFUSALS["one object"])
    it = client(net, A, B)
    it.many(calls(50))
    assert it.batch_calls <= 10
    it.fail_over()
    assert (it.provider, it.batch_calls) == ("b.test", 500)


def test_a_batch_can_be_kept_smaller_than_it_may_be() -> None:
    """``most`` bounds one request, the tail included."""
    net = Net()
    client(net, A).many(calls(7), TAIL, most=3)
    assert [len(methods) for methods in net.requests["a"]] == [1, 3, 3, 3, 2]


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=1, max_value=60), st.booleans())
def test_half_batches_end_whole_or_in_a_refusal(seed: int, number: int, with_tail: bool) -> None:
    """A provider that leaves answers out at random: every call has its own answer, or there is an error."""
    chance, net = random.Random(seed), Net()
    share = chance.choice([0.05, 0.5, 0.9])

    def forgetful(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = [one for one in named(asked) if chance.random() > share]
        chance.shuffle(kept)
        return kept

    net.answering["a"] = forgetful
    it = client(net, A, attempts=4)
    try:
        results, tails = it.many(calls(number), TAIL if with_tail else None)
    except SourceError:
        pass
    else:
        assert results == names(number)
        assert bool(tails) == with_tail
    assert it.requests < 40 * number + 40


def test_only_what_is_missing_is_asked_again() -> None:
    """Half a batch costs one more request, for the other half."""
    net, turn = Net(), itertools.count()
    net.answering["a"] = lambda asked: named(asked)[::2] if next(turn) == 0 else named(asked)
    results, _ = client(net, A).many(calls(6))
    assert results == names(6)
    assert net.requests["a"][1:] == [names(6), ["eth_1", "eth_3", "eth_5"]]


def test_the_tail_goes_with_every_answer_that_is_believed() -> None:
    """The head vouches for the answers of its own response alone: it is asked again with the missing ones."""
    net, heads = Net(), iter(["0x64", "0x5"])

    def lagging(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        head = next(heads)
        told = [result(one, head if one["method"] == "eth_tail" else f"at {head}") for one in asked]
        return told[1:] if head == "0x64" else told

    net.answering["a"] = lagging
    results, tails = client(net, A).many(calls(2), TAIL)
    assert results == ["at 0x5", "at 0x64"]
    assert tails == ["0x64", "0x5"], "the caller sees that one answer came from a node that lags"


def test_a_response_without_its_tail_counts_for_nothing() -> None:
    """Logs without the head beside them may be those of a node that has not seen the blocks."""
    net, turn = Net(), itertools.count()

    def answer(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        told = [result(one, f"{one['method']} of turn {number}") for one in asked]
        return told[:-1] if number == 0 else told

    number = -1

    def counting(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
        nonlocal number
        number = next(turn)
        return answer(asked)

    net.answering["a"] = counting
    results, tails = client(net, A).many(calls(2), TAIL)
    assert results == ["eth_0 of turn 1", "eth_1 of turn 1"]
    assert tails == ["eth_tail of turn 1"]


def test_one_question_is_answered_by_one_response() -> None:
    """``ask`` never joins two halves: they may come from two nodes behind one URL."""
    net, turn = Net(), itertools.count()
    net.answering["a"] = lambda asked: (
        [result(one, number) for one in asked][: 1 if number == 0 else None]
        if (number := next(turn)) >= 0
        else []
    )
    assert client(net, A).ask(calls(2)) == [1, 1]


def test_a_call_that_never_comes_is_an_error() -> None:
    """One call of many that is always left out: not null, not skipped."""
    net = Net()
    net.answering["a"] = lambda asked: [one for one in named(asked) if one["result"] != "eth_3"]
    with pytest.raises((SourceUnavailableError, SourceDataError), match=r"a\.test: "):
        client(net, A).many(calls(8), TAIL)


@pytest.mark.parametrize("bad", [0, 3, 7])
@pytest.mark.parametrize("tail", [None, TAIL])
def test_one_error_for_a_whole_batch_is_looked_for_in_its_parts(bad: int, tail: Call | None) -> None:
    """Where one call spoils the batch the others get their answers, and it its own fault, in few requests."""
    net = Net()
    net.answering["a"] = lambda asked: (
        error("execution reverted") if any(one["method"] == f"eth_{bad}" for one in asked) else named(asked)
    )
    it = client(net, A)
    results, _ = it.many(calls(8), tail, keep_faults=True)
    assert [one for one in results if not isinstance(one, RpcFault)] == [
        n for n in names(8) if n != f"eth_{bad}"
    ]
    assert results[bad].kind is FaultKind.EXECUTION
    assert net.asked("a") <= 7
    with pytest.raises(RpcFault, match="reverted"):
        it.many(calls(8), tail)


def test_a_limit_on_ranges_is_not_looked_for_in_the_parts() -> None:
    """A range that is too large is so in each call: one request is enough to learn it."""
    net = Net()
    net.answering["a"] = lambda _: error("block range too large, max 2000")
    it = client(net, A)
    results, _ = it.many(calls(8), TAIL, keep_faults=True)
    assert {one.kind for one in results} == {FaultKind.RANGE_LIMIT}
    assert net.asked("a") == 1


def test_an_answer_over_our_own_bound_is_asked_for_in_parts() -> None:
    """Ten blocks are too many bytes, five are not; what is too large alone is a fault with a name."""
    net = Net()
    net.answering["a"] = lambda asked: [
        result(one, "x" * (9000 if one["method"] == "eth_2" else 1000)) for one in asked
    ]
    it = client(net, A, max_body_bytes=6000)
    results, _ = it.many(calls(10), keep_faults=True)
    assert results[2].kind is FaultKind.RESULT_LIMIT
    assert [len(one) for at, one in enumerate(results) if at != 2] == [1000] * 9


def test_two_answers_to_one_call_are_none() -> None:
    """A response that contradicts itself is asked for again; the same answer twice is one."""
    net, turn = Net(), itertools.count()
    twice = lambda asked: [*named(asked), result(asked[0], "eth_0")]  # noqa: E731 - a fake in one line
    net.answering["a"] = twice
    assert client(net, A).ask(calls(2)) == names(2)
    net.answering["a"] = lambda asked: (
        [*named(asked), result(asked[0], "another")] if next(turn) == 0 else named(asked)
    )
    it = client(net, A)
    assert it.ask(calls(2)) == names(2)
    assert it.requests == 3


def test_no_calls_need_no_request() -> None:
    """Nothing asked, nothing answered."""
    net = Net()
    assert client(net, A).many([]) == ([], [])
    assert net.asked("a") == 0


@pytest.mark.parametrize("with_id", [True, False])
def test_a_batch_limit_in_geth_s_words_answers_the_whole_question(with_id: bool) -> None:
    """Geth refuses a batch by an array of one error with the first call's id: that is no half answer."""
    net = Net()
    net.answering["a"] = lambda asked: [error("batch too large", asked[0]["id"] if with_id else None)]
    it = client(net, A)
    answers = it.ask(calls(4))
    assert {one.kind for one in answers} == {FaultKind.BATCH_LIMIT}
    assert (net.asked("a"), it.batch_calls) == (1, 2)
