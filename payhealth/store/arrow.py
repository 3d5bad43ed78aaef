"""Records as Arrow tables: one schema a spec, checked on the way in, and a content hash of every row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import AmountError, InputError, TimeError
from payhealth.domain.record import Record
from payhealth.store import amounts
from payhealth.store.spec import Column, Kind, Missing, Spec

MOMENT = pa.timestamp("us", "UTC")
TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.MONEY: amounts.MONEY,
    Kind.MOMENT: MOMENT,
    Kind.REAL: pa.float64(),
}
_FEW = 100
"""Rows from which on it is worth a look whether a column holds one value."""

_SEPARATOR = "\x1f"


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of these columns."""
    return pa.schema([pa.field(column.name, TYPES[column.kind], column.nullable) for column in columns])


def content_table(spec: Spec, rows: Sequence[Record] | pa.Table) -> pa.Table:
    """Rows as one table with exactly the spec's content columns, in contiguous chunks.

    Args:
        rows: records, or a table with the record's fields as columns (those with defaults may be absent).

    Raises:
        InputError: a missing, unknown, null or ill-typed value; AmountError and TimeError are kinds of it.
    """
    if isinstance(rows, pa.Table):
        _known_columns(spec, rows.column_names)
        arrays = [_from_table(spec, column, rows) for column in spec.columns]
    else:
        arrays = _from_records(spec, rows)
    for column, array in zip(spec.columns, arrays, strict=True):
        if not column.nullable and array.null_count:
            raise InputError(f"{spec.name}.{column.name}: a value is missing")
    return pa.Table.from_arrays(arrays, schema=schema(spec.columns))


def _known_columns(spec: Spec, names: Sequence[str]) -> None:
    unknown = set(names) - {column.name for column in spec.columns}
    if unknown:
        raise InputError(f"{spec.name} has no column {min(unknown)!r}")


def _from_table(spec: Spec, column: Column, table: pa.Table) -> pa.Array:
    if column.name not in table.column_names:
        if column.default is Missing.MISSING:
            raise InputError(f"{spec.name}.{column.name}: the column is missing")
        return pa.repeat(pa.scalar(column.default, TYPES[column.kind]), table.num_rows)
    given = table.column(column.name)
    if column.kind is Kind.MOMENT and pa.types.is_timestamp(given.type) and given.type.tz is None:
        raise TimeError(f"{spec.name}.{column.name}: moments without a time zone")
    if column.kind is Kind.MONEY and pa.types.is_floating(given.type):
        raise AmountError(f"{spec.name}.{column.name}: a float is no amount")
    try:
        array = given.cast(TYPES[column.kind]).combine_chunks()
    except pa.ArrowException as error:
        raise _wrong(spec, column, error) from error
    # A table without rows has no chunk at all in some versions of Arrow.
    whole = array.chunk(0) if isinstance(array, pa.ChunkedArray) and array.num_chunks else array
    return _storable(column, whole if isinstance(whole, pa.Array) else pa.array([], TYPES[column.kind]))


def _from_records(spec: Spec, rows: Sequence[Record]) -> list[pa.Array]:
    fields = attrgetter(*(column.name for column in spec.columns))
    values = list(zip(*map(fields, rows), strict=True)) or [()] * len(spec.columns)
    return [
        _from_values(spec, column, list(given)) for column, given in zip(spec.columns, values, strict=True)
    ]


def _from_values(spec: Spec, column: Column, values: list[Any]) -> pa.Array:
    if column.kind is Kind.MOMENT and any(_is_naive(value) for value in values):
        raise TimeError(f"{spec.name}.{column.name}: a moment without a time zone")
    try:
        if column.kind is Kind.MONEY:
            return amounts.from_decimals(values)
        return _storable(column, pa.array(values, TYPES[column.kind]))
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError) as error:
        raise _wrong(spec, column, error) from error


def _is_naive(value: Any) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is None


def _wrong(spec: Spec, column: Column, error: Exception) -> InputError:
    kind = AmountError if column.kind is Kind.MONEY else InputError
    return kind(f"{spec.name}.{column.name}: {str(error).splitlines()[0][:200]}")


def _storable(column: Column, array: pa.Array) -> pa.Array:
    """PostgreSQL's text cannot hold NUL: both databases keep the replacement character in its place."""
    if column.kind is Kind.TEXT and _holds(array, "\x00"):
        return pc.replace_substring(array, "\x00", "\ufffd")
    return array


def _holds(texts: pa.Array, sign: str) -> bool:
    """Whether a sign is in the texts; Arrow's own search takes thirty times as long."""
    _valid, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    ends = memoryview(offsets).cast("i")
    held = data.slice(ends[texts.offset], ends[texts.offset + len(texts)] - ends[texts.offset])
    return sign.encode() in held.to_pybytes()


def content_hashes(spec: Spec, table: pa.Table) -> pa.Array:
    """A hash of the content of every row, the same for equal content on any machine and version.

    A value that equals its column's default is left out, so that a field added to a record later does
    not make every record that is read again a new version.
    """
    if not len(table):
        return pa.array([], pa.string())
    formed = (_hashed_form(column, table.column(column.name)) for column in spec.columns)
    parts = [part for part in formed if part is not None]
    joined = whole(pc.binary_join_element_wise(*parts, _SEPARATOR, null_handling="skip"))
    blake = hashlib.blake2b
    return pa.array(
        [blake(row, digest_size=16).hexdigest() for row in joined.cast(pa.binary()).to_pylist()], pa.string()
    )


def _hashed_form(column: Column, array: pa.ChunkedArray) -> pa.Array | pa.Scalar | None:
    """``name=value``, null where the value is the default; a separator inside a value is doubled.

    A scalar where every row holds the same. None where the whole column is at its default, which most
    columns of most pages are.
    """
    values = whole(array)
    if column.default not in (None, Missing.MISSING):
        values = pc.if_else(pc.equal(values, pa.scalar(column.default, values.type)), None, values)
    if values.null_count == len(values):
        return None
    if column.kind is Kind.MONEY:
        values = amounts.scaled_text(values)
    elif column.kind is Kind.MOMENT:
        values = values.cast(pa.int64()).cast(pa.string())
    elif column.kind is not Kind.TEXT:
        values = values.cast(pa.string())
    elif _holds(values, _SEPARATOR):
        values = pc.replace_substring(values, _SEPARATOR, _SEPARATOR * 2)
    same = only_value(values)
    if same is not None:
        return pa.scalar(f"{column.name}={same.as_py()}", pa.string())
    return pc.binary_join_element_wise(f"{column.name}=", values, "")


def only_value(array: pa.Array) -> pa.Scalar | None:
    """The value of a column that holds the same in every row; None for others, and for one with nulls."""
    if len(array) < _FEW or array.null_count or array[-1] != array[0]:
        return None
    return array[0] if pc.all(pc.equal(array, array[0])).as_py() else None


def whole(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One contiguous array, whichever of the two Arrow gives."""
    if isinstance(array, pa.ChunkedArray):
        return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array


def last_of_each_key(spec: Spec, table: pa.Table) -> pa.Table:
    """Without rows whose key comes again later in the table: the later one is the newer version."""
    keys = list(zip(*(table.column(name).to_pylist() for name in spec.key), strict=True))
    last = {key: position for position, key in enumerate(keys)}
    return table if len(last) == len(keys) else table.take(pa.array(sorted(last.values()), pa.int64()))
