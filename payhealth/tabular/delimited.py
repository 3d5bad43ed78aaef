"""CSV files: block by block, plain lines in bulk, whatever is quoted, odd or broken with care.

A file is read as a stream; only what a block needs is held. The meaning is that of reading record by
record (:mod:`payhealth.tabular.records`); a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from payhealth.domain.errors import InputError
from payhealth.tabular import lines as physical
from payhealth.tabular.places import Array, Block, Held, Open, Reread
from payhealth.tabular.records import MAX_LINES, Record, count_fault, record_at, records, split_lines
from payhealth.tabular.schema import Chunk, Place, Side, Source, known_columns
from payhealth.tabular.window import Window

BLOCK_BYTES = 4 * 1024**2
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Form:
    """What a file's header says: how many fields a record has, where the known ones stand."""

    opened: Open
    fields: int
    known: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a block with odd lines is read.

    Args:
        single: records read one by one.
        bulk: the bytes of the lines that are left to the quick parser.
        numbers: the numbers of those lines.
        used: how many bytes the block's records take, those behind its end included.
    """

    single: Sequence[Record]
    bulk: bytes
    numbers: Array
    used: int


def read(opened: Open, file: str, side: Side, *, block_bytes: int = BLOCK_BYTES) -> Source:
    """A CSV file as chunks.

    Args:
        opened: opens the file, each time from its beginning.

    Raises:
        InputError: empty, or its header lacks a needed column or names one twice.
    """
    stream = opened()
    try:
        window = Window(stream, block_bytes)
        names, behind = _header(window, file)
        form = Form(opened, len(names), known_columns(names, side, file))
    except BaseException:
        stream.close()
        raise
    return Source(file=file, jobs=_jobs(stream, window, form, behind))


def _header(window: Window, file: str) -> tuple[Sequence[str], int]:
    """The header's names, and the number of the line behind it."""
    start = window.block()
    if start.startswith(_UTF16):
        raise InputError(f"{file} is UTF-16", hint="save it as UTF-8")
    if start.startswith(_BOM):
        window.consume(len(_BOM))
    own = window.block()
    lines = split_lines(own + window.beyond(len(own), MAX_LINES))
    found = next(records(lines, first_line=1), None)
    if found is None or not found.raw.strip():
        raise InputError(f"{file} is empty")
    if found.fault:
        raise InputError(f"{file}: its first line is not a header: {found.fault}")
    behind = found.number - 1 + found.used
    window.consume(_size(lines[:behind]))
    return found.fields, behind + 1


def _size(lines: Sequence[bytes]) -> int:
    return sum(map(len, lines))


def _jobs(stream: BinaryIO, window: Window, form: Form, line: int) -> Iterator[Callable[[], Chunk]]:
    """Blocks without quotes are sorted by whoever runs the job; others here, as their end has to be found."""
    with stream:
        while own := window.block():
            if b'"' not in own:
                block = Block(own, len(own), window.offset, line)
                used = len(own)
                yield partial(_unquoted, block, form)
            else:
                data = own + window.beyond(len(own), MAX_LINES)
                block = Block(data, len(own), window.offset, line)
                plan = _plan(block, form)
                used = plan.used
                yield partial(_merged, plan, block, form)
            line += _count_lines(block.data[:used])
            window.consume(used)


def _count_lines(data: bytes) -> int:
    lone = data.count(b"\r") - data.count(b"\r\n") if b"\r" in data else 0
    return data.count(b"\n") + lone


def _unquoted(block: Block, form: Form) -> Chunk:
    """In one go where the block is clean, else by its lines."""
    data = block.own
    if b"\x00" not in data and not _lone_returns(data):
        table = _bulk(data, form)
        if table is not None:
            return _chunk(table, block, form, None)
    return _merged(_plan(block, form), block, form)


def _lone_returns(data: bytes) -> bool:
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def _bulk(data: bytes, form: Form) -> pa.Table | None:
    """Known columns of plain lines as texts, None where the quick parser does not take them."""
    if data.startswith(_BOM):  # the quick parser would drop it, wherever in the file it stands
        return None
    wanted = [str(place) for place in form.known.values()]
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=len(data) + 1,
                column_names=[str(place) for place in range(form.fields)],
            ),
            parse_options=arrow_csv.ParseOptions(quote_char='"' if b'"' in data else False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    return table.rename_columns(list(form.known))


def _plan(block: Block, form: Form) -> Plan:
    """Which lines of a block go where."""
    own = block.own
    if _lone_returns(own):
        return _careful(block)
    sorted_lines = physical.classify(own, form.fields)
    plain, over = ~sorted_lines.odd, 0
    single: list[Record] = []
    if sorted_lines.odd.any():
        lines = split_lines(block.data)
        single, end = _singles(lines, sorted_lines.odd, plain, block.first_line)
        over = _size(lines[len(plain) : end])
    rows = np.flatnonzero(plain & ~sorted_lines.blank)
    bulk = physical.joined(own, sorted_lines, plain) if len(rows) else b""
    return Plan(single, bulk, block.first_line + rows, block.size + over)


def _singles(lines: Sequence[bytes], odd: Array, plain: Array, first_line: int) -> tuple[list[Record], int]:
    """The records that begin at odd lines, and the line behind them; their lines are plain no more."""
    found: list[Record] = []
    free = 0
    for position in np.flatnonzero(odd).tolist():
        if position >= free:
            record = record_at(lines, position, first_line=first_line)
            free = position + record.used
            plain[position:free] = False
            found.append(record)
    return found, free


def _careful(block: Block) -> Plan:
    """Every record one by one."""
    lines = split_lines(block.data)
    single = list(records(lines, first_line=block.first_line, stop=len(split_lines(block.own))))
    end = single[-1].number + single[-1].used - block.first_line if single else 0
    return Plan(single, b"", np.array([], np.int64), max(_size(lines[:end]), block.size))


def _merged(plan: Plan, block: Block, form: Form) -> Chunk:
    """Bulk rows and single records as one chunk, in the order of their lines."""
    table = _bulk(plan.bulk, form) if plan.bulk else _texts((), form)
    if table is None or table.num_rows != len(plan.numbers):
        plan = _careful(block)
        table = _texts((), form)
    faults = [count_fault(record, form.fields) for record in plan.single]
    single = list(zip(plan.single, faults, strict=True))
    good = [record for record, fault in single if not fault]
    bad = [(Place(record.number, record.raw), fault) for record, fault in single if fault]
    numbers = np.concatenate([plan.numbers, np.array([record.number for record in good], np.int64)])
    if good:
        order = np.argsort(numbers, kind="stable")
        table = pa.concat_tables([table, _texts(good, form)]).take(pa.array(order))
        numbers = numbers[order]
    return _chunk(table, block, form, numbers, bad)


def _texts(good: Sequence[Record], form: Form) -> pa.Table:
    return pa.table(
        {
            name: pa.array([record.fields[place] for record in good], pa.string())
            for name, place in form.known.items()
        }
    )


def _chunk(
    table: pa.Table,
    block: Block,
    form: Form,
    numbers: Array | None,
    rejected: Sequence[tuple[Place, str]] = (),
) -> Chunk:
    return Chunk(
        count=table.num_rows,
        columns={name: table[name].combine_chunks() for name in table.column_names},
        where=Held(block, numbers),
        again=Reread(form.opened, block.offset, len(block.data), block.size, block.first_line, numbers),
        rejected=tuple(rejected),
    )
