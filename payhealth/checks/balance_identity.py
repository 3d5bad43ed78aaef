"""Did balances move by what was read, and has every movement both its halves?

The balance identity finds what no list shows: a line that is missing, double or of another amount, and on a
chain a transfer that left no log. Booking gaps name the object or the line whose other half Stripe does not
show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from payhealth.checks import chain_balances
from payhealth.checks.chain_balances import Chains
from payhealth.checks.thresholds import duration, moment, table
from payhealth.domain.breaks import BreakReason
from payhealth.domain.money import plain
from payhealth.domain.records import ProofState
from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import iso
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "balance_identity"
REASONS = (str(BreakReason.LEDGER_CHANGED),)

_STREAM = "balance"
_SHOWN = 5
_STRIPE_STEP = (
    "run `payhealth pull`; if it stays, hold v_balance_transactions since then against the balance"
    " report in Stripe's dashboard, and give Stripe's support the difference and both times"
)
_PROOFS = """
select proof_id, connector, asset, state, since, difference, attempts
from v_balance_proofs order by proof_id
"""
_GAPS = """
select object_id, connector, reason, since, amount, asset
from v_booking_gaps where not closed order by since, object_id
"""
_CHANGED = """
select break_id, primary_reason, explanation from v_breaks where state <> 'resolved' order by break_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One currency of one account's balance."""

    proof_id: str
    asset: str
    state: str
    since: datetime
    difference: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Half of a movement; ``since`` is when it was first found alone."""

    object_id: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksData:
    """What the processor's books say.

    Args:
        read: whether the processor's balance was read at all.
        gaps: the open ones, oldest first.
        changed: breaks that say that a ledger's past was changed, by id.
        chains: what addresses hold.
    """

    read: bool
    proofs: tuple[Proof, ...]
    gaps: tuple[Gap, ...]
    changed: tuple[str, ...] = ()
    chains: Chains = field(default_factory=Chains)


def load(reader: StoreReader, context: CheckContext, _: Mapping[str, Any]) -> BooksData:
    """Read the proofs, the open gaps and what is known of changed ledgers."""
    read = [at for (_, stream), at in context.last_ok.items() if stream == _STREAM and at is not None]
    changed = [row["break_id"] for row in reader.rows(_CHANGED) if row["primary_reason"] in REASONS]
    return BooksData(
        read=bool(read),
        proofs=tuple(_proof(row) for row in reader.rows(_PROOFS)),
        gaps=tuple(_gap(row) for row in reader.rows(_GAPS)),
        changed=tuple(changed),
        chains=chain_balances.load(reader),
    )


def _proof(row: Mapping[str, Any]) -> Proof:
    return Proof(
        proof_id=row["proof_id"],
        asset=row["asset"],
        state=row["state"],
        since=_moment(row["since"]),
        difference=Decimal(str(row["difference"])),
    )


def _gap(row: Mapping[str, Any]) -> Gap:
    return Gap(object_id=row["object_id"], reason=row["reason"], since=_moment(row["since"]))


def _moment(value: object) -> datetime:
    found = moment(value)
    if found is None:
        raise ValueError("a proof or gap has no moment")
    return found


def evaluate(data: BooksData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """A balance that moved by something else fails, and so does a half that stays alone for too long."""
    broken = [proof for proof in data.proofs if proof.state == ProofState.MISMATCH]
    limit_s = table(thresholds, "fail").get("age_s")
    overdue = [] if limit_s is None else [gap for gap in data.gaps if _age_s(gap, now) > float(limit_s)]
    outcome = _verdict(data, broken, overdue)
    failed = outcome is Outcome.FAIL
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=_message(data, broken, overdue, now),
        evaluated_at=now,
        value=str(len(broken) + len(data.chains.differences) + len(overdue) + len(data.changed)),
        unit="differences",
        thresholds=thresholds,
        examples=_examples(data, broken, overdue),
        inputs={
            "currencies": str(len(data.proofs)),
            "open gaps": str(len(data.gaps)),
            "open balances": str(len(data.chains.differences) + data.chains.unsettled),
        },
        not_seen=_not_seen(data, outcome),
        next_step=_next_step(data, broken) if failed else _quiet_step(data, outcome),
    )


def _age_s(gap: Gap, now: datetime) -> float:
    return (now - gap.since).total_seconds()


def _verdict(data: BooksData, broken: Sequence[Proof], overdue: Sequence[Gap]) -> Outcome:
    if broken or overdue or data.changed or data.chains.differences:
        return Outcome.FAIL
    proved = data.read and any(proof.state == ProofState.PROVED for proof in data.proofs)
    return Outcome.PASS if proved or data.chains.proved else Outcome.NO_DATA


def _message(data: BooksData, broken: Sequence[Proof], overdue: Sequence[Gap], now: datetime) -> str:
    said = [_in_words(proof) for proof in broken[:_SHOWN]] + data.chains.said()
    if overdue:
        oldest = overdue[0]
        said.append(
            f"{len(overdue)} x half a movement, the oldest for {duration(_age_s(oldest, now))}"
            f" ({oldest.object_id}: {oldest.reason})"
        )
    if data.changed:
        said.append(f"{len(data.changed)} x a ledger's past was changed")
    if not said:
        said += _quiet(data)
    waiting = sorted({proof.asset for proof in data.proofs if proof.state == ProofState.WAITING})
    if waiting:
        said.append(f"not proved yet, tried again at the next pull: {', '.join(waiting)}")
    said += data.chains.open()
    young = len(data.gaps) - len(overdue)
    if young:
        said.append(f"{young} x half a movement, which may still be completed")
    return "; ".join(said)


def _quiet(data: BooksData) -> list[str]:
    held = data.chains.held()
    proved = sorted({proof.asset for proof in data.proofs if proof.state == ProofState.PROVED})
    if data.read and proved:
        return [f"the balance moved by what was listed: {', '.join(proved)}", *held]
    if held:
        return held
    return ["no balance is proved" if data.read or data.chains.read else "no balance was read"]


def _in_words(proof: Proof) -> str:
    return (
        f"{proof.proof_id}: since {iso(proof.since)} the balance moved by "
        f"{plain(proof.difference.copy_abs())} {proof.asset} {'more' if proof.difference > 0 else 'less'}"
        " than was listed"
    )


def _examples(data: BooksData, broken: Sequence[Proof], overdue: Sequence[Gap]) -> tuple[str, ...]:
    ids = (
        *(proof.proof_id for proof in broken),
        *(difference.balance_id for difference in data.chains.differences),
        *(gap.object_id for gap in overdue),
        *data.changed,
    )
    return ids[:10]


def _not_seen(data: BooksData, outcome: Outcome) -> str:
    if outcome is Outcome.NO_DATA:
        return "whether anything is missing from what was listed"
    waiting = any(proof.state == ProofState.WAITING for proof in data.proofs)
    books = "the currencies that are not proved yet" if waiting else "what moved before the first reading"
    return "; ".join(part for part in (books, data.chains.not_seen()) if part)


def _next_step(data: BooksData, broken: Sequence[Proof]) -> str:
    steps = [_STRIPE_STEP] if broken else []
    if data.chains.differences:
        steps.append(chain_balances.NEXT_STEP)
    if steps:
        return "; ".join(steps)
    if data.changed:
        return "open each with `payhealth breaks show ID` and ask who changed the ledger"
    return (
        "run `payhealth pull`; if it stays, look the id up in Stripe's dashboard"
        " and ask Stripe's support for the other half"
    )


def _quiet_step(data: BooksData, outcome: Outcome) -> str:
    if outcome is not Outcome.NO_DATA:
        return ""
    read = data.read or data.chains.read
    return "pull once more: a balance is held against the one before" if read else "run `payhealth pull`"


CHECK = CheckPlugin(
    name=NAME,
    question="Did balances move by what was read, and by nothing else?",
    tags=("proofs",),
    defaults={"fail": {"age_s": 86_400}},
    reads=(
        ("stripe", "balance"),
        ("stripe", "bookings"),
        ("stripe", "balance_transactions"),
        ("stripe", "payouts"),
        ("stripe", "charges"),
        ("stripe", "refunds"),
        ("stripe", "disputes"),
        ("evm", "transfers"),
    ),
    load=load,
    evaluate=evaluate,
    reasons=REASONS,
    proves=True,
)
