"""Which lines of a CSV block the quick parser may have: those that are a whole record by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_COMMA, _QUOTE, _LF, _CR = 44, 34, 10, 13
_BOM = b"\xef\xbb\xbf"


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
    commas, odd = np.flatnonzero(data == _COMMA), np.zeros(len(ends), bool)
    if b'"' in block:
        quotes = np.flatnonzero(data == _QUOTE)
        odd |= _misplaced(data, quotes, starts, ends)
        commas = commas[_rank(quotes, commas, starts, ends) % 2 == 0]
    odd |= np.bincount(np.searchsorted(ends, commas), minlength=len(ends)) != fields - 1
    if b"\x00" in block:
        odd[np.searchsorted(ends, np.flatnonzero(data == 0))] = True
    if block.startswith(_BOM):
        odd[0] = True
    _mark_not_utf8(block, data, starts, ends, odd)
    return Lines(starts, ends, blank, odd & ~blank)


def _rank(quotes: Array, places: Array, starts: Array, ends: Array) -> Array:
    """How many quotes stand before each place on its own line."""
    line = np.searchsorted(ends, places)
    rank: Array = np.searchsorted(quotes, places) - np.searchsorted(quotes, starts[line])
    return rank


def _misplaced(data: Array, quotes: Array, starts: Array, ends: Array) -> Array:
    """Lines with a quote that neither opens nor closes a field, doubled ones among them."""
    line = np.searchsorted(ends, quotes)
    opening = _rank(quotes, quotes, starts, ends) % 2 == 0
    before = np.where(quotes > 0, data[quotes - 1], _LF)
    after = np.where(quotes + 1 < len(data), data[np.minimum(quotes + 1, len(data) - 1)], _LF)
    at_begin = (before == _COMMA) | (before == _LF)
    at_end = (after == _COMMA) | (after == _LF) | (after == _CR)
    bad: Array = np.bincount(line, minlength=len(ends)) % 2 == 1
    bad[line[~np.where(opening, at_begin, at_end)]] = True
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
