"""Stripe's objects as records: pure, without I/O or clock.

Events are not read yet: an object's changes are seen because recent windows are read again at every
pull, and the store keeps a version only where something changed.

Source: https://docs.stripe.com/api (charges, refunds, payment_intents, balance_transactions, payouts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    currency,
    linked_id,
    moment,
    object_id,
    optional_moment,
    part,
    rate,
    required_id,
    required_text,
    signed,
    stripped,
    text,
    unsigned,
)
from payhealth.domain.assets import normalise_hex
from payhealth.domain.records import (
    BalanceTransaction,
    Charge,
    Link,
    Movement,
    MovementKind,
    MovementStatus,
    PaymentIntent,
    Payout,
    Rail,
    Record,
    Refund,
    Rejected,
)

KNOWN_STATUSES: Mapping[str, frozenset[str]] = {
    "charge": frozenset({"succeeded", "pending", "failed"}),
    "refund": frozenset({"succeeded", "pending", "requires_action", "failed", "canceled"}),
    "dispute": frozenset(
        {
            *("warning_needs_response", "warning_under_review", "warning_closed", "needs_response"),
            *("under_review", "won", "lost", "prevented"),
        }
    ),
    "payment_intent": frozenset(
        {
            *("requires_payment_method", "requires_confirmation", "requires_action", "processing"),
            *("requires_capture", "succeeded", "canceled"),
        }
    ),
    "payout": frozenset({"pending", "in_transit", "paid", "failed", "canceled"}),
}
"""Stripe's lists of statuses are open: a value beside these is kept as it is, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says about translating.

    Args:
        connector: the connector's name.
        account_key: the metadata key of the business's account.
        reference_keys: metadata keys of the business's reference, the first that is set wins.
    """

    connector: str
    account_key: str
    reference_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a refund or a dispute takes over from the charge it belongs to.

    Args:
        captured: whether the charge ever took money; releasing one that did not gives nothing back.
    """

    payment_key: str
    account: str
    handle: str
    reference: str
    captured: bool


def payment_of(movement: Movement) -> Payment:
    """The payment behind a charge's movement."""
    return Payment(
        payment_key=movement.payment_key,
        account=movement.account,
        handle=movement.handle,
        reference=movement.reference,
        captured=movement.status == MovementStatus.SUCCEEDED,
    )


def account_of(found: JsonObject, rules: Rules) -> str:
    """Whose payment it is by metadata, empty where that does not say."""
    return normalise_hex(text(part(found, "metadata"), rules.account_key) or "")


def reference_of(found: JsonObject, rules: Rules) -> str:
    """The business's own reference by metadata, empty where that does not say."""
    metadata = part(found, "metadata")
    found_texts = (normalise_hex(text(metadata, key) or "") for key in rules.reference_keys)
    return next((reference for reference in found_texts if reference), "")


def links(connector: str, payment_key: str, *aliases: str | None) -> list[Record]:
    """Other ids of a payment, each once."""
    known = dict.fromkeys(alias for alias in (payment_key, *aliases) if alias)
    return [Link(connector=connector, alias=alias, payment_key=payment_key) for alias in known]


def charge(found: JsonObject, rules: Rules) -> list[Record]:
    """A charge, its movement and its links."""
    charge_id = required_id(found)
    asset, decimals = currency(found)
    intent_id, transaction = linked_id(found, "payment_intent"), linked_id(found, "balance_transaction")
    record = Charge(
        connector=rules.connector,
        charge_id=charge_id,
        intent_id=intent_id,
        status=required_text(found, "status"),
        amount=unsigned(found, "amount", decimals),
        amount_captured=_captured(found, decimals),
        asset=asset,
        created_at=moment(found, "created"),
        failure_code=text(found, "failure_code"),
        customer=linked_id(found, "customer"),
        account=account_of(found, rules),
        balance_transaction=transaction,
        **_outcome(part(found, "outcome")),
        **_card(part(part(found, "payment_method_details"), "card")),
    )
    movement = _charge_movement(found, rules, record)
    return [
        record,
        movement,
        *links(rules.connector, movement.payment_key, charge_id, intent_id, transaction),
    ]


