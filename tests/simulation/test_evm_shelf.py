"""The least store that the EVM source can be pulled into, for thousands of quick pulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from payhealth.domain.coverage import StreamState
from payhealth.domain.records import ARCHIVED, RECORD_TYPES, Record
from payhealth.ports import Batch, StreamPlan
from payhealth.testing import MemoryStore


class Shelf:
    """The least store that a source can be pulled into: current records by key, and a count of changes."""

    def __init__(self) -> None:
        self.current: dict[type[Record], dict[tuple[Any, ...], Record]] = {}
        self.cursors: dict[str, str] = {}
        self.windows: list[tuple[int, int]] = []
        self.versions = 0

    def commit(self, batch: Batch) -> None:
        """Take a step in."""
        for kind, rows in batch.records.items():
            shelf = self.current.setdefault(kind, {})
            keys = {tuple(getattr(row, name) for name in kind.KEY) for row in rows}
            assert len(keys) == len(rows), f"a natural key stands twice in one batch of {kind}"
            for row in rows:
                assert isinstance(row, kind)
                key = tuple(getattr(row, name) for name in kind.KEY)
                self.versions += shelf.get(key) != row
                shelf[key] = row
        self.windows += [(window.lower, window.upper) for window in batch.windows]
        if batch.cursor is not None:
            self.cursors[batch.stream] = batch.cursor

    def all(self, kind: type[Any]) -> list[Any]:
        """The current records of a class."""
        return list(self.current.get(kind, {}).values())

    def records(self, kind: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """The same as Arrow, as the real store gives them."""
        rows = self.all(kind)
        columns = {
            one.name: pa.array([getattr(row, one.name) for row in rows], type=_arrow_type(str(one.type)))
            for one in fields(kind)
            if not one.metadata.get(ARCHIVED)
        }
        return pa.table(columns)

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where the next pull goes on."""
        return self.cursors.get(stream)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Not needed by this source."""
        raise NotImplementedError

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Not needed by this source."""
        raise NotImplementedError


def _arrow_type(annotation: str) -> pa.DataType:
    base = annotation.partition(" | ")[0]
    types = {"Decimal": pa.decimal128(38, 18), "int": pa.int64(), "bool": pa.bool_(), "str": pa.string()}
    return types.get(base, pa.timestamp("us", "UTC"))


def test_the_shelf_shows_the_columns_of_the_real_store() -> None:
    """Every class of records has the same columns and types here as in the store that ships."""
    for kind in RECORD_TYPES:
        real = MemoryStore().records(kind).drop_columns(["recorded_at", "first_recorded_at"])
        ours = Shelf().records(kind)
        assert (ours.schema.names, ours.schema.types) == (real.schema.names, real.schema.types)
