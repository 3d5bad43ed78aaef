"""A credit ledger in CSV, Parquet or JSON Lines files, read whole at every pull.

A file that was replaced is seen as edits and deletions of its entries. Extra columns are ignored; an
empty kind is a purchase.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from payhealth.connectors.ledger.entries import (
    SHOWN_MAX,
    STREAM,
    Reading,
    batches,
    plan,
    refuse_repeated,
    refuse_unmapped,
)
from payhealth.connectors.ledger.settings import LedgerFilesSettings
from payhealth.connectors.ledger.translate import EntryRules
from payhealth.domain.errors import InputError, SourceDataError, SourceUnavailableError
from payhealth.domain.records import EntryKind, Rejected
from payhealth.ports import Batch, StoreReader, StreamPlan
from payhealth.tabular import ledger_table

CHUNK_ROWS = 10_000
"""Rows committed at once."""


class LedgerFilesSource:
    """Reads the credit ledger from files.

    Args:
        name: the connector's name in the configuration.
    """

    kind = "ledger.files"

    def __init__(self, name: str, settings: LedgerFilesSettings) -> None:
        self.name = name
        self._settings = settings
        # Reading a file turns an empty kind into this word, so it is mapped to itself unless told.
        kinds = {EntryKind.PURCHASE.value: EntryKind.PURCHASE, **settings.kinds} if settings.kinds else {}
        self._rules = EntryRules(connector=name, kinds=kinds, start=settings.start)

    def streams(self) -> Sequence[StreamPlan]:
        """The one stream, ``entries``."""
        return [plan(self._settings.start)]

    def verify(self) -> None:
        """Refuse a path that names no file.

        Raises:
            SourceUnavailableError: with the path.
        """
        self._files()

    def close(self) -> None:
        """Nothing is held open."""

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read all files, then report: what is wrong with any of them comes before anything is written.

        Raises:
            SourceError: a file could not be read, or rows contradict one another.
        """
        if stream != STREAM:
            raise ValueError(f"a ledger has no stream {stream!r}")
        rows, rejected = self._tables()
        counts = rows["kind"].value_counts().to_pylist()
        seen = {count["values"]: count["counts"] for count in counts}
        refuse_unmapped(self.name, seen, self._rules.kinds)
        if rejected:
            yield Batch(
                stream=STREAM, records={Rejected: rejected}, cursor=cursor, objects_read=len(rejected)
            )
        reading = Reading(rules=self._rules, provider="files", cursor=cursor, now=now)
        yield from batches(_chunks(self._without_copies(rows)), reading, reader)

    def _files(self) -> list[Path]:
        found: dict[Path, None] = {}
        for pattern in self._settings.paths:
            paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - absolute globs, too
            files = [path for path in paths if path.is_file()]
            if not files:
                # An export that is missing must not look like a ledger that was emptied.
                raise SourceUnavailableError(f"{self.name}: no file is at {pattern}")
            found.update(dict.fromkeys(files))
        return list(found)

    def _tables(self) -> tuple[pa.Table, list[Rejected]]:
        tables: list[pa.Table] = []
        rejected: list[Rejected] = []
        for path in self._files():
            try:
                read = ledger_table(path)
            except InputError as error:
                hint = f"; {error.hint}" if error.hint else ""
                raise SourceDataError(f"{self.name}: {error.message}{hint}") from error
            tables.append(read.rows)
            rejected += [self._rejected(row) for row in read.rejected.to_pylist()]
        return pa.concat_tables(tables), rejected

    def _rejected(self, row: Mapping[str, Any]) -> Rejected:
        """A malformed row by its place; its text cannot be told apart from personal data."""
        place = {"file": row["file"], "line": row["line"]}
        return Rejected(
            connector=self.name,
            stream=STREAM,
            object_id=f"{row['file']}:{row['line']}",
            reason=row["reason"],
            raw=orjson.dumps(place).decode(),
        )

    def _without_copies(self, rows: pa.Table) -> pa.Table:
        """Rows that stand in several files count once; such that differ under one id are refused."""
        distinct = rows.group_by(rows.column_names, use_threads=False).aggregate([])
        counts = distinct["id"].value_counts().to_pylist()
        refuse_repeated(
            self.name, sorted(count["values"] for count in counts if count["counts"] > 1)[:SHOWN_MAX]
        )
        return distinct


def _chunks(rows: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in rows.to_batches(max_chunksize=CHUNK_ROWS):
        yield batch.to_pylist()
