"""Reading thresholds, and turning a severity into a result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from payhealth.domain.results import Outcome

SEVERITIES = (("fail", Outcome.FAIL), ("warn", Outcome.WARN))
"""Worst first."""


def table(thresholds: Mapping[str, Any], severity: str) -> Mapping[str, Any]:
    """The thresholds of one severity, empty where none is set."""
    return thresholds.get(severity) or {}


def worst(outcomes: list[Outcome]) -> Outcome:
    """The worst of several verdicts, pass where there is none."""
    for outcome in (Outcome.ERROR, Outcome.STALE, Outcome.FAIL, Outcome.WARN):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS


def moment(value: object) -> datetime | None:
    """A moment as a view gives it: aware from PostgreSQL, ISO 8601 with Z from SQLite."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value)).astimezone(UTC)


def duration(seconds: float) -> str:
    """Seconds in words that people read at a glance: ``45 s``, ``12 min``, ``3.5 h``, ``4.0 d``."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            value = seconds / divisor
            return f"{value:.0f} {unit}" if unit != "h" else f"{value:.1f} h"
    return f"{seconds / 86_400:.1f} d"


def percent(share: float) -> str:
    """A share in percent with two digits."""
    return f"{100 * share:.2f} %"
