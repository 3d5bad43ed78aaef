"""Who is believed: the chain's marks, empty answers, a second provider, and what is remembered of each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.emptiness import Emptiness
from payhealth.connectors.evm.reading.filters import LogFilters
from payhealth.connectors.evm.reading.marks import marks_of
from payhealth.connectors.evm.reading.providers import Providers
from payhealth.connectors.evm.reading.quorum import agreed
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.node import Node, Place, SeenBlock, Top
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.wire.values import TRANSFER, Header, padded
from payhealth.domain.chain_records import ProviderScore
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.ports import Batch
from payhealth.testing import MemoryStore
from tests.golden.evm.regenerate import DEPOSIT, OTHER_DEPOSIT, TREASURY, settings
from tests.unit.connectors.evm_reading_support import STRANGER, USDC, hash_of, log
from tests.unit.connectors.evm_rpc_support import A, B, Clock, Net, error, result

AT = datetime(2026, 1, 2, tzinfo=UTC)
heights = st.none() | st.integers(0, 300)
depths = st.none() | st.sampled_from(["safe", "finalized"]) | st.builds(dict, depth=st.integers(0, 300))


def header(number: int) -> Header:
    """A block."""
    return Header(number=number, hash=hash_of(number), parent=hash_of(number - 1), at=AT)


@examples(deadline=None)
@given(st.integers(0, 300), heights, heights, heights, depths)
def test_marks_are_in_order_and_final_stays_final(
    head: int, safe: int | None, final: int | None, known: int | None, finality: Any
) -> None:
    """Whatever a node tells: final <= safe <= head, nothing that was final is not, or a refusal."""
    top = Top(head=header(head), safe=safe, final=final, at_tip=None)
    given_ = settings(finality=finality)
    if known is not None and head < known:
        with pytest.raises(SourceUnavailableError, match="is behind"):
            marks_of(top, given_, known, "node.invalid", AT)
        return
    marks = marks_of(top, given_, known, "node.invalid", AT)
    assert (known or 0) <= marks.final <= marks.safe <= marks.head.number == head
    if final is not None and final <= head:
        assert marks.final == max(final, known or 0)
    if safe is not None and marks.final <= safe <= head:
        assert marks.safe == safe


@pytest.mark.parametrize(
    ("finality", "expected"), [(None, 70), ({"depth": 12}, 88), ({"depth": 0}, 100), ({"depth": 500}, 0)]
)
def test_a_depth_stands_in_for_the_tags(finality: Any, expected: int) -> None:
    """Where a node lacks the tags, so many blocks must lie on top; the chain's own number by default."""
    marks = marks_of(
        Top(head=header(100), safe=None, final=None, at_tip=None), settings(finality=finality), None, "n", AT
    )
    assert (marks.final, marks.safe) == (expected, expected)


def test_a_start_beyond_the_head_is_a_wrong_configuration() -> None:
    """Reading nothing must not look like having read everything."""
    top = Top(head=header(5), safe=None, final=None, at_tip=None)
    with pytest.raises(SourceDataError, match="start_block = 6 lies beyond the chain's head 5"):
        marks_of(top, settings(start_block=6), None, "node.invalid", AT)


@pytest.mark.parametrize(
    ("chain", "age_s", "stuck"),
    [
        ({}, 900, False),
        ({}, 901, True),
        ({"max_head_age_s": 5}, 6, True),
        ({"max_head_age_s": 5}, -60, False),
    ],
)
def test_an_old_newest_block_is_a_stuck_node(chain: dict[str, Any], age_s: int, stuck: bool) -> None:
    """A chain that stands still is not all well; a clock that is behind the chain's is no fault of it."""
    top = Top(head=header(100), safe=None, final=None, at_tip=None)
    now = AT + timedelta(seconds=age_s)
    if stuck:
        with pytest.raises(SourceUnavailableError, match="the node is stuck, or the chain"):
            marks_of(top, settings(chain=chain), None, "node.invalid", now)
    else:
        assert marks_of(top, settings(chain=chain), None, "node.invalid", now).head == header(100)


