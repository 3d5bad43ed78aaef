"""Short ways to hand rows to the engine and to look at what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from payhealth.domain.assets import normalise_hex
from payhealth.matching.engine import reconcile
from payhealth.matching.inputs import MONEY, MatchInputs, MatchOutcome
from payhealth.matching.model import parse_rules
from payhealth.matching.prepare import from_tables

Row = dict[str, Any]

START = datetime(2026, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(days=30)

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("account", pa.string()),
        ("reference", pa.string()),
        ("amount", MONEY),
        ("asset", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
    ]
)


def moment(second: float) -> datetime:
    """So many seconds after the start of the tests' time."""
    return START + timedelta(seconds=second)


def paid(id_: str, amount: str, *, kind: str = "charge", second: float = 0, **columns: Any) -> Row:
    """A payment of alice by reference r1, in USD."""
    return {"id": id_, "kind": kind, "amount": amount, **_where(second, columns)}


def entry(id_: str, amount: str, *, kind: str = "", second: float = 10, **columns: Any) -> Row:
    """A ledger entry of alice by reference r1, in USD."""
    kind = kind or ("reversal" if amount.startswith("-") else "purchase")
    return {"id": id_, "kind": kind, "amount": amount, **_where(second, columns)}


def _where(second: float, columns: Mapping[str, Any]) -> Row:
    usual: Row = {"account": "alice", "reference": "r1", "asset": "USD", "occurred_at": moment(second)}
    return {**usual, **columns}


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as the reader of files hands them over: normalised, an empty kind being purchase."""
    return pa.Table.from_pylist(
        [
            {
                **row,
                "kind": row["kind"] or "purchase",
                "amount": Decimal(row["amount"]),
                **{name: normalise_hex(row[name]) for name in ("account", "reference", "asset")},
            }
            for row in rows
        ],
        schema=_SCHEMA,
    )


def inputs_of(payments: Sequence[Row], ledger: Sequence[Row]) -> MatchInputs:
    """Rows as the engine takes them."""
    return from_tables(table(payments), table(ledger))


def run(
    payments: Sequence[Row],
    ledger: Sequence[Row],
    *,
    policy: Mapping[str, Any] | None = None,
    rules: Sequence[Mapping[str, Any]] | None = None,
    as_of: datetime = AS_OF,
    **options: Any,
) -> MatchOutcome:
    """One reconciliation of rows as files would hold them.

    Args:
        policy: the keys of ``[policy.default]``, or tables by name where the values are tables.
    """
    tables: dict[str, Any] = {}
    if policy is not None:
        named = all(isinstance(value, Mapping) for value in policy.values())
        tables["policy"] = dict(policy) if named else {"default": dict(policy)}
    if rules is not None:
        tables["rules"] = list(rules)
    return reconcile(inputs_of(payments, ledger), parse_rules(tables), as_of=as_of, **options)


def breaks(outcome: MatchOutcome) -> list[Row]:
    """The breaks as mappings."""
    found: list[Row] = outcome.breaks.to_pylist()
    return found


def only_break(outcome: MatchOutcome) -> Row:
    """The one break of an outcome."""
    found = breaks(outcome)
    assert len(found) == 1, found
    return found[0]


def open_why(outcome: MatchOutcome) -> dict[str, str]:
    """Why each open id is open."""
    return {row["id"]: row["why"] for row in outcome.open.to_pylist()}


def matched(outcome: MatchOutcome) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The ids of each match."""
    return {(tuple(row["movement_ids"]), tuple(row["entry_ids"])) for row in outcome.matches.to_pylist()}


def statement_row(outcome: MatchOutcome, asset: str = "USD", rail: str = "card") -> Row:
    """One line of the statement."""
    rows = [row for row in outcome.summary["statement"] if (row["asset"], row["rail"]) == (asset, rail)]
    assert len(rows) == 1, outcome.summary["statement"]
    found: Row = rows[0]
    return found
