"""Charges as records: one attempt to collect a payment each, with what moved.

Source: https://docs.stripe.com/api/charges/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    currency,
    linked_id,
    moment,
    number,
    part,
    required_id,
    required_text,
    unsigned,
)
from payhealth.connectors.stripe.personal import email_marks, ip_mark
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import (
    Made,
    Row,
    Rules,
    account_of,
    links,
    movement,
    reference_of,
)
from payhealth.domain.records import Charge, Movement, MovementKind, MovementStatus


def charge(found: JsonObject, rules: Rules) -> Made:
    """A charge, its movement and the other ids of its payment."""
    money = currency(found)
    row = _row(found, rules, money)
    charge_id = row["charge_id"]
    payment_key = row["intent_id"] or charge_id
    returned = linked_id(found, "failure_balance_transaction")
    return [
        (Charge, row),
        (Movement, _movement(found, rules, row, payment_key, money)),
        *links(payment_key, charge_id, row["balance_transaction"], returned, row["invoice_id"]),
    ]


def _row(found: JsonObject, rules: Rules, money: tuple[str, int]) -> Row:
    get = found.get
    asset, digits = money
    email_domain, email_hash = email_marks(found, rules.hash_key)
    row = {
        "charge_id": required_id(found),
        "intent_id": linked_id(found, "payment_intent"),
        "status": required_text(found, "status"),
        "amount": unsigned(found, "amount"),
        "amount_captured": _captured(found),
        "asset": asset,
        "created_at": moment(found, "created"),
        "failure_code": get("failure_code"),
        "customer": linked_id(found, "customer"),
        "account": account_of(found, rules),
        "balance_transaction": linked_id(found, "balance_transaction"),
        "email_domain": email_domain,
        "email_hash": email_hash,
        "ip_hash": ip_mark(part(found, "metadata"), rules.ip_keys, rules.hash_key),
        "statement_descriptor": get("calculated_statement_descriptor"),
        "invoice_id": linked_id(found, "invoice"),
        "raw": raw_of(found, "charge", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    row.update(_outcome(part(found, "outcome")))
    row.update(_method(part(found, "payment_method_details")))
    return row


def _captured(found: JsonObject) -> int:
    """What was captured; before API version 2020-08-27 only the flag ``captured`` says so."""
    flag = found.get("captured")
    if found.get("amount_captured") is None:
        if type(flag) is not bool:
            raise UnfitError("amount_captured is missing")
        return unsigned(found, "amount") if flag and found.get("status") == "succeeded" else 0
    amount = unsigned(found, "amount_captured")
    if flag is True and not amount and found.get("status") == "succeeded" and found.get("amount"):
        raise UnfitError("it is captured, but amount_captured is 0")
    return amount


def _outcome(outcome: JsonObject) -> Row:
    """Why the networks, the issuer or Radar said yes or no."""
    reason = outcome.get("reason")
    return {
        # A charge has no decline_code of its own: for an issuer's refusal, outcome.reason is it.
        "decline_code": reason if outcome.get("type") == "issuer_declined" else None,
        "network_status": outcome.get("network_status"),
        "outcome_reason": reason,
        "risk_level": outcome.get("risk_level"),
        "risk_score": number(outcome, "risk_score"),
        "radar_rule": linked_id(outcome, "rule"),
        # Stripe's own advice is derived from the network's two digits, which stay in the raw object.
        "advice_code": outcome.get("advice_code"),
        "network_decline_code": outcome.get("network_decline_code"),
    }


def _method(details: JsonObject) -> Row:
    """How it was paid: the card, without its number."""
    card = part(details, "card")
    return {
        "payment_method_type": details.get("type"),
        "brand": card.get("brand"),
        "country": card.get("country"),
        "funding": card.get("funding"),
        "bin": card.get("iin"),
        "fingerprint": card.get("fingerprint"),
        "wallet": part(card, "wallet").get("type"),
        "three_d_secure": part(card, "three_d_secure").get("result"),
        "cvc_check": part(card, "checks").get("cvc_check"),
    }


def _movement(found: JsonObject, rules: Rules, row: Row, payment_key: str, money: tuple[str, int]) -> Row:
    """The movement carries what was captured; until something is, what was asked for, and is pending.

    ``effective_at`` is the balance transaction's time where it is known, since a charge may be captured
    days after it was authorised.
    """
    status = _status(row["status"], captured=bool(row["amount_captured"]))
    succeeded = status == MovementStatus.SUCCEEDED
    booked = part(found, "balance_transaction")
    return movement(
        movement_id=row["charge_id"],
        kind=MovementKind.CHARGE,
        status=status,
        account=row["account"],
        handle=row["customer"] or "",
        payment_key=payment_key,
        reference=reference_of(found, rules),
        amount=row["amount_captured"] if succeeded else row["amount"],
        money=money,
        at_s=moment(booked, "created") if succeeded and booked else row["created_at"],
    )


def _status(status: str, *, captured: bool) -> MovementStatus:
    if status == "succeeded":
        return MovementStatus.SUCCEEDED if captured else MovementStatus.PENDING
    # A status that Stripe added since is no proof of money: nothing is expected of it yet.
    return MovementStatus.FAILED if status == "failed" else MovementStatus.PENDING
