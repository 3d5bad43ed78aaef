"""The one place that wires: configuration to sources, store, rules, checks and clock."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from payhealth import pipeline, registry, settings
from payhealth.domain.errors import ConfigurationError
from payhealth.outcomes import PullReport, ReconcileReport, RunReport
from payhealth.secrets import Secret, is_reference, resolve

if TYPE_CHECKING:
    from payhealth.domain.results import CheckResult
    from payhealth.matching.model import Ruleset
    from payhealth.plugins import AsgiApp, CheckContext, CheckPlugin, ConnectorPlugin, WebhookOutcome
    from payhealth.ports import Clock, Source
    from payhealth.store import SqlStore

DEFAULT_INTERVAL_S = 60.0
"""How often a source counts as due where no pull job is configured."""


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)


@dataclass(kw_only=True)
class Application:
    """Everything a command, the daemon or a backend works with; opened when first used.

    Args:
        settings: the checked configuration.
        file: where it came from, for messages.
        clock: where the present moment comes from.
    """

    settings: settings.Settings
    file: Path
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The configured connectors, attribution last."""
        built = [build_source(name, table, self.file) for name, table in self.settings.connectors.items()]
        if self.settings.attribution is not None:
            from payhealth.connectors.ledger.attribution import AttributionSource

            built.append(AttributionSource.from_settings("attribution", self.settings.attribution))
        return tuple(built)

    @cached_property
    def store(self) -> SqlStore:
        """The store, refused when its version is not the code's."""
        from payhealth.store import open_store

        return open_store(self.settings.store.url.reveal())

    def webhooks(self, heard: Callable[[str, WebhookOutcome], None]) -> dict[str, AsgiApp]:
        """Connector -> what takes its vendor's deliveries, for those whose settings say so.

        Args:
            heard: told the connector and what became of each request.
        """
        apps = {}
        for name, table in self.settings.connectors.items():
            plugin, checked = connector(name, table, self.file)
            if plugin.webhooks is not None:
                apps[name] = plugin.webhooks(name, checked, self.store, partial(heard, name))
        return {name: app for name, app in apps.items() if app is not None}

    @cached_property
    def ruleset(self) -> Ruleset:
        """The matching rules and policies."""
        from payhealth.matching.model import parse_rules

        tables = {"rules": self.settings.rules, "policy": self.settings.policy}
        try:
            return parse_rules({name: table for name, table in tables.items() if table})
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.file.name}: {error.message}", hint=error.hint) from None

    @cached_property
    def checks(self) -> tuple[pipeline.CheckJob, ...]:
        """All installed checks with the thresholds that hold."""
        plugins = {plugin.name: plugin for plugin in registry.checks()}
        for name in self.settings.checks:
            if name not in plugins:
                raise ConfigurationError(
                    f"{self.file.name}: unknown key checks.{name}{settings.nearest(name, list(plugins))}"
                )
        return tuple(
            pipeline.CheckJob(
                plugin=plugin,
                thresholds=thresholds(plugin, self.settings.checks.get(name, {}), self.file.name),
            )
            for name, plugin in plugins.items()
        )

    def validate(self) -> None:
        """Build everything that the configuration describes, so that its errors come first."""
        _ = (self.sources, self.ruleset, self.checks)

    def intervals_s(self) -> dict[str, float]:
        """How often each connector should be read."""
        job = self.settings.daemon.jobs.get("pull")
        every_s = job.every_s if job is not None and job.every_s else DEFAULT_INTERVAL_S
        return {source.name: every_s for source in self.sources}

    def secrets(self) -> tuple[Secret, ...]:
        """Every secret that the configuration names, for those who must keep it out of their output."""
        found = [
            self.settings.store.url,
            *self.settings.alerts.targets,
            *([self.settings.attribution.url] if self.settings.attribution else []),
        ]
        texts = [text for table in self.settings.connectors.values() for text in _texts(table)]
        return (*found, *(resolve(text) for text in texts if is_reference(text)))

    def _need_sources(self) -> None:
        if not self.sources:
            raise ConfigurationError(
                f"{self.file.name}: there is no [connectors.NAME] table, so there is nothing to judge",
                hint="`payhealth init` writes an example to start from",
            )

    def pull(
        self,
        *,
        progress: pipeline.Progress = pipeline.silent,
        stop: Callable[[], bool] = pipeline.never,
    ) -> PullReport:
        """Read every source to now.

        Raises:
            ConfigurationError: there is no source.
        """
        self.validate()
        self._need_sources()
        return self._pull(progress, stop)

    def _pull(self, progress: pipeline.Progress, stop: Callable[[], bool]) -> PullReport:
        return pipeline.pull(self.sources, self.store, self.clock, progress=progress, stop=stop)

    def reconcile(self, *, as_of: datetime | None = None, keep: bool = True) -> ReconcileReport:
        """Match what the store holds, now or as of a moment, and keep the result unless told not to.

        Raises:
            ConfigurationError: there is no source.
        """
        self.validate()
        self._need_sources()
        return self._reconcile(as_of=as_of, keep=keep)

    def _reconcile(self, *, as_of: datetime | None = None, keep: bool = True) -> ReconcileReport:
        return pipeline.reconcile(
            self.store,
            self.sources,
            self.ruleset,
            as_of=as_of or self.clock.now(),
            history=as_of is not None,
            keep=keep,
        )

    def context(self, now: datetime | None = None) -> CheckContext:
        """What checks may know besides the store."""
        return pipeline.context_of(
            self.store,
            self.sources,
            now=now or self.clock.now(),
            intervals_s=self.intervals_s(),
            time_to_clear_s=min(policy.time_to_clear_s for policy in self.ruleset.policies),
        )

    def check(
        self, *, select: tuple[str, ...] = (), exclude: tuple[str, ...] = (), keep: bool = True
    ) -> tuple[CheckResult, ...]:
        """Judge by all checks, or those selected by name or tag, and keep the results unless told not to."""
        self.validate()
        jobs = [job for job in self.checks if wanted(job.plugin, select, exclude)]
        unknown = [name for name in (*select, *exclude) if not self._names(name)]
        if unknown:
            names = sorted({job.plugin.name for job in self.checks})
            raise ConfigurationError(f"there is no check {unknown[0]}{settings.nearest(unknown[0], names)}")
        return pipeline.check(jobs, self.store, self.context(), keep=keep)

    def _names(self, name: str) -> bool:
        return any(name == job.plugin.name or name in job.plugin.tags for job in self.checks)

    def run(self, *, progress: pipeline.Progress = pipeline.silent) -> RunReport:
        """Pull, reconcile and check; without any source every check says that it has no data."""
        self.validate()
        pulled = self._pull(progress, pipeline.never)
        return RunReport(pull=pulled, reconcile=self._reconcile(), checks=self.check())

    def close(self) -> None:
        """Give back what was opened."""
        if "sources" in self.__dict__:
            for source in self.sources:
                source.close()
        if "store" in self.__dict__:
            self.store.close()


