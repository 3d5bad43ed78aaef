"""Amounts and moments of a column: exact decimals, UTC to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import AmountError, TimeError
from payhealth.domain.money import PRECISION, SCALE, checked, parse_amount
from payhealth.domain.times import parse_moment, to_us
from payhealth.tabular import buffers
from payhealth.tabular.checks import Checked, as_texts, trimmed, typed
from payhealth.tabular.schema import MOMENT, MONEY, Side

_SIGNED = r"^[+-]?[0-9]{1,20}(\.[0-9]{1,18})?$"
_UNSIGNED = r"^[0-9]{1,20}(\.[0-9]{1,18})?$"
_SAFE_LENGTH = 20
"""Arrow's cast from text to decimal wraps silently beyond 38 digits; texts this short cannot get there."""

_ZULU = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)$"
_LOWEST = np.frombuffer(b"0000-00-00T00:00:00Z", np.uint8)
_SPAN = np.frombuffer(b"9999-99-99T99:99:99Z", np.uint8) - _LOWEST
_SLICE_ROWS = 4096

_FIRST_US = to_us(datetime.min.replace(tzinfo=UTC))
_LAST_US = to_us(datetime.max.replace(tzinfo=UTC))
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def amounts(column: pa.Array, side: Side) -> Checked:
    """Exact decimals, of whatever type the column is."""
    if pa.types.is_decimal(column.type) or pa.types.is_integer(column.type):
        return _exact_amounts(column, side)
    texts = trimmed(column)
    if _is_simple(texts, side):
        try:
            return Checked(texts.cast(MONEY), {})
        except pa.ArrowInvalid:  # the regular expression tells which ones
            pass
    odd = pc.invert(pc.match_substring_regex(texts, _SIGNED if side.signed else _UNSIGNED))
    plain = pc.if_else(odd, "0", texts)

    def check(text: str) -> Decimal:
        if not text:
            raise AmountError("amount is empty")
        if not side.signed and text[0] in "+-":
            raise AmountError(f"an amount of {side.name} carries no sign: {text[:40]!r}")
        return parse_amount(text)

    return typed(plain.cast(MONEY), texts, odd, check)


def _is_simple(texts: pa.StringArray, side: Side) -> bool:
    """Whether the cast to decimal refuses all that the domain's parser refuses.

    The byte ranges hold the digits and the point, ``/`` and, below them for the signs, ``,``: of those
    last two the cast wants none, as it wants no sign but a first one.
    """
    if not len(texts) or int(buffers.lengths(texts).max()) > _SAFE_LENGTH:
        return False
    return buffers.between(buffers.bytes_of(texts), ord("+" if side.signed else "."), ord("9"))


def _exact_amounts(column: pa.Array, side: Side) -> Checked:
    """Decimals of any scale and integers; a value outside the domain is one row's fault."""
    try:
        values = _within(column).cast(MONEY)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # let each value tell
        values, odd = pa.nulls(len(column), MONEY), pa.array(np.ones(len(column), bool))
    else:
        odd = pc.is_null(values)
        if not side.signed:
            odd = pc.or_(odd, pc.fill_null(pc.less(values, pa.scalar(Decimal(0), MONEY)), False))
    if not pc.any(odd).as_py():
        return Checked(values, {})
    texts = pa.array([_digits(value) for value in column.to_pylist()], pa.string())

    def check(text: str) -> Decimal:
        if not text:
            raise AmountError("amount is empty")
        amount = checked(Decimal(text))
        if not side.signed and text[0] == "-":
            raise AmountError(f"an amount of {side.name} carries no sign: {text[:40]!r}")
        return amount

    return typed(values, texts, odd, check)


def _within(column: pa.Array) -> pa.Array:
    """The column with nulls for what has more than 20 digits before the point.

    Arrow's cast between decimals wraps such numbers silently where their scale grows.
    """
    kind = column.type
    if not pa.types.is_decimal(kind) or kind.precision - kind.scale <= PRECISION - SCALE:
        return column
    if kind.scale < 0:  # Arrow does not compare those
        return pa.nulls(len(column), kind)
    bound = 10 ** (PRECISION - SCALE)
    inside = pc.and_(
        pc.less(column, pa.scalar(Decimal(bound), kind)), pc.greater(column, pa.scalar(Decimal(-bound), kind))
    )
    return pc.if_else(inside, column, pa.scalar(None, kind))


