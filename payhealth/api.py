"""payhealth from Python: reconcile two tables, or work with a configured store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from payhealth.bootstrap import Application, SystemClock, application
from payhealth.domain.errors import ConfigurationError
from payhealth.domain.times import utc
from payhealth.outcomes import PullReport, ReconcileReport, RunReport

if TYPE_CHECKING:
    from payhealth.domain.results import CheckResult
    from payhealth.plugins import AsgiApp


def reconcile(
    payments: Any,
    ledger: Any,
    *,
    rules: Sequence[Mapping[str, Any]] | None = None,
    policy: Mapping[str, Mapping[str, Any]] | None = None,
    as_of: datetime | None = None,
) -> ReconcileReport:
    """Match payments with ledger entries and prove that the statement adds up.

    Args:
        payments: an Arrow, Polars or pandas table, an iterable of mappings, or a path to a CSV, Parquet
            or JSON Lines file, with the columns of the file contract (id, kind, account, reference,
            amount, asset, occurred_at).
        ledger: likewise (id, account, reference, amount, asset, occurred_at, optionally kind).
        rules: ``[[rules]]`` tables; without, the reference rule alone.
        policy: ``[policy.NAME]`` tables; without, each payment expects its own amount.
        as_of: the moment to judge at, aware; without, now.

    Returns:
        Matches, breaks, open and rejected rows as Arrow tables, and the summary with the statement.

    Raises:
        InputError: a table cannot be used at all (a missing column, contradicting duplicates).
        ConfigurationError: a rule or policy names an unknown key.
        InvariantError: the result does not add up: a fault of payhealth.
    """
    from payhealth.matching.engine import reconcile as match
    from payhealth.matching.model import parse_rules
    from payhealth.matching.prepare import from_tables
    from payhealth.tabular import ledger_table, payments_table, rejected_table

    tables: dict[str, Any] = {}
    if rules is not None:
        tables["rules"] = list(rules)
    if policy is not None:
        tables["policy"] = dict(policy)
    ruleset = parse_rules(tables)
    moment = utc(as_of) if as_of is not None else SystemClock().now()
    paid, entered = payments_table(payments), ledger_table(ledger)
    outcome = match(from_tables(paid.rows, entered.rows), ruleset, as_of=moment)
    return ReconcileReport(
        as_of=moment,
        matches=outcome.matches,
        breaks=outcome.breaks,
        open=outcome.open,
        rejected=rejected_table(paid, entered),
        summary=outcome.summary,
    )


class PayHealth:
    """A configured payhealth inside a backend service; each method that does I/O has an async twin.

    Args:
        app: what :func:`payhealth.bootstrap.application` built.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    @classmethod
    def from_config(cls, path: str | Path) -> Self:
        """Read a ``payhealth.toml``.

        Raises:
            ConfigurationError: one line that names file and key.
        """
        return cls(application(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give connections back."""
        self._app.close()

    def pull(self) -> PullReport:
        """Read every source to now."""
        return self._app.pull()

    def reconcile(self, *, as_of: datetime | None = None) -> ReconcileReport:
        """Match what the store holds, now or as of a moment."""
        return self._app.reconcile(as_of=as_of)

    def check(self) -> tuple[CheckResult, ...]:
        """Judge every check."""
        return self._app.check()

    def run(self) -> RunReport:
        """Pull, reconcile and check."""
        return self._app.run()

    def webhook_app(self, connector: str) -> AsgiApp:
        """A connector's webhook endpoint as an ASGI application, to be mounted in a backend.

        Raises:
            ConfigurationError: there is no such connector, or its settings name no webhook secret.
        """
        apps = self._app.webhooks(lambda _connector, _outcome: None)
        if connector not in apps:
            raise ConfigurationError(
                f"{self._app.file.name}: connectors.{connector} takes no webhooks",
                hint="a connector of kind stripe does, with webhook_secrets",
            )
        return apps[connector]

    async def pull_async(self) -> PullReport:
        """:meth:`pull` in a worker thread."""
        return await asyncio.to_thread(self.pull)

    async def reconcile_async(self, *, as_of: datetime | None = None) -> ReconcileReport:
        """:meth:`reconcile` in a worker thread."""
        return await asyncio.to_thread(self.reconcile, as_of=as_of)

    async def check_async(self) -> tuple[CheckResult, ...]:
        """:meth:`check` in a worker thread."""
        return await asyncio.to_thread(self.check)

    async def run_async(self) -> RunReport:
        """:meth:`run` in a worker thread."""
        return await asyncio.to_thread(self.run)