def test_where_blocks_come_as_they_are_wanted_none_is_too_old() -> None:
    """A chain that is in no registry makes blocks whenever it likes, unless the configuration says more."""
    given_ = settings(chain_id=31337, assets=["native"])
    top = Top(head=header(100), safe=None, final=None, at_tip=None)
    assert marks_of(top, given_, None, "n", AT + timedelta(days=900)).head == header(100)


def test_marks_are_kept_as_they_are() -> None:
    """The record says what the pull saw."""
    top = Top(head=header(9), safe=7, final=3, at_tip=None)
    record = marks_of(top, settings(), None, "n", AT).record("base", "eip155:8453")
    assert (record.head, record.safe, record.final, record.head_at) == (9, 7, 3, AT)


# Empty answers.


def bloom(*items: str) -> str:
    """The ``logsBloom`` of a block whose logs hold these addresses and topics."""
    bits = 0
    for item in items:
        digest = keccak(hexstr=item)
        for place in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[place : place + 2], "big") & 2047)
    return f"0x{bits:0512x}"


HOLDS = bloom(USDC, TRANSFER, padded(STRANGER), padded(DEPOSIT))


def seen(logs_bloom: Any, number: int = 7) -> SeenBlock:
    """A block of which a node says that it holds no logs of ours."""
    return SeenBlock(header=header(number), raw={"logsBloom": logs_bloom})


def node(handle: Callable[[httpx.Request], httpx.Response], **changes: Any) -> Node:
    """A node behind a function, whose clock moves when somebody sleeps."""
    clock = Clock()
    given_ = settings(**changes)
    client = RpcClient(
        given_, transport=httpx.MockTransport(handle), sleep=clock.sleep, monotonic=clock.monotonic
    )
    return Node(client, given_, full=False)


def judged(receipts: Any, *blocks: SeenBlock) -> tuple[Any, Net]:
    """What becomes of blocks without logs, where the node gives these receipts."""
    net = Net(node=8453)
    net.answering["node"] = lambda calls: [
        receipts if isinstance(receipts, dict) and "error" in receipts else result(call, receipts)
        for call in calls
    ]
    watched = [DEPOSIT, OTHER_DEPOSIT, TREASURY]
    return Emptiness(node(net), settings(), watched, whole=False).denied(blocks), net


def test_an_empty_answer_is_held_against_the_receipts() -> None:
    """The bloom lets our transfer through and the receipts hold one: the node denies it."""
    denied, _ = judged([{"logs": [log(STRANGER, DEPOSIT)]}], seen(HOLDS))
    assert denied is not None
    assert (denied.number, denied.logs, denied.lie) == (7, 1, Lie.MISSING_LOGS)
    assert "no logs of block 7, whose receipts hold 1 of ours" in str(denied.error("node.invalid"))


@pytest.mark.parametrize(
    "receipts",
    [
        [],
        [{"logs": []}],
        [{"logs": [log(STRANGER, STRANGER)]}],
        [{"logs": [{**log(STRANGER, DEPOSIT), "address": "0x" + "66" * 20}]}],
        [{"logs": None}, None, {"logs": [None, {}, {"topics": []}, {"topics": None}]}],
        error("the method eth_getBlockReceipts does not exist/is not available"),
        None,
    ],
    ids=["none", "bare", "strangers", "unregistered", "nonsense", "unsupported", "null"],
)
def test_what_the_receipts_do_not_hold_is_not_denied(receipts: Any) -> None:
    """A bloom may let through what is not there; a node that gives no receipts is not held to them."""
    assert judged(receipts, seen(HOLDS))[0] is None


@pytest.mark.parametrize(
    "logs_bloom",
    [
        bloom(),
        bloom(TRANSFER, padded(DEPOSIT)),
        bloom(USDC, TRANSFER, padded(STRANGER)),
        bloom(USDC, padded(DEPOSIT)),
        "0x" + "f" * 512,
        None,
        "0x12",
        7,
    ],
    ids=["empty", "no token", "not ours", "no transfer", "saturated", "missing", "short", "number"],
)
def test_a_block_that_cannot_hold_ours_costs_nothing(logs_bloom: Any) -> None:
    """Where the bloom says no, or says nothing at all, no receipts are asked for."""
    denied, net = judged([{"logs": [log(STRANGER, DEPOSIT)]}], seen(logs_bloom))
    assert (denied, net.asked("node")) == (None, 0)


