"""The chain's JSON-RPC endpoint, request by request: protocol, limits, errors, a reference node's shapes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.serve import LoopbackServer

GENESIS_AT = datetime(2026, 1, 5, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "execution_apis"
TRANSFERS = 3

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def chain() -> DevChain:
    """A chain with a few transfers and empty blocks."""
    made = DevChain(seed=11, genesis_at=GENESIS_AT)
    at = GENESIS_AT + timedelta(hours=1)
    sender = made.new_address()
    made.faucet(sender, at=at, native=10**18, token=10**6)
    for amount in range(1, TRANSFERS + 1):
        made.send_token(at=at, sender=sender, recipient=made.new_address(), amount=amount)
    made.mine(at=at + timedelta(hours=1), blocks=10)
    made.send_token(at=at + timedelta(hours=2), sender=sender, recipient=sender, amount=9)
    return made


@pytest.fixture(scope="module")
def post(chain: DevChain) -> Iterator[Callable[[bytes], Any]]:
    """Sends a body to the endpoint, with all its limits on, and gives the answer's body."""
    app = build_app(chain, max_block_range=100, max_results=50, max_addresses=3, max_batch_items=200)
    with LoopbackServer(app) as server, httpx.Client(trust_env=False) as client:
        yield lambda body: client.post(server.url, content=body).content


@pytest.fixture(scope="module")
def ask(post: Callable[[bytes], Any]) -> Ask:
    """Sends one request and gives its result, or an object with its error."""

    def asked(method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = json.loads(post(json.dumps(body).encode()))
        assert (answer.pop("jsonrpc"), answer.pop("id")) == ("2.0", 1)
        (member,) = answer
        return answer["result"] if member == "result" else answer

    return asked


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def test_a_bad_item_fails_in_its_place(post: Callable[[bytes], Any]) -> None:
    """A batch answers good items, and bad ones by an error object where they stand."""
    good = {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId"}
    unknown = {"jsonrpc": "2.0", "id": 2, "method": "eth_mine", "params": []}
    notification = {"jsonrpc": "2.0", "method": "eth_chainId"}
    bare = {"id": 3, "method": "eth_chainId"}
    bad_params = {"jsonrpc": "2.0", "id": 4, "method": "eth_getBlockByNumber", "params": ["0x01", True]}
    batch = [good, unknown, notification, 7, bare, bad_params, good]
    answers = json.loads(post(json.dumps(batch).encode()))
    assert [answer.get("id") for answer in answers] == ["a", 2, None, 3, 4, "a"]
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, -32601, -32600, -32600, -32602, None]
    assert answers[0] == answers[-1] == {"jsonrpc": "2.0", "id": "a", "result": "0x7a69"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{"a":1}}', -32602),
        (b"[" + b",".join([b"1"] * 201) + b"]", -32600),
    ],
)
def test_what_is_no_request_is_answered_as_such(post: Callable[[bytes], Any], body: bytes, code: int) -> None:
    """Unreadable JSON is a parse error; JSON that is no request, or too many, is an invalid request."""
    assert json.loads(post(body))["error"]["code"] == code


def test_ranges_of_logs_are_bounded_as_on_a_node(ask: Ask, chain: DevChain) -> None:
    """Reversed ranges, ranges beyond the head and too wide ones are errors, never an empty list."""
    head = chain.head()
    beyond = {"fromBlock": "0x0", "toBlock": hex(head + 1)}
    message = "block range extends beyond current head block"
    assert ask("eth_getLogs", beyond) == _error(-32602, message)
    chain.mine(at=GENESIS_AT + timedelta(days=1), blocks=100)
    wide = {"fromBlock": "0x0", "toBlock": "0x64"}
    assert ask("eth_getLogs", wide) == _error(-32602, "range 101 exceeds limit of 100")
    assert len(ask("eth_getLogs", {"fromBlock": "0x1", "toBlock": "0x64"})) == TRANSFERS + 2
    assert ask("eth_getLogs", {}) == []


