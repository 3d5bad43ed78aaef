"""Quick looks at a whole column of texts: its bytes and where each text begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

Array = np.ndarray[Any, Any]


def offsets(texts: pa.StringArray) -> Array:
    """Where each text begins in the column's bytes, and at last where the last one ends."""
    if not len(texts):
        return np.zeros(1, np.int32)
    buffer = texts.buffers()[1]
    return np.frombuffer(buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]


def bytes_of(texts: pa.StringArray) -> Array:
    """The bytes of all texts, one after the other."""
    places = offsets(texts)
    buffer = texts.buffers()[2]
    if buffer is None or places[0] == places[-1]:
        return np.zeros(0, np.uint8)
    return np.frombuffer(buffer, np.uint8)[places[0] : places[-1]]


def lengths(texts: pa.StringArray) -> Array:
    """How many bytes each text has."""
    return np.diff(offsets(texts))


def between(data: Array, low: int, high: int) -> bool:
    """Whether every byte lies in a range."""
    return not data.size or (int(data.min()) >= low and int(data.max()) <= high)


def may_hold_upper_hex(data: Array) -> bool:
    """Whether a ``0x`` stands anywhere beside a capital letter; a no is certain, a yes is not."""
    if data.size < 2 or not bool(((data - 0x41) < 26).any()):
        return False
    return bool(((data[:-1] == 0x30) & ((data[1:] | 0x20) == 0x78)).any())
