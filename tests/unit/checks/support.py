"""What the tests of checks share: a fixed moment, a context, a reader of canned rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from payhealth import registry
from payhealth.domain.coverage import CoverageUnit, Hole, HoleKind
from payhealth.domain.results import CheckResult, Outcome
from payhealth.pipeline import CheckJob, check
from payhealth.plugins import CheckContext, CheckPlugin

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHECKS: Mapping[str, CheckPlugin] = {plugin.name: plugin for plugin in registry.checks()}
KINDS = {
    "cards": "stripe",
    "base": "evm",
    "credits": "ledger.sql",
    "attribution": "attribution",
    "theirs": "adyen",
}


def ago(seconds: float) -> datetime:
    """So many seconds before now."""
    return NOW - timedelta(seconds=seconds)


def hole(connector: str = "cards", stream: str = "charges", kind: HoleKind = HoleKind.GAP) -> Hole:
    """A hole of ten blocks, or of no known bounds."""
    bounds = (10, 20) if kind is HoleKind.GAP else (None, None)
    return Hole(
        connector=connector,
        stream=stream,
        kind=kind,
        unit=CoverageUnit.BLOCK,
        lower=bounds[0],
        upper=bounds[1],
        reason="the key was refused",
    )


def context(
    *,
    holes: Sequence[Hole] = (),
    last_ok: Mapping[tuple[str, str], datetime | None] | None = None,
    failures: Mapping[tuple[str, str], str] | None = None,
    time_to_clear_s: float = 900,
) -> CheckContext:
    """A context in which one source was read ten seconds ago, unless told otherwise."""
    return CheckContext(
        now=NOW,
        holes=holes,
        intervals_s=dict.fromkeys(KINDS, 60.0),
        last_ok={("cards", "charges"): ago(10)} if last_ok is None else last_ok,
        failures=failures or {},
        connector_kinds=KINDS,
        time_to_clear_s=time_to_clear_s,
    )


class FakeStore:
    """Answers a query with the first canned rows whose key its text holds, and remembers results."""

    def __init__(self, canned: Mapping[str, object] | None = None) -> None:
        self._canned = canned or {}
        self.saved: list[CheckResult] = []
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The canned rows; an exception that is canned is raised."""
        self.asked.append((sql, parameters or {}))
        for key, rows in self._canned.items():
            if key in sql:
                if isinstance(rows, Exception):
                    raise rows
                return rows  # type: ignore[return-value]
        raise AssertionError(f"nothing canned for {sql}")

    def save_results(self, results: Sequence[CheckResult]) -> None:
        """Keep them."""
        self.saved.extend(results)


EMPTY: Mapping[str, object] = {
    "v_address_balances": [],
    "v_coverage": [],
    "as proved": [{"proved": 0}],
    "v_payout_proofs": [],
    "v_balance_proofs": [],
    "v_booking_gaps": [],
    "v_breaks": [],
    "v_runs": [],
    "as paid": [{"payments": 0, "failed": None}],
    "as payments from": [{"payments": 0}],
    "v_charges": [],
    "v_disputes": [],
    "v_rejected": [{"rejected": 0}],
}
"""What the views of a new store answer."""


def judge(name: str, store: FakeStore, given: CheckContext, **thresholds: object) -> CheckResult:
    """One check through the pipeline, with its defaults and what is overridden."""
    plugin = CHECKS[name]
    job = CheckJob(plugin=plugin, thresholds={**plugin.defaults, **thresholds})
    (result,) = check([job], store, given)  # type: ignore[arg-type]
    return result


def complete(result: CheckResult) -> bool:
    """Whether a result says what it saw, and where it is not well, what to do."""
    said = bool(result.message) and "\n" not in result.message and result.evaluated_at == NOW
    return said and (result.outcome is Outcome.PASS or bool(result.next_step))
