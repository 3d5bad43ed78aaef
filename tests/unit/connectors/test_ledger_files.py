"""A ledger in files: every kind of file, globs, faults, and files that are replaced."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from payhealth.connectors.ledger.files import PLUGIN
from payhealth.connectors.ledger.settings import LedgerFilesSettings
from payhealth.domain.errors import SourceDataError, SourceError, SourceUnavailableError
from payhealth.domain.records import Entry, Rejected
from payhealth.ports import Source
from tests.unit.connectors.support import Kept, pull

HEADER = "id,account,reference,amount,asset,occurred_at,kind,email\n"


def row(entry_id: str, amount: str = "10.00", kind: str = "topup", at: str = "2026-01-05T10:00:00Z") -> str:
    """One line of CSV."""
    return f"{entry_id},acct-1,pi_{entry_id},{amount},USD,{at},{kind},someone@example.com\n"


def source(*paths: Path | str, **changes: Any) -> Source:
    """A source on files."""
    values = {"paths": [str(path) for path in paths], "kinds": {"topup": "purchase", "promo": "grant"}}
    return PLUGIN.build("credits", LedgerFilesSettings.model_validate(values | changes))


def entries(kept: Kept) -> dict[str, Decimal]:
    """Entries that the files still have."""
    return {found.entry_id: found.amount for found in kept.all(Entry) if not found.deleted}


def test_every_kind_of_file_gives_the_same(tmp_path: Path) -> None:
    """CSV, packed CSV, JSON Lines and Parquet hold the same entries."""
    names = HEADER.strip().split(",")
    rows = [dict(zip(names, row(f"e-{number}").strip().split(","), strict=True)) for number in range(3)]
    text = HEADER + "".join(row(f"e-{number}") for number in range(3))
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(found) + "\n" for found in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    results = []
    for file in ("a.csv", "b.csv.gz", "c.jsonl", "d.parquet"):
        kept = Kept()
        pull(source(tmp_path / file), kept)
        results.append(kept.everything())
    assert len(results[0]) == 3
    assert all(found == results[0] for found in results)


def test_globs_and_copies(tmp_path: Path) -> None:
    """A row that stands in two exports counts once."""
    (tmp_path / "1.csv").write_text(HEADER + row("e-1") + row("e-2"))
    (tmp_path / "2.csv").write_text(HEADER + row("e-2") + row("e-3", kind=""))
    kept = Kept()
    pull(source(tmp_path / "*.csv"), kept)
    assert set(entries(kept)) == {"e-1", "e-2", "e-3"}


def test_a_replaced_file_is_seen(tmp_path: Path) -> None:
    """An edit and a deletion become versions; a pull without a change adds none."""
    file = tmp_path / "l.csv"
    file.write_text(HEADER + row("e-1") + row("e-2"))
    kept = Kept()
    pull(source(file), kept)
    versions = kept.versions
    pull(source(file), kept)
    assert kept.versions == versions
    file.write_text(HEADER + row("e-1", "11"))
    pull(source(file), kept)
    assert entries(kept) == {"e-1": 11}


def test_malformed_rows_are_rejected_by_their_place(tmp_path: Path) -> None:
    """With file and line; the text itself may be personal, and is not kept."""
    (tmp_path / "l.csv").write_text(HEADER + row("e-1") + row("e-2", "1e3") + "half a line\n")
    kept = Kept()
    pull(source(tmp_path / "l.csv"), kept)
    assert [(found.object_id, bool(found.reason)) for found in kept.all(Rejected)] == [
        ("l.csv:3", True),
        ("l.csv:4", True),
    ]
    assert "someone" not in repr(kept.everything())
    assert set(entries(kept)) == {"e-1"}


faults: dict[str, tuple[dict[str, str], str]] = {
    "no file": ({}, "no file is at"),
    "missing column": ({"l.csv": "id,account\n1,a\n"}, "column reference is missing"),
    "unmapped": ({"l.csv": HEADER + row("e-1", kind="bonus") * 1}, "'bonus' (1 rows)"),
    "differs": ({"1.csv": HEADER + row("e-1"), "2.csv": HEADER + row("e-1", "9")}, "more than one row: e-1"),
    "unknown kind of file": ({"l.csv.doc": "x"}, "cannot tell what it is"),
}


@pytest.mark.parametrize("case", faults)
def test_faults_come_before_anything_is_written(tmp_path: Path, case: str) -> None:
    """One clear line each."""
    files, word = faults[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    kept, found = Kept(), source(tmp_path / "*.csv*")
    with pytest.raises(SourceError) as caught:
        pull(found, kept)
    assert word in caught.value.message
    assert "\n" not in caught.value.message
    assert not kept.everything()
    assert not kept.windows
    assert isinstance(caught.value, SourceUnavailableError if case == "no file" else SourceDataError)
