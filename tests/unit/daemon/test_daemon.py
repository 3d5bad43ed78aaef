"""The daemon's parts: address, schedule, door, metrics, and jobs that never bring it down."""

from __future__ import annotations

import asyncio
import io
import json
import math
from collections.abc import Callable
from threading import Event
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from payhealth import settings
from payhealth.daemon.jobs import Jobs
from payhealth.daemon.logs import logger
from payhealth.daemon.metrics import Metrics
from payhealth.daemon.server import build_app
from payhealth.daemon.service import (
    DEFAULT_EVERY_S,
    address,
    build_scheduler,
    latest_outcomes,
    reachable,
)
from payhealth.domain.breaks import BreakReason
from payhealth.domain.errors import ConfigurationError, DeliveryError, InvariantError, StoreBusyError
from payhealth.domain.results import Outcome
from payhealth.outcomes import PullReport
from payhealth.plugins import WebhookOutcome
from tests.unit.checks.support import FakeStore
from tests.unit.report.support import breaks_table, check_result, hole, pull_outcome, reconcile_report

METRICS = {
    "payhealth_pull_objects_total",
    "payhealth_pull_requests_total",
    "payhealth_pull_rejected_total",
    "payhealth_pull_failures_total",
    "payhealth_pull_last_success_timestamp_seconds",
    "payhealth_breaks",
    "payhealth_coverage_holes",
    "payhealth_check_outcome",
    "payhealth_webhooks_total",
    "payhealth_webhook_last_stored_timestamp_seconds",
    "payhealth_job_runs_total",
    "payhealth_job_duration_seconds_bucket",
    "payhealth_job_duration_seconds_count",
    "payhealth_job_duration_seconds_sum",
}
"""What dashboards build on: a name that goes away breaks them."""


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:1", ("localhost", 1)),
        ("[::1]:65535", ("::1", 65_535)),
    ],
)
def test_loopback_addresses_are_taken(bind: str, expected: tuple[str, int]) -> None:
    """IPv4, IPv6 and the name of this host."""
    assert address(bind) == expected


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:8080",
        "[::]:8080",
        "192.168.1.5:80",
        "example.com:80",
        "127.0.0.1.evil.example:80",
        "::ffff:192.168.1.5:80",
        "8080",
        ":8080",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:\u00b2",
        "127.0.0.1:\u0661",
        "",
    ],
)
def test_any_other_address_is_refused_with_file_and_key(bind: str) -> None:
    """Nothing here asks who is calling, so nobody from elsewhere may."""
    with pytest.raises(ConfigurationError) as caught:
        address(bind, file="mine.toml")
    assert caught.value.message.startswith("mine.toml: daemon.bind: ")


@given(st.text(max_size=20))
def test_no_text_is_an_address_by_accident(bind: str) -> None:
    """Whatever is written there gives a loopback address or a clear refusal."""
    try:
        host, port = address(bind)
    except ConfigurationError:
        return
    assert host in ("127.0.0.1", "localhost", "::1")
    assert 0 <= port <= 65_535


def configured(**jobs: dict[str, Any]) -> settings.Settings:
    """Settings with these daemon jobs."""
    return settings.Settings(daemon={"jobs": jobs})  # type: ignore[arg-type]


def scheduled(**jobs: dict[str, Any]) -> dict[str, Any]:
    """The scheduler's jobs by name."""
    named: Any = SimpleNamespace(named=lambda _: lambda: None)
    scheduler = build_scheduler(configured(**jobs), named, file="mine.toml")
    scheduler.start(paused=True)
    try:
        return {job.id: job for job in scheduler.get_jobs()}
    finally:
        scheduler.shutdown(wait=False)


def test_without_configuration_everything_runs_every_minute_in_order() -> None:
    """Pull, reconcile, check: at once, in this order, each one at a time, none dropped for being late."""
    jobs = scheduled()
    assert list(jobs) == ["pull", "reconcile", "check"] == list(DEFAULT_EVERY_S)
    for name, job in jobs.items():
        assert job.trigger.interval.total_seconds() == DEFAULT_EVERY_S[name]
        assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)
    moments = [job.next_run_time for job in jobs.values()]
    assert moments == sorted(moments)


def test_a_schedule_is_an_interval_or_a_cron_line_in_its_zone() -> None:
    """Both forms of the configuration become triggers."""
    jobs = scheduled(pull={"every_s": 5}, check={"cron": "*/5 8-18 * * mon-fri", "timezone": "Europe/Berlin"})
    assert jobs["pull"].trigger.interval.total_seconds() == 5
    assert str(jobs["check"].trigger.timezone) == "Europe/Berlin"
    assert "minute='*/5'" in str(jobs["check"].trigger)


