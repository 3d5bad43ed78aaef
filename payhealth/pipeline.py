"""The use cases: pull, reconcile, check, and all three in one run.

Everything comes in as arguments (ports, plugins, settings already checked); :mod:`payhealth.bootstrap`
alone decides what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from payhealth.domain.chain_records import AssetPrice, ChainMark
from payhealth.domain.coverage import REFUTED, Hole, HoleKind, StreamState, holes, merge
from payhealth.domain.errors import PayhealthError, SourceDataError, SourceError
from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceTransaction,
    Entry,
    Handle,
    Link,
    Movement,
    MovementKind,
    PaymentClaim,
    PayoutProof,
)
from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import EPOCH, iso
from payhealth.outcomes import PullProgress, PullReport, ReconcileReport
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import (
    Batch,
    Clock,
    PegSource,
    PullOutcome,
    Source,
    Store,
    StoreReader,
    StreamPlan,
    StreamProgress,
    WriteCounts,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.matching.model import Ruleset

Progress = Callable[[PullProgress], None]
"""Told how far the pull of a stream has come, after each commit."""


def never() -> bool:
    """Nobody asked to stop."""
    return False


STOPPED = "stopped on request before the end; the next pull goes on from here"


def silent(progress: PullProgress) -> None:
    """No progress to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckJob:
    """A check with the thresholds that hold for it."""

    plugin: CheckPlugin
    thresholds: Mapping[str, Any]


def plans_of(sources: Sequence[Source]) -> dict[str, Sequence[StreamPlan]]:
    """Which streams each source has, by connector name."""
    return {source.name: source.streams() for source in sources}


def pull(
    sources: Sequence[Source],
    store: Store,
    clock: Clock,
    *,
    progress: Progress = silent,
    stop: Callable[[], bool] = never,
) -> PullReport:
    """Read every source to now; one that fails does not stop the others.

    Args:
        progress: told after each commit.
        stop: asked before each stream and after each commit; once true, the pull ends there and what was
            not begun is left as it was.

    Returns:
        How each stream ended. A stream behind a failed one of its own connector is not tried: it may
        need what the failed one would have brought.
    """
    outcomes: list[PullOutcome] = []
    for source in sources:
        if stop():
            break
        outcomes.extend(_pull_source(source, store, clock, progress, stop))
    return PullReport(streams=tuple(outcomes))


def _pull_source(
    source: Source, store: Store, clock: Clock, progress: Progress, stop: Callable[[], bool]
) -> Iterator[PullOutcome]:
    failure = _refusal(source)
    for plan in source.streams():
        if stop():
            return
        if failure is None:
            outcome = _pull_stream(source, plan.stream, store, clock, progress=progress, stop=stop)
            if outcome.error is not None:
                failure = f"not tried after {plan.stream} failed: {outcome.error}"
        else:
            tally = _Tally(connector=source.name, stream=plan.stream, started_at=clock.now())
            outcome = tally.outcome(tally.started_at, failure)
        store.record_pull(outcome)
        yield outcome


def _refusal(source: Source) -> str | None:
    try:
        source.verify()
    except SourceError as error:
        return _in_one_line(error)
    return None


def _in_one_line(error: SourceError) -> str:
    message = error.message or type(error).__name__
    hint = error.hint if isinstance(error, SourceDataError) else ""
    return f"{message} ({hint})" if hint else message


def _pull_stream(
    source: Source, stream: str, store: Store, clock: Clock, *, progress: Progress, stop: Callable[[], bool]
) -> PullOutcome:
    tally = _Tally(connector=source.name, stream=stream, started_at=clock.now())
    try:
        for batch in source.pull(stream, store.cursor(source.name, stream), tally.started_at, store):
            tally.add(batch, store.commit(source.name, batch))
            progress(tally.progress(batch, clock.now()))
            if stop():
                return tally.outcome(clock.now(), STOPPED)
    except SourceError as failure:
        return tally.outcome(clock.now(), _in_one_line(failure))
    return tally.outcome(clock.now(), None)


@dataclass(slots=True, kw_only=True)
class _Tally:
    """What one stream's pull has brought so far."""

    connector: str
    stream: str
    started_at: datetime
    read: int = 0
    requests: int = 0
    counts: WriteCounts = field(default_factory=WriteCounts)
    windows: list[tuple[int, int]] = field(default_factory=list)
    part: StreamProgress | None = None

    def add(self, batch: Batch, counts: WriteCounts) -> None:
        """Count one committed step."""
        self.read += batch.objects_read
        self.requests += batch.requests
        self.counts = WriteCounts(
            new=self.counts.new + counts.new,
            changed=self.counts.changed + counts.changed,
            unchanged=self.counts.unchanged + counts.unchanged,
            rejected=self.counts.rejected + counts.rejected,
        )
        self.windows.extend((window.lower, window.upper) for window in batch.windows)

    def progress(self, batch: Batch, now: datetime) -> PullProgress:
        """How far the pull has come with this step."""
        self.part = batch.progress or self.part
        return PullProgress(
            connector=self.connector,
            stream=self.stream,
            objects=self.read,
            seconds=(now - self.started_at).total_seconds(),
            part=self.part,
        )

    def outcome(self, finished_at: datetime, error: str | None) -> PullOutcome:
        """How the pull ended."""
        return PullOutcome(
            connector=self.connector,
            stream=self.stream,
            started_at=self.started_at,
            finished_at=finished_at,
            objects_read=self.read,
            new=self.counts.new,
            changed=self.counts.changed,
            rejected=self.counts.rejected,
            requests=self.requests,
            error=error,
            coverage=merge(self.windows),
        )


