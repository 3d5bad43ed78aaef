"""Is each source's data current?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.checks.thresholds import SEVERITIES, duration, table, worst
from payhealth.domain.results import CheckResult, Outcome
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "source_freshness"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFreshness:
    """When a stream was last read well, how often it should be, and its newest failure."""

    stream: str
    last_ok_at: datetime | None
    interval_s: float
    error: str | None


def load(_: StoreReader, context: CheckContext, __: Mapping[str, Any]) -> tuple[StreamFreshness, ...]:
    """What the context knows of every stream's last pull."""
    return tuple(
        StreamFreshness(
            stream=f"{connector}.{stream}",
            last_ok_at=last_ok_at,
            interval_s=context.intervals_s[connector],
            error=context.failures.get((connector, stream)),
        )
        for (connector, stream), last_ok_at in sorted(context.last_ok.items())
    )


def evaluate(data: tuple[StreamFreshness, ...], thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """The age of the oldest stream; a stream that never was read, or failed just now, is no pass."""
    if not data:
        return _result(Outcome.NO_DATA, "no source is configured", thresholds, now)
    unread = [stream.stream for stream in data if stream.last_ok_at is None]
    failed = [
        f"{stream.stream} ({stream.error})"
        for stream in data
        if stream.error and not stream.error.startswith("not tried after")
    ]
    read = [stream for stream in data if stream.last_ok_at is not None]
    outcome = worst([_age_outcome(stream, thresholds, now) for stream in read])
    if (unread or failed) and outcome is not Outcome.FAIL:
        outcome = Outcome.STALE
    messages = []
    if unread:
        messages.append(f"never read: {', '.join(unread)}")
    if failed:
        messages.append(f"failed at the last pull: {', '.join(failed)}")
    ages = [
        ((now - stream.last_ok_at).total_seconds(), stream.stream) for stream in data if stream.last_ok_at
    ]
    if ages:
        age_s, name = max(ages)
        messages.append(f"the oldest, {name}, was read {duration(max(age_s, 0))} ago")
    value = f"{max(max(ages)[0], 0):.0f}" if ages else None
    return _result(outcome, "; ".join(messages), thresholds, now, value)


def _age_outcome(stream: StreamFreshness, thresholds: Mapping[str, Any], now: datetime) -> Outcome:
    if stream.last_ok_at is None:
        return Outcome.STALE
    age_s = (now - stream.last_ok_at).total_seconds()
    for severity, outcome in SEVERITIES:
        limit = table(thresholds, severity).get("intervals")
        if limit is not None and age_s > float(limit) * stream.interval_s:
            return outcome
    return Outcome.PASS


_NEXT_STEPS = {Outcome.PASS: "", Outcome.NO_DATA: "configure a source: [connectors.NAME]"}


def _result(
    outcome: Outcome, message: str, thresholds: Mapping[str, Any], now: datetime, value: str | None = None
) -> CheckResult:
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=message,
        evaluated_at=now,
        value=value,
        unit="s",
        thresholds=thresholds,
        next_step=_NEXT_STEPS.get(outcome, "run `payhealth pull` and read what it says of the source"),
    )


CHECK = CheckPlugin(
    name=NAME,
    question="Is each source's data current?",
    tags=("sources",),
    defaults={"warn": {"intervals": 2}, "fail": {"intervals": 4}},
    reads=(),
    load=load,
    evaluate=evaluate,
)