@pytest.mark.parametrize(
    ("name", "job", "said"),
    [
        ("pul", {"every_s": 5}, "unknown key daemon.jobs.pul; did you mean pull?"),
        ("pull", {"cron": "every day"}, "daemon.jobs.pull"),
        ("pull", {"cron": "61 * * * *"}, "daemon.jobs.pull"),
        ("pull", {"cron": ""}, "daemon.jobs.pull"),
        ("check", {"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ("check", {"cron": "0 9 * * 0"}, "daemon.jobs.check.cron: write days of the week as mon to sun"),
        ("check", {"cron": "0 9 * * mon,5"}, "daemon.jobs.check.cron"),
    ],
)
def test_a_schedule_that_cannot_be_names_file_and_key(name: str, job: dict[str, Any], said: str) -> None:
    """One line each; numbers for days are refused, because crons differ on which day 0 is."""
    with pytest.raises(ConfigurationError) as caught:
        scheduled(**{name: job})
    assert caught.value.message.startswith("mine.toml: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def ask(path: str, *, method: str = "GET", alive: bool = True, ready: bool = True) -> httpx.Response:
    """One request to the daemon's door."""
    door = build_app(Metrics(), alive=lambda: alive, ready=lambda: ready)

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=door)
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
            return await client.request(method, path)

    return asyncio.run(request())


@pytest.mark.parametrize(("alive", "ready"), [(True, True), (True, False), (False, True)])
def test_the_door_says_whether_it_is_alive_and_ready(alive: bool, ready: bool) -> None:
    """200 or 503 for each, and metrics in Prometheus' own type."""
    for path, good in (("/healthz", alive), ("/readyz", ready)):
        response = ask(path, alive=alive, ready=ready)
        assert response.status_code == (200 if good else 503)
        assert response.json() == {"status": "ok" if good else "unavailable"}
    response = ask("/metrics", alive=alive, ready=ready)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/healthz", 405), ("GET", "/docs", 404)]
)
def test_the_door_opens_to_nothing_else(method: str, path: str, status: int) -> None:
    """No other page, and nothing can be written."""
    assert ask(path, method=method).status_code == status


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """The exposition, parsed: (name, label values) -> value."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def filled() -> Metrics:
    """Metrics after one of everything."""
    metrics = Metrics()
    metrics.pulled(PullReport(streams=(pull_outcome(None), pull_outcome("refused", "refunds"))))
    metrics.reconciled(reconcile_report(breaks=breaks_table("x"), holes=[hole()]))
    metrics.checked([check_result(Outcome.FAIL)])
    metrics.heard("cards", WebhookOutcome.STORED)
    metrics.ran("pull", "ok", 0.5)
    return metrics


def test_every_documented_metric_is_there() -> None:
    """After one run of everything each name is exposed, and all begin with ``payhealth_``."""
    names = {name for name, _ in samples(filled()) if not name.endswith("_created")}
    assert names == METRICS


def test_every_break_reason_has_its_series() -> None:
    """A reason without breaks is 0, not absent, so that an alert on it can resolve."""
    read = samples(filled())
    counts = {str(reason): read["payhealth_breaks", (str(reason),)] for reason in BreakReason}
    assert counts.pop("paid_not_credited") == 1
    assert set(counts.values()) == {0}


def test_each_check_has_exactly_one_outcome() -> None:
    """1 for what it is, 0 for what it is not, also after it changed."""
    metrics = filled()
    metrics.checked([check_result(Outcome.STALE)])
    read = samples(metrics)
    values = {each: read["payhealth_check_outcome", ("failure_rate", str(each))] for each in Outcome}
    assert [each for each, value in values.items() if value] == [Outcome.STALE]


def test_nothing_is_told_to_be_without_holes_before_somebody_looked() -> None:
    """Before the first reconciliation the number of holes is unknown, not 0."""
    assert math.isnan(samples(Metrics())["payhealth_coverage_holes", ()])
    assert samples(filled())["payhealth_coverage_holes", ()] == 1


def test_a_failed_pull_sets_no_success() -> None:
    """The moment of the last good pull belongs to good pulls alone; failures are counted."""
    read = samples(filled())
    assert ("payhealth_pull_last_success_timestamp_seconds", ("cards", "charges")) in read
    assert ("payhealth_pull_last_success_timestamp_seconds", ("cards", "refunds")) not in read
    assert read["payhealth_pull_failures_total", ("cards", "refunds")] == 1
    assert read["payhealth_pull_failures_total", ("cards", "charges")] == 0


class FakeApplication:
    """Use cases that are canned; an exception is raised."""

    def __init__(self, **canned: object) -> None:
        self._canned = canned
        self.called: list[str] = []

    def _do(self, name: str) -> Any:
        self.called.append(name)
        result = self._canned[name]
        if isinstance(result, Exception):
            raise result
        return result

    def pull(self, *, stop: Callable[[], bool]) -> Any:
        """As canned."""
        assert not stop()
        return self._do("pull")

    def reconcile(self) -> Any:
        """As canned."""
        return self._do("reconcile")

    def check(self) -> Any:
        """As canned."""
        return self._do("check")


class Recording:
    """A notifier that keeps what it gets, or fails."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.sent: list[str] = []
        self._failing = failing

    def send(self, title: str, body: str) -> None:
        """Keep it, or raise."""
        if self._failing is not None:
            raise self._failing
        self.sent.append(title)


def jobs_of(app: FakeApplication, *notifiers: Recording) -> tuple[Jobs, Metrics, io.StringIO, Event]:
    """Jobs over fakes, with what they write."""
    out, metrics, stopping = io.StringIO(), Metrics(), Event()
    jobs = Jobs(app, metrics, logger(to=out), notifiers, stopping=stopping, previous={})  # type: ignore[arg-type]
    return jobs, metrics, out, stopping


@pytest.mark.parametrize("name", list(DEFAULT_EVERY_S))
@pytest.mark.parametrize(
    "failure", [StoreBusyError("held"), InvariantError("does not add up"), KeyError("x"), MemoryError()]
)
def test_a_job_never_raises(name: str, failure: Exception) -> None:
    """Whatever happens in it is one JSON line, one failed run in the metrics, and the daemon goes on."""
    jobs, metrics, out, _ = jobs_of(FakeApplication(**{name: failure}))
    jobs.named(name)()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["job_failed", "job_ended"]
    assert (lines[1]["job"], lines[1]["result"]) == (name, "failed")
    assert samples(metrics)["payhealth_job_runs_total", (name, "failed")] == 1


def test_jobs_log_what_they_did() -> None:
    """A line a stream, a reconciliation and a check, and one for each job's end."""
    app = FakeApplication(
        pull=PullReport(streams=(pull_outcome(None), pull_outcome("refused", "refunds"))),
        reconcile=reconcile_report(),
        check=(check_result(Outcome.FAIL),),
    )
    jobs, _, out, _ = jobs_of(app)
    for name in DEFAULT_EVERY_S:
        jobs.named(name)()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("stream_pulled", "info"),
        ("stream_pulled", "warning"),
        ("job_ended", "info"),
        ("reconciled", "info"),
        ("job_ended", "info"),
        ("checked", "info"),
        ("job_ended", "info"),
    ]


