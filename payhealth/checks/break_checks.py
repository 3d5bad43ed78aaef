"""What the checks over breaks share: how they read breaks, and how they hold them against thresholds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from payhealth.checks.thresholds import SEVERITIES, duration, moment, table, worst
from payhealth.domain.money import plain, total
from payhealth.domain.results import CheckResult, Outcome, Segment
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

EVERY_SOURCE = (("", "*"),)
"""Breaks depend on everything that is read, plugins of others too: a hole anywhere leaves them unjudged."""

RECONCILED_WITHIN_S = 7200
"""How far the newest reconciliation may lag behind what was read since: two hourly ones."""

_QUERY = """
select break_id, primary_reason, at_risk, asset, effective_at, movement_ids
from v_breaks where state <> 'resolved'
"""
_RUN = "select ran_at from v_runs order by ran_at desc limit 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreak:
    """One unresolved break; ``overdue_since`` is the end of its time to clear."""

    break_id: str
    reason: str
    at_risk: Decimal
    asset: str
    overdue_since: datetime
    chain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakData:
    """The breaks of a check's reasons, and how old the reconciliation is that found them.

    Args:
        reconciled_at: when the newest reconciliation ran, None if none has.
        read_at: when a source was last read well, None if none was or none is configured.
    """

    reconciled_at: datetime | None
    read_at: datetime | None
    breaks: tuple[OpenBreak, ...]


def loader(reasons: Sequence[str]) -> Callable[[StoreReader, CheckContext, Mapping[str, Any]], BreakData]:
    """A loader of the unresolved breaks with these primary reasons."""

    def load(reader: StoreReader, context: CheckContext, _: Mapping[str, Any]) -> BreakData:
        to_clear = timedelta(seconds=context.time_to_clear_s)
        found = [
            _open_break(row, to_clear) for row in reader.rows(_QUERY) if row["primary_reason"] in reasons
        ]
        runs = reader.rows(_RUN)
        return BreakData(
            reconciled_at=moment(runs[0]["ran_at"]) if runs else None,
            read_at=max((read for read in context.last_ok.values() if read is not None), default=None),
            breaks=tuple(found),
        )

    return load


def _open_break(row: Mapping[str, Any], to_clear: timedelta) -> OpenBreak:
    effective_at = moment(row["effective_at"])
    if effective_at is None:
        raise ValueError(f"break {row['break_id']} has no moment")
    return OpenBreak(
        break_id=row["break_id"],
        reason=row["primary_reason"],
        at_risk=Decimal(str(row["at_risk"])),
        asset=row["asset"],
        overdue_since=effective_at + to_clear,
        chain="eip155:" in str(row["movement_ids"]),
    )


def totals(breaks: Sequence[OpenBreak]) -> dict[str, Decimal]:
    """What is at risk, by asset, exact; a sum may lie outside the domain of one amount."""
    amounts: dict[str, list[Decimal]] = defaultdict(list)
    for found in breaks:
        amounts[found.asset].append(found.at_risk)
    return {asset: total(amounts[asset]) for asset in sorted(amounts)}


def reached(breaks: Sequence[OpenBreak], limits: Mapping[str, Any], now: datetime) -> bool:
    """Whether breaks reach one severity: ``age_s`` or ``amount``, and ``count`` as a floor.

    An empty table is never reached; a table with a count alone is reached by the count.
    """
    if not limits or not breaks or len(breaks) < int(limits.get("count", 1)):
        return False
    alternatives = []
    if "age_s" in limits:
        alternatives.append(oldest_s(breaks, now) >= float(limits["age_s"]))
    if "amount" in limits:
        alternatives.append(any(sum_ >= Decimal(str(limits["amount"])) for sum_ in totals(breaks).values()))
    return any(alternatives) if alternatives else True


def oldest_s(breaks: Sequence[OpenBreak], now: datetime) -> float:
    """How long the oldest break is overdue, in seconds, 0 or more."""
    return max(0.0, *((now - found.overdue_since).total_seconds() for found in breaks)) if breaks else 0.0


def judge(breaks: Sequence[OpenBreak], thresholds: Mapping[str, Any], now: datetime) -> Outcome:
    """The verdict on cards and chains together, each by its own thresholds where it has any."""
    chain = [found for found in breaks if found.chain] if "chain_fail" in thresholds else []
    cards = [found for found in breaks if not (chain and found.chain)]
    outcomes = []
    for prefix, rows in (("", cards), ("chain_", chain)):
        for severity, outcome in SEVERITIES:
            if reached(rows, table(thresholds, prefix + severity), now):
                outcomes.append(outcome)
    return worst(outcomes)


def segments(breaks: Sequence[OpenBreak]) -> tuple[Segment, ...]:
    """The reasons behind the breaks, most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    for found in breaks:
        counts[found.reason] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Segment(name="reason", value=reason, share=count / len(breaks)) for reason, count in ordered)


