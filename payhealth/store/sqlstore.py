"""The store of ``ports.Store`` on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine

from payhealth.domain.errors import InputError
from payhealth.domain.record import Record
from payhealth.domain.records import Rejected
from payhealth.ports import Batch, PullOutcome, RunChanges, StreamPlan, WriteCounts
from payhealth.store import arrow, pulls, reading, runs, versioned
from payhealth.store.engine import reading as reading_transaction
from payhealth.store.engine import shown, translated, writing
from payhealth.store.spec import ALL_SPECS, BREAK, MATCH, RECORD_SPECS, Spec
from payhealth.store.versioned import Rows, Transaction

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.domain.coverage import StreamState
    from payhealth.domain.results import CheckResult
    from payhealth.ports import Clock

CHUNK_ROWS = 20_000
"""Rows a transaction writes at most: a fraction of a second, so that other writers are not starved."""

_LIVE_BREAKS = (runs.BreakState.OPEN, runs.BreakState.ACKNOWLEDGED, runs.BreakState.REOPENED)


class SqlStore:
    """Everything that is kept, in one database. Threads may share it; open it with ``open_store``.

    Args:
        clock: what ``recorded_at`` is taken from instead of the database's clock; for simulations and tests.
    """

    def __init__(self, engine: Engine, url: URL, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._url = url
        self._clock = clock

    def __repr__(self) -> str:
        return f"SqlStore({shown(self._url)!r})"

    def commit(self, connector: str, batch: Batch) -> WriteCounts:
        """Write a step's records, coverage and cursor; equal content adds nothing.

        More than ``CHUNK_ROWS`` rows are written in several transactions, of which only the last carries
        coverage and cursor: a process killed in between pulls the step again and finds its rows there.

        Raises:
            InputError: a record that cannot be kept; nothing is written then.
        """
        prepared, repeated = _prepared(batch)
        chunks = _chunks(prepared) or [[]]
        counts = WriteCounts(unchanged=repeated)
        for chunk in chunks[:-1]:
            with self._changing("write records") as opened:
                opened.read_at = batch.read_at
                written = _write(opened, chunk)
            counts = _added(counts, written)
        with self._changing("write records") as opened:
            opened.read_at = batch.read_at
            written = _write(opened, chunks[-1])
            self._write_progress(opened, connector, batch)
        return _added(counts, written)

    def _write_progress(self, opened: Transaction, connector: str, batch: Batch) -> None:
        if batch.anew:
            pulls.begin_anew(opened.connection, connector, batch.stream, opened.recorded_at)
        pulls.save_windows(opened.connection, connector, batch)
        if batch.cursor is not None:
            pulls.save_cursor(opened.connection, connector, batch.stream, batch.cursor, opened.recorded_at)

    def record_pull(self, outcome: PullOutcome) -> None:
        """Remember how a stream's pull ended."""
        with self._writing("record a pull") as connection:
            pulls.save_outcome(connection, outcome)

    def save_run(
        self, *, matches: pa.Table, breaks: pa.Table, statement: Sequence[Mapping[str, Any]], ran_at: datetime
    ) -> RunChanges:
        """Make these the current matches and breaks, with history of what changed; all or nothing.

        Args:
            matches: columns as in ``matches.parquet`` (design, section 6); others are left aside.
            breaks: columns as in ``breaks.parquet``; others are left aside.
            statement: one mapping for each asset and rail; kept when it differs from the last.
        """
        match_rows, break_rows = runs.run_rows(MATCH, matches), runs.run_rows(BREAK, breaks)
        with self._changing("save a reconciliation") as opened:
            of_matches = runs.save_matches(opened, match_rows)
            of_breaks = runs.save_breaks(opened, break_rows)
            runs.save_statement(opened, statement, ran_at)
        return RunChanges(
            **{
                field.name: getattr(of_matches, field.name) + getattr(of_breaks, field.name)
                for field in fields(RunChanges)
            }
        )

    def save_results(self, results: Sequence[CheckResult]) -> None:
        """Append check results to their history."""
        with self._writing("save check results") as connection:
            pulls.save_results(connection, results)

    def decide_break(
        self, break_id: str, state: runs.BreakState, *, by: str, note: str | None = None
    ) -> None:
        """Record that a person acknowledged, resolved or reopened a break.

        Raises:
            InputError: no such break.
        """
        with self._changing("record a decision") as opened:
            runs.decide_break(opened, break_id, state, by, note)

    def records(self, record_type: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """All current records of a class, or those known as of a moment."""
        with self._reading("read records") as connection:
            return reading.records(connection, RECORD_SPECS[record_type], as_of)

    def lookup(
        self, record_type: type[Record], connector: str, column: str, values: Collection[str]
    ) -> pa.Table:
        """Current records of a connector whose column holds one of the values, with ``read_at`` beside."""
        with self._reading("look records up") as connection:
            return reading.lookup(connection, RECORD_SPECS[record_type], connector, column, values)

    def between(
        self, record_type: type[Record], connector: str, column: str, lower: int, upper: int
    ) -> pa.Table:
        """Current records of a connector whose column of whole numbers lies in ``[lower, upper)``."""
        with self._reading("look records up") as connection:
            return reading.between(connection, RECORD_SPECS[record_type], connector, column, lower, upper)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query over the views; it cannot write.

        Amounts come as canonical text and moments as ISO 8601 text, from both databases alike.
        """
        with self._reading("run a query") as connection:
            return reading.rows(connection, sql, parameters)

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where the stream's pull goes on, None before its first."""
        with self._reading("read a cursor") as connection:
            return pulls.cursor_of(connection, connector, stream)

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Coverage and last pull of every planned stream, ``plans`` by connector."""
        with self._reading("read coverage") as connection:
            return pulls.states(connection, plans)

    def changes(self, record_type: type[Record], *, after: int, limit: int | None = None) -> pa.Table:
        """Versions committed after a change number was read, with ``change_seq``, ascending."""
        with self._reading("read changes") as connection:
            return reading.changes(connection, RECORD_SPECS[record_type], after, limit)

    def history(self, record_type: type[Record], key: Sequence[Any]) -> list[dict[str, Any]]:
        """Every version of one record, oldest first; ``key`` in the order of the record's ``KEY``."""
        with self._reading("read a history") as connection:
            return reading.history(connection, RECORD_SPECS[record_type], key)

    def breaks(self, states: Sequence[str] | None = _LIVE_BREAKS) -> list[dict[str, Any]]:
        """Current breaks in these states, None for all: lists as Python lists, amounts as decimals."""
        with self._reading("read breaks") as connection:
            return reading.current(connection, BREAK, states)

    def matches(self, states: Sequence[str] | None = ("confirmed", "proposed")) -> list[dict[str, Any]]:
        """Current matches in these states, None for all."""
        with self._reading("read matches") as connection:
            return reading.current(connection, MATCH, states)

    def break_history(self, break_id: str) -> list[dict[str, Any]]:
        """Every version of a break, oldest first; empty where there is none."""
        return self._history(BREAK, break_id)

    def match_history(self, match_id: str) -> list[dict[str, Any]]:
        """Every version of a match, oldest first; empty where there is none."""
        return self._history(MATCH, match_id)

    def _history(self, spec: Spec, key: str) -> list[dict[str, Any]]:
        with self._reading("read a history") as connection:
            return reading.history(connection, spec, (key,))

    def last_statement(self) -> dict[str, Any] | None:
        """The newest statement: ``ran_at``, ``since`` (first run with these rows) and ``rows``."""
        with self._reading("read the statement") as connection:
            return runs.last_statement(connection)

    def last_results(self) -> list[dict[str, Any]]:
        """The newest verdict of every check."""
        with self._reading("read check results") as connection:
            return pulls.last_results(connection)

    def verify_projection(self) -> list[dict[str, Any]]:
        """Where current tables are not what their histories say; empty when all is well."""
        with self._reading("compare history and projection") as connection:
            return [
                found for spec in ALL_SPECS for found in versioned.projection_differences(connection, spec)
            ]

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    @contextmanager
    def _changing(self, doing: str) -> Iterator[Transaction]:
        with translated(self._url, doing), versioned.transaction(self._engine, self._clock) as opened:
            yield opened

    @contextmanager
    def _writing(self, doing: str) -> Iterator[Connection]:
        with translated(self._url, doing), writing(self._engine) as connection:
            yield connection

    @contextmanager
    def _reading(self, doing: str) -> Iterator[Connection]:
        with translated(self._url, doing), reading_transaction(self._engine) as connection:
            yield connection


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Rows of one class; rejected ones are counted apart."""

    rows: Rows
    rejected: bool


def _prepared(batch: Batch) -> tuple[list[_Prepared], int]:
    """A batch's rows, checked and hashed before any lock is taken; and how many repeat a key."""
    unknown = [kind for kind in batch.records if kind not in RECORD_SPECS]
    if unknown:
        raise InputError(f"{unknown[0].__name__} is no class of record that the store keeps")
    prepared, repeated = [], 0
    for kind, spec in RECORD_SPECS.items():
        given = batch.records.get(kind)
        if given is None or not len(given):
            continue
        content = arrow.content_table(spec, given)
        rows = versioned.rows_of(spec, content)
        repeated += content.num_rows - len(rows)
        prepared.append(_Prepared(rows, rejected=kind is Rejected))
    return prepared, repeated


def _chunks(prepared: Sequence[_Prepared]) -> list[list[_Prepared]]:
    """Transactions of at most ``CHUNK_ROWS`` rows each."""
    chunks: list[list[_Prepared]] = []
    room = 0
    for each in prepared:
        start = 0
        while start < len(each.rows):
            if not room:
                chunks.append([])
                room = CHUNK_ROWS
            part = each.rows.part(start, room)
            chunks[-1].append(_Prepared(part, each.rejected))
            start += len(part)
            room -= len(part)
    return chunks


def _write(opened: Transaction, chunk: Sequence[_Prepared]) -> WriteCounts:
    counts = WriteCounts()
    for each in chunk:
        new, changed = versioned.write(opened, each.rows)
        unchanged = len(each.rows) - new - changed
        if each.rejected:
            counts = _added(counts, WriteCounts(rejected=new + changed, unchanged=unchanged))
        else:
            counts = _added(counts, WriteCounts(new=new, changed=changed, unchanged=unchanged))
    return counts


def _added(left: WriteCounts, right: WriteCounts) -> WriteCounts:
    return WriteCounts(
        **{
            field.name: getattr(left, field.name) + getattr(right, field.name)
            for field in fields(WriteCounts)
        }
    )