def test_an_alert_is_sent_once_and_a_dead_target_is_logged() -> None:
    """The same failure at every check is one alert; a target that is down stops nobody."""
    heard = Recording()
    app = FakeApplication(check=(check_result(Outcome.FAIL),))
    jobs, _, out, _ = jobs_of(app, Recording(DeliveryError("down")), heard)
    for _ in range(3):
        jobs.named("check")()
    assert heard.sent == ["payhealth: 1 to look at"]
    events = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert events.count("alert_not_delivered") == 1
    assert events.count("job_ended") == 3


def test_after_the_word_to_stop_no_job_begins() -> None:
    """A job that is due while the daemon stops does nothing at all."""
    app = FakeApplication(pull=PullReport(streams=()))
    jobs, _, out, stopping = jobs_of(app)
    stopping.set()
    jobs.named("pull")()
    assert app.called == []
    assert out.getvalue() == ""


def test_what_was_known_before_a_restart_comes_from_the_store() -> None:
    """The newest outcome of every check, so that a restart repeats no alert."""
    store: Any = FakeStore({"v_check_results": [{"check_name": "a", "outcome": "fail"}]})
    assert latest_outcomes(store) == {"a": "fail"}


@pytest.mark.parametrize(("answer", "expected"), [([{"one": 1}], True), (StoreBusyError("held"), False)])
def test_a_store_that_does_not_answer_is_not_ready(answer: object, expected: bool) -> None:
    """The store's own errors mean not ready; they are no error of the server's."""
    store: Any = FakeStore({"select 1": answer})
    assert reachable(store) is expected
