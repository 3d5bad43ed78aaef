"""Facts with history: what differs from the current state becomes a version, in one transaction with it.

The steps are the same on both databases. Keys and content hashes of the rows at hand are staged; one join
with the projection says which differ; only those are written to the history, and the projection is brought
up to date from the history. What a page holds that is known already costs its key and hash, nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import Connection, Engine, text

from payhealth.domain.times import utc
from payhealth.store import arrow
from payhealth.store.bulk import Bulk, bulk_for, quoted
from payhealth.store.engine import writing
from payhealth.store.spec import BOOKKEEPING, Column, Kind, Spec
from payhealth.store.sqltypes import SQL_TYPES, moment_text
from payhealth.store.tables import table

if TYPE_CHECKING:
    from payhealth.ports import Clock

_ORDINAL = Column("ordinal", Kind.INTEGER, nullable=False)


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
    stage(opened, rows)
    found = differing(opened, rows.spec)
    append(opened, rows, found)
    new = sum(1 for row in found if row[1] is None)
    return new, len(found) - new


def stage_name(spec: Spec) -> str:
    """The temporary table that holds a spec's staged keys."""
    return f"stage_{spec.name}"


def stage(opened: Transaction, rows: Rows) -> None:
    """Put ordinals, keys and hashes into the spec's temporary table, in place of what it held."""
    spec = rows.spec
    columns = (_ORDINAL, *(spec.column(name) for name in spec.key), spec.column("content_hash"))
    _make_stage(opened.connection, stage_name(spec), columns)
    arrays = [
        pa.array(range(len(rows)), pa.int64()),
        *(rows.content.column(name) for name in spec.key),
        rows.hashes,
    ]
    opened.bulk.load(
        opened.connection,
        stage_name(spec),
        columns,
        pa.Table.from_arrays(arrays, schema=arrow.schema(columns)),
    )


def _make_stage(connection: Connection, name: str, columns: tuple[Column, ...]) -> None:
    dialect = connection.dialect
    kinds = [
        f'"{column.name}" {SQL_TYPES[column.kind].dialect_impl(dialect).compile(dialect)}'
        for column in columns
    ]
    body = ", ".join([f"{kinds[0]} PRIMARY KEY", *kinds[1:]])
    connection.exec_driver_sql(f'CREATE TEMPORARY TABLE IF NOT EXISTS "{name}" ({body})')
    connection.exec_driver_sql(f'DELETE FROM "{name}"')


def joined(spec: Spec, left: str, right: str) -> str:
    """The join condition on the natural key."""
    return " AND ".join(f'{left}."{name}" = {right}."{name}"' for name in spec.key)


def differing(opened: Transaction, spec: Spec, *, alike: str = "", more: str = "") -> list[tuple[Any, ...]]:
    """The staged rows that are no exact repetition of what is current, and not older than it.

    Args:
        alike: a further condition for a repetition.
        more: further columns of the current row, with a leading comma.

    Returns:
        (ordinal, when the fact was first recorded, number of its newest version, ...), by ordinal; the two
        are None where the fact is new.
    """
    sql = (
        f"SELECT s.ordinal, c.first_recorded_at, c.change_seq{more} "
        f'FROM "{stage_name(spec)}" AS s LEFT JOIN "{spec.current}" AS c ON {joined(spec, "s", "c")} '
        f"WHERE c.content_hash IS NULL OR (NOT (c.content_hash = s.content_hash{alike}){_not_older(opened)}) "
        "ORDER BY s.ordinal"
    )
    cursor = opened.connection.connection.cursor()
    try:
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()]
    finally:
        cursor.close()


def _not_older(opened: Transaction) -> str:
    """A condition that leaves a current row alone which its source showed later than the rows at hand."""
    if opened.read_at is None:
        return ""
    # A moment's text is digits and signs alone, and both databases compare it as a moment.
    return f" AND (c.read_at IS NULL OR c.read_at <= '{moment_text(opened.read_at)}')"


def append(
    opened: Transaction,
    rows: Rows,
    found: Sequence[tuple[Any, ...]],
    state: dict[str, list[Any]] | None = None,
) -> None:
    """Write the found rows to the history, and from there to the projection.

    Args:
        found: as :func:`differing` gives them.
        state: values of the spec's state columns for each found row.
    """
    if not found:
        return
    spec, count = rows.spec, len(found)
    first = opened.take(count)
    content, hashes = rows.content, rows.hashes
    if count < len(rows):
        ordinals = pa.array([row[0] for row in found], pa.int64())
        content, hashes = content.take(ordinals), hashes.take(ordinals)
    beside = [pa.array((state or {})[column.name], pa.string()) for column in spec.state]
    bookkeeping = [
        hashes,
        pa.repeat(pa.scalar(opened.recorded_at, arrow.MOMENT), count),
        _first_recorded(opened, [row[1] for row in found]),
        pa.array(range(first, first + count), pa.int64()),
        pa.array([row[2] for row in found], pa.int64()),
        pa.repeat(pa.scalar(opened.read_at, arrow.MOMENT), count),
    ]
    arrays = [*content.columns, *beside, *bookkeeping]
    versions = pa.Table.from_arrays(arrays, schema=arrow.schema(spec.stored))
    opened.bulk.load(opened.connection, spec.version, spec.stored, versions)
    project(opened.connection, spec, first)


def _first_recorded(opened: Transaction, values: list[Any]) -> pa.Array:
    if all(value is None for value in values):
        return pa.repeat(pa.scalar(opened.recorded_at, arrow.MOMENT), len(values))
    moments = [
        opened.recorded_at
        if value is None
        else datetime.fromisoformat(value)
        if isinstance(value, str)
        else value
        for value in values
    ]
    return pa.array(moments, arrow.MOMENT)


def project(connection: Connection, spec: Spec, first: int) -> None:
    """Bring the projection up to date with the versions from a change number on."""
    names = [column.name for column in spec.projected]
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in spec.key)
    connection.execute(
        text(
            f'INSERT INTO "{spec.current}" ({quoted(names)}) SELECT {quoted(names)} FROM "{spec.version}" '
            f"WHERE change_seq >= :first ON CONFLICT ({quoted(spec.key)}) DO UPDATE SET {changes}"
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
