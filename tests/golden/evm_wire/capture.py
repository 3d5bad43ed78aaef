"""Blocks of a real anvil in which contracts move value, and what it answers about them.

``python -m tests.golden.evm_wire.capture`` writes the payloads of ``anvil_*`` anew.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from payhealth.sandbox.chain.anvil import AnvilChain
from tests.golden.evm_wire.regenerate import CASES

START = datetime(2026, 1, 1, tzinfo=UTC)
SINKS = {name: "0x" + name * 20 for name in ("b1", "c1", "d1", "e1", "f1")}
IDENTITY = "0x" + "04".rjust(40, "0")
_STOP, _REVERT = "00", "5f5ffd"


def _push(number: int) -> str:
    digits = f"{number:x}"
    digits = digits.rjust(len(digits) + len(digits) % 2, "0")
    return f"{0x5F + len(digits) // 2:02x}{digits}"


def _call(address: str, value: int, opcode: str = "f1") -> str:
    """CALL, or CALLCODE (f2), with a value and no data; the result is dropped."""
    return "5f5f5f5f" + _push(value) + "73" + address[2:] + "5a" + opcode + "50"


def _call_without_value(address: str, opcode: str) -> str:
    """DELEGATECALL (f4) or STATICCALL (fa)."""
    return "5f5f5f5f" + "73" + address[2:] + "5a" + opcode + "50"


def _create(code: str, value: int, opcode: str = "f0") -> str:
    """CREATE, or CREATE2 (f5) with salt 7, of init code of at most 32 bytes."""
    size = len(code) // 2
    salt = _push(7) if opcode == "f5" else ""
    return (
        _push(int(code, 16)) + "5f52" + salt + _push(size) + _push(32 - size) + _push(value) + opcode + "50"
    )


def _deployment(runtime: str) -> bytes:
    return bytes.fromhex(f"61{len(runtime) // 2:04x}80600a5f395ff3" + runtime)


def capture() -> dict[str, dict[str, Any]]:
    """The payloads of one block of four transactions, in both shapes of traces, and its receipts."""
    with AnvilChain(seed=11, genesis_at=START) as chain:
        sender = chain.new_address()
        chain.faucet(sender, at=START + timedelta(minutes=1), native=10**20)

        def deployed(runtime: str) -> str:
            receipt = chain.transact(
                at=START + timedelta(minutes=2),
                sender=sender,
                to=None,
                data=_deployment(runtime),
                gas=2_000_000,
            )
            assert receipt["status"] == "0x1"
            return str(receipt["contractAddress"])

        failing = deployed(_call(SINKS["e1"], 5) + _REVERT)
        library = deployed(_call(SINKS["f1"], 3) + _STOP)
        dying = deployed(_call(SINKS["b1"], 11) + "73" + SINKS["c1"][2:] + "ff")
        busy = deployed(
            _call(IDENTITY, 0)
            + _call(SINKS["d1"], 100)
            + _call(failing, 40)
            + _call_without_value(library, "f4")
            + _call_without_value(IDENTITY, "fa")
            + _call(library, 9, "f2")
            + _create("33ff", 21)
            + _create("00", 22, "f5")
            + _call(SINKS["d1"], 0)
            + _call(dying, 60)
            + _STOP
        )
        creation = bytes.fromhex(_call(SINKS["b1"], 2) + "5f5ff3")
        block = _mine(
            chain,
            sender,
            [
                {"to": busy, "value": 1000, "gas": 1_000_000},
                {"to": SINKS["f1"], "value": 77, "gas": 21_000},
                {"to": failing, "value": 50, "gas": 200_000},
                {"to": None, "value": 9, "gas": 200_000, "data": "0x" + creation.hex()},
            ],
        )
        hashes = [transaction["hash"] for transaction in block["transactions"]]
        context = {"transactions": hashes, "block_hash": block["hash"]}
        ours = [*SINKS.values(), sender.lower()]
        rpc = chain.rpc
        traced = rpc("debug_traceBlockByHash", block["hash"], {"tracer": "callTracer"})
        return {
            "anvil_block": {"kind": "block", "raw": block, "ours": ours},
            "anvil_receipts": {"kind": "receipts", "raw": rpc("eth_getBlockReceipts", block["number"])},
            "anvil_call_traces": {"kind": "call_traces", "raw": traced, **context},
            "anvil_flat_traces": {
                "kind": "flat_traces",
                "raw": rpc("trace_block", block["number"]),
                **context,
            },
        }


def _mine(chain: AnvilChain, sender: str, transactions: list[dict[str, Any]]) -> dict[str, Any]:
    """Several transactions in one block."""
    chain.rpc("anvil_impersonateAccount", sender)
    nonce = int(chain.rpc("eth_getTransactionCount", sender, "latest"), 16)
    for at, transaction in enumerate(transactions):
        numbers = {name: hex(transaction[name]) for name in ("value", "gas")}
        fields = {name: transaction[name] for name in ("to", "data") if transaction.get(name) is not None}
        prices = {"maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**9)}
        chain.rpc(
            "eth_sendTransaction", {"from": sender, "nonce": hex(nonce + at), **numbers, **fields, **prices}
        )
    chain.mine(at=START + timedelta(hours=1))
    block: dict[str, Any] = chain.rpc("eth_getBlockByNumber", "latest", True)
    assert len(block["transactions"]) == len(transactions)
    return block


def main() -> None:
    """Write the payloads anew."""
    for name, payload in capture().items():
        (CASES / f"{name}.payload.json").write_text(json.dumps(payload, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
