"""The daemon's jobs: each runs one use case, counts it, logs it, and never brings the daemon down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from payhealth.daemon import notify
from payhealth.domain.errors import PayhealthError

if TYPE_CHECKING:
    from payhealth.bootstrap import Application
    from payhealth.daemon.metrics import Metrics
    from payhealth.ports import Notifier


class Jobs:
    """The use cases as jobs.

    Args:
        app: the application, used by one job at a time.
        stopping: set when the daemon was told to stop; a pull then ends at its next commit.
        previous: check -> its last known outcome, so that a restart repeats no alert.
    """

    def __init__(
        self,
        app: Application,
        metrics: Metrics,
        log: Any,
        notifiers: Sequence[Notifier],
        *,
        stopping: Event,
        previous: dict[str, str],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log
        self._notifiers = notifiers
        self._stopping = stopping
        self._previous = previous

    def named(self, name: str) -> Callable[[], None]:
        """The job of a name, wrapped so that whatever happens in it is logged and counted."""
        work = {"pull": self._pull, "reconcile": self._reconcile, "check": self._check}[name]

        def run() -> None:
            if self._stopping.is_set():
                return
            started_s = time.monotonic()
            result = "ok"
            try:
                work()
            except PayhealthError as error:
                result = "failed"
                self._log.error("job_failed", job=name, error=error.message)
            except Exception:  # noqa: BLE001 - the daemon outlives whatever a job meets
                result = "failed"
                self._log.exception("job_failed", job=name)
            seconds = time.monotonic() - started_s
            self._metrics.ran(name, result, seconds)
            self._log.info("job_ended", job=name, result=result, seconds=round(seconds, 3))

        return run

    def _pull(self) -> None:
        report = self._app.pull(stop=self._stopping.is_set)
        self._metrics.pulled(report)
        for stream in report.streams:
            tell = self._log.info if stream.error is None else self._log.warning
            tell(
                "stream_pulled",
                connector=stream.connector,
                stream=stream.stream,
                read=stream.objects_read,
                new=stream.new,
                changed=stream.changed,
                rejected=stream.rejected,
                error=stream.error,
            )

    def _reconcile(self) -> None:
        report = self._app.reconcile()
        self._metrics.reconciled(report)
        changes = report.changes.total if report.changes else 0
        self._log.info("reconciled", breaks=report.breaks.num_rows, holes=len(report.holes), changes=changes)

    def _check(self) -> None:
        results = self._app.check()
        self._metrics.checked(results)
        for result in results:
            self._log.info("checked", check=result.check, outcome=str(result.outcome), message=result.message)
        told = notify.message(self._previous, results)
        self._previous.update({result.check: str(result.outcome) for result in results})
        if told is not None and self._notifiers:
            for failure in notify.tell(self._notifiers, *told):
                self._log.error("alert_not_delivered", error=failure.message)
