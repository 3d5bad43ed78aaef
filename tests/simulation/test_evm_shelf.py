"""The least store that the EVM source can be pulled into, for thousands of quick pulls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from payhealth.domain.chain_records import AddressBalance
from payhealth.domain.coverage import CoverageWindow, StreamState
from payhealth.domain.record import ARCHIVED, Record
from payhealth.domain.records import RECORD_TYPES
from payhealth.ports import Batch, StreamPlan
from payhealth.testing import MemoryStore


class Shelf:
    """The least store that a source can be pulled into: current records by key, and a count of changes."""

    def __init__(self) -> None:
        self.current: dict[type[Record], dict[tuple[Any, ...], Record]] = {}
        self.cursors: dict[str, str] = {}
        self.windows: list[tuple[int, int]] = []
        self.coverage: list[CoverageWindow] = []
        self.versions = 0

    def commit(self, batch: Batch) -> None:
        """Take a step in."""
        for kind, given in batch.records.items():
            shelf = self.current.setdefault(kind, {})
            rows = _rows(kind, given)
            keys = {tuple(getattr(row, name) for name in kind.KEY) for row in rows}
            assert len(keys) == len(rows), f"a natural key stands twice in one batch of {kind}"
            for row in rows:
                assert isinstance(row, kind)
                key = tuple(getattr(row, name) for name in kind.KEY)
                # What balances prove goes on while the chain stands still: it has tests of its own.
                self.versions += shelf.get(key) != row and kind is not AddressBalance
                shelf[key] = row
        self.windows += [(window.lower, window.upper) for window in batch.windows]
        self.coverage += batch.windows
        if batch.cursor is not None:
            self.cursors[batch.stream] = batch.cursor

    def all(self, kind: type[Any]) -> list[Any]:
        """The current records of a class."""
        return list(self.current.get(kind, {}).values())

    def records(self, kind: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """The same as Arrow, as the real store gives them."""
        return self._table(kind, self.all(kind))

    def lookup(self, kind: type[Record], connector: str, column: str, values: Collection[Any]) -> pa.Table:
        """Those whose column holds one of the values."""
        wanted = set(values)
        return self._table(kind, [row for row in self.all(kind) if getattr(row, column) in wanted])

    def between(self, kind: type[Record], connector: str, column: str, lower: int, upper: int) -> pa.Table:
        """Those whose column lies in a range."""
        rows = [row for row in self.all(kind) if getattr(row, column) is not None]
        return self._table(kind, [row for row in rows if lower <= getattr(row, column) < upper])

    def _table(self, kind: type[Record], rows: Sequence[Any]) -> pa.Table:
        columns = {
            one.name: pa.array([getattr(row, one.name) for row in rows], type=_arrow_type(str(one.type)))
            for one in fields(kind)
            if not one.metadata.get(ARCHIVED)
        }
        return pa.table(columns)

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where the next pull goes on."""
        return self.cursors.get(stream)

    def changes(self, kind: type[Record], *, after: int, limit: int | None = None) -> pa.Table:
        """Not needed by this source."""
        raise NotImplementedError

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Not needed by this source."""
        raise NotImplementedError

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Not needed by this source."""
        raise NotImplementedError


def _rows(kind: type[Record], given: Any) -> list[Any]:
    return [kind(**row) for row in given.to_pylist()] if isinstance(given, pa.Table) else list(given)


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