def _charge_movement(found: JsonObject, rules: Rules, record: Charge) -> Movement:
    """The movement carries what was captured; until something is, what was asked for, and is pending.

    ``effective_at`` is the balance transaction's time where it is known, since a charge may be captured
    days after it was authorised.
    """
    status = _charge_status(record.status, captured=bool(record.amount_captured))
    succeeded = status == MovementStatus.SUCCEEDED
    booked = part(found, "balance_transaction")
    return Movement(
        connector=rules.connector,
        movement_id=record.charge_id,
        rail=Rail.CARD,
        kind=MovementKind.CHARGE,
        status=status,
        account=record.account,
        handle=record.customer or "",
        payment_key=record.intent_id or record.charge_id,
        reference=reference_of(found, rules),
        amount=record.amount_captured if succeeded else record.amount,
        asset=record.asset,
        symbol=record.asset,
        effective_at=moment(booked, "created") if succeeded and booked else record.created_at,
    )


def _captured(found: JsonObject, decimals: int) -> Decimal:
    """What was captured; before API version 2020-08-27 only the flag ``captured`` says so."""
    flag = found.get("captured")
    if found.get("amount_captured") is None:
        if not isinstance(flag, bool):
            raise UnfitError("amount_captured is missing")
        taken = flag and found.get("status") == "succeeded"
        return unsigned(found, "amount", decimals) if taken else Decimal(0)
    amount = unsigned(found, "amount_captured", decimals)
    if flag is True and not amount and found.get("status") == "succeeded" and found.get("amount"):
        raise UnfitError("it is captured, but amount_captured is 0")
    return amount


def _charge_status(status: str, *, captured: bool) -> MovementStatus:
    if status == "succeeded":
        return MovementStatus.SUCCEEDED if captured else MovementStatus.PENDING
    # A status that Stripe added since is no proof of money: nothing is expected of it yet.
    return MovementStatus.FAILED if status == "failed" else MovementStatus.PENDING


def _outcome(outcome: JsonObject) -> dict[str, Any]:
    """Why the networks, the issuer or Radar said yes or no."""
    score = outcome.get("risk_score")
    declined = text(outcome, "type") == "issuer_declined"
    return {
        # A charge has no decline_code of its own: for an issuer's refusal, outcome.reason is it.
        "decline_code": text(outcome, "reason") if declined else None,
        "network_status": text(outcome, "network_status"),
        "outcome_reason": text(outcome, "reason"),
        "risk_level": text(outcome, "risk_level"),
        "risk_score": score if isinstance(score, int) and not isinstance(score, bool) else None,
        "radar_rule": linked_id(outcome, "rule"),
    }


def _card(card: JsonObject) -> dict[str, Any]:
    """The card, without its number."""
    return {
        "brand": text(card, "brand"),
        "country": text(card, "country"),
        "funding": text(card, "funding"),
        "bin": text(card, "iin"),
        "fingerprint": text(card, "fingerprint"),
        "wallet": text(part(card, "wallet"), "type"),
        "three_d_secure": text(part(card, "three_d_secure"), "result"),
    }


def refund(found: JsonObject, rules: Rules, payment: Payment | None) -> list[Record]:
    """A refund, its movements and its links.

    Args:
        payment: the charge it belongs to; None where Stripe does not have it any more.
    """
    asset, decimals = currency(found)
    record = Refund(
        connector=rules.connector,
        refund_id=required_id(found),
        charge_id=linked_id(found, "charge"),
        intent_id=linked_id(found, "payment_intent"),
        status=required_text(found, "status"),
        amount=unsigned(found, "amount", decimals),
        asset=asset,
        reason=text(found, "reason"),
        created_at=moment(found, "created"),
        balance_transaction=linked_id(found, "balance_transaction"),
        failure_balance_transaction=linked_id(found, "failure_balance_transaction"),
    )
    movement = _refund_movement(found, rules, record, payment)
    returned, transaction = record.failure_balance_transaction, record.balance_transaction
    aliases = links(rules.connector, movement.payment_key, record.refund_id, transaction, returned)
    if payment is not None and not payment.captured and transaction is None:
        # Releasing an authorisation is shown as a refund, but no money ever came.
        return [record, *aliases]
    return [record, movement, *_returned(found, movement, returned), *aliases]


