"""Checkout sessions and invoices as records: whose a payment is, and by which other ids it is known.

Source: https://docs.stripe.com/api/checkout/sessions/object, https://docs.stripe.com/api/invoices/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    currency,
    is_id,
    items,
    linked_id,
    moment,
    number,
    part,
    required_id,
    signed,
    text,
    unsigned,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import (
    Made,
    Rules,
    account_of,
    claims,
    links,
    normalised,
)
from payhealth.domain.records import CheckoutSession, Invoice


def checkout_session(found: JsonObject, rules: Rules) -> Made:
    """A session, whose payment it led to, and its id as another id of that payment.

    A ``client_reference_id`` that holds the business's reference becomes no link: a reference of the
    business's own may be shared by several payments and must never give two of them one key.
    """
    session_id = required_id(found)
    asset, digits = currency(found) if found.get("currency") else (None, 0)
    client_reference = normalised(found.get("client_reference_id"))
    account = account_of(found, rules)
    if not account and rules.client_reference_is == "account":
        account = client_reference
    row = {
        "session_id": session_id,
        "intent_id": linked_id(found, "payment_intent"),
        "invoice_id": linked_id(found, "invoice"),
        "status": found.get("status"),
        "payment_status": found.get("payment_status"),
        "mode": found.get("mode"),
        # Where it is nothing of use, nobody knows what it holds: it is not kept.
        "client_reference": None if rules.client_reference_is == "nothing" else client_reference or None,
        "customer": linked_id(found, "customer"),
        "account": account,
        "amount": signed(found, "amount_total") if asset and found.get("amount_total") is not None else None,
        "asset": asset,
        "created_at": moment(found, "created"),
        "raw": raw_of(found, "checkout.session", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    intent_id = linked_id(found, "payment_intent")
    keys = [intent_id] if intent_id else _payment_keys(part(found, "invoice"))
    return [(CheckoutSession, row), *_known_by(session_id, account, keys)]


def invoice(found: JsonObject, rules: Rules) -> Made:
    """An invoice, and its id as another id of every payment that was to settle it."""
    invoice_id = required_id(found)
    asset, digits = currency(found)
    account = account_of(found, rules) or _account_of_subscription(found, rules)
    intent_id, charge_id = _settled_by(found)
    row = {
        "invoice_id": invoice_id,
        "intent_id": intent_id,
        "charge_id": charge_id,
        "status": found.get("status"),
        "billing_reason": found.get("billing_reason"),
        "customer": linked_id(found, "customer"),
        "account": account,
        "amount_due": signed(found, "amount_due"),
        "amount_paid": unsigned(found, "amount_paid"),
        "asset": asset,
        "created_at": moment(found, "created"),
        "raw": raw_of(found, "invoice", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    return [(Invoice, row), *_known_by(invoice_id, account, _payment_keys(found))]


def _known_by(object_id: str, account: str, payment_keys: list[str]) -> Made:
    aliases = [link for key in payment_keys for link in links(key, object_id)]
    return [*aliases, *claims(object_id, account, payment_keys)]


def _account_of_subscription(found: JsonObject, rules: Rules) -> str:
    """The account by the subscription's metadata, which Stripe copies into the invoice."""
    details = part(part(found, "parent"), "subscription_details") or part(found, "subscription_details")
    return account_of(details, rules)


def _payment_keys(found: JsonObject) -> list[str]:
    """The payments of an invoice, each once.

    Since version 2025-03-31.basil they are a list, and an invoice may have several; before, the invoice
    named its one intent or charge. One that is finalised but not paid names its intent in its secret alone.
    """
    listed = [part(each, "payment") for each in items(found, "payments")]
    keys = [linked_id(each, "payment_intent") or linked_id(each, "charge") for each in listed]
    older = linked_id(found, "payment_intent") or linked_id(found, "charge") or _secret_of(found)
    return list(dict.fromkeys(key for key in (*keys, older) if key))


def _settled_by(found: JsonObject) -> tuple[str | None, str | None]:
    """The intent and the charge of the newest payment that settled an invoice, else that is to settle it."""
    listed = items(found, "payments")
    paid = [each for each in listed if each.get("status") == "paid"] or listed
    if not paid:
        return linked_id(found, "payment_intent") or _secret_of(found), linked_id(found, "charge")
    payment = part(max(paid, key=_created), "payment")
    return linked_id(payment, "payment_intent"), linked_id(payment, "charge")


def _created(found: JsonObject) -> int:
    return number(found, "created") or 0


def _secret_of(found: JsonObject) -> str | None:
    """The intent whose client secret (``pi_…_secret_…``) an invoice carries; the secret is not kept."""
    secret = text(part(found, "confirmation_secret"), "client_secret") or ""
    intent_id, separator, _ = secret.partition("_secret_")
    return intent_id if separator and intent_id.startswith("pi_") and is_id(intent_id) else None
