"""Columns of amounts as whole numbers, so that sums and comparisons are exact and never wrap.

Amounts are held in units of ``10**-places``. Where every amount of a run and every sum of them fits,
the columns are int64; otherwise they hold Python's integers in units of 1e-18. The arithmetic of the
kernels is written once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import AmountError, InputError
from payhealth.domain.money import SCALE, from_scaled, to_scaled

Ints = npt.NDArray[Any]
"""int64, or objects that are Python's integers."""
Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_NARROW_BOUND = 2**61
_PLACES = (2, 6, 9)
_WORD = 2**64


@dataclass(frozen=True, slots=True)
class Units:
    """What one unit of an integer column stands for: ``10**-places``."""

    places: int = SCALE
    narrow: bool = False

    @property
    def factor(self) -> int:
        """Units of 1e-18 in one unit."""
        return int(10 ** (SCALE - self.places))

    def floor(self, amount: Decimal) -> int:
        """The largest number of units that does not exceed a non-negative amount."""
        return to_scaled(amount) // self.factor

    def whole(self, scaled: int) -> int:
        """A number of units for an amount in units of 1e-18.

        Raises:
            OverflowError: it is no whole number of these units; wide ones hold it.
        """
        number, rest = divmod(scaled, self.factor)
        if rest:
            raise OverflowError
        return number

    def array(self, values: Sequence[int]) -> Ints:
        """A column of these numbers of units."""
        return np.array(values, dtype=np.int64 if self.narrow else object)

    def zeros(self, size: int) -> Ints:
        """A column of zeros."""
        return np.zeros(size, dtype=np.int64 if self.narrow else object)

    def decimal(self, value: int) -> Decimal:
        """The amount as a decimal.

        Raises:
            AmountError: outside the domain.
        """
        return from_scaled(int(value) * self.factor)

    def text(self, value: int) -> str:
        """The canonical text of an amount of any size, as :func:`payhealth.domain.money.plain` writes it."""
        whole, rest = divmod(abs(int(value)), 10**self.places)
        digits = f"{whole}.{rest:0{self.places}d}".rstrip("0") if rest else str(whole)
        return f"-{digits}" if value < 0 else digits


WIDE = Units()


def choose_units(columns: Sequence[pa.ChunkedArray], quanta: Sequence[int]) -> Units:
    """The coarsest units in which all amounts and quanta are whole and no sum can leave int64.

    Args:
        columns: decimal128(38, 18).
        quanta: in units of 1e-18.
    """
    rows = sum(len(column) for column in columns) + 1
    for places in _PLACES:
        units = Units(places, narrow=True)
        if any(quantum % units.factor for quantum in quanta):
            continue
        try:
            narrow = [to_ints(column, units) for column in columns]
        except pa.ArrowInvalid:
            continue
        largest = max((int(np.abs(column).max()) for column in narrow if column.size), default=0)
        if largest * rows < _NARROW_BOUND:
            return units
    return WIDE


def to_ints(column: pa.ChunkedArray | pa.Array, units: Units) -> Ints:
    """A decimal128(38, 18) column without nulls as numbers of units.

    Raises:
        pyarrow.ArrowInvalid: an amount is not a whole number of narrow units.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if units.narrow:
        narrow = pc.cast(array, pa.decimal64(18, units.places))
        return _words(narrow, np.dtype(np.int64), 1)
    pairs = _words(array, np.dtype(np.uint64), 2).reshape(-1, 2)
    high = pairs[:, 1].view(np.int64).astype(object)
    return np.asarray(high * _WORD + pairs[:, 0].astype(object), dtype=object)


def _words(array: pa.Array, dtype: np.dtype[Any], each: int) -> Ints:
    buffer = array.buffers()[1]
    if buffer is None or not len(array):
        return np.zeros(0, dtype=dtype)
    start = array.offset * each * dtype.itemsize
    return np.frombuffer(buffer, dtype=dtype, count=len(array) * each, offset=start)


def to_decimals(values: Ints, units: Units) -> pa.Array:
    """Numbers of units as decimal128(38, 18).

    Raises:
        InputError: a sum of the amounts does not fit into 38 digits.
    """
    if units.narrow and values.dtype == np.int64:
        narrow = pa.Array.from_buffers(
            pa.decimal64(18, units.places), len(values), [None, pa.py_buffer(values.copy())]
        )
        return pc.cast(narrow, pa.decimal128(38, SCALE))
    try:
        return pa.array([units.decimal(value) for value in values.tolist()], pa.decimal128(38, SCALE))
    except AmountError as error:
        raise InputError("the amounts of one group add up to more than 38 digits can hold") from error


def sum_by(index: Index, values: Ints, size: int) -> Ints:
    """The sum of the values of each bucket ``0 .. size - 1``."""
    out = np.zeros(size, dtype=values.dtype)
    np.add.at(out, index, values)
    return out


def max_by(index: Index, values: Ints, size: int, least: int) -> Ints:
    """The largest value of each bucket, ``least`` where it is empty."""
    return _reduce_by(np.maximum, index, values, np.full(size, least, dtype=values.dtype))


def min_by(index: Index, values: Ints, size: int, most: int) -> Ints:
    """The smallest value of each bucket, ``most`` where it is empty."""
    return _reduce_by(np.minimum, index, values, np.full(size, most, dtype=values.dtype))


def _reduce_by(operation: np.ufunc, index: Index, values: Ints, out: Ints) -> Ints:
    if index.size:
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        out[ordered[starts]] = operation.reduceat(values[order], starts)
    return out


def any_by(index: Index, mask: Mask, size: int) -> Mask:
    """Whether any row of each bucket is marked."""
    out = np.zeros(size, dtype=bool)
    out[index[mask]] = True
    return out


def all_by(index: Index, mask: Mask, size: int) -> Mask:
    """Whether every row of each bucket is marked."""
    return ~any_by(index, ~mask, size)


def codes(columns: Sequence[pa.ChunkedArray | pa.Array]) -> tuple[list[Index], list[str]]:
    """Number the distinct texts of several columns in the order of the texts.

    Returns:
        One column of numbers for each column, and the texts by number. The empty text, where there
        is one, is number 0.
    """
    chunks = [chunk for column in columns for chunk in _chunks(column)]
    encoded = pa.chunked_array(chunks, pa.string()).combine_chunks().dictionary_encode()
    names = encoded.dictionary
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    ranked = rank[encoded.indices.to_numpy(zero_copy_only=False)] if len(names) else np.zeros(0, np.int64)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return list(np.split(ranked, ends)), names.take(pa.array(order)).to_pylist()


def _chunks(column: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk for chunk in chunks]