def coverage(
    store: StoreReader, sources: Sequence[Source]
) -> tuple[tuple[StreamState, ...], tuple[Hole, ...]]:
    """What was read of every stream, and the holes in it."""
    states = store.stream_states(plans_of(sources))
    return states, tuple(hole for state in states for hole in holes(state))


def reconcile(
    store: Store,
    sources: Sequence[Source],
    ruleset: Ruleset,
    *,
    as_of: datetime,
    history: bool,
    keep: bool = True,
) -> ReconcileReport:
    """Match everything in the store and keep the result.

    Args:
        as_of: the moment to judge at; with ``history`` also the moment up to which records are known.
        history: read the versions known at ``as_of`` instead of the current ones; nothing is kept then.
        keep: write matches and breaks back, with their history.
    """
    from payhealth.matching.engine import reconcile as match
    from payhealth.matching.store_inputs import from_store
    from payhealth.proofs import payout_breaks, with_breaks

    types: tuple[type[Record], ...] = (Movement, Entry, Link, PaymentClaim, ChainMark, AssetPrice, Handle)
    tables = {kind: store.records(kind, as_of=as_of if history else None) for kind in types}
    tables[BalanceTransaction] = _exchanged(store, tables[Movement], ruleset, as_of if history else None)
    inputs = from_store(tables, ruleset, starts=_starts(sources), rates=pegged(sources))
    outcome = match(inputs, ruleset, as_of=as_of)
    proofs = store.records(PayoutProof, as_of=as_of if history else None)
    outcome = with_breaks(outcome, payout_breaks(proofs, as_of=as_of))
    states, found = coverage(store, sources)
    if history:
        found = (*found, *_unread_then(store, states, as_of))
    changes = None
    if keep and not history:
        changes = store.save_run(
            matches=outcome.matches,
            breaks=outcome.breaks,
            statement=outcome.summary["statement"],
            ran_at=as_of,
        )
    return ReconcileReport(
        as_of=as_of,
        matches=outcome.matches,
        breaks=outcome.breaks,
        open=outcome.open,
        rejected=None,
        summary={**outcome.summary, "coverage": _coverage_in_words(store, states)},
        holes=found,
        coverage=states,
        changes=changes,
        symbols=_symbols(tables[Movement]),
    )


_FIRST_READ = """
select connector, stream, min(finished_at) as first_read_at from v_pulls where error is null
group by connector, stream
"""


def _unread_then(store: StoreReader, states: Sequence[StreamState], as_of: datetime) -> Iterator[Hole]:
    """The streams that had never been read to the end at a moment of the past."""
    rows = store.rows(_FIRST_READ)
    first = {(row["connector"], row["stream"]): datetime.fromisoformat(row["first_read_at"]) for row in rows}
    for state in states:
        read_at = first.get((state.connector, state.stream))
        if read_at is not None and read_at > as_of:
            yield Hole(
                connector=state.connector,
                stream=state.stream,
                kind=HoleKind.UNREAD,
                unit=state.unit,
                lower=state.required_lower,
                upper=None,
                reason=f"not read before {iso(read_at)}",
            )


