"""A store in plain Python lists: the real interface, written as plainly as its meaning allows.

It shares no code with the SQL store where facts are compared and versioned, so that the contract suite
holds two independent readings of ``ports.Store`` against each other. Queries over the views are answered by
an SQLite store in memory that is given everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from payhealth.domain.coverage import CoverageWindow, StreamState, merge
from payhealth.domain.record import Record
from payhealth.domain.records import RECORD_TYPES, Rejected
from payhealth.domain.times import utc
from payhealth.ports import READ_ANEW, READ_SKEW, Batch, PullOutcome, RunChanges, StreamPlan, WriteCounts

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.domain.results import CheckResult
    from payhealth.ports import Clock
    from payhealth.store import SqlStore

_EFFECTIVE = ("effective_at", "created_at", "block_at")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class _Version:
    """One state of a record, and what the store adds to it."""

    change_seq: int
    recorded_at: datetime
    read_at: datetime | None
    record: Record


@dataclass
class _Fact:
    """One record's versions, oldest first."""

    versions: list[_Version] = field(default_factory=list)

    def by(self, moment: datetime | None) -> _Version | None:
        """The newest version recorded by a moment, None if there was none."""
        known = [version for version in self.versions if moment is None or version.recorded_at <= moment]
        return known[-1] if known else None

    def row(self, version: _Version) -> dict[str, Any]:
        """A version as the store gives it."""
        return asdict(version.record) | {
            "recorded_at": version.recorded_at,
            "first_recorded_at": self.versions[0].recorded_at,
            "read_at": version.read_at,
            "change_seq": version.change_seq,
        }


