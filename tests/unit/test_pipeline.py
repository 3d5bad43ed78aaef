"""The use cases: one failing source stops no other, and no check passes on what was not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from payhealth import pipeline, registry
from payhealth.domain.coverage import CoverageUnit, HoleKind
from payhealth.domain.errors import InputError, SourceRefusedError, SourceUnavailableError, StoreBusyError
from payhealth.domain.record import Record
from payhealth.domain.results import Outcome
from payhealth.pipeline import CheckJob
from payhealth.plugins import CheckPlugin
from payhealth.ports import Batch, PullOutcome, StreamPlan, WriteCounts
from tests.unit.checks.support import EMPTY, KINDS, FakeStore, ago, context, hole, judge

CHECKS = {plugin.name: plugin for plugin in registry.checks()}
FRESH: Mapping[str, object] = {**EMPTY, "v_runs": [{"ran_at": "2026-03-01T11:59:59Z"}]}


class Ticking:
    """A clock that moves one second at each look."""

    def __init__(self) -> None:
        self._seconds = count()

    def now(self) -> datetime:
        """A second after the last look."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(self._seconds))


class FakeSource:
    """A source of two streams whose steps are canned; an exception among them is raised."""

    kind = "stripe"

    def __init__(
        self,
        name: str,
        steps: Mapping[str, Sequence[Exception | int]],
        *,
        refusal: Exception | None = None,
    ) -> None:
        self.name = name
        self._steps = steps
        self._refusal = refusal
        self.pulled: list[str] = []
        self.verified = 0

    def streams(self) -> Sequence[StreamPlan]:
        """As canned, in order."""
        return [StreamPlan(stream=name, unit=CoverageUnit.TIME_US, required_lower=0) for name in self._steps]

    def verify(self) -> None:
        """As canned."""
        self.verified += 1
        if self._refusal is not None:
            raise self._refusal

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: object) -> Iterator[Batch]:
        """One batch for each number, of so many objects."""
        self.pulled.append(stream)
        for step in self._steps[stream]:
            if isinstance(step, Exception):
                raise step
            yield Batch(stream=stream, records={}, objects_read=step, requests=1, cursor="next")

    def close(self) -> None:
        """Nothing to give back."""


class PullStore:
    """Counts commits and remembers how pulls ended."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.outcomes: list[PullOutcome] = []
        self.commits: list[tuple[str, Batch]] = []
        self._failing = failing

    def cursor(self, connector: str, stream: str) -> str | None:
        """None is known."""
        return None

    def commit(self, connector: str, batch: Batch) -> WriteCounts:
        """Everything is new."""
        if self._failing is not None:
            raise self._failing
        self.commits.append((connector, batch))
        return WriteCounts(new=batch.objects_read, rejected=1)

    def record_pull(self, outcome: PullOutcome) -> None:
        """Keep it."""
        self.outcomes.append(outcome)

    def records(self, kind: type[Record]) -> None:
        """Not asked for here."""


def pull(
    sources: Sequence[FakeSource], store: PullStore, stop: Callable[[], bool] = pipeline.never
) -> dict[str, PullOutcome]:
    """How each stream ended, by ``connector.stream``."""
    report = pipeline.pull(sources, store, Ticking(), stop=stop)  # type: ignore[arg-type]
    assert list(report.streams) == store.outcomes
    return {f"{outcome.connector}.{outcome.stream}": outcome for outcome in report.streams}


def test_what_was_read_is_counted_over_the_steps() -> None:
    """Objects, requests, new and rejected rows are the sums over all commits of a stream."""
    store = PullStore()
    outcome = pull([FakeSource("cards", {"charges": [3, 4]})], store)["cards.charges"]
    assert (outcome.objects_read, outcome.requests, outcome.new, outcome.rejected) == (7, 2, 7, 2)
    assert outcome.error is None
    assert outcome.started_at < outcome.finished_at


def test_a_source_that_fails_stops_no_other() -> None:
    """What stood before the failure is kept and counted; the next source is read as if nothing were."""
    failing = FakeSource("cards", {"charges": [2, SourceUnavailableError("no answer")], "refunds": [1]})
    healthy = FakeSource("credits", {"entries": [5]})
    store = PullStore()
    ended = pull([failing, healthy], store)
    assert (ended["cards.charges"].error, ended["cards.charges"].new) == ("no answer", 2)
    assert "not tried" in (ended["cards.refunds"].error or "")
    assert "no answer" in (ended["cards.refunds"].error or "")
    assert failing.pulled == ["charges"]
    assert ended["credits.entries"].error is None


def test_a_failure_without_words_is_a_failure() -> None:
    """An error whose text is empty is recorded by its kind; an empty error must not read as none."""
    ended = pull([FakeSource("cards", {"charges": [SourceUnavailableError("")]})], PullStore())
    assert ended["cards.charges"].error == "SourceUnavailableError"


def test_a_refused_source_is_recorded_for_every_stream_and_not_read() -> None:
    """A wrong key leaves an error at each of its streams, and nothing is pulled or written."""
    refused = FakeSource("cards", {"charges": [1], "refunds": [1]}, refusal=SourceRefusedError("wrong key"))
    store = PullStore()
    ended = pull([refused], store)
    assert {outcome.error for outcome in ended.values()} == {"wrong key"}
    assert refused.pulled == []
    assert store.commits == []


def test_a_store_that_fails_is_no_fault_of_the_source() -> None:
    """The store's own errors are not taken for a source's: they end the pull."""
    with pytest.raises(StoreBusyError):
        pull([FakeSource("cards", {"charges": [1]})], PullStore(failing=StoreBusyError("held")))


@pytest.mark.parametrize("after", range(5))
def test_a_pull_that_is_told_to_stop_ends_at_the_next_commit(after: int) -> None:
    """Nothing is begun after the word; the stream under way is recorded as not read to its end."""
    store = PullStore()
    sources = [
        FakeSource("cards", {"charges": [1, 1], "refunds": [1, 1]}),
        FakeSource("credits", {"e": [1, 1]}),
    ]
    ended = pull(sources, store, stop=lambda: len(store.commits) >= after)
    assert len(store.commits) == after
    unfinished = [name for name, outcome in ended.items() if outcome.error is not None]
    assert unfinished == ([list(ended)[-1]] if after else [])
    assert sum(source.verified for source in sources) == (0 if not after else 1)


READ = [
    (name, connector, stream)
    for name, plugin in sorted(CHECKS.items())
    for connector, stream in (("cards", "charges"), ("credits", "entries"), ("base", "transfers"))
    for prefix, wanted in plugin.reads
    if KINDS[connector].startswith(prefix) and wanted in ("*", stream)
]


@pytest.mark.parametrize("kind", list(HoleKind))
@pytest.mark.parametrize(("name", "connector", "stream"), READ)
def test_a_hole_in_what_a_check_reads_makes_it_stale(
    name: str, connector: str, stream: str, kind: HoleKind
) -> None:
    """A gap, an unread stream and a failed pull alike: the loader is not even asked."""
    store = FakeStore({})
    result = judge(name, store, context(holes=[hole(connector, stream, kind)]))
    assert result.outcome is Outcome.STALE
    assert f"{connector}.{stream}" in result.message
    assert result.next_step
    assert store.asked == []


def test_every_check_but_those_of_the_sources_reads_something() -> None:
    """A check that names no stream would never be stale; those two judge the holes themselves."""
    assert {name for name, plugin in CHECKS.items() if not plugin.reads} == {
        "coverage_gap",
        "source_freshness",
    }


@pytest.mark.parametrize("name", [name for name, plugin in CHECKS.items() if "reconciliation" in plugin.tags])
@pytest.mark.parametrize("connector", ["cards", "base", "credits", "attribution", "theirs"])
def test_a_hole_in_any_source_leaves_breaks_unjudged(name: str, connector: str) -> None:
    """Breaks depend on everything: a plugin's source of a kind that we never heard of counts too."""
    result = judge(name, FakeStore(FRESH), context(holes=[hole(connector, "anything")]))
    assert result.outcome is Outcome.STALE


