"""Are card payments failing?

Attempts are counted from ``v_charges``; payments (intents) beside them, so that a customer who retries
three times is one customer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from payhealth.checks.stats import wilson_interval
from payhealth.checks.thresholds import SEVERITIES, duration, percent, table
from payhealth.domain.results import CheckResult, Outcome, Segment
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "failure_rate"

_ATTEMPTS = """
select case when created_at >= :since then 1 else 0 end as recent, status,
       coalesce(decline_code, failure_code, '') as cause, count(*) as attempts
from v_charges where created_at >= :baseline_since and created_at < :now and status in ('succeeded', 'failed')
group by 1, 2, 3
"""
_PAYMENTS = """
select count(*) as payments, sum(case when succeeded = 0 then 1 else 0 end) as failed from (
  select coalesce(intent_id, charge_id) as payment,
         max(case when status = 'succeeded' then 1 else 0 end) as succeeded
  from v_charges where created_at >= :since and created_at < :now and status in ('succeeded', 'failed')
  group by 1) as paid
"""
_EXAMPLES = """
select charge_id from v_charges
where created_at >= :since and created_at < :now and status = 'failed'
order by created_at desc, charge_id limit 10
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How many attempts of a period ended how."""

    failed: int
    total: int

    @property
    def rate(self) -> float:
        """Failed over total, 0 without attempts."""
        return float(self.share)

    @property
    def share(self) -> Fraction:
        """The same exactly, so that a shift of just the threshold reaches it."""
        return Fraction(self.failed, self.total) if self.total else Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureData:
    """The tested period and the history before it, the tested period left out of the latter."""

    recent: Attempts
    baseline: Attempts
    payments: Attempts
    causes: Mapping[str, int]
    examples: tuple[str, ...]


def load(reader: StoreReader, context: CheckContext, thresholds: Mapping[str, Any]) -> FailureData:
    """Count attempts of the last window and of the baseline before it."""
    since = context.now - timedelta(seconds=float(thresholds["window_s"]))
    baseline_since = since - timedelta(seconds=float(thresholds["baseline_s"]))
    bounds = {"since": since, "baseline_since": baseline_since, "now": context.now}
    rows = reader.rows(_ATTEMPTS, bounds)
    window = {"since": since, "now": context.now}
    payments = reader.rows(_PAYMENTS, window)[0]
    causes = Counter[str]()
    for row in rows:
        if row["recent"] and row["status"] == "failed":
            causes[row["cause"] or "unknown"] += row["attempts"]
    return FailureData(
        recent=_attempts([row for row in rows if row["recent"]]),
        baseline=_attempts([row for row in rows if not row["recent"]]),
        payments=Attempts(failed=int(payments["failed"] or 0), total=int(payments["payments"])),
        causes=causes,
        examples=tuple(row["charge_id"] for row in reader.rows(_EXAMPLES, window)),
    )


def _attempts(rows: Sequence[Mapping[str, Any]]) -> Attempts:
    failed = sum(row["attempts"] for row in rows if row["status"] == "failed")
    return Attempts(failed=failed, total=sum(row["attempts"] for row in rows))


def evaluate(data: FailureData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """Count floor AND minimum effect AND an interval that leaves the baseline behind."""
    interval = wilson_interval(data.recent.failed, data.recent.total)
    outcome = _verdict(data, thresholds, interval[0])
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=_message(data, thresholds, outcome),
        evaluated_at=now,
        value=f"{data.recent.rate:.4f}" if data.recent.total else None,
        unit="failed attempts / attempts",
        interval=interval if data.recent.total else None,
        baseline=f"{data.baseline.rate:.4f}" if data.baseline.total else None,
        thresholds=thresholds,
        segments=_causes(data),
        examples=data.examples if outcome in (Outcome.WARN, Outcome.FAIL) else (),
        inputs={"attempts": str(data.recent.total), "baseline_attempts": str(data.baseline.total)},
        not_seen="attempts that never reached the processor",
        next_step=_next_step(outcome),
    )


def _verdict(data: FailureData, thresholds: Mapping[str, Any], lower: float) -> Outcome:
    if data.recent.total < int(thresholds["min_attempts"]):
        return Outcome.NO_DATA
    if data.baseline.total < int(thresholds["min_baseline_attempts"]):
        return Outcome.NO_DATA
    shift_points = 100 * (data.recent.share - data.baseline.share)
    for severity, outcome in SEVERITIES:
        limit = table(thresholds, severity).get("shift_points")
        if limit is not None and shift_points >= Fraction(str(limit)) and lower > data.baseline.rate:
            return outcome
    return Outcome.PASS


def _message(data: FailureData, thresholds: Mapping[str, Any], outcome: Outcome) -> str:
    recent, window = data.recent, duration(float(thresholds["window_s"]))
    if not recent.total:
        return f"no card payment was attempted in the last {window}"
    said = f"{percent(recent.rate)} of {recent.total} attempts failed in the last {window}"
    if data.payments.total:
        said += f" ({data.payments.failed} of {data.payments.total} payments in the end)"
    if recent.total < int(thresholds["min_attempts"]):
        return f"{said}; too few to tell a shift (fewer than {thresholds['min_attempts']})"
    if outcome is Outcome.NO_DATA:
        return f"{said}; too little history to compare with ({data.baseline.total} attempts)"
    return f"{said}; {percent(data.baseline.rate)} of {data.baseline.total} before"


def _next_step(outcome: Outcome) -> str:
    if outcome in (Outcome.WARN, Outcome.FAIL):
        return (
            "look at the causes: one decline code points at card testing or a broken form, many at an issuer"
        )
    return "wait for more attempts, or widen window_s" if outcome is Outcome.NO_DATA else ""


def _causes(data: FailureData) -> tuple[Segment, ...]:
    ordered = sorted(data.causes.items(), key=lambda item: (-item[1], item[0]))[:5]
    return tuple(
        Segment(name="decline_code", value=cause, share=count / data.recent.failed)
        for cause, count in ordered
    )


CHECK = CheckPlugin(
    name=NAME,
    question="Are card payments failing?",
    tags=("cards",),
    defaults={
        "warn": {"shift_points": 3},
        "fail": {"shift_points": 8},
        "window_s": 86_400,
        "baseline_s": 2_419_200,
        "min_attempts": 50,
        "min_baseline_attempts": 100,
    },
    reads=(("stripe", "charges"),),
    load=load,
    evaluate=evaluate,
)