def test_receipts_are_large_and_asked_for_of_a_few_blocks() -> None:
    """Beyond twenty suspects the settling pass is relied on."""
    denied, net = judged([], *(seen(HOLDS, number) for number in range(50)))
    asked = sum(len(methods) for methods in net.requests["node"] if methods != ["eth_chainId"])
    assert (denied, asked) == (None, 20)


# A second provider.


LAST = {"number": "0x32", "hash": hash_of(50), "parentHash": hash_of(49), "timestamp": "0x5"}
"""The block that ends the range that is held against a second provider."""


class Two:
    """Two providers, each with its own logs and head."""

    def __init__(self, first: Any, second: Any, *, head: Any = "0x64", block: Any = None) -> None:
        self.net = Net(a=8453, b=8453)
        self.net.answering["a"] = self._saying(first, "0x64", LAST)
        self.net.answering["b"] = self._saying(second, head, block or LAST)
        self.node = node(self.net, rpc_urls=[A, B], quorum=2)
        self.node.each([])
        self.first = first

    @staticmethod
    def _saying(logs: Any, head: Any, block: Any) -> Callable[[list[dict[str, Any]]], Any]:
        def answer(calls: list[dict[str, Any]]) -> Any:
            return [
                result(call, {"eth_blockNumber": head, "eth_getBlockByNumber": block}[call["method"]])
                if call["method"] != "eth_getLogs"
                else error(logs, call["id"])
                if isinstance(logs, str)
                else result(call, logs)
                for call in calls
            ]

        return answer

    def agree(self) -> None:
        """Hold the first's logs against the second."""
        filters = LogFilters(settings(), [DEPOSIT]).build(Place(lower=1, upper=50))
        agreed(self.node, self.first, 1, 50, filters)

    @property
    def lies(self) -> dict[str, int]:
        """Who was noted for how many."""
        return {card.provider: sum(card.lies.values()) for card in self.node.client.scorecards()}


ONE, OTHER = log(STRANGER, DEPOSIT, index=1), log(STRANGER, DEPOSIT, index=2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([ONE], [ONE]),
        ([ONE, OTHER], [OTHER, ONE, ONE]),
        ([ONE], [{**ONE, "address": ONE["address"].upper().replace("0X", "0x"), "blockTimestamp": "0x1"}]),
    ],
    ids=["nothing", "equal", "order", "spelling"],
)
def test_two_that_say_the_same_agree(first: list[Any], second: list[Any]) -> None:
    """Order, repetition, case and what only newer nodes tell are no difference."""
    two = Two(first, second)
    two.agree()
    assert sum(two.lies.values()) == 0


@pytest.mark.parametrize(
    ("first", "second", "blamed"),
    [
        ([ONE], [], {"a.test": 0, "b.test": 1}),
        ([], [ONE], {"a.test": 1, "b.test": 0}),
        ([ONE], [OTHER], {"a.test": 1, "b.test": 1}),
        ([ONE], [{**ONE, "data": "0x" + "0" * 63 + "9"}], {"a.test": 1, "b.test": 1}),
        ([ONE], [{**ONE, "blockHash": hash_of(3)}], {"a.test": 1, "b.test": 1}),
    ],
    ids=["second lacks", "first lacks", "both lack", "another amount", "another block"],
)
def test_two_that_differ_end_the_pull(first: list[Any], second: list[Any], blamed: dict[str, int]) -> None:
    """Neither is believed: the pull ends, and whoever lacks a log is noted for it."""
    two = Two(first, second)
    with pytest.raises(SourceUnavailableError, match=r"quorum = 2: a\.test and b\.test disagree"):
        two.agree()
    assert two.lies == blamed


@pytest.mark.parametrize(
    ("second", "head", "words"),
    [
        (
            "query timeout exceeded",
            "0x64",
            "b.test does not answer for blocks 1 to 50: query timeout exceeded",
        ),
        ([], "0x31", "its head lies below block 50"),
        ([], None, "its head lies below block 50"),
        ([], "many", "its head lies below block 50"),
    ],
)
def test_a_second_that_cannot_know_is_no_second(second: Any, head: Any, words: str) -> None:
    """An empty answer for blocks that it does not have yet agrees with nothing."""
    with pytest.raises(SourceUnavailableError, match=words):
        Two([], second, head=head).agree()


