"""What is kept, as data: one small description per versioned table, derived from the record classes.

Standard library only. Tables, Arrow schemas and SQL are all made from these descriptions, so that a
field added to a record is added in one place (and in a migration).
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from datetime import datetime
from decimal import Decimal
from enum import Enum

from payhealth.domain.record import ARCHIVED, Record
from payhealth.domain.records import RECORD_TYPES


class Kind(Enum):
    """What a column holds, whatever the database calls it."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    MONEY = "money"
    MOMENT = "moment"
    REAL = "real"
    """Never money: a confidence, a share."""


class Missing(Enum):
    """The default of a column that has none."""

    MISSING = "missing"


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column; a value equal to ``default`` stays out of the content hash.

    Args:
        archived: whether it stands in the history alone, and not in the projection.
    """

    name: str
    kind: Kind
    nullable: bool
    default: object = Missing.MISSING
    archived: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """One kind of fact, kept as ``<name>_version`` and ``<name>_current``.

    Args:
        key: the natural key; two rows of one key are versions of one fact.
        columns: the content, which the content hash covers.
        state: columns beside the content that people or runs set; not covered by the hash.
        indexes: column groups of the current table that are looked up, beside its key.
        effective: the column that says when the fact happened, None where it has no such moment.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    state: tuple[Column, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    effective: str | None = None

    @property
    def version(self) -> str:
        """The name of the history table."""
        return f"{self.name}_version"

    @property
    def current(self) -> str:
        """The name of the projection."""
        return f"{self.name}_current"

    @property
    def fields(self) -> tuple[Column, ...]:
        """Content and state, in table order."""
        return self.columns + self.state

    @property
    def stored(self) -> tuple[Column, ...]:
        """Every column of the history, in table order."""
        return self.fields + BOOKKEEPING

    @property
    def projected(self) -> tuple[Column, ...]:
        """Every column of the projection, in table order."""
        return tuple(column for column in self.stored if not column.archived)

    @property
    def shown(self) -> tuple[Column, ...]:
        """The content that the projection holds."""
        return tuple(column for column in self.columns if not column.archived)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.stored if column.name == name)


BOOKKEEPING: tuple[Column, ...] = (
    Column("content_hash", Kind.TEXT, nullable=False),
    Column("recorded_at", Kind.MOMENT, nullable=False),
    Column("first_recorded_at", Kind.MOMENT, nullable=False),
    Column("change_seq", Kind.INTEGER, nullable=False),
    Column("previous_seq", Kind.INTEGER, nullable=True),
    Column("read_at", Kind.MOMENT, nullable=True),
)
"""What the store adds to every version.

``read_at`` is the source's own clock when this version was read, null where the source does not tell.
``previous_seq`` leads to the version before: a fact's history is walked from the projection, so that the
history needs no index on natural keys, which would be a third of the cost of writing it.
"""

_KINDS = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    bool: Kind.BOOLEAN,
    Decimal: Kind.MONEY,
    datetime: Kind.MOMENT,
}

_INDEXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "movement": (("effective_at",), ("connector", "block_number")),
    "link": (("alias",),),
    "charge": (("created_at",), ("intent_id",)),
    "refund": (("charge_id",),),
    "dispute": (("charge_id",),),
    "payment_claim": (("payment_key",),),
    "checkout_session": (("intent_id",),),
    "early_fraud_warning": (("charge_id",),),
    "balance_transaction": (("source_id",), ("created_at",)),
    "source_event": (("created_at",),),
    "entry": (("effective_at",),),
    "handle": (("handle",),),
    "block": (("block_hash",),),
    "transfer_observation": (("connector", "block_number"), ("transaction_hash",)),
    "transaction_fee": (("connector", "block_number"),),
    "payment_event": (("connector", "block_number"), ("external_id",)),
    "asset_price": (("block_hash",),),
}

_EFFECTIVE = ("effective_at", "created_at", "block_at")


def table_name(record_type: type[Record]) -> str:
    """``BalanceTransaction`` -> ``balance_transaction``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", record_type.__name__).lower()


def _column(field: dataclasses.Field[typing.Any], hint: object) -> Column:
    nullable = isinstance(hint, types.UnionType)
    parts = [part for part in typing.get_args(hint) if part is not types.NoneType] if nullable else [hint]
    kind = _KINDS[typing.cast("type", parts[0])]
    default = Missing.MISSING if field.default is dataclasses.MISSING else field.default
    return Column(field.name, kind, nullable, default, archived=bool(field.metadata.get(ARCHIVED)))


def _record_spec(record_type: type[Record]) -> Spec:
    hints = typing.get_type_hints(record_type)
    columns = tuple(_column(field, hints[field.name]) for field in dataclasses.fields(record_type))
    names = {column.name for column in columns}
    name = table_name(record_type)
    return Spec(
        name=name,
        key=record_type.KEY,
        columns=columns,
        indexes=_INDEXES.get(name, ()),
        effective=next((column for column in _EFFECTIVE if column in names), None),
    )


RECORD_SPECS: dict[type[Record], Spec] = {kind: _record_spec(kind) for kind in RECORD_TYPES}


def _text(name: str) -> Column:
    return Column(name, Kind.TEXT, nullable=False)


MATCH = Spec(
    name="match",
    key=("match_id",),
    columns=(
        _text("match_id"),
        _text("rule"),
        _text("state"),
        Column("confidence", Kind.REAL, nullable=False),
        _text("movement_ids"),
        _text("entry_ids"),
        Column("residual", Kind.MONEY, nullable=False),
        _text("asset"),
        _text("reasons"),
    ),
)
"""Lists are JSON text; a match that a run no longer makes has the state ``superseded``."""

BREAK = Spec(
    name="break",
    key=("break_id",),
    columns=(
        _text("break_id"),
        _text("primary_reason"),
        _text("reasons"),
        _text("movement_ids"),
        _text("entry_ids"),
        Column("amount", Kind.MONEY, nullable=False),
        Column("at_risk", Kind.MONEY, nullable=False),
        _text("asset"),
        _text("legs"),
        Column("effective_at", Kind.MOMENT, nullable=True),
        _text("explanation"),
    ),
    state=(
        _text("state"),
        Column("decided_by", Kind.TEXT, nullable=True),
        Column("note", Kind.TEXT, nullable=True),
    ),
    indexes=(("state",),),
    effective="effective_at",
)
"""``state`` is the break's life; ``decided_by`` names the person who last set it, None for a run."""

ALL_SPECS: tuple[Spec, ...] = (*RECORD_SPECS.values(), MATCH, BREAK)
