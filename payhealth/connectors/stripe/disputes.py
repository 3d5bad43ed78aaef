"""Disputes as records: what counts is the money withdrawn and given back, not the status.

An inquiry (``warning_…``) or a prevented dispute moves no money and so has no movement.

Source: https://docs.stripe.com/api/disputes/object (``balance_transactions``)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    bounded,
    currency,
    flag,
    items,
    linked_id,
    moment,
    number,
    optional_moment,
    part,
    required_flag,
    required_id,
    required_text,
    signed,
    unsigned,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import (
    Made,
    Payment,
    Row,
    Rules,
    links,
    movement,
    payment_values,
)
from payhealth.domain.records import Dispute, EarlyFraudWarning, Movement, MovementKind, MovementStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One balance transaction of a dispute: below zero withdrawn, above zero given back; fees apart.

    Args:
        amount: minor units of the dispute's own currency.
        at_s: unix seconds.
    """

    transaction_id: str
    amount: int
    at_s: int


def dispute(found: JsonObject, rules: Rules, payment: Payment | None) -> Made:
    """A dispute, its movements and its links.

    Args:
        payment: the charge it belongs to; None where Stripe does not have it any more.
    """
    dispute_id = required_id(found)
    money = currency(found)
    flows = _flows(found, unsigned(found, "amount"), money[0])
    row = _row(found, rules, dispute_id, money, flows)
    payment_key = payment.payment_key if payment else row["intent_id"] or row["charge_id"] or dispute_id
    values = payment_values(found, rules, payment) | {"payment_key": payment_key, "money": money}
    first = next((flow for flow in flows if flow.amount < 0), None)
    return [
        (Dispute, row),
        *((Movement, _movement(dispute_id, flow, flow is first, values)) for flow in flows),
        *links(payment_key, dispute_id, *_lines(found)),
    ]


def _row(
    found: JsonObject, rules: Rules, dispute_id: str, money: tuple[str, int], flows: Sequence[Flow]
) -> Row:
    evidence = part(found, "evidence_details")
    card = part(part(found, "payment_method_details"), "card")
    asset, digits = money
    return {
        "dispute_id": dispute_id,
        "charge_id": linked_id(found, "charge"),
        "intent_id": linked_id(found, "payment_intent"),
        "status": required_text(found, "status"),
        "reason": found.get("reason"),
        "amount": unsigned(found, "amount"),
        "asset": asset,
        "withdrawn": bounded(-sum(flow.amount for flow in flows if flow.amount < 0), "withdrawn"),
        "reinstated": bounded(sum(flow.amount for flow in flows if flow.amount > 0), "reinstated"),
        "created_at": moment(found, "created"),
        "evidence_due_at": optional_moment(evidence, "due_by"),
        "has_evidence": flag(evidence, "has_evidence"),
        "past_due": flag(evidence, "past_due"),
        "submission_count": number(evidence, "submission_count"),
        "is_charge_refundable": flag(found, "is_charge_refundable"),
        # The code stood on the dispute itself before it moved to the card.
        "network_reason_code": card.get("network_reason_code") or found.get("network_reason_code"),
        "brand": card.get("brand"),
        "raw": raw_of(found, "dispute", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }


def _flows(found: JsonObject, amount: int, asset: str) -> list[Flow]:
    """The dispute's balance transactions in the dispute's own currency, oldest first."""
    listed = found.get("balance_transactions")
    if type(listed) is not list:
        raise UnfitError("balance_transactions is missing")
    flows = []
    for booked in listed:
        if type(booked) is not dict:
            raise UnfitError("balance_transactions is not expanded")
        value = signed(booked, "amount")
        if currency(booked)[0] != asset:
            value = _converted(value, amount, listed)
        if value:
            # A line of 0 is a fee alone: it is no money of the customer's.
            at_s = moment(booked, "created")
            flows.append(Flow(transaction_id=required_id(booked), amount=value, at_s=at_s))
    return sorted(flows, key=lambda flow: (flow.at_s, flow.amount > 0, flow.transaction_id))


def _lines(found: JsonObject) -> list[str | None]:
    """The ids of all of its balance transactions: one of a fee alone is the dispute's too."""
    return [linked_id(booked, "id") for booked in items(found, "balance_transactions")]


def _converted(value: int, amount: int, listed: Sequence[JsonObject]) -> int:
    """A flow that was settled in another currency, in the dispute's own.

    Stripe withdraws the disputed amount once and gives it back at most once, at the rate of each day:
    the sign is what the line says, and the amount is the dispute's. With several lines of one direction
    that would be a guess; lines of 0 are fees alone.
    """
    amounts = [signed(booked, "amount") for booked in listed if type(booked) is dict]
    if sum(each * value > 0 for each in amounts) > 1:
        raise UnfitError("several withdrawals or reversals in another currency than the dispute's")
    return 0 if not value else amount if value > 0 else -amount


def _movement(dispute_id: str, flow: Flow, is_first: bool, values: Row) -> Row:
    """One movement a flow: the first withdrawal has the dispute's id, others their own."""
    return movement(
        movement_id=dispute_id if is_first else flow.transaction_id,
        kind=MovementKind.DISPUTE if flow.amount < 0 else MovementKind.DISPUTE_REVERSAL,
        status=MovementStatus.SUCCEEDED,
        amount=abs(flow.amount),
        at_s=flow.at_s,
        **values,
    )


def early_fraud_warning(found: JsonObject, rules: Rules) -> Made:
    """An issuer's warning of fraud; no money moves with it.

    Source: https://docs.stripe.com/api/radar/early_fraud_warnings/object
    """
    row = {
        "warning_id": required_id(found),
        "charge_id": linked_id(found, "charge"),
        "intent_id": linked_id(found, "payment_intent"),
        "fraud_type": found.get("fraud_type"),
        "actionable": required_flag(found, "actionable"),
        "created_at": moment(found, "created"),
        "raw": raw_of(found, "radar.early_fraud_warning", rules.kept_metadata, rules.api_version),
    }
    return [(EarlyFraudWarning, row)]