def test_filters_that_cannot_be_answered_are_errors(ask: Ask) -> None:
    """Unknown blocks, too many addresses or topics, and unreadable values each get their error."""
    word = "0x" + "ab" * 32
    address = "0x" + "cd" * 20
    assert ask("eth_getLogs", {"blockHash": word}) == _error(-32000, "unknown block")
    assert ask("eth_getLogs", {"address": [address] * 4})["error"]["message"].startswith(
        "specify less number of addresses"
    )
    assert ask("eth_getLogs", {"topics": [word] * 5}) == _error(-32602, "exceed max topics")
    for bad in ({"address": "0x12"}, {"topics": ["0x12"]}, {"topics": word}, {"fromBlock": "newest"}, 5):
        assert ask("eth_getLogs", bad)["error"]["code"] == -32602


def test_results_are_capped(chain: DevChain) -> None:
    """More logs than the cap is an error that says so, not a shorter list."""
    with LoopbackServer(build_app(chain, max_results=2)) as server:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [{"fromBlock": "0x0"}]}
        answer = httpx.post(server.url, json=request, trust_env=False).json()
    assert answer["error"]["message"] == "query returned more than 2 results"


def test_topics_let_through_what_they_name(ask: Ask, chain: DevChain) -> None:
    """null, an empty list and a missing position are wildcards; a position beyond a log's topics is not."""
    span = {"fromBlock": "0x1", "toBlock": "0x8"}
    every = ask("eth_getLogs", span)
    transfer, minted_from = every[0]["topics"][:2]
    assert ask("eth_getLogs", {**span, "topics": [[], None]}) == every
    assert ask("eth_getLogs", {**span, "topics": [transfer]}) == every
    assert ask("eth_getLogs", {**span, "topics": [None, minted_from]}) == every[:1]
    assert ask("eth_getLogs", {**span, "topics": [[transfer, minted_from]]}) == every
    assert ask("eth_getLogs", {**span, "topics": [None, None, None, None]}) == []
    assert [log["address"] for log in every] == [chain.token_address.lower()] * len(every)


def test_state_is_answered_as_of_any_block(ask: Ask, chain: DevChain) -> None:
    """By number, tag, hash or object the balance is that after the block; a block not there is an error."""
    sender = ask("eth_getTransactionByHash", ask("eth_getBlockByNumber", "0x4", False)["transactions"][0])[
        "from"
    ]
    block = ask("eth_getBlockByNumber", "0x2", False)
    assert ask("eth_getBalance", sender, "0x1") == "0x0"
    for which in ("0x2", block["hash"], {"blockHash": block["hash"]}, {"blockNumber": "0x2"}):
        assert ask("eth_getBalance", sender, which) == hex(10**18)
    assert int(ask("eth_getTransactionCount", sender), 16) == TRANSFERS + 1
    assert ask("eth_getBalance", sender, hex(chain.head() + 1)) == _error(-32000, "header not found")
    assert ask("eth_getCode", sender, "latest") == "0x"


def test_calls_are_executed_and_reverts_say_so(ask: Ask, chain: DevChain) -> None:
    """A call returns data, a reverting one is error 3 with the revert's data, one to nothing returns 0x."""
    decimals = {"to": chain.token_address, "data": "0x313ce567"}
    assert int(ask("eth_call", decimals, "latest"), 16) == 6
    assert ask("eth_call", decimals, "0x0") == "0x"
    spend = {"to": chain.token_address, "input": "0xa9059cbb" + "00" * 31 + "01" + "00" * 31 + "01"}
    failed = ask("eth_call", spend, "latest")["error"]
    assert (failed["code"], failed["message"]) == (3, "execution reverted")
    assert failed["data"].startswith("0xdb42144d")


