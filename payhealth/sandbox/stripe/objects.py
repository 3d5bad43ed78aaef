"""New objects as Stripe shows them: customers, intents and charges, with every published field.

Pure functions: what an object looks like. When and why it changes is the account's business.
Amounts are in the currency's minor unit, times in unix seconds.

Fields that only older API versions document (``dispute``, ``order``, ``invoice``…) are kept: the wire
still carries them, and readers must not trip over them.
Source: https://docs.stripe.com/api and the fixtures of https://github.com/stripe/openapi
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payhealth.sandbox.stripe.outcomes import billing_details, no_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payhealth.sandbox.interfaces import StripeObject


def customer(
    *, object_id: str, created_s: int, email: str, metadata: Mapping[str, str], livemode: bool, currency: str
) -> StripeObject:
    """A new customer with an email address and the business's own metadata."""
    return {
        "id": object_id,
        "object": "customer",
        "address": no_address(),
        "balance": 0,
        "created": created_s,
        "currency": currency,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": email,
        "invoice_prefix": object_id[-8:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": livemode,
        "metadata": dict(metadata),
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def payment_intent(
    *,
    object_id: str,
    created_s: int,
    amount_minor: int,
    currency: str,
    customer: str | None,
    metadata: Mapping[str, str],
    livemode: bool,
    client_secret: str,
) -> StripeObject:
    """A new payment intent that waits for its first attempt."""
    return {
        "id": object_id,
        "object": "payment_intent",
        "amount": amount_minor,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "never", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": client_secret,
        "confirmation_method": "automatic",
        "created": created_s,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "invoice": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": livemode,
        "managed_payments": {"enabled": False},
        "metadata": dict(metadata),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": {"id": "pmc_sandbox", "parent": None},
        "payment_method_options": _card_options(),
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def _card_options() -> StripeObject:
    return {"card": {"installments": None, "network": None, "request_three_d_secure": "automatic"}}


def setup_intent(
    *, object_id: str, created_s: int, customer: str, livemode: bool, client_secret: str
) -> StripeObject:
    """A new setup intent: a card to be kept for later, no money."""
    return {
        "id": object_id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "never", "enabled": True},
        "cancellation_reason": None,
        "client_secret": client_secret,
        "created": created_s,
        "customer": customer,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": livemode,
        "managed_payments": {"enabled": False},
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": {"id": "pmc_sandbox", "parent": None},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
    }


def charge(
    *,
    object_id: str,
    created_s: int,
    intent: StripeObject,
    email: str | None,
    method: str,
    method_details: StripeObject,
    outcome: StripeObject,
) -> StripeObject:
    """A new charge on an intent, as it stands when approved but not yet captured."""
    return {
        "id": object_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        **_empty_charge_fields(),
        "billing_details": billing_details(email=email),
        "calculated_statement_descriptor": "CREDITS SANDBOX",
        "created": created_s,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "livemode": intent["livemode"],
        # Stripe copies an intent's metadata to the charge once, when the charge is made.
        "metadata": dict(intent["metadata"]),
        "outcome": outcome,
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method,
        "payment_method_details": method_details,
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{object_id}",
        "refunds": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/charges/{object_id}/refunds",
        },
        "status": "succeeded",
    }


def _empty_charge_fields() -> StripeObject:
    return {
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "captured": False,
        "destination": None,
        "dispute": None,
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "invoice": None,
        "on_behalf_of": None,
        "order": None,
        "receipt_email": None,
        "receipt_number": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "transfer": None,
        "transfer_data": None,
        "transfer_group": None,
    }
