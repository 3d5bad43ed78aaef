"""A reconciliation's files: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payhealth.domain.errors import InputError
from payhealth.tabular import empty_rejected, output, payments_table, rejected_table, write_outputs

NAMES = ["breaks.parquet", "matches.parquet", "open.parquet", "rejected.parquet", "summary.json"]


@dataclass
class Outcome:
    """Anything that has the tables."""

    matches: pa.Table = field(default_factory=lambda: pa.table({"match_id": ["m1"]}))
    breaks: pa.Table = field(default_factory=lambda: pa.table({"break_id": ["b1"]}))
    open: pa.Table = field(default_factory=lambda: pa.table({"id": ["p1"]}))
    summary: Any = field(default_factory=lambda: {"counts": {"é": 1}})


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(one.name for one in folder.iterdir())


def test_every_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    """Folders on the way are made; the summary is plain UTF-8 JSON."""
    out = tmp_path / "a" / "b"
    write_outputs(out, Outcome(), empty_rejected())
    assert names(out) == NAMES
    assert json.loads((out / "summary.json").read_text(encoding="utf-8")) == {"counts": {"é": 1}}
    assert pq.read_schema(out / "rejected.parquet").names == ["file", "line", "reason", "row"]
    assert names(tmp_path) == ["a"]


def test_what_is_in_the_folder_already_stays_beside_the_new_files(tmp_path: Path) -> None:
    """Old results are replaced, other files are not touched."""
    (tmp_path / "notes.txt").write_text("mine")
    write_outputs(tmp_path, Outcome(summary={"run": 1}), empty_rejected())
    write_outputs(tmp_path, Outcome(summary={"run": 2}), empty_rejected())
    assert names(tmp_path) == sorted([*NAMES, "notes.txt"])
    assert json.loads((tmp_path / "summary.json").read_text()) == {"run": 2}


class Breaker(dict[str, Any]):
    """A summary that fails while it is written."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(a=1)
        self.error = error

    def items(self) -> Any:
        """Fails as it was told to."""
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x"), MemoryError()])
def test_an_interruption_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    """Nothing half-written: the old files, or no folder at all."""
    write_outputs(tmp_path / "old", Outcome(summary={"run": 1}), empty_rejected())
    for name in ("old", "new/er"):
        with pytest.raises(type(error)):
            write_outputs(tmp_path / name, Outcome(summary=Breaker(error)), empty_rejected())
    assert names(tmp_path) == ["old"]
    assert names(tmp_path / "old") == NAMES
    assert json.loads((tmp_path / "old" / "summary.json").read_text()) == {"run": 1}


@pytest.mark.parametrize("at", range(10))
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_move_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    """Whichever of the ten moves it is: five out, five in."""
    write_outputs(tmp_path, Outcome(summary={"run": 1}), empty_rejected())
    calls = 0
    move: Callable[[Path, Path], Path] = Path.replace

    def replace(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise error
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        write_outputs(tmp_path, Outcome(summary={"run": 2}), empty_rejected())
    assert names(tmp_path) == NAMES
    assert json.loads((tmp_path / "summary.json").read_text()) == {"run": 1}
    assert pq.read_table(tmp_path / "matches.parquet").num_rows == 1


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves no folder behind."""

    def full(path: Path, summary: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "_write_json", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_outputs(tmp_path / "out", Outcome(), empty_rejected())
    assert names(tmp_path) == []


def test_a_place_that_is_no_folder_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the path."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=r"file.* cannot be written: "):
            write_outputs(out, Outcome(), empty_rejected())


def test_a_folder_without_leave_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission denied, nothing changed."""

    def refuse(**_: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(output, "mkdtemp", refuse)
    with pytest.raises(InputError, match="cannot be written: Permission denied"):
        write_outputs(tmp_path / "out", Outcome(), empty_rejected())
    assert names(tmp_path) == []


def test_a_summary_is_strict_json(tmp_path: Path) -> None:
    """A NaN in it is a fault of ours, not a file that others cannot read."""
    with pytest.raises(ValueError, match="Out of range float"):
        write_outputs(tmp_path / "out", Outcome(summary={"x": float("nan")}), empty_rejected())
    assert names(tmp_path) == []


def test_rejected_rows_of_both_sides_stand_in_one_table() -> None:
    """In the order of the sides, with the schema of the file contract."""
    one = payments_table(
        [{"id": "", "kind": "", "account": "", "reference": "", "amount": "", "asset": "", "occurred_at": ""}]
    )
    both = rejected_table(one, one)
    assert both.num_rows == 2
    assert both.schema == empty_rejected().schema
    assert [str(kind) for kind in both.schema.types] == ["string", "int64", "string", "string"]


_MONEY, _MOMENT = "decimal128(38, 18)", "timestamp[us, tz=UTC]"
_TEXTS = "list<string>"
SCHEMAS = {
    "matches": {
        "match_id": "string",
        "rule": "string",
        "state": "string",
        "confidence": "double",
        "movement_ids": _TEXTS,
        "entry_ids": _TEXTS,
        "residual": _MONEY,
        "asset": "string",
        "reasons": _TEXTS,
    },
    "breaks": {
        "break_id": "string",
        "primary_reason": "string",
        "reasons": _TEXTS,
        "movement_ids": _TEXTS,
        "entry_ids": _TEXTS,
        "amount": _MONEY,
        "at_risk": _MONEY,
        "asset": "string",
        "legs": "list<struct<account: string, asset: string, residual: decimal128(38, 18)>>",
        "effective_at": _MOMENT,
        "explanation": "string",
    },
    "open": {"id": "string", "side": "string", "why": "string"},
    "rejected": {"file": "string", "line": "int64", "reason": "string", "row": "string"},
}


def spelled(kind: pa.DataType) -> str:
    """A type's name without the name that lists give their items."""
    return f"list<{spelled(kind.value_type)}>" if pa.types.is_list(kind) else str(kind)


def test_a_reconciliation_leaves_exactly_the_columns_of_the_file_contract(tmp_path: Path) -> None:
    """Those of design.md section 6, with their types; one match, one break, one rejected row."""
    from payhealth.files import reconcile_files

    header = "id,kind,account,reference,amount,asset,occurred_at\n"
    when = "2026-01-31T12:00:00Z\n"
    payments, ledger = tmp_path / "p.csv", tmp_path / "l.csv"
    payments.write_text(
        f"{header}p1,charge,a,r1,5,USD,{when}p2,charge,a,r2,7,USD,{when}p3,charge,a,r3,x,USD,{when}"
    )
    ledger.write_text(f"{header}e1,,a,r1,5,USD,{when}")
    reconcile_files(
        payments, ledger, rules=None, as_of=datetime(2026, 2, 1, tzinfo=UTC), out=tmp_path / "out"
    )
    for name, columns in SCHEMAS.items():
        schema = pq.read_schema(tmp_path / "out" / f"{name}.parquet")
        assert {one.name: spelled(one.type) for one in schema} == columns
        assert schema.names == list(columns)
        if name != "open":
            assert pq.read_table(tmp_path / "out" / f"{name}.parquet").num_rows == 1