def _texts(value: Any) -> list[str]:
    """Every text inside a table."""
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def application(path: str | Path | None = None, *, clock: Clock | None = None) -> Application:
    """The application that a configuration file describes.

    Raises:
        ConfigurationError: one line that names file and key.
    """
    file = settings.find(path)
    return Application(settings=settings.load(file), file=file, clock=clock or SystemClock())


def build_source(name: str, table: Mapping[str, Any], file: Path) -> Source:
    """One connector from its table; errors as of :func:`connector`."""
    plugin, checked = connector(name, table, file)
    return plugin.build(name, checked)


def connector(name: str, table: Mapping[str, Any], file: Path) -> tuple[ConnectorPlugin, BaseModel]:
    """One connector's kind and its checked settings.

    Raises:
        ConfigurationError: unknown kind or key, or a value that cannot be.
    """
    kind = table.get("kind")
    kinds = list(registry.connector_kinds())
    if not isinstance(kind, str):
        raise ConfigurationError(
            f"{file.name}: connectors.{name}.kind is missing; valid are {', '.join(kinds)}"
        )
    plugin = registry.connector(kind)
    if plugin is None:
        where = f"{file.name}: connectors.{name}.kind: unknown kind {kind}"
        raise ConfigurationError(where + settings.nearest(kind, kinds))
    try:
        checked = plugin.settings.model_validate(dict(table))
    except ValidationError as error:
        line = settings.describe(error, file=file.name, model=plugin.settings, prefix=f"connectors.{name}")
        raise ConfigurationError(line) from None
    return plugin, checked


def thresholds(plugin: CheckPlugin, table: Mapping[str, Any], file: str) -> Mapping[str, Any]:
    """A check's thresholds: its defaults, each key that the configuration names replaced whole.

    Raises:
        ConfigurationError: a key that the check does not have.
    """
    merged: dict[str, Any] = copy.deepcopy(dict(plugin.defaults))
    limits = {key for value in plugin.defaults.values() if isinstance(value, Mapping) for key in value}
    for key, value in table.items():
        valid = {*plugin.defaults, "warn", "fail"}
        if key not in valid:
            where = f"{file}: unknown key checks.{plugin.name}.{key}"
            raise ConfigurationError(where + settings.nearest(key, sorted(valid)))
        where = f"checks.{plugin.name}.{key}"
        if isinstance(plugin.defaults.get(key, {}), Mapping):
            _check_limits(value, limits | {"count"}, where, file)
        else:
            _check_number(value, f"{file}: {where}")
        merged[key] = value
    return merged


def _check_limits(value: Any, valid: set[str], where: str, file: str) -> None:
    """One severity's thresholds: a table of known keys and numbers."""
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{file}: {where} must be a table such as {{ {min(valid)} = 1 }}")
    for key, limit in value.items():
        if key not in valid:
            near = settings.nearest(key, sorted(valid))
            raise ConfigurationError(f"{file}: unknown key {where}.{key}{near}")
        _check_number(limit, f"{file}: {where}.{key}")


def _check_number(value: Any, where: str) -> None:
    """A threshold: a number, or an exact decimal as text."""
    try:
        number = None if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number < 0:
        raise ConfigurationError(f"{where}: must be a number that is not negative, not {value!r}")


def wanted(plugin: CheckPlugin, select: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether a check is among those asked for, by name or tag."""
    names = {plugin.name, *plugin.tags}
    return (not select or bool(names & set(select))) and not names & set(exclude)
