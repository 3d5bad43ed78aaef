"""Typed columns (Parquet, Arrow, pandas, Polars, Python values) as chunks."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pyarrow as pa

from payhealth.domain.errors import InputError
from payhealth.tabular.schema import Chunk, Place, Side, Source, known_columns

CHUNK_ROWS = 128 * 1024
_MAX_DIGITS = 200

Load = Callable[[], pa.Table]


def from_arrow(table: pa.Table, file: str, side: Side, *, whole: Load | None = None) -> Source:
    """An Arrow table as chunks; a row's line is its number, from 1.

    Args:
        table: the known columns at least.
        whole: gives the table with all its columns, asked only where rows have to be shown or compared.

    Raises:
        InputError: a column is missing, there twice, a float or of another type that cannot be read.
    """
    known = known_columns(table.column_names, side, file)
    columns = {name: _readable(table.column(place), name, file) for name, place in known.items()}
    for name in side.columns:
        columns.setdefault(name, pa.chunked_array([pa.nulls(table.num_rows, pa.string())]))
    loaded = whole if whole is not None else lambda: table
    return Source(file=file, jobs=_jobs(columns, table.num_rows, _Rows(loaded)))


def _jobs(columns: Mapping[str, pa.ChunkedArray], count: int, rows: _Rows) -> Iterator[Callable[[], Chunk]]:
    for first in range(0, count, CHUNK_ROWS):
        yield partial(_chunk, columns, first, min(CHUNK_ROWS, count - first), rows)


def _chunk(columns: Mapping[str, pa.ChunkedArray], first: int, count: int, rows: _Rows) -> Chunk:
    where = partial(rows.places, first)
    arrays = {name: _flat(column.slice(first, count)) for name, column in columns.items()}
    return Chunk(count=count, columns=arrays, where=where, again=where)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    """One array, its texts of the usual layout; a dictionary is spelled out."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if _is_text(kind) or pa.types.is_null(kind):
        column = column.cast(pa.string())
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _readable(column: pa.ChunkedArray, name: str, file: str) -> pa.ChunkedArray:
    """The column, if its type is one that can be read."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_text(kind) or pa.types.is_null(kind) or pa.types.is_integer(kind):
        return column
    if name == "amount" and pa.types.is_decimal(kind) and kind.scale <= kind.precision:
        return column
    if name == "amount" and pa.types.is_floating(kind):
        raise InputError(f"{file}: amount is a float column", hint="cast it to a decimal or to text first")
    if name == "occurred_at" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return column
    raise InputError(f"{file}: the column {name} is of type {kind}, which cannot be read")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table as CSV text, to be shown and compared."""

    whole: Load

    def places(self, first: int, ordinals: Sequence[int]) -> list[Place]:
        numbers = [first + ordinal for ordinal in ordinals]
        table = self.whole().take(pa.array(numbers, pa.int64()))
        # By position, for an extra column may be there twice.
        columns = [_shown(column) for column in table.columns]
        rows = zip(*columns, strict=True) if columns else ((),) * len(numbers)
        return [Place(number + 1, _csv(row)) for number, row in zip(numbers, rows, strict=True)]


def _shown(column: pa.ChunkedArray) -> list[str]:
    """Values as texts; a timestamp by its own digits, for Python has no nanoseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.string())
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _csv(row: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(row)
    return text.getvalue()


def from_pandas(data: Any, file: str, side: Side) -> Source:
    """A pandas frame as chunks; its index is no column.

    Raises:
        InputError: as :func:`from_arrow`.
    """
    names = [str(name) for name in data.columns]
    arrays = [_series(data.iloc[:, place], name, side) for place, name in enumerate(names)]
    return from_arrow(pa.Table.from_arrays(arrays, names=names), file, side)


def _series(series: Any, name: str, side: Side) -> pa.Array | pa.ChunkedArray:
    """A column of one type as Arrow has it, one of Python objects value by value."""
    if str(series.dtype) != "object":
        return pa.array(series, from_pandas=True)
    missing = series.isna()
    if name.strip() not in side.columns:
        return pa.array([None if gone else repr(value) for value, gone in zip(series, missing, strict=True)])
    values = [None if gone else text(value, name) for value, gone in zip(series, missing, strict=True)]
    return pa.array(values, pa.string())


def from_rows(rows: Iterable[Any], file: str, side: Side) -> Source:
    """Mappings or dataclass records as chunks.

    Raises:
        InputError: a row is neither, or a value is a float or of another type that cannot be read.
    """
    mappings = [_mapping(row) for row in rows]
    names = list(dict.fromkeys(key for row in mappings for key in row)) if mappings else list(side.columns)
    arrays = [_values([row.get(name) for row in mappings], name, side) for name in names]
    return from_arrow(pa.Table.from_arrays(arrays, names=[str(name) for name in names]), file, side)


def _values(values: Sequence[Any], name: Any, side: Side) -> pa.Array:
    if name in side.columns:
        return pa.array([text(value, name) for value in values], pa.string())
    return pa.array([None if value is None else _bare(repr(value)) for value in values], pa.string())


def _mapping(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    raise InputError(f"a row must be a mapping or a record, not {type(row).__name__}")


def text(value: Any, name: str) -> str | None:
    """A Python value as a text that says the same.

    Raises:
        InputError: a float, or another type that cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _bare(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _decimal(Decimal(int(value)))
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    raise InputError(f"{name}: {type(value).__name__} values cannot be read", hint="use Decimal or text")


def _bare(value: str) -> str:
    """A text that can be stored: half a character (a lone surrogate) becomes a NUL, which is refused."""
    return (
        value if value.isascii() else "".join("\0" if "\ud800" <= one <= "\udfff" else one for one in value)
    )


def _decimal(value: Decimal) -> str:
    """All digits; with an exponent, and so malformed, where there would be too many of them."""
    if (
        not value.is_finite()
        or abs(value.adjusted()) > _MAX_DIGITS
        or len(value.as_tuple().digits) > _MAX_DIGITS
    ):
        return f"{value:.6E}" if value.is_finite() else str(value)
    return f"{value:f}"


def _moment(value: datetime) -> str:
    """ISO 8601 in UTC; one without a zone stays without one, and is rejected row by row."""
    try:
        return value.isoformat() if value.utcoffset() is None else value.astimezone(UTC).isoformat()
    except (OverflowError, ValueError):
        return value.isoformat()
