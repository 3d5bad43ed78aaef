"""Does every payout hold what it says?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from payhealth.checks.break_checks import (
    RECONCILED_WITHIN_S,
    BreakData,
    loader,
    reached,
    totals,
    why_unjudged,
)
from payhealth.checks.thresholds import duration, moment, table
from payhealth.domain.breaks import BreakReason
from payhealth.domain.money import plain
from payhealth.domain.results import CheckResult, Outcome
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "payout_recon"
REASONS = (str(BreakReason.PAYOUT_MISMATCH),)

_STREAM = "payouts"
_SHOWN = 10
_WAITING = """
select p.payout_id, p.amount, p.asset, coalesce(o.arrival_at, p.created_at) as due_at
from v_payout_proofs p
left join v_payouts o on o.connector = p.connector and o.payout_id = p.payout_id
where p.state = 'waiting' order by due_at, p.payout_id
"""
_PROVED = "select count(*) as proved from v_payout_proofs where state in ('proved', 'explained')"

_breaks = loader(REASONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A payout that is neither proved nor refuted; ``due_at`` is when the bank should have had it."""

    payout_id: str
    amount: Decimal
    asset: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutData:
    """What is known of payouts.

    Args:
        read: whether payouts were read at all.
        proved: how many are proved or explained.
        waiting: by when the bank should have had them.
        mismatches: the breaks that they became.
    """

    read: bool
    proved: int
    waiting: tuple[Waiting, ...]
    mismatches: BreakData


def load(reader: StoreReader, context: CheckContext, thresholds: Mapping[str, Any]) -> PayoutData:
    """Read the breaks of payouts, and the payouts whose proof waits."""
    read = [at for (_, stream), at in context.last_ok.items() if stream == _STREAM and at is not None]
    return PayoutData(
        read=bool(read),
        proved=int(reader.rows(_PROVED)[0]["proved"]),
        waiting=tuple(_waiting(row) for row in reader.rows(_WAITING)),
        mismatches=_breaks(reader, context, thresholds),
    )


def _waiting(row: Mapping[str, Any]) -> Waiting:
    due_at = moment(row["due_at"])
    if due_at is None:
        raise ValueError(f"payout {row['payout_id']} has no moment")
    amount = Decimal(str(row["amount"]))
    return Waiting(payout_id=row["payout_id"], amount=amount, asset=row["asset"], due_at=due_at)


def evaluate(data: PayoutData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """A payout that differs from what it is made of fails; one that waits for too long warns."""
    unjudged = why_unjudged(data.mismatches, thresholds, now)
    if not data.read:
        unjudged = (Outcome.NO_DATA, "no payouts were read")
    if unjudged is not None:
        return CheckResult(
            check=NAME,
            outcome=unjudged[0],
            message=unjudged[1],
            evaluated_at=now,
            thresholds=thresholds,
            not_seen="payouts that differ from what they are made of",
            next_step="run `payhealth run`: it reads, reconciles and checks",
        )
    late = _late(data.waiting, thresholds, now)
    outcome = _verdict(data, late, thresholds, now)
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=_message(data, late, now),
        evaluated_at=now,
        value=str(len(data.mismatches.breaks)),
        unit="breaks",
        thresholds=thresholds,
        examples=_examples(data, late),
        inputs={"proved": str(data.proved), "waiting": str(len(data.waiting))},
        not_seen="whether the bank received what Stripe sent",
        next_step=_next_step(data, late),
    )


def _late(waiting: Sequence[Waiting], thresholds: Mapping[str, Any], now: datetime) -> tuple[Waiting, ...]:
    limit_s = table(thresholds, "warn").get("age_s")
    if limit_s is None:
        return ()
    return tuple(each for each in waiting if (now - each.due_at).total_seconds() > float(limit_s))


def _verdict(
    data: PayoutData, late: Sequence[Waiting], thresholds: Mapping[str, Any], now: datetime
) -> Outcome:
    if reached(data.mismatches.breaks, table(thresholds, "fail"), now):
        return Outcome.FAIL
    # A mismatch under the threshold of failing is still one.
    return Outcome.WARN if late or data.mismatches.breaks else Outcome.PASS


def _message(data: PayoutData, late: Sequence[Waiting], now: datetime) -> str:
    said = []
    mismatches = data.mismatches.breaks
    if mismatches:
        amounts = ", ".join(f"{plain(amount)} {asset}" for asset, amount in totals(mismatches).items())
        said.append(f"{len(mismatches)} x a payout that differs from what it is made of, by {amounts} in all")
    if late:
        oldest_s = (now - late[0].due_at).total_seconds()
        said.append(
            f"{len(late)} x a payout without its proof, the oldest {duration(oldest_s)} after arrival"
        )
    if not said:
        said.append(f"every payout of {data.proved} is proved" if data.proved else "no payout to prove yet")
    young = len(data.waiting) - len(late)
    if young:
        said.append(f"{young} wait for their proof")
    return "; ".join(said)


def _examples(data: PayoutData, late: Sequence[Waiting]) -> tuple[str, ...]:
    ids = (*(found.break_id for found in data.mismatches.breaks), *(each.payout_id for each in late))
    return ids[:_SHOWN]


def _next_step(data: PayoutData, late: Sequence[Waiting]) -> str:
    if data.mismatches.breaks:
        return (
            "open each with `payhealth breaks show ID`, compare it with the payout in Stripe's dashboard,"
            " and ask Stripe's support for its transactions"
        )
    if late:
        return (
            "look at v_payout_proofs and at the payout in Stripe's dashboard: it may be held back or returned"
        )
    return ""


CHECK = CheckPlugin(
    name=NAME,
    question="Does every payout hold what it says?",
    tags=("proofs",),
    defaults={
        "warn": {"age_s": 432_000},
        "fail": {"count": 1},
        "reconciled_within_s": RECONCILED_WITHIN_S,
    },
    reads=(("stripe", "payouts"), ("stripe", "balance_transactions"), ("stripe", "payout_proofs")),
    load=load,
    evaluate=evaluate,
    reasons=REASONS,
)
