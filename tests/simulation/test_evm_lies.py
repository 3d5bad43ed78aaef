"""Nodes that lie, lag, cap, throttle and break: a pull ends exact or in a clear refusal, never short."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.chain_records import TransferObservation
from payhealth.domain.errors import SourceDataError, SourceError, SourceUnavailableError
from payhealth.domain.records import Movement, Rejected
from tests.simulation.test_evm_fake_node import (
    NOW,
    OURS,
    STRANGERS,
    TOKEN,
    FakeNode,
    NodeError,
    Tx,
    assert_exact,
    deposit,
    pull,
    seen,
    settings,
    source,
    truth,
)
from tests.simulation.test_evm_shelf import Shelf

SECRETS = ("secret-key", "v2", "/")


def busy(blocks: int = 60, **changes: Any) -> FakeNode:
    """A chain with a deposit in every block."""
    node = FakeNode(**changes)
    for number in range(blocks):
        node.mine(deposit(f"d{number}", number + 1, to=OURS[number % 4]))
    return node


def balanced(nodes: list[FakeNode], seed: int) -> httpx.MockTransport:
    """One URL, several nodes behind it, any of which may answer a request."""
    chance = random.Random(seed)
    return httpx.MockTransport(lambda request: chance.choice(nodes)._respond(request))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("lag", [1, 5, 20])
def test_a_lagging_node_behind_the_same_url_hides_nothing(seed: int, lag: int) -> None:
    """It answers ``[]`` for blocks that it has not seen: every pull is exact up to its cursor, or fails."""
    node, shelf = busy(), Shelf()
    late = copy.copy(node)
    late.blocks = node.blocks[:-lag]
    late.known = {block.hash: block for block in late.blocks}
    late.finalized = max(0, late.head - late.final_depth)
    for turn in range(6):
        both = EvmSource(
            "chain",
            settings(step_blocks=7, max_block_range=9),
            transport=balanced([node, late], seed * 10 + turn),
            sleep=lambda _: None,
        )
        try:
            for batch in both.pull("transfers", shelf.cursors.get("transfers"), NOW, shelf):
                shelf.commit(batch)
        except SourceError as error:
            assert isinstance(error, SourceUnavailableError)  # noqa: PT017 - most pulls do not fail
        read = orjson.loads(shelf.cursors["transfers"])["block"] if shelf.cursors else -1
        expected = {one for one in truth(node) if one.block_number <= read}
        assert seen(shelf) == expected
    pull(node, shelf)
    assert_exact(shelf, node)


def test_an_empty_answer_for_unseen_final_blocks_is_never_believed() -> None:
    """A head below the range in the same request makes the answer worthless: nothing is claimed."""
    node, shelf = busy(), Shelf()

    def forgetful(method: str, params: list[Any]) -> Any:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            return []
        return hex(3) if method == "eth_blockNumber" else None

    node.on_call = forgetful
    with pytest.raises(SourceUnavailableError, match="its head stays below block"):
        pull(node, shelf)
    assert shelf.windows == []


WORDINGS = [
    "range {n} exceeds limit of {cap}",
    "exceeds the maximum of {cap} blocks per logs request",
    "block range too large, max {cap}",
    "limited to a {cap} block range",
    "bigger than maxBlockRange",
    "block range too high",
    "Try with this block range [{lower}, {upper}]",
    "query returned more than 10000 results. Try with this block range [{upper}, {lower}].",
    "query returned more than 10000 results",
    "returns too many logs, narrow your filter: 20000",
    "Log response size exceeded",
    "query timeout exceeded",
    "eth_getLogs may span {cap} blocks only",
    "something unheard of",
]


@pytest.mark.parametrize("wording", WORDINGS)
@pytest.mark.parametrize("cap", [1, 7])
def test_a_capped_range_in_any_wording_still_reads_all(wording: str, cap: int) -> None:
    """Whatever words a provider has for "too much", the range shrinks until it is accepted."""
    node, shelf = busy(), Shelf()

    def capped(method: str, params: list[Any]) -> Any:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            lower, upper = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            if upper - lower + 1 > cap:
                words = {
                    "n": upper - lower + 1,
                    "cap": cap,
                    "lower": hex(lower),
                    "upper": hex(lower + cap - 1),
                }
                raise NodeError(wording.format(**words))

    node.on_call = capped
    pull(node, shelf)
    assert_exact(shelf, node)
    assert node.calls.count("eth_getLogs") < 60 * 2 * 3


def test_a_block_with_too_many_logs_is_read_from_its_receipts() -> None:
    """Where even one block is too much for eth_getLogs, its receipts hold the logs."""
    node, shelf = busy(30), Shelf()

    def stingy(method: str, params: list[Any]) -> Any:
        if method == "eth_getLogs":
            raise NodeError("query returned more than 10 results")

    node.on_call = stingy
    pull(node, shelf)
    assert_exact(shelf, node)


Change = Callable[[httpx.Request, Any], httpx.Response | None]


def _reordered(_: httpx.Request, answer: Any) -> httpx.Response | None:
    return httpx.Response(200, json=answer[::-1]) if isinstance(answer, list) else None


def _first(times: int, response: Callable[[Any], httpx.Response]) -> Change:
    left = [times]

    def change(_: httpx.Request, answer: Any) -> httpx.Response | None:
        left[0] -= 1
        return response(answer) if left[0] >= 0 else None

    return change


MENDED: dict[str, Callable[[], Change]] = {
    "reordered": lambda: _reordered,
    "half a batch": lambda: _first(
        2, lambda a: httpx.Response(200, json=a[: len(a) // 2] if isinstance(a, list) else a)
    ),
    "html": lambda: _first(2, lambda _: httpx.Response(200, html="<html>maintenance</html>")),
    "empty": lambda: _first(2, lambda _: httpx.Response(200, content=b"")),
    "429": lambda: _first(2, lambda _: httpx.Response(429, headers={"retry-after": "1"})),
    "502": lambda: _first(2, lambda _: httpx.Response(502, html="<html>bad gateway</html>")),
    "throttled in the body": lambda: _first(
        2,
        lambda _: httpx.Response(
            200,
            json={"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "rate limit exceeded"}},
        ),
    ),
    "cut in mid-body": lambda: _first(2, lambda a: httpx.Response(200, content=orjson.dumps(a)[:-20])),
}


@pytest.mark.parametrize("how", MENDED)
def test_what_a_second_attempt_mends_is_mended(how: str) -> None:
    """Passing trouble and reordered answers change nothing in the result."""
    node, shelf = busy(), Shelf()
    node.on_response = MENDED[how]()
    pull(node, shelf)
    assert_exact(shelf, node)


@pytest.mark.parametrize("how", [name for name in MENDED if name != "reordered"])
def test_lasting_trouble_is_one_clear_line_without_the_key(how: str) -> None:
    """What does not pass ends in SourceUnavailableError that names the host, not the URL."""
    node, shelf = busy(), Shelf()

    def lasting(request: httpx.Request, answer: Any) -> httpx.Response | None:
        if how == "half a batch":
            return httpx.Response(200, json=answer[:1] if isinstance(answer, list) else {})
        return MENDED[how]()(request, answer)

    node.on_response = lasting
    with pytest.raises(SourceUnavailableError, match=r"node\.invalid") as caught:
        pull(node, shelf)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert shelf.windows == []


def test_null_blocks_are_refused() -> None:
    """A block that the node does not give, though its head lies beyond, is no empty block."""
    node, shelf = busy(), Shelf()
    node.on_response = lambda _, answer: httpx.Response(200, json=_nulled(answer))
    with pytest.raises(SourceUnavailableError, match="does not have block"):
        pull(node, shelf)


def _nulled(answer: Any) -> Any:
    items = answer if isinstance(answer, list) else [answer]
    for item in items:
        result = item.get("result")
        if isinstance(result, dict) and result.get("number") == "0x5":
            item["result"] = None
    return answer


def test_missing_receipts_are_refused() -> None:
    """Without a receipt nobody knows whether a native transfer succeeded."""
    node, shelf = FakeNode(), Shelf()
    node.mine(Tx("native", to=OURS[0], value=1))
    node.on_response = lambda _, answer: httpx.Response(200, json=_without_receipts(answer))
    with pytest.raises(SourceUnavailableError, match="does not have the receipt of"):
        pull(node, shelf)


def _without_receipts(answer: Any) -> Any:
    for item in answer if isinstance(answer, list) else [answer]:
        if isinstance(item.get("result"), dict) and "status" in item["result"]:
            item["result"] = None
    return answer


def test_another_chain_is_refused_before_anything_is_read() -> None:
    """verify() and pull() name both chain ids."""
    node, shelf = busy(chain_id=5), Shelf()
    for act in (lambda: source(node).verify(), lambda: pull(node, shelf)):
        with pytest.raises(SourceDataError, match="serves chain 5, but chain_id = 31337 is configured"):
            act()
    assert set(node.calls) == {"eth_chainId"}


def test_one_error_among_answers_is_no_answer() -> None:
    """One unclassified error in a batch ends in a refusal, with the node's words but not the key."""
    node, shelf = busy(), Shelf()

    def odd(method: str, params: list[Any]) -> Any:
        if method == "eth_getBlockByNumber" and params[0] == hex(node.head - 1):
            raise NodeError("internal fault at /v2/secret-key")

    node.on_call = odd
    with pytest.raises(SourceDataError, match=r"internal fault at /v2/\*+"):
        pull(node, shelf)


