"""How many disputes arrive, by dispute date?

The disputes of a month are not of that month's sales: the ratio is of two separate counts, so its
uncertainty is the Poisson one of the disputes alone. Inquiries that never escalated do not count.
Source: Stripe, "Measuring disputes": activity is counted by dispute date, 0.75 % is called excessive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from payhealth.checks.stats import poisson_interval
from payhealth.checks.thresholds import SEVERITIES, duration, percent, table
from payhealth.domain.results import CheckResult, Outcome, Segment
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "dispute_activity"

_DISPUTES = """
select dispute_id, reason from v_disputes
where created_at >= :since and created_at < :now and status not like 'warning%' and status <> 'prevented'
order by created_at desc, dispute_id
"""
_PAYMENTS = """
select count(*) as payments from v_charges
where created_at >= :since and created_at < :now and status = 'succeeded'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputeData:
    """Disputes and captured card payments of one window."""

    disputes: int
    payments: int
    reasons: Mapping[str, int]
    examples: tuple[str, ...]


def load(reader: StoreReader, context: CheckContext, thresholds: Mapping[str, Any]) -> DisputeData:
    """Count the window's disputes by their own date, and its payments."""
    since = context.now - timedelta(seconds=float(thresholds["window_s"]))
    window = {"since": since, "now": context.now}
    disputes = reader.rows(_DISPUTES, window)
    return DisputeData(
        disputes=len(disputes),
        payments=int(reader.rows(_PAYMENTS, window)[0]["payments"]),
        reasons=Counter(row["reason"] or "unknown" for row in disputes),
        examples=tuple(row["dispute_id"] for row in disputes[:10]),
    )


def evaluate(data: DisputeData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """Hold the lower Poisson bound of the ratio against the thresholds."""
    bounds = poisson_interval(data.disputes)
    interval = (bounds[0] / data.payments, bounds[1] / data.payments) if data.payments else None
    outcome = _verdict(data, thresholds, interval)
    window = duration(float(thresholds["window_s"]))
    message = f"{data.disputes} disputes and no card payment in the last {window}"
    if data.payments:
        ratio = percent(data.disputes / data.payments)
        message = (
            f"{data.disputes} disputes against {data.payments} card payments in the last {window}: {ratio}"
        )
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=message,
        evaluated_at=now,
        value=f"{data.disputes / data.payments:.6f}" if data.payments else None,
        unit="disputes / payments",
        interval=interval,
        thresholds=thresholds,
        segments=_reasons(data),
        examples=data.examples if outcome in (Outcome.WARN, Outcome.FAIL) else (),
        inputs={"disputes": str(data.disputes), "payments": str(data.payments)},
        not_seen="disputes that were resolved before they reached the API: this is a lower bound",
        next_step=_next_step(outcome),
    )


def _verdict(
    data: DisputeData, thresholds: Mapping[str, Any], interval: tuple[float, float] | None
) -> Outcome:
    if interval is None:
        return Outcome.FAIL if data.disputes >= int(thresholds["min_disputes"]) else Outcome.NO_DATA
    for severity, outcome in SEVERITIES:
        limit = table(thresholds, severity).get("ratio")
        if (
            limit is not None
            and interval[0] >= float(limit)
            and data.disputes >= int(thresholds["min_disputes"])
        ):
            return outcome
    return Outcome.PASS


def _next_step(outcome: Outcome) -> str:
    if outcome in (Outcome.WARN, Outcome.FAIL):
        return "answer what is open in time, refund what is fraud, and look at the reasons for a common cause"
    return "wait for card payments, or widen window_s" if outcome is Outcome.NO_DATA else ""


def _reasons(data: DisputeData) -> tuple[Segment, ...]:
    ordered = sorted(data.reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
    return tuple(Segment(name="reason", value=reason, share=n / data.disputes) for reason, n in ordered)


CHECK = CheckPlugin(
    name=NAME,
    question="How many disputes arrive, by dispute date?",
    tags=("cards",),
    defaults={
        "warn": {"ratio": 0.005},
        "fail": {"ratio": 0.0075},
        "window_s": 2_592_000,
        "min_disputes": 3,
    },
    reads=(("stripe", "charges"), ("stripe", "disputes")),
    load=load,
    evaluate=evaluate,
)
