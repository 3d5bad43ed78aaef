"""Facts with history: what differs from the current state becomes a version, in one transaction with it.

The steps are the same on both databases. The keys of the rows at hand go to the database as one bound JSON
parameter, to be joined with the projection; content hashes say which rows differ; only those are written to
the history, and the projection is brought up to date from the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, text

from payhealth.domain.times import utc
from payhealth.ports import READ_SKEW
from payhealth.store import arrow
from payhealth.store.arrow import whole
from payhealth.store.bulk import Bulk, bulk_for, iso_text, quoted
from payhealth.store.engine import writing
from payhealth.store.spec import BOOKKEEPING, Column, Kind, Spec
from payhealth.store.sqltypes import SQL_TYPES
from payhealth.store.tables import table

if TYPE_CHECKING:
    from payhealth.ports import Clock

LOOKUP_ROWS = 20_000
"""Keys of one parameter: databases limit how long a text may be."""

_ORDINAL = Column("ordinal", Kind.INTEGER, nullable=False)
_FOUND = ("ordinal", "first_recorded_at", "change_seq")


@dataclass(slots=True)
class Transaction:
    """One write transaction, which alone hands out change numbers until it ends.

    Args:
        recorded_at: the database's clock, never earlier than that of an earlier change.
        read_at: the source's clock when the rows at hand were read, where it tells.
        change_seq: the last number given out.
    """

    connection: Connection
    bulk: Bulk
    recorded_at: datetime
    change_seq: int
    read_at: datetime | None = None

    def take(self, count: int) -> int:
        """Reserve that many change numbers; the first of them."""
        first = self.change_seq + 1
        self.change_seq += count
        return first


@contextmanager
def transaction(engine: Engine, clock: Clock | None = None) -> Iterator[Transaction]:
    """Open a write transaction; the counter's row stays locked to its end, so numbers commit in order."""
    with writing(engine) as connection:
        counter = table("change_counter")
        last = connection.execute(counter.select().with_for_update()).one()
        now = clock.now() if clock else _database_now(connection)
        open_transaction = Transaction(
            connection, bulk_for(connection.dialect.name), max(utc(now), last.recorded_at), last.change_seq
        )
        yield open_transaction
        if open_transaction.change_seq != last.change_seq:
            connection.execute(
                counter.update().values(
                    change_seq=open_transaction.change_seq, recorded_at=open_transaction.recorded_at
                )
            )


def _database_now(connection: Connection) -> datetime:
    """The database's clock; SQLite's has milliseconds."""
    if connection.dialect.name == "sqlite":
        now = connection.exec_driver_sql("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')").scalar_one()
        return datetime.fromisoformat(now)
    moment: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return moment


@dataclass(frozen=True, slots=True)
class Rows:
    """Content of one spec, ready to be written: unique keys, and a hash for every row."""

    spec: Spec
    content: pa.Table
    hashes: pa.Array

    def __len__(self) -> int:
        return int(self.content.num_rows)

    def part(self, start: int, count: int) -> Rows:
        """A stretch of the rows."""
        return Rows(self.spec, self.content.slice(start, count), self.hashes.slice(start, count))


def rows_of(spec: Spec, content: pa.Table) -> Rows:
    """Content with its hashes, the last of each key only."""
    unique = arrow.last_of_each_key(spec, content)
    return Rows(spec, unique, arrow.content_hashes(spec, unique))


def write(opened: Transaction, rows: Rows) -> tuple[int, int]:
    """Add a version of every row that is new or differs.

    Returns:
        How many were new, and how many had changed.
    """
    found = differing(opened, rows)
    append(opened, rows, found)
    new = int(found.column("change_seq").null_count)
    return new, len(found) - new


def differing(
    opened: Transaction,
    rows: Rows,
    *,
    beside: Sequence[str] = (),
    alike: Callable[[pa.Table], pa.Array] | None = None,
) -> pa.Table:
    """The rows that are no exact repetition of what is current, and not older than it.

    Args:
        beside: further columns of the current row that are wanted.
        alike: says of current rows which are repeated by equal content; all of them, unless given.

    Returns:
        ``ordinal``, ``first_recorded_at`` of the fact, ``change_seq`` of its newest version, and the columns
        beside, by ordinal; all but the ordinal are null where the fact is new.
    """
    now = current(opened, rows.spec, rows.content, ("content_hash", "read_at", *_FOUND[1:], *beside))
    repeated = pc.equal(now.column("content_hash"), pa.chunked_array([rows.hashes], pa.string()))
    if alike is not None:
        repeated = pc.and_(repeated, alike(now))
    stays = pc.fill_null(repeated, fill_value=False)
    if opened.read_at is not None:
        # The source showed these current rows later than the rows at hand.
        later = pc.greater(now.column("read_at"), pa.scalar(opened.read_at + READ_SKEW, arrow.MOMENT))
        stays = pc.or_(stays, pc.fill_null(later, fill_value=False))
    return now.select([*_FOUND, *beside]).filter(pc.invert(stays))