class MemoryStore:
    """A ``ports.Store`` that forgets everything with the process.

    Args:
        clock: where ``recorded_at`` comes from; the machine's clock unless given.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._facts: dict[type[Record], dict[tuple[Any, ...], _Fact]] = {kind: {} for kind in RECORD_TYPES}
        self._change_seq = 0
        self._cursors: dict[tuple[str, str], str] = {}
        self._windows: list[CoverageWindow] = []
        self._outcomes: list[PullOutcome] = []
        self._matches: dict[str, dict[str, Any]] = {}
        self._breaks: dict[str, tuple[str, dict[str, Any]]] = {}
        self._log: list[Callable[[SqlStore], object]] = []
        self._views: SqlStore | None = None

    def commit(self, connector: str, batch: Batch) -> WriteCounts:
        """Write a step's records, coverage and cursor; equal content adds nothing."""
        rows = {kind: _as_records(kind, given) for kind, given in batch.records.items() if len(given)}
        now = utc(self._clock.now())
        counts = WriteCounts()
        for kind, records in rows.items():
            counts = _plus(counts, self._add(kind, records, now, batch.read_at))
        if batch.anew:
            here = (connector, batch.stream)
            read = [one for one in self._windows if (one.connector, one.stream) == here]
            tried = [one for one in self._outcomes if (one.connector, one.stream) == here]
            self._windows = [one for one in self._windows if (one.connector, one.stream) != here]
            if read or tried:
                self._outcomes.append(_anew(connector, batch.stream, now))
        if batch.rejudged:
            here = (connector, batch.stream)
            self._windows = [
                replace(one, refuted=False) if (one.connector, one.stream) == here else one
                for one in self._windows
            ]
        self._windows.extend(batch.windows)
        if batch.cursor is not None:
            self._cursors[connector, batch.stream] = batch.cursor
        self._log.append(lambda store: store.commit(connector, batch))
        return counts

    def _add(
        self, kind: type[Record], records: Sequence[Record], now: datetime, read_at: datetime | None
    ) -> WriteCounts:
        newest = {_key(record): record for record in records}
        new = changed = 0
        for key, record in newest.items():
            fact = self._facts[kind].setdefault(key, _Fact())
            known = fact.by(None)
            if known is None:
                new += 1
            elif known.record == record or (
                read_at and known.read_at and known.read_at > read_at + READ_SKEW
            ):
                continue
            else:
                changed += 1
            self._change_seq += 1
            fact.versions.append(_Version(self._change_seq, now, read_at, record))
        unchanged = len(records) - new - changed
        if kind is Rejected:
            return WriteCounts(rejected=new + changed, unchanged=unchanged)
        return WriteCounts(new=new, changed=changed, unchanged=unchanged)

    def record_pull(self, outcome: PullOutcome) -> None:
        """Remember how a stream's pull ended."""
        self._outcomes.append(outcome)
        self._log.append(lambda store: store.record_pull(outcome))

    def save_run(
        self, *, matches: pa.Table, breaks: pa.Table, statement: Sequence[Mapping[str, Any]], ran_at: datetime
    ) -> RunChanges:
        """Make these the current matches and breaks."""
        changes = replace(
            self._save_breaks({row["break_id"]: row for row in breaks.to_pylist()}),
            **self._save_matches({row["match_id"]: row for row in matches.to_pylist()}),
        )
        self._log.append(
            lambda store: store.save_run(matches=matches, breaks=breaks, statement=statement, ran_at=ran_at)
        )
        return changes

    def _save_matches(self, wanted: Mapping[str, dict[str, Any]]) -> dict[str, int]:
        known = self._matches
        differing = sum(1 for name in wanted.keys() & known.keys() if wanted[name] != known[name])
        changes = {
            "new_matches": len(wanted.keys() - known.keys()),
            "superseded_matches": differing + len(known.keys() - wanted.keys()),
        }
        self._matches = dict(wanted)
        return changes

    def _save_breaks(self, wanted: Mapping[str, dict[str, Any]]) -> RunChanges:
        counts = dict.fromkeys(("new_breaks", "changed_breaks", "resolved_breaks", "reopened_breaks"), 0)
        for name, row in wanted.items():
            state, known = self._breaks.get(name, ("", {}))
            if not state:
                self._breaks[name] = ("open", row)
                counts["new_breaks"] += 1
            elif state == "resolved":
                self._breaks[name] = ("reopened", row)
                counts["reopened_breaks"] += 1
            elif known != row:
                self._breaks[name] = (state, row)
                counts["changed_breaks"] += 1
        for name, (state, known) in list(self._breaks.items()):
            if name not in wanted and state != "resolved":
                self._breaks[name] = ("resolved", known)
                counts["resolved_breaks"] += 1
        return RunChanges(**counts)

    def save_results(self, results: Sequence[CheckResult]) -> None:
        """Append check results to their history."""
        self._log.append(lambda store: store.save_results(results))

    def records(self, record_type: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """All current records of a class, or those known as of a moment."""
        moment = None if as_of is None else utc(as_of)
        rows = []
        for fact in self._facts[record_type].values():
            version = fact.by(moment)
            if version and (moment is None or _happened(version.record) <= moment):
                rows.append(fact.row(version))
        return _table(record_type, rows, "recorded_at", "first_recorded_at")

    def lookup(
        self, record_type: type[Record], connector: str, column: str, values: Collection[str]
    ) -> pa.Table:
        """Current records of a connector whose column holds one of the values."""
        newest = [fact.row(fact.versions[-1]) for fact in self._facts[record_type].values()]
        rows = [row for row in newest if row["connector"] == connector and row[column] in set(values)]
        return _table(record_type, rows, "recorded_at", "first_recorded_at", "read_at")

    def between(
        self, record_type: type[Record], connector: str, column: str, lower: int, upper: int
    ) -> pa.Table:
        """Current records of a connector whose column of whole numbers lies in ``[lower, upper)``."""
        newest = [fact.row(fact.versions[-1]) for fact in self._facts[record_type].values()]
        rows = [
            row
            for row in newest
            if row["connector"] == connector and row[column] is not None and lower <= row[column] < upper
        ]
        return _table(record_type, rows, "recorded_at", "first_recorded_at", "read_at")

    def changes(self, record_type: type[Record], *, after: int, limit: int | None = None) -> pa.Table:
        """Versions committed after a change number was read, ascending."""
        facts = self._facts[record_type].values()
        rows = [fact.row(version) for fact in facts for version in fact.versions]
        rows = sorted((row for row in rows if row["change_seq"] > after), key=itemgetter("change_seq"))
        return _table(record_type, rows[:limit], "recorded_at", "change_seq")

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query over the views."""
        from payhealth.store import open_store

        if self._views is None:
            self._views = open_store("sqlite://", clock=self._clock)
        log, self._log = self._log, []
        for action in log:
            action(self._views)
        return self._views.rows(sql, parameters)

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where the stream's pull goes on, None before its first."""
        return self._cursors.get((connector, stream))

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Coverage and last pull of every planned stream, ``plans`` by connector."""
        return tuple(self._state(connector, plan) for connector, planned in plans.items() for plan in planned)

    def _state(self, connector: str, plan: StreamPlan) -> StreamState:
        here = (connector, plan.stream)
        pulls = [pull for pull in self._outcomes if (pull.connector, pull.stream) == here]
        windows = [
            window
            for window in self._windows
            if (window.connector, window.stream) == here and window.unit is plan.unit
        ]
        refuted = _refuted(windows)
        return StreamState(
            connector=connector,
            stream=plan.stream,
            unit=plan.unit,
            required_lower=plan.required_lower,
            last_ok_at=max((pull.finished_at for pull in pulls if pull.error is None), default=None),
            last_error=pulls[-1].error if pulls else None,
            covered=_without(merge((window.lower, window.upper) for window in windows), refuted),
            refuted=refuted,
        )

    def close(self) -> None:
        """Give the views' store back."""
        if self._views is not None:
            self._views.close()
            self._views = None


def _anew(connector: str, stream: str, now: datetime) -> PullOutcome:
    return PullOutcome(
        connector=connector,
        stream=stream,
        started_at=now,
        finished_at=now,
        objects_read=0,
        new=0,
        changed=0,
        rejected=0,
        requests=0,
        error=READ_ANEW,
    )


def _refuted(windows: Sequence[CoverageWindow]) -> tuple[tuple[int, int], ...]:
    """What some window refutes, unit by unit: plain, and slow for wide windows."""
    refuted = {unit for each in windows if each.refuted for unit in range(each.lower, each.upper)}
    return merge((unit, unit + 1) for unit in refuted)


def _without(
    windows: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    if not taken:
        return tuple(windows)
    out = {unit for lower, upper in taken for unit in range(lower, upper)}
    kept = ((unit, unit + 1) for lower, upper in windows for unit in range(lower, upper) if unit not in out)
    return merge(kept)


def _table(kind: type[Record], rows: Sequence[Mapping[str, Any]], *beside: str) -> pa.Table:
    import pyarrow as pa

    from payhealth.store.arrow import schema
    from payhealth.store.spec import RECORD_SPECS

    spec = RECORD_SPECS[kind]
    columns = (*spec.shown, *(spec.column(name) for name in beside))
    return pa.Table.from_pylist(rows, schema=schema(columns))


def _key(record: Record) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in record.KEY)


def _as_records(kind: type[Record], given: Any) -> list[Record]:
    """Records out of a table or a sequence, refused where the real store refuses them."""
    from payhealth.store.arrow import content_table
    from payhealth.store.spec import RECORD_SPECS

    return [kind(**row) for row in content_table(RECORD_SPECS[kind], given).to_pylist()]


def _happened(record: Record) -> datetime:
    """When a record's fact happened; what has no such moment always has."""
    for name in _EFFECTIVE:
        if hasattr(record, name):
            moment: datetime = getattr(record, name)
            return moment
    return datetime.min.replace(tzinfo=UTC)


def _plus(left: WriteCounts, right: WriteCounts) -> WriteCounts:
    names = [each.name for each in fields(WriteCounts)]
    return WriteCounts(**{name: getattr(left, name) + getattr(right, name) for name in names})
