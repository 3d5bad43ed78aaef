"""What Prometheus reads; every label comes from the configuration or a closed list."""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from payhealth.domain.breaks import BreakReason
from payhealth.domain.results import Outcome
from payhealth.plugins import WebhookOutcome

if TYPE_CHECKING:
    from payhealth.domain.results import CheckResult
    from payhealth.outcomes import PullReport, ReconcileReport


class Metrics:
    """The daemon's own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        stream = ("connector", "stream")
        self._read = self._counter("payhealth_pull_objects", "Vendor objects read.", stream)
        self._requests = self._counter("payhealth_pull_requests", "Requests made to sources.", stream)
        self._rejected = self._counter("payhealth_pull_rejected", "Objects that were not understood.", stream)
        self._failures = self._counter("payhealth_pull_failures", "Pulls that failed.", stream)
        self._success = self._gauge(
            "payhealth_pull_last_success_timestamp_seconds", "Last good pull.", stream
        )
        self._breaks = self._gauge("payhealth_breaks", "Unresolved breaks by primary reason.", ("reason",))
        self._holes = self._gauge("payhealth_coverage_holes", "Streams or stretches that were not read.", ())
        self._holes.set(math.nan)  # Until somebody has looked, "no hole" would be a guess.
        self._outcome = self._gauge(
            "payhealth_check_outcome", "1 for a check's present outcome.", ("check", "outcome")
        )
        self._webhooks = self._counter(
            "payhealth_webhooks", "Requests to webhooks by what became of them.", ("connector", "outcome")
        )
        self._delivered = self._gauge(
            "payhealth_webhook_last_stored_timestamp_seconds", "Last signed delivery stored.", ("connector",)
        )
        self._runs = self._counter("payhealth_job_runs", "Job runs by how they ended.", ("job", "result"))
        self._duration = Histogram(
            "payhealth_job_duration_seconds",
            "How long jobs take.",
            ("job",),
            registry=self._registry,
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800),
        )

    def _counter(self, name: str, help_: str, labels: Sequence[str]) -> Counter:
        return Counter(name, help_, labels, registry=self._registry)

    def _gauge(self, name: str, help_: str, labels: Sequence[str]) -> Gauge:
        return Gauge(name, help_, labels, registry=self._registry)

    def pulled(self, report: PullReport) -> None:
        """Count a pull."""
        for stream in report.streams:
            labels = (stream.connector, stream.stream)
            self._read.labels(*labels).inc(stream.objects_read)
            self._requests.labels(*labels).inc(stream.requests)
            self._rejected.labels(*labels).inc(stream.rejected)
            self._failures.labels(*labels).inc(0 if stream.error is None else 1)
            if stream.error is None:
                self._success.labels(*labels).set(stream.finished_at.timestamp())

    def reconciled(self, report: ReconcileReport) -> None:
        """Show the breaks and holes of a reconciliation; a reason without breaks is 0, not absent."""
        found = Tally(report.breaks["primary_reason"].to_pylist())
        for reason in BreakReason:
            self._breaks.labels(str(reason)).set(found[str(reason)])
        self._holes.set(len(report.holes))

    def checked(self, results: Sequence[CheckResult]) -> None:
        """Show each check's outcome."""
        for result in results:
            for outcome in Outcome:
                self._outcome.labels(result.check, str(outcome)).set(1 if result.outcome is outcome else 0)

    def expect_webhooks(self, connector: str) -> None:
        """Show a connector's outcomes before the first request, so that an alert on their rate can work."""
        for outcome in WebhookOutcome:
            self._webhooks.labels(connector, str(outcome))

    def heard(self, connector: str, outcome: WebhookOutcome) -> None:
        """Count a request to a connector's webhook."""
        self._webhooks.labels(connector, str(outcome)).inc()
        if outcome in (WebhookOutcome.STORED, WebhookOutcome.REJECTED):
            self._delivered.labels(connector).set_to_current_time()

    def ran(self, job: str, result: str, seconds: float) -> None:
        """Count a job's run."""
        self._runs.labels(job, result).inc()
        self._duration.labels(job).observe(seconds)

    def exposition(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)