def test_a_blocks_logs_must_be_of_that_block() -> None:
    """A node that answers a by-hash question with another block's logs is refused."""
    node, shelf = busy(), Shelf()
    wrong = list(node.blocks[3].logs())
    node.on_call = lambda method, params: (
        wrong if method == "eth_getLogs" and "blockHash" in params[0] else None
    )
    with pytest.raises(SourceDataError, match="which is another block than was asked for"):
        pull(node, shelf)


def test_small_batches_and_filters_are_learned() -> None:
    """A node that takes three calls at a time and two addresses a filter is read all the same."""
    node, shelf = busy(), Shelf()

    def few(method: str, params: list[Any]) -> Any:
        topics = params[0]["topics"] if method == "eth_getLogs" else []
        if any(isinstance(topic, list) and len(topic) > 2 for topic in topics):
            raise NodeError("specify less number of addresses")

    def small(request: httpx.Request, _: Any) -> httpx.Response | None:
        calls = orjson.loads(request.content)
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
        return httpx.Response(200, json=error) if isinstance(calls, list) and len(calls) > 3 else None

    node.on_call, node.on_response = few, small
    pull(node, shelf, finality={"depth": 12})
    assert_exact(shelf, node)


def test_malformed_logs_are_rejected_and_kept() -> None:
    """A log that cannot be read is counted with its reason; the others are not lost with it."""
    node, shelf = busy(30), Shelf()

    def torn(method: str, params: list[Any]) -> Any:
        if method != "eth_getLogs":
            return None
        logs = node.answer(method, params)
        for log in logs:
            if log["blockNumber"] == "0x3":
                log["data"] = "0x12"
            if log["blockNumber"] == hex(node.head):
                log["topics"] = log["topics"] + [log["topics"][1]]
        return logs

    node.on_call = torn
    pull(node, shelf)
    assert {row.reason for row in shelf.all(Rejected)} == {
        "data is not one 32-byte word",
        "a Transfer event with 4 topics instead of 3",
    }
    assert len(shelf.all(Movement)) == 28