def test_whole_transactions_are_those_asked_for_singly(ask: Ask) -> None:
    """A full block holds the transactions that eth_getTransactionByHash gives, the other form hashes."""
    full = ask("eth_getBlockByNumber", "0x4", True)
    hashes = ask("eth_getBlockByHash", full["hash"], False)
    assert [each["hash"] for each in full["transactions"]] == hashes["transactions"]
    assert full["transactions"] == [ask("eth_getTransactionByHash", each) for each in hashes["transactions"]]
    assert {**full, "transactions": []} == {**hashes, "transactions": []}


def test_many_blocks_come_quickly_in_batches(post: Callable[[bytes], Any], chain: DevChain) -> None:
    """Blocks are serialised once: a batch asked for again is the same bytes."""
    body = json.dumps(
        [
            {"jsonrpc": "2.0", "id": number, "method": "eth_getBlockByNumber", "params": [hex(number), True]}
            for number in range(chain.head())
        ]
    ).encode()
    assert post(body) == post(body)


# A reference node's recorded requests and answers.


def _exchange(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    path = EXAMPLES / f"{name}.io"
    if not path.exists():
        pytest.skip(f"no recorded exchange {path.name} beside the repository (../shared/data/execution_apis)")
    lines = path.read_text("utf-8").splitlines()
    (request,) = (json.loads(line[3:]) for line in lines if line.startswith(">> "))
    (answer,) = (json.loads(line[3:]) for line in lines if line.startswith("<< "))
    return request, answer


def _shape(value: Any) -> Any:
    """A value with what varies taken out: hexadecimal becomes its kind, by length."""
    if isinstance(value, dict):
        return {key: _shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    if isinstance(value, str):
        assert value.startswith("0x")
        assert value == value.lower()
        lengths = {18: "8 bytes", 42: "20 bytes", 66: "32 bytes", 514: "256 bytes"}
        return lengths.get(len(value), "hex")
    return value


# A quantity may happen to be as long as a hash; these fields are numbers whatever their length.
QUANTITIES = {"r", "s", "nonce", "value", "extraData", "input", "data"}


def _same_shape(ours: dict[str, Any], theirs: dict[str, Any], *, forks: set[str] = frozenset()) -> None:
    """The fields are the same, less those of later forks, and each is of the same kind."""
    assert set(ours) == set(theirs) - forks
    for field in set(ours) - QUANTITIES - {"transactions", "logs", "withdrawals", "uncles", "topics"}:
        assert _shape(ours[field]) == _shape(theirs[field]) or isinstance(ours[field], bool), field


@pytest.mark.parametrize("fork", ["shanghai", "cancun", "prague"])
def test_blocks_have_a_reference_nodes_fields(ask: Ask, fork: str) -> None:
    """A block has the fields of Shanghai, each of the kind a reference node gives."""
    _, answer = _exchange(f"eth_getBlockByNumber.get-block-{fork}-fork")
    later = {"blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"}
    _same_shape(ask("eth_getBlockByNumber", "0x4", False), answer["result"], forks=later)


@pytest.mark.parametrize("tag", ["latest", "safe", "finalized"])
def test_tags_are_answered_with_blocks(ask: Ask, tag: str) -> None:
    """The recorded requests by tag, sent as they are, give a block of the same kind."""
    request, answer = _exchange(f"eth_getBlockByNumber.get-{tag}")
    later = {"blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash"}
    _same_shape(ask(request["method"], *request["params"]), answer["result"], forks=later)


def test_transactions_have_a_reference_nodes_fields(ask: Ask) -> None:
    """The fields of a recorded legacy transaction are all there, with those of a dynamic-fee one beside."""
    _, answer = _exchange("eth_getBlockByNumber.get-latest")
    theirs = next(each for each in answer["result"]["transactions"] if each["to"])
    dynamic = {"accessList", "maxFeePerGas", "maxPriorityFeePerGas", "yParity"}
    ours = ask("eth_getBlockByNumber", "0x4", True)["transactions"][0]
    assert ours["type"] == "0x2"
    assert dynamic <= set(ours)
    _same_shape({field: ours[field] for field in set(ours) - dynamic}, theirs)


def test_receipts_have_a_reference_nodes_fields(ask: Ask) -> None:
    """A dynamic-fee receipt and its log have the fields and kinds that a reference node gives."""
    _, answer = _exchange("eth_getTransactionReceipt.get-dynamic-fee")
    (ours,) = ask("eth_getBlockReceipts", "0x4")
    _same_shape(ours, answer["result"])
    _same_shape(ours["logs"][0], answer["result"]["logs"][0])
    assert ours["logs"][0]["removed"] is False
    assert ask("eth_getTransactionReceipt", ours["transactionHash"]) == ours


def test_a_created_contract_is_named_as_on_a_reference_node(ask: Ask) -> None:
    """The receipt of a creation has a contract and no recipient."""
    _, answer = _exchange("eth_getTransactionReceipt.get-legacy-contract")
    (ours,) = ask("eth_getBlockReceipts", "0x1")
    for field in ("contractAddress", "to", "logs"):
        assert _shape(ours[field]) == _shape(answer["result"][field])


@pytest.mark.parametrize(
    "name",
    ["contract-addr", "filter-with-blockHash", "topic-exact-match", "topic-null-wildcard", "topic-wildcard"],
)
def test_logs_have_a_reference_nodes_fields(ask: Ask, name: str) -> None:
    """A filter of the recorded form, about our token, gives logs of the same fields and kinds."""
    request, answer = _exchange(f"eth_getLogs.{name}")
    (known,) = ask("eth_getBlockReceipts", "0x4")[0]["logs"]
    asked = dict(request["params"][0])
    if "blockHash" in asked:
        asked["blockHash"] = known["blockHash"]
    if "address" in asked:
        asked["address"] = [known["address"]]
    if "topics" in asked:
        asked["topics"] = [each and [known["topics"][at]] for at, each in enumerate(asked["topics"])]
    found = ask("eth_getLogs", asked)
    assert known in found
    for log in found:
        _same_shape(log, answer["result"][0])


@pytest.mark.parametrize(
    "name",
    [
        "eth_getBlockByNumber.get-block-notfound",
        "eth_getBlockReceipts.get-block-receipts-0",
        "eth_getBlockReceipts.get-block-receipts-earliest",
        "eth_getBlockReceipts.get-block-receipts-empty",
        "eth_getBlockReceipts.get-block-receipts-not-found",
        "eth_getTransactionReceipt.get-empty-tx",
        "eth_getTransactionReceipt.get-notfound-tx",
        "eth_getBalance.get-balance-unknown-account",
        "eth_getLogs.filter-error-invalid-blockHash-and-range",
        "eth_getLogs.filter-error-reversed-block-range",
    ],
)
def test_what_does_not_depend_on_the_chain_is_answered_alike(ask: Ask, name: str) -> None:
    """Nothing found, empty and refused: the recorded request gets the recorded answer, word for word."""
    request, answer = _exchange(name)
    expected = {"error": answer["error"]} if "error" in answer else answer["result"]
    assert ask(request["method"], *request["params"]) == expected


def test_beyond_the_head_is_refused_in_a_reference_nodes_words(ask: Ask, chain: DevChain) -> None:
    """The recorded request, moved to our head, gets the recorded error."""
    _, answer = _exchange("eth_getLogs.filter-error-future-block-range")
    asked = {"fromBlock": hex(chain.head() - 4), "toBlock": hex(chain.head() + 2)}
    assert ask("eth_getLogs", asked) == {"error": answer["error"]}


@pytest.mark.parametrize("name", ["eth_blockNumber.simple-test", "eth_chainId.get-chain-id"])
def test_plain_questions_are_answered_in_quantities(ask: Ask, name: str) -> None:
    """The recorded request gets a quantity."""
    request, answer = _exchange(name)
    assert _shape(ask(request["method"])) == _shape(answer["result"]) == "hex"
