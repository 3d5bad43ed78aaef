"""Reading a side from whatever it comes in: a file, a table of any library, or rows."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from payhealth.domain.errors import InputError
from payhealth.tabular import columns, delimited, jsonlines
from payhealth.tabular.schema import LEDGER, PAYMENTS, Side, TableIn, Texts
from payhealth.tabular.validate import validate

MAX_UNPACKED_BYTES = 8 * 1024**3


def payments_table(data: Any) -> TableIn:
    """Payments from a path, an Arrow, Polars or pandas table, or an iterable of mappings or records.

    Returns:
        Good rows with the columns id, kind, account, reference, amount, asset, occurred_at, and the
        rejected ones with their reasons.

    Raises:
        InputError: the table cannot be used at all.
    """
    return validate(_texts(data, PAYMENTS), PAYMENTS)


def ledger_table(data: Any) -> TableIn:
    """Ledger entries, likewise; amounts are signed and an empty kind is a purchase."""
    return validate(_texts(data, LEDGER), LEDGER)


def _texts(data: Any, side: Side) -> Texts:
    if isinstance(data, (str, Path)):
        return from_file(Path(data))
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return columns.from_arrow(data, side.name)
    if hasattr(data, "to_arrow"):
        return columns.from_arrow(data.to_arrow(), side.name)
    if hasattr(data, "columns") and hasattr(data, "to_dict"):
        return columns.from_arrow(_from_pandas(data, side), side.name)
    if isinstance(data, Iterable) and not isinstance(data, (bytes, dict)):
        return _rows(data, side)
    raise InputError(f"{side.name}: {type(data).__name__} is neither a table nor rows nor a path")


def _from_pandas(data: Any, side: Side) -> pa.Table:
    try:
        return pa.Table.from_pandas(data, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{side.name}: {error}") from error


def _rows(data: Iterable[Any], side: Side) -> Texts:
    texts = columns.from_rows(data, side.name)
    if texts.table.num_rows or texts.table.num_columns:
        return texts
    empty = pa.table([pa.array([], pa.string())] * len(side.columns), names=list(side.columns))
    return Texts(file=side.name, table=empty, lines=[], raws=None)


def from_file(path: Path) -> Texts:
    """A file's rows as texts, by its suffix: ``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``, also ``.gz``.

    Raises:
        InputError: unreadable, empty, or of another kind.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
    if kind[0] in (".parquet", ".pq") and not packed:
        return _parquet(path)
    data = _bytes(path, packed=packed)
    if kind[0] == ".csv":
        return delimited.read(data, path.name)
    if kind[0] in (".jsonl", ".ndjson"):
        return jsonlines.read(data, path.name)
    raise InputError(f"{path.name}: cannot tell what it is", hint="name it .csv, .parquet or .jsonl")


def _bytes(path: Path, *, packed: bool) -> bytes:
    try:
        if not packed:
            return path.read_bytes()
        with gzip.open(path) as file:
            data = file.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_UNPACKED_BYTES:
        raise InputError(f"{path.name}: unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    return data


def _parquet(path: Path) -> Texts:
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path.name} is empty")
        table = pq.read_table(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except pa.ArrowException as error:
        raise InputError(f"{path.name} is not a Parquet file: {error}") from error
    return columns.from_arrow(table, path.name)
