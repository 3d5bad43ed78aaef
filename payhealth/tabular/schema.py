"""What the two tables hold, and what comes out of reading one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from payhealth.domain.errors import InputError
from payhealth.domain.records import EXPECTING, EntryKind

MONEY = pa.decimal128(38, 18)
MOMENT = pa.timestamp("us", tz="UTC")
MAX_SHOWN = 400
"""How much of a header an error shows."""

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands: its first physical line and its raw text; equal texts are identical rows."""

    line: int
    raw: str


class Where(Protocol):
    """Finds rows again, by their ordinal inside a chunk; asked only about bad and repeated ones."""

    def __call__(self, ordinals: Sequence[int]) -> list[Place]:
        """The places of some rows, in the order asked for."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a side before validation.

    Args:
        count: how many rows.
        columns: known columns, each of texts or of what its column holds; a missing one is all nulls.
        where: finds rows again, while they are being validated.
        again: finds them after that, when only repeated ids are looked at; may read the source anew.
        rejected: rows that could not even be split into fields.
    """

    count: int
    columns: Mapping[str, pa.Array]
    where: Where
    again: Where
    rejected: tuple[tuple[Place, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a side is read from.

    Args:
        file: the file's base name, or a word for a table in memory.
        jobs: each gives some rows, in order; they may be run in several threads.
    """

    file: str
    jobs: Iterable[Callable[[], Chunk]]


def known_columns(names: Sequence[str], side: Side, file: str) -> dict[str, int]:
    """Where each known column stands; blanks around a name are no part of it.

    Raises:
        InputError: a needed column is missing, or a known one is there twice.
    """
    trimmed = [name.strip() for name in names]
    for name in side.columns:
        if trimmed.count(name) > 1:
            raise InputError(f"{file}: the column {name} is there twice")
    require(trimmed, side, file)
    return {name: trimmed.index(name) for name in side.columns if name in trimmed}


def require(names: Collection[str], side: Side, file: str) -> None:
    """Raise InputError where a needed column is missing."""
    for name in side.required:
        if name not in names:
            found = ", ".join(names)[:MAX_SHOWN] or "nothing"
            raise InputError(f"{file}: the column {name} is missing; it has {found}")