def test_amounts_outside_the_domain_are_rejected_with_a_reason() -> None:
    """2**256 - 1 units fit no exact decimal of ours: rejected, never wrapped or rounded."""
    node, shelf = FakeNode(), Shelf()
    node.mine(deposit("huge", 2**256 - 1))
    node.mine(deposit("largest", 10**26 - 1))
    pull(node, shelf)
    (rejected,) = shelf.all(Rejected)
    assert rejected.reason.startswith("outside the domain of 38 digits")
    assert str(2**256 - 1) in rejected.raw
    (movement,) = shelf.all(Movement)
    assert str(movement.amount) == "99999999999999999999.999999000000000000"


def test_zero_values_and_strangers_tokens_do_not_count() -> None:
    """Address poisoning is kept as an observation with its reason, and makes no movement."""
    node, shelf = FakeNode(), Shelf()
    node.mine(deposit("zero", 0), Tx("spam", transfers=(("0x" + "66" * 20, STRANGERS[0], OURS[0], 5),)))
    node.on_call = lambda method, params: (
        list(node.blocks[1].logs())
        if method == "eth_getLogs" and params[0].get("blockHash") == node.blocks[1].hash
        else None
    )
    node.mine()
    pull(node, shelf)
    assert {row.ignored_reason for row in shelf.all(TransferObservation)} == {
        "zero value",
        "unregistered token, 5 units",
    }
    assert shelf.all(Movement) == []


def test_a_new_address_is_read_from_the_start() -> None:
    """Blocks read before an address was configured may hold payments to it."""
    node, shelf = busy(), Shelf()
    pull(node, shelf, addresses=[OURS[0]])
    assert_exact(shelf, node, ours=[OURS[0]])
    pull(node, shelf, addresses=list(OURS))
    assert_exact(shelf, node, ours=OURS)
    versions = shelf.versions
    pull(node, shelf, addresses=list(OURS))
    assert shelf.versions == versions