def _exchanged(store: StoreReader, movements: pa.Table, ruleset: Ruleset, as_of: datetime | None) -> pa.Table:
    """The lines of the processor's books that may tell in what another currency was settled.

    Only a policy that values needs them, and only for charges of another currency; they are many otherwise.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = {policy.asset for policy in ruleset.policies if policy.asset is not None}
    if as_of is not None and wanted:
        # Histories are not looked up by key: they are read whole.
        return store.records(BalanceTransaction, as_of=as_of)
    charges = movements.filter(pc.equal(movements["kind"], str(MovementKind.CHARGE)))
    found = [store.lookup(BalanceTransaction, "", "source_id", [])]
    for connector in charges["connector"].unique().to_pylist() if wanted else []:
        own = charges.filter(pc.equal(charges["connector"], connector))
        if len(wanted) == 1:
            own = own.filter(pc.not_equal(own["asset"], min(wanted)))
        ids = own["movement_id"].to_pylist()
        found.append(store.lookup(BalanceTransaction, connector, "source_id", ids))
    return pa.concat_tables(found)


def _symbols(movements: pa.Table) -> dict[str, str]:
    """The short name of every asset that was moved."""
    named = movements.group_by(["asset"]).aggregate([("symbol", "min")])
    return dict(zip(named["asset"].to_pylist(), named["symbol_min"].to_pylist(), strict=True))


def pegged(sources: Sequence[Source]) -> pa.Table:
    """One for one: stablecoins in the currency that they follow, as their sources say."""
    import pyarrow as pa

    pairs = [pair for source in sources if isinstance(source, PegSource) for pair in source.pegs().items()]
    columns = {
        "asset": pa.array([asset for asset, _ in pairs], pa.string()),
        "quote": pa.array([quote for _, quote in pairs], pa.string()),
        "price": pa.array([Decimal(1)] * len(pairs), pa.decimal128(38, 18)),
        "valid_from": pa.array([EPOCH] * len(pairs), pa.timestamp("us", tz="UTC")),
    }
    return pa.table(columns)


def _starts(sources: Sequence[Source]) -> dict[str, int]:
    """From which moment (microseconds) each source of payments reports them; 0 for those read by block."""
    starts: dict[str, int] = {}
    for source in sources:
        if source.kind.startswith(("ledger", "attribution")):
            continue
        timed = [plan.required_lower for plan in source.streams() if plan.unit == "time_us"]
        starts[source.name] = max(timed, default=0)
    return starts


_UNPROVED = "select distinct connector, stream from v_coverage where unproved"


def _coverage_in_words(store: StoreReader, states: Sequence[StreamState]) -> list[dict[str, Any]]:
    """Every stream's coverage; one is unproved where any window of it has no balance to prove it by."""
    unproved = {(row["connector"], row["stream"]) for row in store.rows(_UNPROVED)}
    return [in_words(state, unproved=(state.connector, state.stream) in unproved) for state in states]


def in_words(state: StreamState, *, unproved: bool) -> dict[str, Any]:
    """A stream's coverage as JSON can carry it."""
    return {
        "connector": state.connector,
        "stream": state.stream,
        "unit": str(state.unit) if state.unit else None,
        "required_lower": state.required_lower,
        "windows": [list(window) for window in state.covered],
        "last_ok_at": iso(state.last_ok_at) if state.last_ok_at else None,
        "last_error": state.last_error,
        "unproved": unproved,
    }


def context_of(
    store: StoreReader,
    sources: Sequence[Source],
    *,
    now: datetime,
    intervals_s: Mapping[str, float],
    time_to_clear_s: float,
) -> CheckContext:
    """What checks may know besides the store."""
    states, found = coverage(store, sources)
    return CheckContext(
        now=now,
        holes=found,
        intervals_s=intervals_s,
        last_ok={(state.connector, state.stream): state.last_ok_at for state in states},
        failures={(state.connector, state.stream): state.last_error for state in states if state.last_error},
        connector_kinds={source.name: source.kind for source in sources},
        time_to_clear_s=time_to_clear_s,
    )


def check(
    jobs: Sequence[CheckJob], store: Store, context: CheckContext, *, keep: bool = True
) -> tuple[CheckResult, ...]:
    """Judge every check; one that breaks down is an error, never a pass.

    Args:
        keep: append the results to their history.
    """
    results = tuple(_judge(job, store, context) for job in jobs)
    if keep:
        store.save_results(results)
    return results


def _judge(job: CheckJob, store: StoreReader, context: CheckContext) -> CheckResult:
    blocked = _missing(job.plugin, context)
    if blocked:
        return _not_judged(job, context, Outcome.STALE, f"not judged, because of {'; '.join(blocked[:3])}")
    try:
        data = job.plugin.load(store, context, job.thresholds)
        return job.plugin.evaluate(data, job.thresholds, context.now)
    except PayhealthError as error:
        return _not_judged(job, context, Outcome.ERROR, error.message)
    except Exception as error:  # noqa: BLE001 - a check of somebody else's may fail in any way
        return _not_judged(job, context, Outcome.ERROR, f"{type(error).__name__}: {error}")


def _missing(plugin: CheckPlugin, context: CheckContext) -> list[str]:
    """The holes in what a check reads, in words; of streams that wait for a failed one, the failed one."""
    words: dict[tuple[str, str], str] = {}
    for hole in context.holes:
        if plugin.proves and hole.reason == REFUTED:
            continue
        if any(_reads(context.connector_kinds[hole.connector], hole.stream, read) for read in plugin.reads):
            cause = (hole.connector, hole.reason.rpartition(" failed: ")[2])
            words.setdefault(cause, f"{hole.connector}.{hole.stream} ({hole.reason})")
    return list(words.values())


def _reads(kind: str, stream: str, read: tuple[str, str]) -> bool:
    return kind.startswith(read[0]) and read[1] in ("*", stream)


_AFTER = {
    Outcome.STALE: "run `payhealth pull` until it ends well, then check again",
    Outcome.ERROR: "run `payhealth doctor`; if it finds nothing wrong, report this as a fault of the check",
}


def _not_judged(job: CheckJob, context: CheckContext, outcome: Outcome, message: str) -> CheckResult:
    return CheckResult(
        check=job.plugin.name,
        outcome=outcome,
        message=message,
        evaluated_at=context.now,
        thresholds=job.thresholds,
        not_seen="everything: the check did not run",
        next_step=_AFTER[outcome],
    )