@pytest.mark.parametrize("name", ["failure_rate", "dispute_activity", "payout_recon"])
def test_a_hole_elsewhere_does_not_mute_a_check_of_cards(name: str) -> None:
    """What a check does not read cannot make it stale."""
    assert judge(name, FakeStore(EMPTY), context(holes=[hole("base", "transfers")])).outcome == "no_data"


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_no_check_passes_on_an_empty_store_without_sources(name: str) -> None:
    """A new install is no data, everywhere, even after a reconciliation of nothing."""
    for canned in (EMPTY, FRESH):
        result = judge(name, FakeStore(canned), context(last_ok={}))
        assert result.outcome is Outcome.NO_DATA
        assert result.message


@pytest.mark.parametrize(
    "failure",
    [StoreBusyError("held"), InputError("odd"), KeyError("column"), ZeroDivisionError(), OSError(5, "x")],
)
@pytest.mark.parametrize(
    "name", sorted(name for name, plugin in CHECKS.items() if name != "source_freshness")
)
def test_a_loader_that_breaks_is_an_error_and_no_pass(name: str, failure: Exception) -> None:
    """Whatever a check meets is its own outcome, kept with the others, and never a traceback."""
    store = FakeStore({"select": failure})
    result = judge(name, store, context())
    assert result.outcome is Outcome.ERROR
    assert result.message
    assert result.next_step
    assert store.saved == [result]


def test_a_broken_check_does_not_keep_the_others_from_judging() -> None:
    """Every check has its result, in order, and all are kept; asked not to, none is."""

    def broken(*_: object) -> None:
        raise RuntimeError("theirs")

    ill = CheckPlugin(
        name="ill",
        question="?",
        tags=(),
        defaults={},
        reads=(),
        load=broken,
        evaluate=broken,  # type: ignore[arg-type]
    )
    jobs = [
        CheckJob(plugin=plugin, thresholds=plugin.defaults) for plugin in (ill, CHECKS["source_freshness"])
    ]
    store = FakeStore(EMPTY)
    given = context(last_ok={("cards", "charges"): ago(1)})
    results = pipeline.check(jobs, store, given)  # type: ignore[arg-type]
    assert [(result.check, str(result.outcome)) for result in results] == [
        ("ill", "error"),
        ("source_freshness", "pass"),
    ]
    assert "theirs" in results[0].message
    assert store.saved == list(results)
    pipeline.check(jobs, store, given, keep=False)  # type: ignore[arg-type]
    assert len(store.saved) == 2
