"""Small valid values for tests, each with every field that a test does not name."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.records import Charge, Entry, Movement, Rejected
from payhealth.ports import PullOutcome

if TYPE_CHECKING:
    import pyarrow as pa

MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def movement(movement_id: str = "ch_1", **values: Any) -> Movement:
    """A card payment of 12.5 USD."""
    given: dict[str, Any] = {
        "connector": "cards",
        "movement_id": movement_id,
        "rail": "card",
        "kind": "charge",
        "status": "succeeded",
        "account": "alice",
        "payment_key": f"pi_{movement_id}",
        "amount": Decimal("12.5"),
        "asset": "USD",
        "symbol": "USD",
        "effective_at": MOMENT,
    }
    return Movement(**(given | values))


def charge(charge_id: str = "ch_1", **values: Any) -> Charge:
    """A succeeded attempt of 12.5 USD."""
    given: dict[str, Any] = {
        "connector": "cards",
        "charge_id": charge_id,
        "intent_id": None,
        "status": "succeeded",
        "amount": Decimal("12.5"),
        "amount_captured": Decimal("12.5"),
        "asset": "USD",
        "created_at": MOMENT,
    }
    return Charge(**(given | values))


def entry(entry_id: str = "e_1", **values: Any) -> Entry:
    """A purchase of 12.5 USD in the ledger."""
    given: dict[str, Any] = {
        "connector": "credits",
        "entry_id": entry_id,
        "kind": "purchase",
        "account": "alice",
        "reference": "pi_ch_1",
        "amount": Decimal("12.5"),
        "asset": "USD",
        "effective_at": MOMENT,
    }
    return Entry(**(given | values))


def rejected(object_id: str = "ch_bad", **values: Any) -> Rejected:
    """An object without an amount."""
    given: dict[str, Any] = {
        "connector": "cards",
        "stream": "charges",
        "object_id": object_id,
        "reason": "amount is missing",
        "raw": '{"id": "ch_bad"}',
    }
    return Rejected(**(given | values))


def window(lower: int, upper: int, **values: Any) -> CoverageWindow:
    """A stretch of the stream of charges that was read."""
    given: dict[str, Any] = {
        "connector": "cards",
        "stream": "charges",
        "unit": CoverageUnit.TIME_US,
        "lower": lower,
        "upper": upper,
        "provider": "api.stripe.com",
        "objects": 1,
        "read_at": MOMENT,
    }
    return CoverageWindow(**(given | values))


def outcome(**values: Any) -> PullOutcome:
    """A pull of charges that ended well."""
    given: dict[str, Any] = {
        "connector": "cards",
        "stream": "charges",
        "started_at": MOMENT,
        "finished_at": MOMENT,
        "objects_read": 1,
        "new": 1,
        "changed": 0,
        "rejected": 0,
        "requests": 1,
    }
    return PullOutcome(**(given | values))


def matches(*rows: dict[str, Any]) -> pa.Table:
    """A run's table of matches; a row names what differs from a plain match by reference."""
    import pyarrow as pa

    plain = {
        "match_id": "m_1",
        "rule": "reference",
        "state": "confirmed",
        "confidence": 1.0,
        "movement_ids": ["ch_1"],
        "entry_ids": ["e_1"],
        "residual": Decimal(0),
        "asset": "USD",
        "reasons": ["reference equal"],
    }
    texts = pa.list_(pa.string())
    schema = pa.schema(
        {
            "match_id": pa.string(),
            "rule": pa.string(),
            "state": pa.string(),
            "confidence": pa.float64(),
            "movement_ids": texts,
            "entry_ids": texts,
            "residual": pa.decimal128(38, 18),
            "asset": pa.string(),
            "reasons": texts,
        }
    )
    return pa.Table.from_pylist([plain | row for row in rows], schema=schema)


def breaks(*rows: dict[str, Any]) -> pa.Table:
    """A run's table of breaks; a row names what differs from a payment of 12.5 USD that was not credited."""
    import pyarrow as pa

    money, texts = pa.decimal128(38, 18), pa.list_(pa.string())
    plain = {
        "break_id": "b_1",
        "primary_reason": "paid_not_credited",
        "reasons": ["paid_not_credited"],
        "movement_ids": ["ch_1"],
        "entry_ids": [],
        "amount": Decimal("12.5"),
        "at_risk": Decimal("12.5"),
        "asset": "USD",
        "legs": [{"account": "alice", "asset": "USD", "residual": Decimal("12.5")}],
        "effective_at": MOMENT,
        "explanation": "no entry",
    }
    leg = pa.struct({"account": pa.string(), "asset": pa.string(), "residual": money})
    schema = pa.schema(
        {
            "break_id": pa.string(),
            "primary_reason": pa.string(),
            "reasons": texts,
            "movement_ids": texts,
            "entry_ids": texts,
            "amount": money,
            "at_risk": money,
            "asset": pa.string(),
            "legs": pa.list_(leg),
            "effective_at": pa.timestamp("us", "UTC"),
            "explanation": pa.string(),
        }
    )
    return pa.Table.from_pylist([plain | row for row in rows], schema=schema)
