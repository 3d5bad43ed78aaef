"""Golden pairs of the EVM connector: what a node answers of a block, and the records that it becomes.

``python -m tests.golden.evm.regenerate`` writes the expected records anew; read the difference before
keeping it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa

from payhealth.connectors.evm.reading.book import Book, book_of
from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.scan import Scanner
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.writing import records_of
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header, hash_of, quantity
from payhealth.domain.errors import SourceError
from payhealth.domain.money import plain
from payhealth.domain.record import Record
from payhealth.domain.records import Movement
from payhealth.domain.times import EPOCH, iso
from payhealth.ports import Batch
from payhealth.testing import MemoryStore

CASES = Path(__file__).parent / "cases"
CONNECTOR = "base"
DEPOSIT = "0x" + "a1" * 20
OTHER_DEPOSIT = "0x" + "a2" * 20
TREASURY = "0x" + "b1" * 20
OPERATOR = "0x" + "c1" * 20
COINBASE_OPERATOR = "0x" + "c2" * 20


def settings(**changes: Any) -> EvmSettings:
    """Base, with USDC, its own coin, two deposit addresses and a treasury; a case may change any of it."""
    given = {
        "chain_id": 8453,
        "rpc_urls": ["https://node.invalid"],
        "addresses": [DEPOSIT, OTHER_DEPOSIT, TREASURY],
        "operators": [OPERATOR],
        "coinbase_operators": [COINBASE_OPERATOR],
        "assets": ["USDC", "native"],
        "attempts": 1,
    }
    return EvmSettings.model_validate({**given, **changes})


def book(**changes: Any) -> Book:
    """Whose addresses and which assets they are."""
    return book_of(CONNECTOR, settings(**changes))


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".payload.json") for path in CASES.glob("*.payload.json"))


def translated(name: str) -> list[dict[str, Any]]:
    """What the connector makes of a payload now: records, or the error that the whole block ends in."""
    return made_of(payload(name))


def payload(name: str) -> dict[str, Any]:
    """What the node of a pair answers."""
    case: dict[str, Any] = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
    return case


def made_of(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the connector makes of any payload."""
    given = settings(**case.get("settings", {}))
    store = MemoryStore()
    try:
        for earlier in case.get("before", []):
            store.commit(CONNECTOR, Batch(stream="transfers", records=_read(earlier, given, store)))
        found = _read(case, given, store)
    except (SourceError, ChainMovedError) as error:
        return [{"error": type(error).__name__, "message": str(error)}]
    finally:
        store.close()
    return [shown(record) for kind, rows in found.items() for record in _as_records(kind, rows)]


def _read(
    case: Mapping[str, Any], given: EvmSettings, store: MemoryStore
) -> dict[type[Record], list[Record] | pa.Table]:
    """Read the case's block as a pull reads one near the head."""
    ours, stored = book_of(CONNECTOR, given), Stored(store, CONNECTOR)
    client = RpcClient(given, transport=_transport(case, given.chain_id), sleep=lambda _: None)
    node = Node(client, given, full=given.native)
    scanner = Scanner(node, given, ours, stored, RangePlanners(given.max_block_range), given.ours)
    raw = case["block"]
    number = quantity(raw["number"], "number")
    parent = Header(
        number=number - 1, hash=hash_of(raw["parentHash"], "parentHash"), parent="0x" + "0" * 64, at=EPOCH
    )
    try:
        reading = scanner.blocks(list(node.blocks([number])), parent)
    finally:
        client.close()
    return dict(records_of(reading, ours, stored, after_reorgs=False).records)


def _transport(case: Mapping[str, Any], chain_id: int) -> httpx.MockTransport:
    """A node that knows one block."""

    def handle(request: httpx.Request) -> httpx.Response:
        asked = orjson.loads(request.content)
        if isinstance(asked, list):
            return httpx.Response(200, json=[_answer(one, case, chain_id) for one in asked])
        return httpx.Response(200, json=_answer(asked, case, chain_id))

    return httpx.MockTransport(handle)


def _answer(call: Mapping[str, Any], case: Mapping[str, Any], chain_id: int) -> dict[str, Any]:
    method, params = call["method"], call["params"]
    receipts = case.get("receipts", [])
    answers = {
        "eth_chainId": lambda: hex(chain_id),
        "eth_blockNumber": lambda: case["block"]["number"],
        "eth_getBlockByNumber": lambda: case["block"],
        "eth_getLogs": lambda: [log for log in case.get("logs", []) if _passes(log, params[0])],
        "eth_getBlockReceipts": lambda: receipts,
        "eth_getTransactionReceipt": lambda: next(
            (one for one in receipts if one["transactionHash"] == params[0]), None
        ),
        "eth_call": lambda: case.get("calls", {}).get(params[0]["to"]),
        **{name: lambda name=name: case["traces"][name] for name in case.get("traces", {})},
    }
    said: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
    if method not in answers:
        return said | {
            "error": {"code": -32601, "message": f"the method {method} does not exist/is not available"}
        }
    return said | {"result": answers[method]()}


def _passes(log: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """By contract and first topic only, so that strangers' transfers and repetitions come through too."""
    topics = wanted["topics"][0]
    events = topics if isinstance(topics, list) else [topics]
    contracts = wanted.get("address")
    return log["topics"][0] in events and (contracts is None or log["address"].lower() in contracts)


def _as_records(kind: type[Record], rows: list[Record] | pa.Table) -> list[Record]:
    if isinstance(rows, pa.Table):
        assert kind is Movement
        return [Movement(**row) for row in rows.to_pylist()]
    return list(rows)


def shown(record: Record) -> dict[str, Any]:
    """A record as JSON, exact."""
    values = {field.name: _shown(getattr(record, field.name)) for field in fields(record)}
    return {"record": type(record).__name__, **values}


def _shown(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    return iso(value) if isinstance(value, datetime) else value


def expected(name: str) -> list[dict[str, Any]]:
    """What the pair says."""
    found: list[dict[str, Any]] = json.loads((CASES / f"{name}.records.json").read_text("utf-8"))
    return found


def main() -> None:
    """Write every pair's records anew."""
    for name in cases():
        text = json.dumps(translated(name), indent=1)
        (CASES / f"{name}.records.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
