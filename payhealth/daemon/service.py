"""Running: a scheduler in memory, a server beside it, and a clean end on SIGTERM."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import uvicorn
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from payhealth import registry, settings
from payhealth.daemon.jobs import Jobs
from payhealth.daemon.logs import capture, logger
from payhealth.daemon.metrics import Metrics
from payhealth.daemon.server import build_app
from payhealth.domain.errors import ConfigurationError, PayhealthError
from payhealth.plugins import WebhookOutcome

if TYPE_CHECKING:
    from payhealth.bootstrap import Application
    from payhealth.plugins import AsgiApp
    from payhealth.ports import Notifier, StoreReader

DEFAULT_EVERY_S: Mapping[str, float] = {"pull": 60, "reconcile": 60, "check": 60}
"""In the order in which they run when they are due together."""

_DAY_NUMBER = re.compile(r"(?<![/\d])\d")
"""A day of the week as a number; the step of ``*/2`` is none."""

SWITCH_S = 0.0002
"""How long a thread that computes may keep others waiting; Python's own 5 ms, many times in each request,
would hold webhooks up while a pull works."""

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_STOP_WITHIN_S = 10


def serve(app: Application) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        0 after a clean stop, 3 when the server could not hold its address.
    """
    app.validate()
    address(app.settings.daemon.bind, file=app.file.name)
    sys.setswitchinterval(SWITCH_S)
    log = logger(secret.reveal() for secret in app.secrets())
    capture(log)
    stopping, metrics = threading.Event(), Metrics()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    jobs = Jobs(
        app, metrics, log, notifiers(app.settings), stopping=stopping, previous=latest_outcomes(app.store)
    )
    scheduler = build_scheduler(app.settings, jobs, file=app.file.name)
    server = _server(app, metrics, scheduler, webhooks(app, metrics, log))
    thread = threading.Thread(target=server.run, name="payhealth-http", daemon=True)
    thread.start()
    scheduler.start()
    log.info("started", bind=app.settings.daemon.bind, jobs=[job.id for job in scheduler.get_jobs()])
    while not stopping.wait(0.5) and thread.is_alive():
        pass
    held = thread.is_alive()
    stopping.set()
    if not held:
        log.error("address_not_held", bind=app.settings.daemon.bind)
    scheduler.shutdown(wait=True)
    server.should_exit = True
    thread.join(_STOP_WITHIN_S)
    log.info("stopped")
    return 0 if held else 3


def webhooks(app: Application, metrics: Metrics, log: Any) -> dict[str, AsgiApp]:
    """What takes deliveries, by connector; each request is counted, and logged unless it was stored."""

    def heard(connector: str, outcome: WebhookOutcome) -> None:
        metrics.heard(connector, outcome)
        if outcome is not WebhookOutcome.STORED:
            log.warning("webhook", connector=connector, outcome=str(outcome))

    apps = app.webhooks(heard)
    for connector in apps:
        metrics.expect_webhooks(connector)
    return apps


def latest_outcomes(store: StoreReader) -> dict[str, str]:
    """Check -> the outcome that the store remembers."""
    rows = store.rows("select check_name, outcome from v_check_results where is_latest")
    return {row["check_name"]: row["outcome"] for row in rows}


def reachable(store: StoreReader) -> bool:
    """Whether the store answers."""
    try:
        store.rows("select 1 as one")
    except PayhealthError:
        return False
    return True


def notifiers(checked: settings.Settings) -> tuple[Notifier, ...]:
    """A notifier for every alert target."""
    if not checked.alerts.targets:
        return ()
    plugin = registry.notifier("apprise")
    if plugin is None:
        raise ConfigurationError("no notifier is installed for [alerts] targets")
    return tuple(plugin.build(target.reveal()) for target in checked.alerts.targets)


def build_scheduler(
    checked: settings.Settings, jobs: Jobs, *, file: str = settings.DEFAULT_FILE
) -> BackgroundScheduler:
    """The jobs with their triggers, one at a time, none dropped for being late.

    Raises:
        ConfigurationError: a job that does not exist, or a cron line that cannot be.
    """
    for name in checked.daemon.jobs:
        if name not in DEFAULT_EVERY_S:
            near = settings.nearest(name, list(DEFAULT_EVERY_S))
            raise ConfigurationError(f"{file}: unknown key daemon.jobs.{name}{near}")
    scheduler = BackgroundScheduler(
        timezone="UTC",
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for name, every_s in DEFAULT_EVERY_S.items():
        job = checked.daemon.jobs.get(name)
        trigger: Any = IntervalTrigger(seconds=every_s)
        if job is not None:
            trigger = _trigger(name, job, file)
        scheduler.add_job(jobs.named(name), trigger, id=name, name=name, next_run_time=_now())
    return scheduler


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _trigger(name: str, job: settings.JobSettings, file: str) -> Any:
    fields = job.cron.split() if job.cron is not None else []
    if len(fields) == 5 and _DAY_NUMBER.search(fields[4]):
        raise ConfigurationError(
            f"{file}: daemon.jobs.{name}.cron: write days of the week as mon to sun",
            hint="0 is Sunday in some crons and Monday in others",
        )
    try:
        if job.cron is not None:
            return CronTrigger.from_crontab(job.cron, timezone=job.timezone)
        return IntervalTrigger(seconds=job.every_s)
    except (ValueError, LookupError) as error:
        raise ConfigurationError(f"{file}: daemon.jobs.{name}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    """What the scheduler says in one line; a KeyError would show its text in quotes."""
    return str(error.args[0]) if error.args else type(error).__name__


def address(bind: str, *, file: str = settings.DEFAULT_FILE) -> tuple[str, int]:
    """Host and port; anything but loopback is refused, because nothing here asks who is calling.

    Raises:
        ConfigurationError: not HOST:PORT, or not loopback.
    """
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    if not (port.isascii() and port.isdigit()) or not host or int(port) > 65_535:
        raise ConfigurationError(f"{file}: daemon.bind: not HOST:PORT: {bind}")
    if host not in _LOOPBACK:
        raise ConfigurationError(
            f"{file}: daemon.bind: {host} is not a loopback address",
            hint="bind to 127.0.0.1 and put a proxy in front",
        )
    return host, int(port)


def _server(
    app: Application, metrics: Metrics, scheduler: BackgroundScheduler, taking: Mapping[str, AsgiApp]
) -> uvicorn.Server:
    host, port = address(app.settings.daemon.bind)
    asgi = build_app(
        metrics, alive=lambda: scheduler.running, ready=lambda: reachable(app.store), webhooks=taking
    )
    config = uvicorn.Config(
        asgi, host=host, port=port, log_level="critical", access_log=False, timeout_graceful_shutdown=3
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server
