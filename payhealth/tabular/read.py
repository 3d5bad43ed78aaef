"""Reading a side from whatever it comes in: a file, a table of any library, or rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from payhealth.domain.errors import InputError
from payhealth.tabular import columns, delimited, jsonlines
from payhealth.tabular.schema import LEDGER, PAYMENTS, Side, Source, TableIn, known_columns
from payhealth.tabular.validate import validate


def payments_table(data: Any) -> TableIn:
    """Payments from a path, an Arrow, Polars or pandas table, or an iterable of mappings or records.

    Returns:
        Good rows with the columns id, kind, account, reference, amount, asset, occurred_at, and the
        rejected ones with their reasons. A row's line is its number, from 1, where there are no lines.

    Raises:
        InputError: the table cannot be used at all.
    """
    return _table(data, PAYMENTS)


def ledger_table(data: Any) -> TableIn:
    """Ledger entries, likewise; amounts are signed and an empty kind is a purchase."""
    return _table(data, LEDGER)


def _table(data: Any, side: Side) -> TableIn:
    if not isinstance(data, (str, Path)):
        return validate(_in_memory(data, side), side)
    path = Path(data)
    try:
        return validate(from_file(path, side), side)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _in_memory(data: Any, side: Side) -> Source:
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return columns.from_arrow(data, side.name, side)
    try:
        if hasattr(data, "iloc") and hasattr(data, "columns"):
            return columns.from_pandas(data, side.name, side)
        if hasattr(data, "__arrow_c_stream__"):
            return columns.from_arrow(pa.table(data), side.name, side)
    except pa.ArrowException as error:
        raise InputError(f"{side.name}: {error}") from error
    if isinstance(data, Iterable) and not isinstance(data, (bytes, bytearray, dict)):
        return columns.from_rows(data, side.name, side)
    raise InputError(f"{side.name}: {type(data).__name__} is neither a table nor rows nor a path")


def from_file(path: Path, side: Side) -> Source:
    """A file's rows, by its suffix: ``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``, also ``.csv.gz``.

    Raises:
        InputError: empty, or of another kind.
        OSError: it cannot be read.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = ("", *suffixes)[-2 if packed else -1]
    opened = partial(_open, path, packed=packed)
    if kind in (".parquet", ".pq") and not packed:
        return _parquet(path, side)
    if kind == ".csv":
        return delimited.read(opened, path.name, side)
    if kind in (".jsonl", ".ndjson"):
        return jsonlines.read(opened, path.name, side)
    path.stat()
    raise InputError(f"{path.name}: cannot tell what it is", hint="name it .csv, .parquet or .jsonl")


def _open(path: Path, *, packed: bool) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if packed else path.open("rb")


def _parquet(path: Path, side: Side) -> Source:
    with path.open("rb") as file:
        if not file.read(1):
            raise InputError(f"{path.name} is empty")
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = known_columns(names, side, path.name)
            table = file.read(columns=[names[place] for place in known.values()])
        return columns.from_arrow(
            table, path.name, side, whole=partial(pq.read_table, path, partitioning=None)
        )
    except pa.ArrowException as error:
        raise InputError(f"{path.name} is not a Parquet file: {error}") from error