def evaluate_breaks(
    data: BreakData, thresholds: Mapping[str, Any], now: datetime, *, check: str, what: str, next_step: str
) -> CheckResult:
    """Hold the breaks of one check against its thresholds.

    Args:
        what: one break in words, singular, such as "payment without its credit".
        next_step: what to do when there are any.
    """
    unjudged = why_unjudged(data, thresholds, now)
    if unjudged is not None:
        return CheckResult(
            check=check,
            outcome=unjudged[0],
            message=unjudged[1],
            evaluated_at=now,
            thresholds=thresholds,
            not_seen="breaks that no reconciliation has looked for yet",
            next_step="run `payhealth run`: it reads, reconciles and checks",
        )
    count = len(data.breaks)
    outcome = judge(data.breaks, thresholds, now)
    at_risk = ", ".join(f"{plain(amount)} {asset}" for asset, amount in totals(data.breaks).items())
    ordered = sorted(data.breaks, key=lambda found: (found.overdue_since, found.break_id))
    message = f"no {what}"
    if count:
        age = duration(oldest_s(data.breaks, now))
        message = f"{count} x {what}; at risk {at_risk}; the oldest is overdue for {age}"
    return CheckResult(
        check=check,
        outcome=outcome,
        message=message,
        evaluated_at=now,
        value=str(count),
        unit="breaks",
        thresholds=thresholds,
        segments=segments(data.breaks) if count else (),
        examples=tuple(found.break_id for found in ordered[:10]),
        inputs={"breaks": "v_breaks, all but the resolved", "at_risk": at_risk or "nothing"},
        next_step=next_step if count else "",
    )


def why_unjudged(data: BreakData, thresholds: Mapping[str, Any], now: datetime) -> tuple[Outcome, str] | None:
    """Why there is no verdict: nothing read, nothing reconciled, or only long before what was read."""
    if data.reconciled_at is None:
        return Outcome.NO_DATA, "no reconciliation has run yet"
    if data.read_at is None:
        return Outcome.NO_DATA, "no source was read, so there is nothing that a break could be in"
    late_s = (now - data.reconciled_at).total_seconds()
    within_s = float(thresholds.get("reconciled_within_s", RECONCILED_WITHIN_S))
    if data.read_at > data.reconciled_at and late_s > within_s:
        return (
            Outcome.STALE,
            f"the last reconciliation was {duration(late_s)} ago and sources were read since",
        )
    return None


def break_check(
    *,
    name: str,
    question: str,
    reasons: tuple[str, ...],
    defaults: Mapping[str, Any],
    what: str,
    next_step: str,
) -> CheckPlugin:
    """A check that reads breaks of certain reasons and nothing else."""

    def evaluate(data: BreakData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
        return evaluate_breaks(data, thresholds, now, check=name, what=what, next_step=next_step)

    return CheckPlugin(
        name=name,
        question=question,
        tags=("reconciliation",),
        defaults={**defaults, "reconciled_within_s": RECONCILED_WITHIN_S},
        reads=EVERY_SOURCE,
        load=loader(reasons),
        evaluate=evaluate,
        reasons=reasons,
    )
