"""From tables and from the store to what the engine is handed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.records import MovementKind
from payhealth.matching.inputs import ENTRIES, MOVEMENTS, MatchInputs

_CHAIN_KINDS = (MovementKind.TRANSFER, MovementKind.RETRACTION)


def from_tables(payments: pa.Table, ledger: pa.Table) -> MatchInputs:
    """Rows of files: no connector, groups by reference, and the time to clear starts when it happened.

    Args:
        payments: id, kind, account, reference, amount, asset, occurred_at, all valid and normalised.
        ledger: the same with signed amounts.
    """
    on_chain = pc.is_in(payments["kind"], value_set=pa.array([str(kind) for kind in _CHAIN_KINDS]))
    movements = {
        "rail": pc.if_else(on_chain, "chain", "card"),
        "clock_at": payments["occurred_at"],
        **{name: payments[name] for name in payments.column_names},
    }
    entries = {name: ledger[name] for name in ledger.column_names}
    return MatchInputs(movements=_filled(movements, MOVEMENTS), entries=_filled(entries, ENTRIES))


def _filled(columns: dict[str, pa.ChunkedArray], schema: pa.Schema) -> pa.Table:
    """A table of the schema; ``group_key`` is empty and other missing columns are null."""
    rows = len(columns["id"])
    arrays = []
    for field in schema:
        if field.name in columns:
            arrays.append(columns[field.name].cast(field.type))
        elif field.name == "group_key":
            arrays.append(pa.array([""], pa.string()).take(pa.array(np.zeros(rows, dtype=np.int64))))
        else:
            arrays.append(pa.nulls(rows, field.type))
    return pa.table(arrays, schema=schema)
