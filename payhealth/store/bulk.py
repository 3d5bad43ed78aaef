"""Many rows at once into and out of a database connection: the fast path of each dialect.

SQLite takes driver-level ``executemany``; PostgreSQL takes and gives ``COPY`` in CSV, which Arrow writes
and parses in C. Both run on SQLAlchemy's own connection, inside its transaction.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from sqlalchemy import Connection

from payhealth.store import amounts
from payhealth.store.arrow import MOMENT, TYPES, only_value, whole
from payhealth.store.spec import Column, Kind

_READ_ROWS = 50_000


class Bulk(Protocol):
    """What a dialect must offer."""

    def load(self, connection: Connection, table: str, columns: Sequence[Column], rows: pa.Table) -> None:
        """Append the rows, whose columns are in the order of ``columns``."""

    def read(
        self, connection: Connection, sql: str, parameters: Mapping[str, Any], columns: Sequence[Column]
    ) -> pa.Table:
        """The rows of a query whose columns are these; parameters are bound by ``:name``."""


def quoted(names: Sequence[str], prefix: str = "") -> str:
    """A comma-separated list of quoted column names."""
    return ", ".join(f'{prefix}"{name}"' for name in names)


def iso_text(column: pa.Array) -> pa.Array:
    """Moments as ``types.moment_text`` writes them."""
    text = column.cast(pa.timestamp("us")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(text, 10, 11, "T"), "Z", "")


class SqliteBulk:
    """The standard library's driver, without SQLAlchemy's layers between it and the rows."""

    def load(self, connection: Connection, table: str, columns: Sequence[Column], rows: pa.Table) -> None:
        """Append by ``executemany``; a column without values, as many are, is left to its default, NULL."""
        filled = [
            (column, array)
            for column, array in zip(columns, rows.columns, strict=True)
            if array.null_count < len(array)
        ]
        lists = [_values(_for_sqlite(column, array)) for column, array in filled]
        marks = ", ".join("?" * len(filled))
        names = quoted([column.name for column, _array in filled])
        _driver(connection).executemany(
            f'INSERT INTO "{table}" ({names}) VALUES ({marks})', zip(*lists, strict=True)
        )

    def read(
        self, connection: Connection, sql: str, parameters: Mapping[str, Any], columns: Sequence[Column]
    ) -> pa.Table:
        """Fetch tuples in slices and turn each slice into columns."""
        cursor = _driver(connection).execute(sql, dict(parameters))
        slices: list[list[pa.Array]] = [[] for _ in columns]
        while rows := cursor.fetchmany(_READ_ROWS):
            for place, column, values in zip(slices, columns, zip(*rows, strict=True), strict=True):
                place.append(_from_sqlite(column, values))
        arrays = [
            pa.chunked_array(place, TYPES[column.kind]) for place, column in zip(slices, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _values(array: pa.Array) -> list[Any]:
    """A column's values; one that holds the same everywhere, as many do, is made once."""
    same = only_value(array)
    return array.to_pylist() if same is None else [same.as_py()] * len(array)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _for_sqlite(column: Column, array: pa.ChunkedArray) -> pa.Array:
    if column.kind is Kind.MONEY:
        return amounts.to_keys(whole(array))
    return iso_text(whole(array)) if column.kind is Kind.MOMENT else whole(array)


def _from_sqlite(column: Column, values: Sequence[Any]) -> pa.Array:
    if column.kind is Kind.MONEY:
        return amounts.from_keys(pa.array(values, pa.string()))
    if column.kind is Kind.MOMENT:
        return pa.array(values, pa.string()).cast(MOMENT)
    if column.kind is Kind.BOOLEAN:
        return pa.array(values, pa.int64()).cast(pa.bool_())
    return pa.array(values, TYPES[column.kind])


class PostgresBulk:
    """COPY through psycopg."""

    def load(self, connection: Connection, table: str, columns: Sequence[Column], rows: pa.Table) -> None:
        """Append by ``COPY … FROM STDIN``."""
        arrays = [
            array.cast(pa.string()) if column.kind in (Kind.MONEY, Kind.MOMENT) else array
            for column, array in zip(columns, rows.columns, strict=True)
        ]
        names = [column.name for column in columns]
        buffer = io.BytesIO()
        # Arrow quotes every string and leaves null bare: exactly how COPY tells '' from NULL.
        options = pcsv.WriteOptions(include_header=False)
        pcsv.write_csv(pa.Table.from_arrays(arrays, names=names), buffer, options)
        with _driver(connection).cursor() as cursor:
            statement = f'COPY "{table}" ({quoted(names)}) FROM STDIN (FORMAT csv)'
            with cursor.copy(statement) as copy:
                copy.write(buffer.getbuffer())

    def read(
        self, connection: Connection, sql: str, parameters: Mapping[str, Any], columns: Sequence[Column]
    ) -> pa.Table:
        """Read by ``COPY … TO STDOUT``; moments leave the server as text that Arrow reads."""
        buffer = io.BytesIO()
        inner = ", ".join(_for_copy(column) for column in columns)
        for name in parameters:
            sql = sql.replace(f":{name}", f"%({name})s")
        with _driver(connection).cursor() as cursor:
            statement = f"COPY (SELECT {inner} FROM ({sql}) AS asked) TO STDOUT (FORMAT csv)"
            with cursor.copy(statement, dict(parameters) or None) as copy:
                for block in copy:
                    buffer.write(block)
        return _parsed(buffer, columns)


def _for_copy(column: Column) -> str:
    name = f'"{column.name}"'
    if column.kind is Kind.MOMENT:
        return f"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    return f"CASE WHEN {name} THEN 1 WHEN NOT {name} THEN 0 END" if column.kind is Kind.BOOLEAN else name


def _parsed(buffer: io.BytesIO, columns: Sequence[Column]) -> pa.Table:
    names = [column.name for column in columns]
    target = pa.schema([(column.name, TYPES[column.kind]) for column in columns])
    if not buffer.tell():
        return target.empty_table()
    read = pa.schema(
        [
            (column.name, pa.int64() if column.kind is Kind.BOOLEAN else TYPES[column.kind])
            for column in columns
        ]
    )
    buffer.seek(0)
    return pcsv.read_csv(
        buffer,
        # A block must hold the longest row; a raw body has a few kilobytes.
        read_options=pcsv.ReadOptions(column_names=names, block_size=16 << 20),
        parse_options=pcsv.ParseOptions(newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            column_types=read,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    ).cast(target)


def bulk_for(dialect: str) -> Bulk:
    """The bulk path of a dialect."""
    return SqliteBulk() if dialect == "sqlite" else PostgresBulk()
