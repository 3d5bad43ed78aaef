"""Which lines of a CSV block the quick parser may have: those that are a whole record by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_COMMA, _QUOTE, _LF, _CR = 44, 34, 10, 13


@dataclass(frozen=True, slots=True)
class Lines:
    """The physical lines of a block that holds no lone CR.

    Args:
        starts: where each begins.
        ends: where each line's LF stands, the block's length where the last line has none.
        blank: lines of nothing.
        odd: lines that are not plainly one record of the right number of fields.
    """

    starts: Array
    ends: Array
    blank: Array
    odd: Array


def classify(block: bytes, fields: int) -> Lines:
    """Sort a block's lines.

    Plain: as many fields as the header has; each quote, if any, opens or closes a field on this line; no
    NUL; valid UTF-8. Whatever is not plain is left to the careful reader.
    """
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == _LF)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.concatenate(([0], ends[:-1] + 1))
    length = ends - starts
    blank = (length == 0) | ((length == 1) & (data[np.minimum(starts, len(data) - 1)] == _CR))
    commas = _Marks(data, _COMMA, starts)
    odd = np.zeros(len(ends), bool)
    if b'"' in block:
        quotes = _Marks(data, _QUOTE, starts)
        parity = np.bitwise_xor.accumulate((data == _QUOTE).view(np.uint8))
        before = np.where(starts > 0, parity[starts - 1], 0)
        odd |= _misplaced(data, quotes, parity[quotes.places] != before[quotes.line])
        outside = parity[commas.places] == before[commas.line]
        counts = np.bincount(commas.line[outside], minlength=len(ends))
    else:
        counts = commas.counts
    odd |= counts != fields - 1
    if b"\x00" in block:
        odd[np.searchsorted(ends, np.flatnonzero(data == 0))] = True
    _mark_not_utf8(block, data, starts, ends, odd)
    return Lines(starts, ends, blank, odd & ~blank)


class _Marks:
    """Where one byte stands in a block, on which lines, how often on each."""

    def __init__(self, data: Array, letter: int, starts: Array) -> None:
        self.places = np.flatnonzero(data == letter)
        bounds = np.append(np.searchsorted(self.places, starts), len(self.places))
        self.counts = np.diff(bounds)
        self.line = np.repeat(np.arange(len(starts)), self.counts)


def _misplaced(data: Array, quotes: _Marks, opening: Array) -> Array:
    """Lines with a quote that neither opens nor closes a field, doubled ones among them."""
    framed = np.pad(data, 1, constant_values=_LF)
    ends_field = np.zeros(256, bool)
    ends_field[[_COMMA, _LF, _CR]] = True
    begins_field = np.zeros(256, bool)
    begins_field[[_COMMA, _LF]] = True
    fits = np.where(opening, begins_field[framed[quotes.places]], ends_field[framed[quotes.places + 2]])
    bad: Array = quotes.counts % 2 == 1
    bad[quotes.line[~fits]] = True
    return bad


def _mark_not_utf8(block: bytes, data: Array, starts: Array, ends: Array, odd: Array) -> None:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return
    for line in np.unique(np.searchsorted(ends, np.flatnonzero(data >= 0x80))).tolist():
        try:
            block[starts[line] : ends[line]].decode("utf-8")
        except UnicodeDecodeError:
            odd[line] = True


def joined(block: bytes, lines: Lines, kept: Array) -> bytes:
    """The bytes of some lines, each with its end."""
    if kept.all():
        return block
    lengths = np.minimum(lines.ends + 1, len(block)) - lines.starts
    return bytes(np.frombuffer(block, np.uint8)[np.repeat(kept, lengths)])
