"""CSV records one at a time: the careful way, and the meaning that the quick way must have."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MAX_FIELD = 64 * 1024
MAX_LINES = 1000
"""How many physical lines one quoted record may span."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: where it begins, how many lines it took, its text, its fields or its fault.

    Args:
        number: its first physical line, 1-based; LF, CRLF and a lone CR each end a line.
        used: physical lines that it spans.
        raw: its text without the last line end; bytes that are not UTF-8 are shown as U+FFFD.
    """

    number: int
    used: int
    raw: str
    fields: tuple[str, ...]
    fault: str = ""


def split_lines(data: bytes) -> list[bytes]:
    """Physical lines with their ends: LF, CRLF, a lone CR and nothing else."""
    return data.splitlines(keepends=True)


def _decoded(line: bytes) -> str:
    """A line as text; bytes that are not UTF-8 stay recognisable as surrogates."""
    return line.decode("utf-8", "surrogateescape")


def record_at(lines: Sequence[bytes], position: int, *, first_line: int) -> Record:
    """The record that begins at a position; one whose quotes do not close costs one line only."""
    fields, used, fault = _split(lines, position)
    raw = b"".join(lines[position : position + used]).rstrip(b"\r\n")
    readable = raw.decode("utf-8", "replace")
    if not fault and readable.encode("utf-8") != raw:
        fault = "not valid UTF-8"
    return Record(first_line + position, used, readable, () if fault else fields, fault)


def records(lines: Sequence[bytes], *, first_line: int, stop: int | None = None) -> Iterator[Record]:
    """The records that begin before a position; blank lines are none."""
    position, end = 0, len(lines) if stop is None else stop
    while position < end:
        if not lines[position].strip(b"\r\n"):
            position += 1
            continue
        record = record_at(lines, position, first_line=first_line)
        yield record
        position += record.used


def _split(lines: Sequence[bytes], position: int) -> tuple[tuple[str, ...], int, str]:
    """The fields of one record, how many physical lines it took, what is wrong with it."""
    if b'"' not in lines[position]:
        return tuple(_decoded(lines[position]).rstrip("\r\n").split(",")), 1, ""
    ahead = map(_decoded, itertools.islice(lines, position, position + MAX_LINES))
    reader = csv.reader(ahead, strict=True)
    try:
        fields = next(reader)
    except csv.Error as error:
        too_long = "field limit" in str(error)
        return (), 1, _too_long() if too_long else "its quotes are not closed or stand inside a field"
    except StopIteration:
        return (), 1, "its quotes are not closed or stand inside a field"
    if any(len(field) > MAX_FIELD for field in fields):
        return (), reader.line_num, _too_long()
    return tuple(fields), reader.line_num, ""


def _too_long() -> str:
    return f"a field of more than {MAX_FIELD} characters"


def count_fault(record: Record, expected: int) -> str:
    """What is wrong with a record as a whole, empty where nothing is."""
    if record.fault:
        return record.fault
    found = len(record.fields)
    return "" if found == expected else f"{found} fields where the header has {expected}"
