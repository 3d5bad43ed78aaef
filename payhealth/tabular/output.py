"""A reconciliation's files: all of them, or none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from payhealth.domain.errors import InputError
from payhealth.tabular.schema import REJECTED, TableIn


class Outcome(Protocol):
    """What can be written: Arrow tables with the file contract's schemas, and a summary for JSON."""

    @property
    def matches(self) -> pa.Table: ...

    @property
    def breaks(self) -> pa.Table: ...

    @property
    def open(self) -> pa.Table: ...

    @property
    def summary(self) -> Any: ...


def empty_rejected() -> pa.Table:
    """A table of no rejected rows."""
    return REJECTED.empty_table()


def rejected_table(*tables: TableIn) -> pa.Table:
    """The rejected rows of several tables, in their order."""
    return pa.concat_tables([table.rejected for table in tables])


def write_outputs(out: Path, outcome: Outcome, rejected: pa.Table) -> None:
    """Write matches, breaks, open and rejected rows as Parquet, and the summary as JSON.

    Everything is written beside the folder first and moved in when whole, the summary last, so that a
    full disk or an interruption leaves nothing half-written.

    Raises:
        InputError: the folder cannot be written.
    """
    writers: dict[str, Callable[[Path], None]] = {
        "matches.parquet": lambda path: pq.write_table(outcome.matches, path),
        "breaks.parquet": lambda path: pq.write_table(outcome.breaks, path),
        "open.parquet": lambda path: pq.write_table(outcome.open, path),
        "rejected.parquet": lambda path: pq.write_table(rejected, path),
        "summary.json": lambda path: _write_json(path, outcome.summary),
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    try:
        for name, write in writers.items():
            write(partial / name)
        out.mkdir(exist_ok=True)
        for name in writers:
            (partial / name).replace(out / name)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_json(path: Path, summary: Any) -> None:
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
