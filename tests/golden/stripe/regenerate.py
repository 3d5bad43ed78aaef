"""Golden pairs of the Stripe translator: an object as Stripe sends it, and the records it becomes.

``python -m tests.golden.stripe.regenerate`` writes the expected records anew; read the difference
before keeping it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from payhealth.connectors.stripe.streams import STREAMS, to_records
from payhealth.connectors.stripe.translate import Payment, Rules
from payhealth.domain.money import plain
from payhealth.domain.records import Record
from payhealth.domain.times import iso

CASES = Path(__file__).parent / "cases"
RULES = Rules(connector="cards", account_key="account_id", reference_keys=("order_id", "reference"))


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".payload.json") for path in CASES.glob("*.payload.json"))


def translated(name: str) -> list[dict[str, Any]]:
    """What the translator makes of a payload now."""
    case = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
    payment = Payment(**case["payment"]) if case.get("payment") else None
    return [shown(record) for record in to_records(STREAMS[case["stream"]], case["object"], RULES, payment)]


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
    found: list[dict[str, Any]] = json.loads((CASES / f"{name}.records.json").read_text())
    return found


def main() -> None:
    """Write every pair's records anew."""
    for name in cases():
        text = json.dumps(translated(name), indent=1)
        (CASES / f"{name}.records.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
