"""Typed columns (Parquet, Arrow, pandas, Polars, Python values) as texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.tabular.schema import Texts


def from_arrow(table: pa.Table, file: str, *, first_line: int = 1) -> Texts:
    """An Arrow table as texts; a row's line is its number.

    Raises:
        InputError: an amount column is a float, or a column has a type that cannot be read.
    """
    names = table.column_names
    if len(set(names)) != len(names):
        raise InputError(f"{file}: a column is there twice")
    arrays = [_texts(table[name], name, file) for name in names]
    lines = list(range(first_line, first_line + table.num_rows))
    return Texts(file=file, table=pa.table(arrays, names=names), lines=lines, raws=None)


def _texts(column: pa.ChunkedArray, name: str, file: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.string())
    if pa.types.is_string_view(kind):
        return column.cast(pa.string())
    if name not in ("id", "kind", "account", "reference", "amount", "asset", "occurred_at"):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    if pa.types.is_timestamp(kind):
        return _moments(column)
    if pa.types.is_decimal(kind):
        return pa.chunked_array([pa.array([_plain(value) for value in column.to_pylist()], pa.string())])
    if pa.types.is_integer(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind) and name == "amount":
        raise InputError(f"{file}: amount is a float column", hint="cast it to a decimal or to text first")
    raise InputError(f"{file}: the column {name} is of type {kind}, which cannot be read")


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """ISO 8601; one without a zone stays without one, and is rejected row by row."""
    zoned = column.type.tz is not None
    exact = column.cast(pa.timestamp("us", tz="UTC" if zoned else None), safe=False)
    return pc.binary_join_element_wise(
        pc.strftime(exact, format="%Y-%m-%dT%H:%M:%S"), "Z" if zoned else "", ""
    )


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def from_rows(rows: Iterable[Any], name: str) -> Texts:
    """Mappings or dataclass records as texts.

    Raises:
        InputError: a row is neither, or a value is a float or of a type that cannot be read.
    """
    mappings = [_mapping(row) for row in rows]
    names = list(dict.fromkeys(key for row in mappings for key in row))
    arrays = [pa.array([_text(row.get(key), key) for row in mappings], pa.string()) for key in names]
    return Texts(
        file=name, table=pa.table(arrays, names=names), lines=list(range(1, len(mappings) + 1)), raws=None
    )


def _mapping(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    raise InputError(f"a row must be a mapping or a record, not {type(row).__name__}")


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or isinstance(value, float):
        raise InputError(f"{name}: {type(value).__name__} values cannot be read", hint="use Decimal or text")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int):
        return str(value)
    raise InputError(f"{name}: {type(value).__name__} values cannot be read")
