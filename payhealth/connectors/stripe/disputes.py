"""Disputes as records: what counts is the money withdrawn and given back, not the status.

An inquiry (``warning_…``) or a prevented dispute moves no money and so has no movement.

Source: https://docs.stripe.com/api/disputes/object (``balance_transactions``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    currency,
    linked_id,
    moment,
    optional_moment,
    part,
    required_id,
    required_text,
    signed,
    text,
    unsigned,
)
from payhealth.connectors.stripe.translate import Payment, Rules, account_of, links, reference_of
from payhealth.domain.money import total
from payhealth.domain.records import Dispute, Movement, MovementKind, MovementStatus, Rail, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One balance transaction of a dispute: below zero withdrawn, above zero given back; fees apart."""

    transaction_id: str
    amount: Decimal
    at: datetime


def dispute(found: JsonObject, rules: Rules, payment: Payment | None) -> list[Record]:
    """A dispute, its movements and its links.

    Args:
        payment: the charge it belongs to; None where Stripe does not have it any more.
    """
    dispute_id = required_id(found)
    asset, decimals = currency(found)
    amount = unsigned(found, "amount", decimals)
    flows = _flows(found, amount, asset)
    charge_id, intent_id = linked_id(found, "charge"), linked_id(found, "payment_intent")
    payment_key = payment.payment_key if payment else intent_id or charge_id or dispute_id
    record = Dispute(
        connector=rules.connector,
        dispute_id=dispute_id,
        charge_id=charge_id,
        intent_id=intent_id,
        status=required_text(found, "status"),
        reason=text(found, "reason"),
        amount=amount,
        asset=asset,
        withdrawn=total(flow.amount.copy_negate() for flow in flows if flow.amount < 0),
        reinstated=total(flow.amount for flow in flows if flow.amount > 0),
        created_at=moment(found, "created"),
        evidence_due_at=optional_moment(part(found, "evidence_details"), "due_by"),
    )
    transactions = [flow.transaction_id for flow in flows]
    return [
        record,
        *_movements(found, rules, payment, payment_key, flows),
        *links(rules.connector, payment_key, dispute_id, *transactions),
    ]


def _flows(found: JsonObject, amount: Decimal, asset: str) -> list[Flow]:
    """The dispute's balance transactions in the dispute's own currency, oldest first."""
    listed = found.get("balance_transactions")
    if not isinstance(listed, list):
        raise UnfitError("balance_transactions is missing")
    flows = []
    for booked in listed:
        if not isinstance(booked, dict):
            raise UnfitError("balance_transactions is not expanded")
        settled, decimals = currency(booked)
        value = signed(booked, "amount", decimals)
        if settled != asset:
            value = _converted(value, amount, listed)
        if value:
            # A line of 0 is a fee alone: it is no money of the customer's.
            flows.append(Flow(transaction_id=required_id(booked), amount=value, at=moment(booked, "created")))
    return sorted(flows, key=lambda flow: (flow.at, flow.amount > 0, flow.transaction_id))


def _converted(value: Decimal, amount: Decimal, listed: Sequence[JsonObject]) -> Decimal:
    """A flow that was settled in another currency, in the dispute's own.

    Stripe withdraws the disputed amount once and gives it back at most once, at the rate of each day:
    the sign is what the line says, and the amount is the dispute's. With more lines that would be a
    guess.
    """
    if len(listed) > 2:
        raise UnfitError("several withdrawals or reversals in another currency than the dispute's")
    return amount.copy_sign(value) if value else value


def _movements(
    found: JsonObject, rules: Rules, payment: Payment | None, payment_key: str, flows: Sequence[Flow]
) -> list[Record]:
    """One movement a flow: the first withdrawal has the dispute's id, others their own."""
    dispute_id, asset = required_id(found), currency(found)[0]
    first = next((flow for flow in flows if flow.amount < 0), None)
    return [
        Movement(
            connector=rules.connector,
            movement_id=dispute_id if flow is first else flow.transaction_id,
            rail=Rail.CARD,
            kind=MovementKind.DISPUTE if flow.amount < 0 else MovementKind.DISPUTE_REVERSAL,
            status=MovementStatus.SUCCEEDED,
            account=payment.account if payment else account_of(found, rules),
            handle=payment.handle if payment else "",
            payment_key=payment_key,
            reference=reference_of(found, rules) or (payment.reference if payment else ""),
            amount=flow.amount.copy_abs(),
            asset=asset,
            symbol=asset,
            effective_at=flow.at,
        )
        for flow in flows
    ]
