"""Golden pairs of what a node sends and what the wire modules read in it.

``python -m tests.golden.evm_wire.regenerate`` writes what is read anew; read the difference before
keeping it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from payhealth.connectors.evm.wire.events import event_of_log, transfer_of_polygon_log
from payhealth.connectors.evm.wire.natives import natives_of_block
from payhealth.connectors.evm.wire.receipts import receipt_of
from payhealth.connectors.evm.wire.traces import transfers_of_call_traces, transfers_of_flat_traces
from payhealth.connectors.evm.wire.values import WireError, transfer_of_log
from payhealth.domain.times import iso

CASES = Path(__file__).parent / "cases"


def _block(case: Mapping[str, Any]) -> Any:
    ignored = frozenset(case.get("ignored_types", []))
    return natives_of_block(case["raw"], frozenset(case["ours"]), ignored_types=ignored)


def _call_traces(case: Mapping[str, Any]) -> Any:
    return transfers_of_call_traces(case["raw"], case["transactions"])


def _flat_traces(case: Mapping[str, Any]) -> Any:
    return transfers_of_flat_traces(case["raw"], case["transactions"], case["block_hash"])


def _receipts(case: Mapping[str, Any]) -> Any:
    return [receipt_of(raw, op_stack=case.get("op_stack", False)) for raw in case["raw"]]


READERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "block": _block,
    "receipts": _receipts,
    "call_traces": _call_traces,
    "flat_traces": _flat_traces,
    "event": lambda case: event_of_log(case["raw"]),
    "polygon_log": lambda case: transfer_of_polygon_log(case["raw"]),
    "transfer_log": lambda case: transfer_of_log(case["raw"]),
}


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".payload.json") for path in CASES.glob("*.payload.json"))


def payload(name: str) -> Any:
    """A pair's ``kind``, ``raw`` and what else its reader is told."""
    return json.loads((CASES / f"{name}.payload.json").read_text("utf-8"))


def decoded(name: str) -> Any:
    """What is read in a payload now."""
    case = payload(name)
    try:
        return shown(READERS[case["kind"]](case))
    except WireError as error:
        return {"refused": str(error)}


def shown(value: Any) -> Any:
    """A value as JSON, exact; raw objects as they are."""
    if is_dataclass(value):
        named = {field.name: shown(getattr(value, field.name)) for field in fields(value)}
        return {"record": type(value).__name__, **named}
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def expected(name: str) -> Any:
    """What the pair says."""
    return json.loads((CASES / f"{name}.decoded.json").read_text("utf-8"))


def main() -> None:
    """Write what is read in every payload anew."""
    for name in cases():
        text = json.dumps(decoded(name), indent=1)
        (CASES / f"{name}.decoded.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
