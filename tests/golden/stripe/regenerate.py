"""Golden pairs of the Stripe translator: an object as Stripe sends it, and the records it becomes.

``python -m tests.golden.stripe.regenerate`` writes the expected records anew; read the difference
before keeping it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from payhealth.connectors.stripe.streams import STREAMS, Translated, translate
from payhealth.connectors.stripe.translate import Payment, Rules
from payhealth.domain.money import plain
from payhealth.domain.record import Record
from payhealth.domain.times import iso

CASES = Path(__file__).parent / "cases"
RULES = Rules(
    connector="cards",
    account_key="account_id",
    reference_keys=("order_id", "reference"),
    ip_keys=("ip_address",),
    hash_key=b"a key that is kept elsewhere",
    live=False,
    api_version="2026-10-28.endive",
)


def cases() -> list[str]:
    """The names of all pairs."""
    return sorted(path.name.removesuffix(".payload.json") for path in CASES.glob("*.payload.json"))


def payload(name: str) -> dict[str, Any]:
    """A pair's ``stream``, ``object`` and ``payment``."""
    found: dict[str, Any] = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
    return found


def page(name: str) -> Translated:
    """What the translator makes of a payload now."""
    case = payload(name)
    payments = {}
    if case.get("payment"):
        payments[case["object"]["charge"]] = Payment(**case["payment"])
    return translate(STREAMS[case["stream"]], [case["object"]], RULES, payments)


def translated(name: str) -> list[dict[str, Any]]:
    """The records of a payload as JSON."""
    return [shown(record_type, row) for record_type, row in rows(page(name))]


def rows(found: Translated) -> Iterator[tuple[type[Record], dict[str, Any]]]:
    """Every record of a page with all of its fields, those at their defaults included."""
    for record_type, table in found.records.items():
        defaults = {
            field.name: field.default for field in fields(record_type) if field.default is not MISSING
        }
        names = [field.name for field in fields(record_type)]
        for row in table.to_pylist():
            yield record_type, {name: row[name] if name in row else defaults[name] for name in names}


def shown(record_type: type[Record], row: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON, exact; its raw object as the JSON that it is."""
    values = {name: _shown(value) for name, value in row.items()}
    if isinstance(values.get("raw"), str) and values["raw"].startswith("{"):
        values["raw"] = orjson.loads(values["raw"])
    return {"record": record_type.__name__, **values}


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
