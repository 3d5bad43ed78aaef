"""Amount columns between Arrow's decimal128(38, 18) and SQLite's ordered keys, a column at a time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.money import MAX_SCALED, PRECISION, SCALE

MONEY = pa.decimal128(PRECISION, SCALE)
WHOLE_DIGITS = PRECISION - SCALE
_SCALED = pa.decimal128(PRECISION, 0)
# One digit more than the domain, so that taking nine's complements cannot overflow.
_WIDE = pa.decimal256(PRECISION + 1, 0)
_MAX = pa.scalar(Decimal(MAX_SCALED), _WIDE)


def _relabelled(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The same 128 bits read with another scale: no arithmetic, so nothing can overflow."""
    return pa.Array.from_buffers(kind, len(column), column.buffers(), offset=column.offset)


def scaled_text(column: pa.Array) -> pa.Array:
    """Amounts as integers of 1e-18, in text: the canonical form that the content hash covers."""
    return _relabelled(column, _SCALED).cast(pa.string())


def to_keys(column: pa.Array) -> pa.Array:
    """What ``domain.money.ordered_key`` gives for every value; null stays null."""
    wide = _relabelled(column, _SCALED).cast(_WIDE)
    negative = pc.less(wide, pa.scalar(Decimal(0), _WIDE))
    complement = pc.add(wide, _MAX)
    digits = pc.if_else(negative, complement, wide.cast(complement.type)).cast(pa.string())
    return pc.binary_join_element_wise(
        pc.if_else(negative, "0", "1"), pc.utf8_lpad(digits, PRECISION, "0"), ""
    )


def from_keys(column: pa.Array) -> pa.Array:
    """The exact inverse of :func:`to_keys`."""
    negative = pc.equal(pc.utf8_slice_codeunits(column, 0, 1), "0")
    magnitude = pc.utf8_slice_codeunits(column, 1).cast(_WIDE)
    below_zero = pc.subtract(magnitude, _MAX)
    scaled = pc.if_else(negative, below_zero, magnitude.cast(below_zero.type)).cast(_SCALED)
    return _relabelled(scaled, MONEY)


def from_decimals(values: list[Any]) -> pa.Array:
    """Decimals as a column, exact or an error.

    By way of text: pyarrow's own path is fifteen times slower for decimals of 38 digits, and takes floats.
    """
    if not all(value is None or isinstance(value, Decimal) for value in values):
        raise pa.ArrowInvalid("an amount that is no Decimal")
    # Arrow's cast from text wraps silently beyond 20 digits before the point.
    if any(
        value is not None and (not value.is_finite() or value.adjusted() >= WHOLE_DIGITS) for value in values
    ):
        raise pa.ArrowInvalid("an amount outside the domain")
    return pa.array([None if value is None else str(value) for value in values], pa.string()).cast(MONEY)
