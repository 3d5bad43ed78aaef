"""What the connector tests share: a store that keeps records in dicts, and pulls into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_type_hints

import pyarrow as pa

from payhealth.domain.coverage import CoverageWindow, StreamState
from payhealth.domain.record import Record
from payhealth.domain.records import RECORD_TYPES
from payhealth.ports import Batch, Source, StreamPlan
from payhealth.store import open_store

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)


class Kept:
    """The simplest store that a source can read from: current records by class and key."""

    def __init__(self) -> None:
        self.kept: dict[type[Record], dict[tuple[Any, ...], Record]] = {}
        self.cursors: dict[tuple[str, str], str | None] = {}
        self.windows: list[CoverageWindow] = []
        self.versions = 0

    def commit(self, connector: str, batch: Batch) -> None:
        """Keep a batch; what is equal to what is there adds no version."""
        for record_type, found in batch.records.items():
            rows = self.kept.setdefault(record_type, {})
            keys = [tuple(getattr(row, name) for name in record_type.KEY) for row in found]
            assert len(keys) == len(set(keys)), f"a natural key stands twice in one batch of {record_type}"
            for key, row in zip(keys, found, strict=True):
                self.versions += rows.get(key) != row
                rows[key] = row
        self.windows.extend(batch.windows)
        self.cursors[connector, batch.stream] = batch.cursor

    def all(self, record_type: type[Record]) -> list[Any]:
        """Current records of a class, in the order of their keys."""
        found = self.kept.get(record_type, {})
        return [found[key] for key in sorted(found, key=repr)]

    def everything(self) -> list[Record]:
        """Every current record, in one order."""
        return sorted((row for rows in self.kept.values() for row in rows.values()), key=repr)

    def records(self, record_type: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """As of the port: one column a field."""
        rows = [
            {field.name: getattr(row, field.name) for field in fields(record_type)}
            for row in self.all(record_type)
        ]
        return pa.Table.from_pylist(rows, schema=_schema(record_type))

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Not needed by sources."""
        raise NotImplementedError

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where a stream goes on."""
        return self.cursors.get((connector, stream))

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Not needed by sources."""
        raise NotImplementedError


class KeptInStore:
    """A real store in memory, with the same ways to look into it."""

    def __init__(self) -> None:
        self.store = open_store("sqlite://")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    @property
    def versions(self) -> int:
        """How many versions of facts there are."""
        return sum(self.store.changes(kind, after=0).num_rows for kind in RECORD_TYPES)

    @property
    def windows(self) -> list[CoverageWindow]:
        """What was read, merged."""
        names = [field.name for field in fields(CoverageWindow)]
        rows = self.store.rows(f"select {', '.join(names)} from v_coverage")
        moments = [datetime.fromisoformat(row["read_at"]) for row in rows]
        return [CoverageWindow(**row | {"read_at": at}) for row, at in zip(rows, moments, strict=True)]

    def all(self, record_type: type[Record]) -> list[Any]:
        """Current records of a class, in the order of their keys."""
        beside = ["recorded_at", "first_recorded_at"]
        table = self.store.records(record_type).drop_columns(beside)
        found = [record_type(**row) for row in table.to_pylist()]
        return sorted(found, key=lambda row: repr([getattr(row, name) for name in record_type.KEY]))

    def everything(self) -> list[Record]:
        """Every current record, in one order."""
        return sorted((row for kind in RECORD_TYPES for row in self.all(kind)), key=repr)


def _schema(record_type: type[Record]) -> pa.Schema:
    hints = get_type_hints(record_type)
    return pa.schema([(field.name, _arrow_type(str(hints[field.name]))) for field in fields(record_type)])


def _arrow_type(hint: str) -> pa.DataType:
    for word, arrow in (
        ("Decimal", pa.decimal128(38, 18)),
        ("datetime", pa.timestamp("us", "UTC")),
        ("bool", pa.bool_()),
        ("int", pa.int64()),
    ):
        if word in hint:
            return arrow
    return pa.string()


def pull(
    source: Source,
    kept: Kept | KeptInStore,
    now: datetime = NOW,
    *,
    after_batch: Callable[[int], None] = lambda _number: None,
) -> list[Batch]:
    """Read every stream into the store, as the pipeline does.

    Args:
        after_batch: called with the number of batches committed so far; it may raise to stop the pull.
    """
    batches: list[Batch] = []
    for plan in source.streams():
        cursor = kept.cursor(source.name, plan.stream)
        for batch in source.pull(plan.stream, cursor, now, kept):
            kept.commit(source.name, batch)
            batches.append(batch)
            after_batch(len(batches))
    return batches