def _digits(value: Decimal | int | None) -> str:
    return "" if value is None else f"{Decimal(value):f}"


def moments(column: pa.Array) -> Checked:
    """Moments in UTC; what is finer than a microsecond is cut off, in texts and in typed columns alike."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return _exact_moments(column)
    if not (pa.types.is_string(column.type) or pa.types.is_null(column.type)):
        column = column.cast(pa.string())  # without a zone, or no moment: each row says so
    texts = trimmed(column)
    odd = pa.array(np.zeros(len(texts), bool)) if _is_uniform(texts) else _not_zulu(texts)
    filled = pc.if_else(odd, "1970-01-01T00:00:00Z", texts) if pc.any(odd).as_py() else texts
    values, unread = _cast_moments(filled)
    return typed(values, texts, pc.or_(odd, unread), _moment)


def _moment(text: str) -> datetime:
    if not text:
        raise TimeError("occurred_at is empty")
    return parse_moment(text)


def _not_zulu(texts: pa.StringArray) -> pa.Array:
    return pc.invert(pc.match_substring_regex(texts, _ZULU))


def _is_uniform(texts: pa.StringArray) -> bool:
    """Whether every text is of the form ``2026-01-31T23:59:59Z``, digits unread."""
    width = len(_LOWEST)
    if not len(texts) or not bool((buffers.lengths(texts) == width).all()):
        return False
    letters = buffers.bytes_of(texts).reshape(-1, width)
    return bool(((letters - _LOWEST) <= _SPAN).all())  # unsigned: what is below wraps far above


def _cast_moments(texts: pa.StringArray) -> tuple[pa.Array, pa.Array]:
    """Texts of common form as moments, and those that are none (a 30th of February) marked."""
    try:
        values = texts.cast(MOMENT)
    except pa.ArrowInvalid:
        if len(texts) <= _SLICE_ROWS:
            return pa.nulls(len(texts), MOMENT), pa.array(np.ones(len(texts), bool))
        parts = [_cast_moments(texts.slice(at, _SLICE_ROWS)) for at in range(0, len(texts), _SLICE_ROWS)]
        return pa.concat_arrays([one for one, _ in parts]), pa.concat_arrays([odd for _, odd in parts])
    return values, _outside(values.cast(pa.int64()), 10**6)


def _outside(ticks: pa.Array, per_second: int) -> pa.Array:
    """Whether a number of ticks lies outside the years 1 to 9999, which is all that Python can tell."""
    lowest, highest = _FIRST_US * per_second // 10**6, (_LAST_US + 1) * per_second // 10**6 - 1
    reach = 2**63
    below = pc.less(ticks, pa.scalar(max(lowest, -reach), pa.int64()))
    return pc.or_(below, pc.greater(ticks, pa.scalar(min(highest, reach - 1), pa.int64())))


def _exact_moments(column: pa.Array) -> Checked:
    """Timestamps of any unit; a nanosecond's remainder is cut off towards the past, as in texts."""
    per_second = _PER_SECOND[column.type.unit]
    ticks = column.cast(pa.int64())
    odd = pc.fill_null(_outside(ticks, per_second), True)
    inside = pc.if_else(odd, pa.scalar(0, pa.int64()), ticks)
    if per_second <= 10**6:
        us = pc.multiply(inside, pa.scalar(10**6 // per_second, pa.int64()))
    else:
        us = pa.array(inside.to_numpy() // (per_second // 10**6))
    texts = as_texts(pc.cast(ticks, pa.string()))

    def check(text: str) -> datetime:
        if not text:
            raise TimeError("occurred_at is empty")
        raise TimeError("not a moment of the years 1 to 9999")

    return typed(us.cast(MOMENT), texts, odd, check)
