"""What the engine is handed and what it gives back: Arrow tables with fixed columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

MONEY = pa.decimal128(38, 18)
MOMENT = pa.timestamp("us", tz="UTC")

MOVEMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("connector", pa.string()),
        ("rail", pa.string()),
        ("kind", pa.string()),
        ("account", pa.string()),
        ("reference", pa.string()),
        ("group_key", pa.string()),
        ("amount", MONEY),
        ("asset", pa.string()),
        ("occurred_at", MOMENT),
        ("clock_at", MOMENT),
        ("open_why", pa.string()),
        ("quote", pa.string()),
        ("price", MONEY),
    ]
)
ENTRIES = pa.schema(
    [
        ("id", pa.string()),
        ("connector", pa.string()),
        ("kind", pa.string()),
        ("account", pa.string()),
        ("reference", pa.string()),
        ("group_key", pa.string()),
        ("amount", MONEY),
        ("asset", pa.string()),
        ("occurred_at", MOMENT),
        ("open_why", pa.string()),
    ]
)
RATES = pa.schema([("asset", pa.string()), ("quote", pa.string()), ("price", MONEY), ("valid_from", MOMENT)])

MATCHES = pa.schema(
    [
        ("match_id", pa.string()),
        ("rule", pa.string()),
        ("state", pa.string()),
        ("confidence", pa.float64()),
        ("movement_ids", pa.list_(pa.string())),
        ("entry_ids", pa.list_(pa.string())),
        ("residual", MONEY),
        ("asset", pa.string()),
        ("reasons", pa.list_(pa.string())),
    ]
)
LEG = pa.struct([("account", pa.string()), ("asset", pa.string()), ("residual", MONEY)])
BREAKS = pa.schema(
    [
        ("break_id", pa.string()),
        ("primary_reason", pa.string()),
        ("reasons", pa.list_(pa.string())),
        ("movement_ids", pa.list_(pa.string())),
        ("entry_ids", pa.list_(pa.string())),
        ("amount", MONEY),
        ("at_risk", MONEY),
        ("asset", pa.string()),
        ("legs", pa.list_(LEG)),
        ("effective_at", MOMENT),
        ("explanation", pa.string()),
    ]
)
OPEN = pa.schema([("id", pa.string()), ("side", pa.string()), ("why", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchInputs:
    """Everything a run decides from.

    Args:
        movements: columns of ``MOVEMENTS``. ``amount`` is unsigned, ``reference`` the payment key,
            ``group_key`` what rows are gathered by where that is not the reference itself, ``clock_at`` the
            start of the time to clear, ``open_why`` the reason why a row is not judged, null where it is;
            ``price`` is what one unit of the movement's asset was settled for in ``quote``, null where it
            was not exchanged: it goes before ``rates``.
        entries: columns of ``ENTRIES``; ``amount`` is signed.
        rates: columns of ``RATES``: what one unit of an asset costs in another, from a moment on.
        notes: counts of the preparation, shown in the summary.
    """

    movements: pa.Table
    entries: pa.Table
    rates: pa.Table | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchOutcome:
    """What a run found; the tables have the columns of ``MATCHES``, ``BREAKS`` and ``OPEN``."""

    matches: pa.Table
    breaks: pa.Table
    open: pa.Table
    summary: dict[str, Any]
