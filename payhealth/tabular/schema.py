"""What the two tables hold, and what comes out of reading one."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from payhealth.domain.records import EXPECTING, EntryKind

MONEY = pa.decimal128(38, 18)
MOMENT = pa.timestamp("us", tz="UTC")

REJECTED = pa.schema(
    [("file", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("row", pa.string())]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two tables.

    Args:
        name: as messages call it.
        required: columns that must be there.
        optional: columns that may be.
        signed: whether amounts carry a sign.
        kinds: the valid kinds, None where any is taken as it is.
        default_kind: what an empty kind means, None where it is malformed.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    signed: bool
    kinds: frozenset[str] | None
    default_kind: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, required ones first."""
        return (*self.required, *self.optional)


PAYMENTS = Side(
    name="payments",
    required=("id", "kind", "account", "reference", "amount", "asset", "occurred_at"),
    optional=(),
    signed=False,
    kinds=frozenset(str(kind) for kind in EXPECTING),
    default_kind=None,
)
LEDGER = Side(
    name="ledger",
    required=("id", "account", "reference", "amount", "asset", "occurred_at"),
    optional=("kind",),
    signed=True,
    kinds=None,
    default_kind=str(EntryKind.PURCHASE),
)

ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("account", pa.string()),
        ("reference", pa.string()),
        ("amount", MONEY),
        ("asset", pa.string()),
        ("occurred_at", MOMENT),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableIn:
    """A table that was read: its good rows (columns of ``ROWS``) and its rejected ones."""

    rows: pa.Table
    rejected: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A table before validation: every value as text, null where there was none.

    Args:
        file: the file's base name, or a word for a table in memory.
        table: one string column per column of the source, extra ones included.
        lines: each row's first physical line, 1-based; None where ``content`` has to be asked for it.
        raws: each row's text as it was, None where it has none of its own.
        content: the file's bytes, kept where lines are looked for only when a row is bad.
        rejected: rows that could not even be split into fields: (line, reason, raw text).
    """

    file: str
    table: pa.Table
    lines: list[int] | None
    raws: list[str] | None
    rejected: tuple[tuple[int, str, str], ...] = ()
    content: bytes = b""