def test_a_start_beyond_the_head_is_refused() -> None:
    """A start block that the chain has not reached is a mistake that is named."""
    with pytest.raises(SourceDataError, match="start_block = 999 lies beyond the chain's head 60"):
        pull(busy(), Shelf(), start_block=999)


FINAL_DEPTHS = {"far below the head": 65, "within the new blocks": 12}


def _polls(node: FakeNode, blocks: int, **changes: Any) -> list[int]:
    """HTTP requests of each of three polls of a warm source, with so many new blocks before each."""
    shelf, warm = Shelf(), source(node, **changes)

    def poll() -> int:
        before, at = node.posts, datetime.fromtimestamp(node.blocks[-1].timestamp + 5, UTC)
        warm.verify()
        for batch in warm.pull("transfers", shelf.cursors.get("transfers"), at, shelf):
            shelf.commit(batch)
        return node.posts - before

    poll()
    poll()
    counted = []
    for _ in range(3):
        for number in range(blocks):
            node.mine(deposit(f"tip{node.head}", to=OURS[number % 4]))
        counted.append(poll())
    native = changes.get("assets") != []
    assert_exact(shelf, node, ours=OURS, native=native)
    return counted


@pytest.mark.parametrize("final_depth", FINAL_DEPTHS.values(), ids=FINAL_DEPTHS)
@pytest.mark.parametrize("blocks", [1, 5, 40])
def test_a_poll_at_the_tip_costs_a_few_requests(blocks: int, final_depth: int) -> None:
    """Tokens only, with balances: at most three HTTP requests a poll, however many blocks are new."""
    node = busy(100, final_depth=final_depth)
    assert max(_polls(node, blocks, assets=[], addresses=list(OURS))) <= 3


@pytest.mark.parametrize("blocks", [1, 5, 40])
def test_a_poll_at_the_tip_costs_the_same_with_many_addresses(blocks: int) -> None:
    """With 1500 addresses: two requests, and as many as 200 balances and their openings take."""
    many = [f"0x{number:040x}" for number in range(0x1000, 0x1000 + 1500)]
    node = busy(100, final_depth=65)
    assert max(_polls(node, blocks, assets=[], addresses=[*OURS, *many])) <= 8
    node = busy(100, final_depth=65)
    assert max(_polls(node, blocks, assets=[], addresses=[*OURS, *many], balances=False)) <= 3


@pytest.mark.parametrize("blocks", [1, 5])
def test_a_poll_at_the_tip_for_the_coin_costs_a_few_requests(blocks: int) -> None:
    """Native coins too, on a node without traces: that it has none is found out once, not at each poll."""
    node = busy(100, final_depth=65)
    assert max(_polls(node, blocks, addresses=list(OURS))) <= 3


@pytest.mark.parametrize("blocks", [1, 5])
def test_a_poll_at_the_tip_with_traces_costs_one_request_more(blocks: int) -> None:
    """Where the node traces, the traces of the new blocks are one request."""
    node = busy(100, final_depth=65)

    def traced(method: str, params: list[Any]) -> Any:
        if method != "debug_traceBlockByHash":
            return None
        calls = [
            {"type": "CALL", "from": tx.sender, "to": tx.to, "value": "0x0"} for tx in _txs(node, params)
        ]
        return [
            {"txHash": tx.hash, "result": call} for tx, call in zip(_txs(node, params), calls, strict=True)
        ]

    node.on_call = traced
    assert max(_polls(node, blocks, addresses=list(OURS))) <= 4


def _txs(node: FakeNode, params: list[Any]) -> tuple[Tx, ...]:
    return node.known[params[0]].txs


def test_a_block_that_is_lost_again_after_it_had_returned() -> None:
    """Two branches that take turns: each step is whole, and what stands is that of the branch read last."""
    node, shelf = busy(20), Shelf()
    node.mine(deposit("swings"))
    first = list(node.blocks)
    node.drop(2)
    node.mine()
    node.mine()
    node.mine()
    second = list(node.blocks)
    for blocks in (first, second, first, second, first):
        node.blocks = list(blocks)
        pull(node, shelf)
        assert_exact(shelf, node)


def test_only_registered_assets_are_asked_for() -> None:
    """Without ``native`` no whole block is read; without tokens no log is asked for."""
    node, shelf = busy(30), Shelf()
    pull(node, shelf, assets=[])
    assert "eth_getTransactionReceipt" not in node.calls
    node.calls.clear()
    other = Shelf()
    pull(node, other, tokens=[])
    assert "eth_getLogs" not in node.calls
    assert other.all(Movement) == []
    assert TOKEN not in str(other.current)
