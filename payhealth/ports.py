"""The small protocols between the floors: what a source, a store and a clock must offer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.domain.coverage import CoverageUnit, CoverageWindow, StreamState
    from payhealth.domain.record import Record
    from payhealth.domain.results import CheckResult


class Clock(Protocol):
    """Where the present moment comes from; read at the edge only."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""


READ_SKEW = timedelta(seconds=30)
"""By so much the clocks of a source's machines may be apart: inside it no reading counts as the later one."""


READ_ANEW = "is being read anew, because what is looked for has changed"
"""How a stream counts from a batch that begins anew until a pull ends well: as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step of a pull brings: committed whole, or not at all.

    Args:
        records: record class -> rows, as records or as one Arrow table with the record's fields as columns.
        windows: what the step read whole.
        cursor: where the next step or pull goes on, opaque to all but the connector.
        read_at: the source's own clock when the oldest of these records was read, where it tells: a record
            that was read later by more than ``READ_SKEW`` stays, whatever order steps are committed in.
        progress: how far the stream has come, where the source knows its length.
        objects_read: vendor objects read in this step, rejected ones included.
        requests: calls made for this step.
        anew: what was covered of the stream before counts no longer: other things are looked for now. Until a
            pull of it ends well the stream counts as failed.
        rejudged: what is refuted of the stream is what this batch's windows say, and nothing else any more.
    """

    stream: str
    records: Mapping[type[Record], Sequence[Record] | pa.Table]
    windows: Sequence[CoverageWindow] = ()
    cursor: str | None = None
    objects_read: int = 0
    requests: int = 0
    read_at: datetime | None = None
    progress: StreamProgress | None = None
    anew: bool = False
    rejudged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamProgress:
    """How far the pull of a stream has come, in the stream's own unit.

    Args:
        done: how much of the stretch was read, of ``total``.
        windows: how many windows were read whole.
        detail: what a person watching wants to know instead of the windows, in a few words.
    """

    done: int
    total: int
    windows: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """One stream of a source and from where it must be covered."""

    stream: str
    unit: CoverageUnit
    required_lower: int


class Source(Protocol):
    """Something payments or entries are read from."""

    name: str
    kind: str

    def streams(self) -> Sequence[StreamPlan]:
        """The streams in the order in which they must be read."""

    def verify(self) -> None:
        """Refuse a wrong key, chain, contract or query before anything is written.

        Raises:
            SourceError: with one clear line.
        """

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read a stream from its cursor to now, in steps that can each be committed.

        Args:
            reader: what the store already knows (a chain's recent blocks, a charge's payment).

        Raises:
            SourceError: the stream could not be read on; what was yielded stays valid.
        """

    def close(self) -> None:
        """Give connections back."""


@runtime_checkable
class PegSource(Protocol):
    """A source whose assets include some that follow a currency one for one."""

    def pegs(self) -> Mapping[str, str]:
        """Asset -> the currency that it follows."""


class Level(StrEnum):
    """How much something that was tried matters."""

    OK = "ok"
    WARN = "warn"
    """It works, and should be otherwise."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What the owner of a source should know or do: one line each."""

    level: Level
    message: str
    hint: str = ""


@runtime_checkable
class DiagnosedSource(Protocol):
    """A source that can say more about itself than the first thing that is wrong."""

    def diagnose(self, reader: StoreReader | None) -> Sequence[Advice]:
        """Try everything that a pull needs, and name all that is wrong; nothing where all is well.

        Args:
            reader: what the store already knows; None where it cannot be reached.

        Raises:
            SourceError: nothing could be tried at all.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCounts:
    """What a commit changed."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """How the pull of one stream ended; ``error`` is None when it ended well."""

    connector: str
    stream: str
    started_at: datetime
    finished_at: datetime
    objects_read: int
    new: int
    changed: int
    rejected: int
    requests: int
    error: str | None = None
    coverage: tuple[tuple[int, int], ...] = field(default=())


class StoreReader(Protocol):
    """Reading, for sources, matching and checks."""

    def records(self, record_type: type[Record], *, as_of: datetime | None = None) -> pa.Table:
        """All current records of a class, or those known as of a moment, with ``recorded_at`` beside.

        Columns are the record's fields without archived ones (amounts decimal128(38, 18), moments
        timestamp[us, UTC]), then ``recorded_at`` and ``first_recorded_at`` (of the record's first version).
        """

    def lookup(
        self, record_type: type[Record], connector: str, column: str, values: Collection[str]
    ) -> pa.Table:
        """Current records of a connector whose column holds one of the values.

        Returns:
            As :meth:`records`, with ``read_at`` (the source's clock when this was read, may be null) beside.
        """

    def between(
        self, record_type: type[Record], connector: str, column: str, lower: int, upper: int
    ) -> pa.Table:
        """Current records of a connector whose column of whole numbers lies in ``[lower, upper)``.

        Returns:
            As :meth:`lookup`.
        """

    def changes(self, record_type: type[Record], *, after: int, limit: int | None = None) -> pa.Table:
        """Versions committed after a change number was read, ascending, the first ``limit`` of them.

        Columns are the record's fields without archived ones, then at least ``recorded_at`` and
        ``change_seq``.
        """

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows of a query over the documented views, with bound parameters (``:name``)."""

    def cursor(self, connector: str, stream: str) -> str | None:
        """Where the stream's pull goes on, None before its first."""

    def stream_states(self, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
        """Coverage and last pull of every planned stream, ``plans`` by connector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanges:
    """What storing a reconciliation changed."""

    new_matches: int = 0
    superseded_matches: int = 0
    new_breaks: int = 0
    changed_breaks: int = 0
    resolved_breaks: int = 0
    reopened_breaks: int = 0

    @property
    def total(self) -> int:
        """How many rows of history were added."""
        return (
            self.new_matches
            + self.superseded_matches
            + self.new_breaks
            + self.changed_breaks
            + self.resolved_breaks
            + self.reopened_breaks
        )


class Store(StoreReader, Protocol):
    """Everything that is kept."""

    def commit(self, connector: str, batch: Batch) -> WriteCounts:
        """Write a step's records, coverage and cursor in one transaction; equal content adds nothing."""

    def record_pull(self, outcome: PullOutcome) -> None:
        """Remember how a stream's pull ended."""

    def save_run(
        self, *, matches: pa.Table, breaks: pa.Table, statement: Sequence[Mapping[str, Any]], ran_at: datetime
    ) -> RunChanges:
        """Make these the current matches and breaks, with history of what changed."""

    def save_results(self, results: Sequence[CheckResult]) -> None:
        """Append check results to their history."""

    def close(self) -> None:
        """Give connections back."""


class Notifier(Protocol):
    """Somebody to tell."""

    def send(self, title: str, body: str) -> None:
        """Deliver one message.

        Raises:
            DeliveryError: it did not arrive.
        """
