"""What the use cases return, and what every report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payhealth.domain.results import exit_code

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.domain.coverage import Hole, StreamState
    from payhealth.domain.results import CheckResult
    from payhealth.ports import PullOutcome, RunChanges, StreamProgress

StatementRow = Mapping[str, Any]
"""One line of the statement: the keys of design ``summary.json``, amounts as decimal strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far the pull of one stream has come.

    Args:
        objects: vendor objects read so far.
        seconds: since the pull of the stream began.
        part: how much of its length was read, None where that is not known.
    """

    connector: str
    stream: str
    objects: int
    seconds: float
    part: StreamProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullReport:
    """How every stream's pull ended."""

    streams: tuple[PullOutcome, ...]

    @property
    def failed(self) -> tuple[PullOutcome, ...]:
        """The streams that could not be read."""
        return tuple(stream for stream in self.streams if stream.error is not None)

    def exit_code(self) -> int:
        """0 when everything was read, else 3."""
        return 3 if self.failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """A reconciliation: matches, breaks, what is open, and the statement that adds up.

    Args:
        summary: counts, explained, statement, seconds by stage, not_searched, coverage.
        holes: what was not read; a statement over a hole proves nothing.
        coverage: the state of each stream, empty for files.
        changes: what the store's history gained, None for files.
        symbols: asset -> the short name to show it by.
    """

    as_of: datetime
    matches: pa.Table
    breaks: pa.Table
    open: pa.Table
    rejected: pa.Table | None
    summary: Mapping[str, Any]
    holes: tuple[Hole, ...] = ()
    coverage: tuple[StreamState, ...] = ()
    changes: RunChanges | None = None
    symbols: Mapping[str, str] = field(default_factory=dict)

    @property
    def statement(self) -> Sequence[StatementRow]:
        """One row per asset and rail."""
        rows: Sequence[StatementRow] = self.summary["statement"]
        return rows

    def exit_code(self) -> int:
        """1 when a break was found, 3 when coverage has a hole or a row was rejected, else 0."""
        rejected = self.rejected.num_rows if self.rejected is not None else 0
        return exit_code((), breaks=self.breaks.num_rows, holes=len(self.holes) + rejected)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Pull, reconcile and check in one."""

    pull: PullReport
    reconcile: ReconcileReport
    checks: tuple[CheckResult, ...] = field(default=())

    def exit_code(self, *, fail_on_warn: bool = False, require_data: bool = False) -> int:
        """1, 3, 2 or 0, by the first rule that applies over all three parts."""
        return exit_code(
            (result.outcome for result in self.checks),
            breaks=self.reconcile.breaks.num_rows,
            holes=len(self.reconcile.holes) + len(self.pull.failed),
            fail_on_warn=fail_on_warn,
            require_data=require_data,
        )
