"""Rows of primitive values as Arrow tables, one a record class: a page at a time, amounts exact.

A row is a dict by the record's field names. An amount is an integer of minor units and a moment unix
seconds; :data:`DIGITS` says how many digits after the point the row's amounts carry. Amounts become
decimals by one exact multiplication of a whole column, never through a float.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.connectors.stripe.currencies import DIGITS_MAX
from payhealth.connectors.stripe.fields import TEXT_CHARS_MAX, fitting
from payhealth.domain.money import PRECISION, SCALE
from payhealth.domain.record import Record
from payhealth.domain.records import RECORD_TYPES

DIGITS = "digits"
"""The key of a row that is no field: the digits of its amounts."""

_MONEY = pa.decimal128(PRECISION, SCALE)
_MOMENT = pa.timestamp("us", "UTC")
_MINOR = pa.decimal128(19, 0)
"""Holds any integer of 64 bits."""

_UNITS = pa.array(
    [Decimal(1).scaleb(-digits) for digits in range(DIGITS_MAX + 1)],
    pa.decimal128(DIGITS_MAX + 1, DIGITS_MAX),
)
"""What one minor unit is worth, by the currency's digits."""

Row = Mapping[str, Any]


class _Kind(Enum):
    TEXT = "text"
    OPTIONAL_TEXT = "optional text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    AMOUNT = "amount"
    EXACT = "exact"
    MOMENT = "moment"


_KINDS = {
    str: _Kind.TEXT,
    str | None: _Kind.OPTIONAL_TEXT,
    int: _Kind.INTEGER,
    bool: _Kind.BOOLEAN,
    Decimal: _Kind.AMOUNT,
    datetime: _Kind.MOMENT,
}


_NAMED = {"raw": _Kind.TEXT, "exchange_rate": _Kind.EXACT}
"""Fields that are not what their type says: JSON is not cut, and a rate has no minor units."""


def _kinds_of(record_type: type[Record]) -> dict[str, _Kind]:
    """What each field of a record holds."""
    hints = typing.get_type_hints(record_type)
    return {
        field.name: _NAMED.get(field.name) or _kind(hints[field.name])
        for field in dataclasses.fields(record_type)
        if field.name != "connector"
    }


def _kind(hint: Any) -> _Kind:
    """The kind of a field's type, which may also be None."""
    return next(_KINDS[each] for each in (hint, *typing.get_args(hint)) if each in _KINDS)


_FIELDS = {record_type: _kinds_of(record_type) for record_type in RECORD_TYPES}


def table(record_type: type[Record], rows: Sequence[Row], connector: str) -> pa.Table:
    """The rows as one table, each natural key once: the last row of a key is its newest version.

    Args:
        rows: at least one, all with the same keys; fields with defaults may be absent.
    """
    unique = _last_of_each_key(record_type, rows)
    kinds = _FIELDS[record_type]
    names = [name for name in kinds if name in unique[0]]
    values = dict(zip(names, zip(*map(itemgetter(*names), unique), strict=True), strict=True))
    digits = pa.array([row[DIGITS] for row in unique], pa.int8()) if DIGITS in unique[0] else None
    arrays = [_array(kinds[name], column, digits) for name, column in values.items()]
    connectors = pa.repeat(pa.scalar(connector), len(unique))
    return pa.table([connectors, *arrays], ["connector", *names])


def _last_of_each_key(record_type: type[Record], rows: Sequence[Row]) -> Sequence[Row]:
    keys = record_type.KEY[1:]
    if len(keys) == 1:
        (key,) = keys
        found: dict[Any, Row] = {row[key]: row for row in rows}
    else:
        found = {tuple([row[key] for key in keys]): row for row in rows}
    return rows if len(found) == len(rows) else list(found.values())


def _array(kind: _Kind, values: tuple[Any, ...], digits: pa.Array | None) -> pa.Array:
    if kind is _Kind.TEXT:
        return pa.array(values, pa.string())
    if kind is _Kind.OPTIONAL_TEXT:
        return _texts(values)
    if kind is _Kind.MOMENT:
        return pa.array(values, pa.int64()).cast(pa.timestamp("s", "UTC")).cast(_MOMENT)
    if kind is _Kind.AMOUNT:
        return amounts(pa.array(values, pa.int64()), digits)
    if kind is _Kind.EXACT:
        return pa.array(values, _MONEY)
    return pa.array(values, pa.bool_() if kind is _Kind.BOOLEAN else pa.int64())


def _texts(values: tuple[Any, ...]) -> pa.Array:
    """Texts as they are; what is no text or an empty one is nothing, and one that is too long is cut.

    Asked of whole columns, because nearly all values of nearly all pages fit.
    """
    try:
        found = pa.array(values, pa.string())
    except pa.ArrowException:
        return pa.array(map(fitting, values), pa.string())
    lengths = pc.min_max(pc.binary_length(found))
    if lengths["min"].as_py() == 0 or (lengths["max"].as_py() or 0) > TEXT_CHARS_MAX:
        return pa.array(map(fitting, values), pa.string())
    return found


def amounts(minor: pa.Array, digits: pa.Array) -> pa.Array:
    """Minor units in major ones, exact: any integer of 64 bits lies in the domain in every currency."""
    return pc.multiply(minor.cast(_MINOR), _UNITS.take(digits)).cast(_MONEY)


def strange(column: pa.ChunkedArray, known: frozenset[str]) -> Mapping[str, int]:
    """How often each value of a column occurs that is not among the known ones; nothing is known."""
    values = set(pc.unique(column).to_pylist()) - known - {None}
    return {value: pc.sum(pc.equal(column, value)).as_py() for value in values}