def current(opened: Transaction, spec: Spec, keyed: pa.Table, names: Sequence[str]) -> pa.Table:
    """What is current of the facts that have the keys in a table.

    Returns:
        ``ordinal``, the row of the table, and the named columns, null where there is no such fact.
    """
    columns = (_ORDINAL, *(spec.column(name) for name in names))
    keys = _keys(spec, keyed)
    known = pa.concat_tables(
        [arrow.schema(columns).empty_table()]
        + [
            opened.bulk.read(
                opened.connection,
                _lookup(opened.connection, spec, names, start),
                {"listed": orjson.dumps(keys[start : start + LOOKUP_ROWS]).decode()},
                columns,
            )
            for start in range(0, len(keys), LOOKUP_ROWS)
        ],
        promote_options="permissive",
    )
    ordinals = pa.array(range(len(keys)), pa.int64())
    place = pc.index_in(ordinals, value_set=known.column("ordinal"))
    return known.take(place).set_column(0, "ordinal", ordinals)


_LISTED = {
    # A cross join keeps SQLite from reading the projection first.
    "sqlite": (
        "s.key",
        "json_each(:listed) AS s CROSS JOIN",
        "json_extract(s.value, '$[{place}]')",
    ),
    "postgresql": (
        "s.place - 1",
        "json_array_elements(CAST(:listed AS json)) WITH ORDINALITY AS s(value, place) JOIN",
        "CAST(s.value ->> {place} AS {kind})",
    ),
}
"""The place of a listed key, the join with the list, and a part of the key."""


def _lookup(connection: Connection, spec: Spec, names: Sequence[str], start: int) -> str:
    """A query for the current rows of the keys in ``:listed``, whose first has the ordinal ``start``."""
    dialect = connection.dialect
    place, listed, part = _LISTED[dialect.name]
    kinds = [SQL_TYPES[spec.column(name).kind].dialect_impl(dialect).compile(dialect) for name in spec.key]
    condition = " AND ".join(
        f'c."{name}" = {part.format(place=number, kind=kind)}'
        for number, (name, kind) in enumerate(zip(spec.key, kinds, strict=True))
    )
    columns = quoted(names, "c.")
    return (
        f'SELECT {place} + {start} AS ordinal, {columns} FROM {listed} "{spec.current}" AS c ON {condition}'
    )


def _keys(spec: Spec, keyed: pa.Table) -> list[tuple[Any, ...]]:
    """The keys of a table's rows as values that JSON has."""
    columns = ((spec.column(name), whole(keyed.column(name))) for name in spec.key)
    parts = (iso_text(part) if column.kind is Kind.MOMENT else part for column, part in columns)
    return list(zip(*(part.to_pylist() for part in parts), strict=True))


def append(
    opened: Transaction, rows: Rows, found: pa.Table, state: Mapping[str, list[Any]] | None = None
) -> None:
    """Write the found rows to the history, and from there to the projection.

    Args:
        found: as :func:`differing` gives them.
        state: values of the spec's state columns for each found row.
    """
    count = len(found)
    if not count:
        return
    spec = rows.spec
    first = opened.take(count)
    content, hashes = rows.content, rows.hashes
    if count < len(rows):
        ordinals = whole(found.column("ordinal"))
        content, hashes = content.take(ordinals), hashes.take(ordinals)
    beside = [pa.array((state or {})[column.name], pa.string()) for column in spec.state]
    recorded_at = pa.scalar(opened.recorded_at, arrow.MOMENT)
    bookkeeping = [
        hashes,
        pa.repeat(recorded_at, count),
        pc.fill_null(found.column("first_recorded_at"), recorded_at),
        pa.array(range(first, first + count), pa.int64()),
        found.column("change_seq"),
        pa.repeat(pa.scalar(opened.read_at, arrow.MOMENT), count),
    ]
    arrays = [*content.columns, *beside, *bookkeeping]
    versions = pa.Table.from_arrays(arrays, schema=arrow.schema(spec.stored))
    opened.bulk.load(opened.connection, spec.version, spec.stored, versions)
    all_new = found.column("change_seq").null_count == count
    _project(opened.connection, spec, first, all_new=all_new)


def _project(connection: Connection, spec: Spec, first: int, *, all_new: bool) -> None:
    """Bring the projection up to date with the versions from a change number on."""
    names = [column.name for column in spec.projected]
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in spec.key)
    # Where no fact is known yet there is no conflict, and to look for one costs a tenth of the commit.
    replacing = "" if all_new else f" ON CONFLICT ({quoted(spec.key)}) DO UPDATE SET {changes}"
    connection.execute(
        text(
            f'INSERT INTO "{spec.current}" ({quoted(names)}) SELECT {quoted(names)} FROM "{spec.version}" '
            f"WHERE change_seq >= :first{replacing}"
        ),
        {"first": first},
    )


def projection_differences(connection: Connection, spec: Spec) -> list[dict[str, Any]]:
    """Where the projection is not what the history says: keys, and which side the row stands on."""
    names = quoted([column.name for column in spec.projected])
    latest = (
        f'SELECT {names} FROM "{spec.version}" WHERE change_seq IN '
        f'(SELECT max(change_seq) FROM "{spec.version}" GROUP BY {quoted(spec.key)})'
    )
    current = f'SELECT {names} FROM "{spec.current}"'
    differences: list[dict[str, Any]] = []
    for where, left, right in (("history", latest, current), ("current", current, latest)):
        sql = f"SELECT {quoted(spec.key)} FROM ({left} EXCEPT {right}) AS d"
        keys = connection.exec_driver_sql(sql).mappings().all()
        differences += [{"table": spec.name, "only_in": where, "key": dict(key)} for key in keys]
    return differences


__all__ = ["BOOKKEEPING", "Rows", "Transaction", "rows_of", "transaction", "write"]
