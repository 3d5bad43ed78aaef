"""The chain's endpoint as a node without traces, with old state pruned and with true blooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from eth_bloom import BloomFilter

from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.artifacts import MULTICALL_ADDRESS
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.serve import LoopbackServer

GENESIS_AT = datetime(2026, 1, 5, tzinfo=UTC)
STATE_DEPTH = 4

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def chain() -> DevChain:
    """A chain with transfers of both kinds and empty blocks."""
    made = DevChain(seed=5, genesis_at=GENESIS_AT, multicall=True)
    at = GENESIS_AT + timedelta(hours=1)
    sender = made.new_address()
    made.faucet(sender, at=at, native=10**18, token=1000)
    for amount in range(1, 4):
        made.send_token(at=at, sender=sender, recipient=made.new_address(), amount=amount)
    made.send_native(at=at, sender=sender, recipient=sender, amount=1)
    made.mine(at=at, blocks=3)
    return made


@pytest.fixture(scope="module")
def ask(chain: DevChain) -> Iterator[Ask]:
    """Sends one request to a node that keeps few states; gives its result, or an object with its error."""
    app = build_app(chain, state_depth=STATE_DEPTH)
    with LoopbackServer(app) as server, httpx.Client(trust_env=False) as client:

        def asked(method: str, *params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
            answer = client.post(server.url, json=body).json()
            return answer["result"] if "result" in answer else {"error": answer["error"]}

        yield asked


def test_old_state_is_pruned_and_old_blocks_are_not(ask: Ask, chain: DevChain) -> None:
    """Each question about state is answered down to the depth and refused below it, however it is named."""
    holder = chain.new_address()
    balance_of = {"to": chain.token_address, "data": "0x" + token.balance_of(holder).hex()}
    questions = [
        ("eth_getBalance", holder),
        ("eth_getTransactionCount", holder),
        ("eth_getCode", holder),
        ("eth_call", balance_of),
    ]
    oldest = chain.head() - STATE_DEPTH
    for number in range(chain.head() + 1):
        block = ask("eth_getBlockByNumber", hex(number), False)
        names = (hex(number), {"blockNumber": hex(number)}, {"blockHash": block["hash"]})
        for method, subject in questions:
            for name in names:
                answer = ask(method, subject, name)
                if number >= oldest:
                    assert "error" not in answer
                    continue
                assert answer["error"]["code"] == -32000
                assert answer["error"]["message"].startswith("missing trie node ")
                assert block["stateRoot"] in answer["error"]["message"]
        assert len(ask("eth_getBlockReceipts", block["hash"])) == len(block["transactions"])
        assert ask("eth_getBlockByHash", block["hash"], False) == block


def test_calls_by_hash_see_the_state_after_that_block(ask: Ask, chain: DevChain) -> None:
    """Balances by an EIP-1898 hash, direct or through Multicall3, are those after the named block."""
    number = chain.head() - STATE_DEPTH + 1
    block = ask("eth_getBlockByNumber", hex(number), True)
    (sent,) = block["transactions"]
    before = ask("eth_getBlockByNumber", hex(number - 1), False)["hash"]
    wei = chain.call_data("Multicall3", "getEthBalance", sent["from"])
    request = {"to": MULTICALL_ADDRESS, "data": "0x" + wei.hex()}
    for name in (before, block["hash"]):
        direct = ask("eth_getBalance", sent["from"], {"blockHash": name, "requireCanonical": True})
        assert int(ask("eth_call", request, {"blockHash": name}), 16) == int(direct, 16)
    after = int(ask("eth_getBalance", sent["from"], {"blockHash": block["hash"]}), 16)
    (receipt,) = ask("eth_getBlockReceipts", {"blockHash": block["hash"]})
    fee = int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    # It was sent to itself: only the fee is gone.
    assert after == int(ask("eth_getBalance", sent["from"], {"blockHash": before}), 16) - fee
    assert ask("eth_getBalance", sent["from"], {"blockHash": "0x" + "ab" * 32})["error"]["code"] == -32000


def test_blooms_hold_exactly_the_logs(ask: Ask, chain: DevChain) -> None:
    """A block's bloom is the one computed from its logs' addresses and topics; without logs it is empty."""
    with_logs = 0
    for number in range(chain.head() + 1):
        block = ask("eth_getBlockByNumber", hex(number), False)
        logs = ask("eth_getLogs", {"blockHash": block["hash"]})
        words = [word for log in logs for word in (log["address"], *log["topics"])]
        expected = int(BloomFilter.from_iterable(bytes.fromhex(word[2:]) for word in words))
        assert int(block["logsBloom"], 16) == expected
        receipts = ask("eth_getBlockReceipts", block["hash"])
        assert [log for receipt in receipts for log in receipt["logs"]] == logs
        with_logs += bool(logs)
        assert block["withdrawals"] == []
    assert with_logs == 4


@pytest.mark.parametrize("method", ["debug_traceBlockByNumber", "debug_traceTransaction", "trace_block"])
def test_there_are_no_traces(ask: Ask, method: str) -> None:
    """Asked for traces the node answers that it has no such method."""
    assert ask(method, "0x1")["error"]["code"] == -32601


def test_an_archive_keeps_every_state(chain: DevChain) -> None:
    """Without a depth the oldest state is answered for."""
    with LoopbackServer(build_app(chain)) as server:
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": [chain.token_address, "0x0"]}
        assert httpx.post(server.url, json=body, trust_env=False).json()["result"] == "0x0"