@pytest.mark.parametrize("block", [{**LAST, "hash": hash_of(7)}, {"number": "0x32"}, "nonsense"])
def test_two_that_hold_different_blocks_do_not_agree(block: Any) -> None:
    """Empty answers about two branches are no agreement about either."""
    two = Two([], [], block=block)
    with pytest.raises(SourceUnavailableError, match=r"a\.test and b\.test hold different blocks 50"):
        two.agree()
    assert two.lies == {"a.test": 0, "b.test": 1}


def test_without_a_second_there_is_no_quorum() -> None:
    """A provider that is down confirms nothing."""
    two = Two([ONE], [ONE])
    two.net.answering["b"] = lambda _: httpx.Response(503)
    with pytest.raises(SourceUnavailableError, match=r"no provider but a\.test answers"):
        two.agree()


@pytest.mark.parametrize("second", [None, 7, True])
def test_a_second_that_answers_nonsense_ends_the_pull_in_words(second: Any) -> None:
    """``null`` where logs should be is no agreement and no crash."""
    with pytest.raises((SourceUnavailableError, SourceDataError)):
        Two([], second).agree()


# What is remembered of each.


@examples(deadline=None, max_examples=25)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["a.test", "b.test"]),
                st.none() | st.sampled_from([Lie.MISSING_LOGS, Lie.DISAGREES]),
            ),
            max_size=4,
        ),
        max_size=4,
    )
)
def test_scores_add_up_over_runs(runs: list[list[tuple[str, Lie | None]]]) -> None:
    """Each run adds what happened in it, however often it is asked; a quiet run writes nothing."""
    store = MemoryStore()
    expected: dict[str, dict[str, int]] = {"a.test": {}, "b.test": {}}
    for run in runs:
        client = node(Net(a=8453, b=8453), rpc_urls=[A, B]).client
        providers = Providers(client)
        for provider, lie in run:
            if lie is not None:
                client.blame(lie, "it said so", provider)
                counted = expected[provider]
                counted[lie.words] = counted.get(lie.words, 0) + 1
            records = providers.records(Stored(store, "base"))
            assert bool(records) == (lie is not None)
            store.commit("base", Batch(stream="transfers", records={ProviderScore: records}))
        assert providers.records(Stored(store, "base")) == []
    found = {row["provider"]: row["lies"] for row in store.records(ProviderScore).to_pylist()}
    words = {
        provider: ", ".join(f"{lie} x{count}" for lie, count in sorted(counted.items()))
        for provider, counted in expected.items()
        if counted
    }
    assert found == words


def test_failures_add_up_over_runs() -> None:
    """What failed in one run is not forgotten in the next, nor counted twice; the last fault is kept."""
    store, total = MemoryStore(), 0
    for _ in range(3):
        net = Net(a=8453, b=8453)
        net.answering["a"] = lambda _: httpx.Response(503)
        client = node(net, rpc_urls=[A, B]).client
        providers = Providers(client)
        client.ask([Call("eth_blockNumber")])
        total += next(card.failures for card in client.scorecards() if card.provider == "a.test")
        store.commit(
            "base",
            Batch(stream="transfers", records={ProviderScore: providers.records(Stored(store, "base"))}),
        )
    [row] = store.records(ProviderScore).to_pylist()
    assert (row["provider"], row["failures"]) == ("a.test", total)
    assert "503" in row["last_fault"]


def test_another_connectors_scores_are_not_ours() -> None:
    """Two connectors may use one provider: each has its own record of it."""
    store = MemoryStore()
    other = ProviderScore(connector="other", provider="a.test", failures=40, lies="", last_fault="")
    store.commit("other", Batch(stream="transfers", records={ProviderScore: [other]}))
    client = node(Net(a=8453, b=8453), rpc_urls=[A, B]).client
    client.blame(Lie.MALFORMED, "nonsense", "a.test")
    [record] = Providers(client).records(Stored(store, "base"))
    assert (record.connector, record.failures, record.lies) == ("base", 0, "malformed x1")
