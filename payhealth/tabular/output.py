"""A reconciliation's files: all of them, or none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
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
    def matches(self) -> pa.Table:
        """Confirmed and proposed groups."""
        ...

    @property
    def breaks(self) -> pa.Table:
        """Residuals past their time to clear."""
        ...

    @property
    def open(self) -> pa.Table:
        """Rows that stand beside the statement or are in flight."""
        ...

    @property
    def summary(self) -> Any:
        """Counts and the statement."""
        ...


def empty_rejected() -> pa.Table:
    """A table of no rejected rows."""
    return REJECTED.empty_table()


def rejected_table(*tables: TableIn) -> pa.Table:
    """The rejected rows of several tables, in their order."""
    return pa.concat_tables([table.rejected for table in tables])


def write_outputs(out: Path, outcome: Outcome, rejected: pa.Table) -> None:
    """Write matches, breaks, open and rejected rows as Parquet, and the summary as JSON.

    Everything is written into a hidden folder first and moved in when whole, so that a full disk or an
    interruption leaves what was there before, or nothing.

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
        made = _make(out)
    except OSError as error:
        raise _refused(out, error) from error
    partial: Path | None = None
    try:
        # Inside the folder, for it may be a mount of its own: only there is a move but a new name.
        partial = Path(mkdtemp(prefix=".payhealth-", dir=out))
        for name, write in writers.items():
            write(partial / name)
        _move_in(partial, out, list(writers))
        made = []
    except OSError as error:
        raise _refused(out, error) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _make(out: Path) -> list[Path]:
    """Make the folder and those above it; gives those that were not there, the innermost first."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    return missing


def _refused(out: Path, error: OSError) -> InputError:
    return InputError(f"{out} cannot be written: {error.strerror or error}")


def _move_in(partial: Path, out: Path, names: Sequence[str]) -> None:
    """Put the new files in the old ones' places; where that is interrupted the old ones come back."""
    old = partial / "old"
    old.mkdir()
    try:
        for name in names:
            if (out / name).exists():
                (out / name).replace(old / name)
        for name in names:
            (partial / name).replace(out / name)
    except BaseException:
        for name in names:
            if (old / name).exists():
                (old / name).replace(out / name)
            elif not (partial / name).exists():
                (out / name).unlink(missing_ok=True)
        raise


def _write_json(path: Path, summary: Any) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