def _refund_movement(found: JsonObject, rules: Rules, record: Refund, payment: Payment | None) -> Movement:
    own_key = record.intent_id or record.charge_id or record.refund_id
    return Movement(
        connector=rules.connector,
        movement_id=record.refund_id,
        rail=Rail.CARD,
        kind=MovementKind.REFUND,
        status=_refund_status(record.status, returned=record.failure_balance_transaction is not None),
        account=payment.account if payment else account_of(found, rules),
        handle=payment.handle if payment else linked_id(found, "customer") or "",
        payment_key=payment.payment_key if payment else own_key,
        reference=reference_of(found, rules) or (payment.reference if payment else ""),
        amount=record.amount,
        asset=record.asset,
        symbol=record.asset,
        effective_at=record.created_at,
    )


def _refund_status(status: str, *, returned: bool) -> MovementStatus:
    if status == "succeeded" or returned:
        # One that failed after it moved money did happen; its reversal is a movement of its own.
        return MovementStatus.SUCCEEDED
    return MovementStatus.FAILED if status in ("failed", "canceled") else MovementStatus.PENDING


def _returned(found: JsonObject, movement: Movement, returned: str | None) -> list[Record]:
    """The money of a failed refund coming back; its id is that of the balance transaction."""
    if returned is None:
        return []
    booked = part(found, "failure_balance_transaction")
    if not booked:
        raise UnfitError("failure_balance_transaction is not expanded")
    return [
        replace(
            movement,
            movement_id=returned,
            kind=MovementKind.REFUND_REVERSAL,
            effective_at=moment(booked, "created"),
        )
    ]


def payment_intent(found: JsonObject, rules: Rules) -> list[Record]:
    """An intent and the links to its newest charge."""
    intent_id = required_id(found)
    asset, decimals = currency(found)
    latest = linked_id(found, "latest_charge")
    record = PaymentIntent(
        connector=rules.connector,
        intent_id=intent_id,
        status=required_text(found, "status"),
        amount=unsigned(found, "amount", decimals),
        amount_received=unsigned(found, "amount_received", decimals),
        asset=asset,
        created_at=moment(found, "created"),
        canceled_at=optional_moment(found, "canceled_at"),
        latest_charge=latest,
        customer=linked_id(found, "customer"),
        account=account_of(found, rules),
    )
    return [record, *links(rules.connector, intent_id, latest)]


def balance_transaction(found: JsonObject, rules: Rules) -> list[Record]:
    """A line of the balance: ``amount`` less ``fee`` is ``net``, all in the settlement currency."""
    asset, decimals = currency(found)
    return [
        BalanceTransaction(
            connector=rules.connector,
            balance_transaction_id=required_id(found),
            source_id=linked_id(found, "source"),
            type=required_text(found, "type"),
            reporting_category=text(found, "reporting_category"),
            amount=signed(found, "amount", decimals),
            fee=signed(found, "fee", decimals),
            net=signed(found, "net", decimals),
            asset=asset,
            exchange_rate=rate(found, "exchange_rate"),
            created_at=moment(found, "created"),
            available_at=optional_moment(found, "available_on"),
        )
    ]


def payout(found: JsonObject, rules: Rules) -> list[Record]:
    """A payout; a negative one takes money from the bank."""
    asset, decimals = currency(found)
    automatic = found.get("automatic")
    if not isinstance(automatic, bool):
        raise UnfitError("automatic is missing")
    return [
        Payout(
            connector=rules.connector,
            payout_id=required_id(found),
            status=required_text(found, "status"),
            amount=signed(found, "amount", decimals),
            asset=asset,
            automatic=automatic,
            created_at=moment(found, "created"),
            arrival_at=optional_moment(found, "arrival_date"),
            balance_transaction=linked_id(found, "balance_transaction"),
        )
    ]


def rejected(stream: str, found: Any, reason: str, rules: Rules) -> Rejected:
    """An object that was not understood, with why and what of it may be kept."""
    return Rejected(
        connector=rules.connector,
        stream=stream,
        object_id=object_id(found),
        reason=reason,
        raw=stripped(found),
    )
