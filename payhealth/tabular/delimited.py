"""CSV files: a quick way for plain ones, a careful way for whatever is quoted, odd or broken."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import csv as arrow_csv

from payhealth.domain.errors import InputError
from payhealth.tabular.schema import Texts

MAX_FIELD = 64 * 1024
MAX_LINES = 1000
"""How many physical lines one quoted record may span."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One record: where it begins, its text, its fields (None where it cannot be split)."""

    number: int
    raw: str
    fields: tuple[str, ...] | None
    fault: str = ""


def read(data: bytes, file: str) -> Texts:
    """Split a CSV file into texts.

    Raises:
        InputError: empty, or its header names a column twice.
    """
    content = data.removeprefix(_BOM)
    if not content.strip():
        raise InputError(f"{file} is empty")
    if _is_plain(content):
        quick = _read_plain(content)
        if quick is not None:
            _refuse_twice(quick.column_names, file)
            return Texts(file=file, table=quick, lines=None, raws=None, content=content)
    return _read_careful(content, file)


def _is_plain(content: bytes) -> bool:
    """Whether splitting at commas and line ends is all there is to it."""
    lone_returns = content.count(b"\r") != content.count(b"\r\n")
    return b'"' not in content and b"\x00" not in content and not lone_returns


def _read_plain(content: bytes) -> pa.Table | None:
    """The table, None where any row is not like the others."""
    header = content.split(b"\n", 1)[0].decode("utf-8", "replace").strip("\r\n").split(",")
    if len(set(header)) != len(header):
        return None
    try:
        return arrow_csv.read_csv(
            io.BytesIO(content),
            parse_options=arrow_csv.ParseOptions(quote_char=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None


def _refuse_twice(names: Sequence[str], file: str) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise InputError(f"{file}: the column {name!r} is there twice")


def _read_careful(content: bytes, file: str) -> Texts:
    lines = records(content)
    header = next(lines, None)
    if header is None or header.fields is None:
        raise InputError(f"{file}: its first line is not a header")
    names = [name.strip() for name in header.fields]
    _refuse_twice(names, file)
    good: list[Line] = []
    bad: list[tuple[int, str, str]] = []
    for line in lines:
        fault = line.fault or _count_fault(line, len(names))
        if fault:
            bad.append((line.number, fault, line.raw))
        else:
            good.append(line)
    columns = list(zip(*(line.fields or () for line in good), strict=True)) or [()] * len(names)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return Texts(
        file=file,
        table=pa.table(arrays, names=names),
        lines=[line.number for line in good],
        raws=[line.raw for line in good],
        rejected=tuple(bad),
    )


def _count_fault(line: Line, expected: int) -> str:
    found = len(line.fields or ())
    return "" if found == expected else f"{found} fields where the header has {expected}"


def records(content: bytes) -> Iterator[Line]:
    """The records of a CSV file; one that cannot be split costs its first line only."""
    text = content.removeprefix(_BOM).decode("utf-8", "surrogateescape")
    lines = io.StringIO(text, newline="").readlines()
    position = 0
    while position < len(lines):
        if not lines[position].strip("\r\n"):
            position += 1
            continue
        fields, used, fault = _record(lines, position)
        raw = "".join(lines[position : position + used]).rstrip("\r\n")
        readable = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if not fault and readable != raw:
            fault = "not valid UTF-8"
        yield Line(position + 1, readable, None if fault else fields, fault)
        position += used


def _record(lines: list[str], position: int) -> tuple[tuple[str, ...], int, str]:
    """One record from a position: its fields, how many physical lines it took, what is wrong with it."""
    if '"' not in lines[position]:
        return tuple(lines[position].rstrip("\r\n").split(",")), 1, ""
    reader = csv.reader(itertools.islice(lines, position, position + MAX_LINES), strict=True)
    try:
        fields = next(reader)
    except (csv.Error, StopIteration):
        return (), 1, "its quotes do not close"
    if any(len(field) > MAX_FIELD for field in fields):
        return (), reader.line_num, f"a field of more than {MAX_FIELD} characters"
    return tuple(fields), reader.line_num, ""


def locate(content: bytes, ordinals: Sequence[int]) -> dict[int, tuple[int, str]]:
    """First line and raw text of some rows of a plain file, by their ordinal (0 is the first data row)."""
    wanted = set(ordinals)
    found = {}
    for ordinal, line in enumerate(records(content), start=-1):
        if ordinal in wanted:
            found[ordinal] = (line.number, line.raw)
            if len(found) == len(wanted):
                break
    return found
