"""Golden pairs of the EVM translator: logs and blocks as a node sends them, and the records they become.

``python -m tests.golden.evm.regenerate`` writes the expected records anew; read the difference before
keeping it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from payhealth.connectors.evm.reading.translate import (
    Book,
    book_of,
    candidates_of_block,
    transfer_of_candidate,
    transfers_of_logs,
    translate,
)
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Transfer, header_of
from payhealth.domain.money import plain
from payhealth.domain.record import Record
from payhealth.domain.times import iso

CASES = Path(__file__).parent / "cases"
DEPOSIT = "0x" + "a1" * 20
OTHER_DEPOSIT = "0x" + "a2" * 20
TREASURY = "0x" + "b1" * 20
OPERATOR = "0x" + "c1" * 20


def book() -> Book:
    """Base, with USDC, its own coin, two deposit addresses and a treasury."""
    settings = EvmSettings.model_validate(
        {
            "chain_id": 8453,
            "rpc_urls": ["https://node.invalid"],
            "addresses": [DEPOSIT, OTHER_DEPOSIT, TREASURY],
            "operators": [OPERATOR],
            "assets": ["USDC", "native"],
        }
    )
    return book_of("base", settings)


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".payload.json") for path in CASES.glob("*.payload.json"))


def translated(name: str) -> list[dict[str, Any]]:
    """What the translator makes of a payload now."""
    case = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
    ours = book()
    transfers, rejected = transfers_of_logs(case.get("logs", []), ours)
    times = {}
    receipts = {receipt["transactionHash"]: receipt for receipt in case.get("receipts", [])}
    for raw in case["blocks"]:
        header = header_of(raw)
        times[header.hash] = header.at
        candidates, bad = candidates_of_block(header, raw.get("transactions", []), ours)
        rejected += bad
        for candidate in candidates:
            found = transfer_of_candidate(candidate, receipts[candidate.raw["hash"]], ours)
            if isinstance(found, Transfer):
                transfers.append(found)
            elif found is not None:
                rejected.append(found)
    made = translate(transfers, times, ours)
    records: list[Record] = [*made.observations, *made.movements, *made.links, *made.rejected, *rejected]
    return [shown(record) for record in records]


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
