"""JSON Lines: one object a line, numbers kept as they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from payhealth.domain.errors import InputError
from payhealth.tabular.places import Open
from payhealth.tabular.schema import Chunk, Place, Side, Source, require
from payhealth.tabular.window import Window

BLOCK_BYTES = 4 * 1024**2
_BOM = b"\xef\xbb\xbf"


def read(opened: Open, file: str, side: Side, *, block_bytes: int = BLOCK_BYTES) -> Source:
    """A JSON Lines file as chunks; a column counts as there if any object has it.

    Raises:
        InputError: while it is read: empty, or a needed column is in no object.
    """
    return Source(file=file, jobs=_jobs(opened, file, side, block_bytes))


def _jobs(opened: Open, file: str, side: Side, block_bytes: int) -> Iterator[Callable[[], Chunk]]:
    seen: dict[str, None] = {}
    filled = False
    number = 1
    with opened() as stream:
        window = Window(stream, block_bytes)
        if window.block().startswith(_BOM):
            window.consume(len(_BOM))
        while block := window.block():
            chunk, names = _chunk(block, number, side, opened, window.offset)
            seen |= names
            filled = filled or bool(chunk.count or chunk.rejected)
            number += block.count(b"\n")
            window.consume(len(block))
            yield partial(_given, chunk)
            del chunk
    if not filled:
        raise InputError(f"{file} is empty")
    if seen:
        require([_storable(name) for name in seen], side, file)


def _given(chunk: Chunk) -> Chunk:
    return chunk


def _chunk(block: bytes, first: int, side: Side, opened: Open, offset: int) -> tuple[Chunk, dict[str, None]]:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    bad: list[tuple[Place, str]] = []
    names: dict[str, None] = {}
    for number, line in enumerate(block.split(b"\n"), start=first):
        if not line.strip():
            continue
        row, fault = _object(line, side)
        names |= dict.fromkeys(row)
        if fault:
            bad.append((Place(number, _raw(line)), fault))
        else:
            rows.append(row)
            numbers.append(number)
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in side.columns}
    chunk = Chunk(
        count=len(rows),
        columns=columns,
        where=_Held(block, first, numbers),
        again=_Reread(opened, offset, len(block), first, numbers),
        rejected=tuple(bad),
    )
    return chunk, names


def _storable(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


def _raw(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Held:
    """Finds objects in a block that is still held."""

    block: bytes
    first: int
    numbers: Sequence[int]

    def __call__(self, ordinals: Sequence[int]) -> list[Place]:
        lines = self.block.split(b"\n")
        wanted = [self.numbers[ordinal] for ordinal in ordinals]
        return [Place(number, _raw(lines[number - self.first])) for number in wanted]


@dataclass(frozen=True, slots=True)
class _Reread:
    """Finds objects in a block that was let go, by reading it anew."""

    opened: Callable[[], BinaryIO]
    offset: int
    length: int
    first: int
    numbers: Sequence[int]

    def __call__(self, ordinals: Sequence[int]) -> list[Place]:
        with self.opened() as stream:
            stream.seek(self.offset)
            block = stream.read(self.length)
        if len(block) != self.length:
            raise InputError("the file changed while it was read")
        return _Held(block, self.first, self.numbers)(ordinals)


class _RepeatedKeyError(ValueError):
    """A key that an object holds twice: which of the two was meant cannot be told."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return row


_DECODE = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_pairs
).decode


MAX_BRACKETS = 500
"""Most brackets of a line that is decoded: deeper nesting can exhaust the C stack where other libraries
have raised Python's recursion limit, and then nothing is raised that could be caught."""


def _object(line: bytes, side: Side) -> tuple[dict[str, Any], str]:
    """One line's object, its known values as texts, or what is wrong with it."""
    value, fault = _decoded(line)
    if fault:
        return {}, fault
    for name in side.columns:
        fault = _fault(value.get(name))
        if fault:
            return value, f"{name} {fault}"
    return value, ""


def _decoded(line: bytes) -> tuple[dict[str, Any], str]:
    value: Any = None
    if line.count(b"[") + line.count(b"{") <= MAX_BRACKETS:
        try:
            value = _DECODE(line.decode("utf-8"))
        except UnicodeDecodeError:
            return {}, "not valid UTF-8"
        except _RepeatedKeyError as error:
            return {}, _storable(f"the key {error} is there twice")
        except (ValueError, RecursionError):
            value = None
    return (value, "") if isinstance(value, dict) else ({}, "not a JSON object")


def _fault(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return "is neither text nor a number"
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "holds half a character"
    return ""
