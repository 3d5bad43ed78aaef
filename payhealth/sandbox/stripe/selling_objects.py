"""New objects of selling: checkout sessions, invoices and the payments of invoices.

Pure functions like those of ``objects``; amounts in minor units, times in unix seconds.
Source: https://docs.stripe.com/api/checkout/sessions/object, …/invoices/object, …/invoice-payment/object
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payhealth.sandbox.stripe.outcomes import no_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payhealth.sandbox.interfaces import StripeObject


def checkout_session(
    *,
    object_id: str,
    created_s: int,
    expires_s: int,
    amount_minor: int,
    currency: str,
    customer: str | None,
    email: str | None,
    client_reference_id: str | None,
    metadata: Mapping[str, str],
    livemode: bool,
) -> StripeObject:
    """A new checkout session in payment mode, open and unpaid; its intent comes with the payment."""
    return {
        "id": object_id,
        "object": "checkout.session",
        **_session_choices(),
        "amount_subtotal": amount_minor,
        "amount_total": amount_minor,
        "client_reference_id": client_reference_id,
        "created": created_s,
        "currency": currency,
        "customer": customer,
        "customer_creation": None if customer else "if_required",
        "customer_details": None,
        "customer_email": email,
        "expires_at": expires_s,
        "livemode": livemode,
        "metadata": dict(metadata),
        "mode": "payment",
        "payment_intent": None,
        "payment_status": "unpaid",
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "url": f"https://checkout.stripe.com/c/pay/{object_id}",
    }


def _session_choices() -> StripeObject:
    """What the business chose, or did not, when it made the session; the same in every one of ours."""
    unused = (
        *("after_expiration", "allow_promotion_codes", "billing_address_collection", "client_secret"),
        *("collected_information", "consent", "consent_collection", "currency_conversion"),
        *("customer_account", "discounts", "integration_identifier", "invoice", "locale"),
        *("origin_context", "payment_link", "permissions", "recovered_from", "setup_intent"),
        *("shipping_address_collection", "shipping_cost", "submit_type", "subscription"),
    )
    return {
        **dict.fromkeys(unused),
        "adaptive_pricing": {"enabled": True},
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": "https://example.com/cancel",
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "invoice_creation": {
            "enabled": False,
            "invoice_data": {
                **dict.fromkeys(("account_tax_ids", "custom_fields", "description", "footer")),
                **dict.fromkeys(("issuer", "rendering_options")),
                "metadata": {},
            },
        },
        "managed_payments": {"enabled": False},
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": {"id": "pmc_sandbox", "parent": None},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": None,
        "shipping_options": [],
        "success_url": "https://example.com/success",
        "ui_mode": "hosted_page",
        "wallet_options": None,
    }


def customer_details(*, email: str | None) -> StripeObject:
    """What a session knows of its customer once they have paid."""
    return {
        "address": no_address(),
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def invoice(
    *,
    object_id: str,
    line_id: str,
    created_s: int,
    amount_minor: int,
    currency: str,
    customer: StripeObject,
    billing_reason: str,
    metadata: Mapping[str, str],
    livemode: bool,
) -> StripeObject:
    """A new draft of an invoice with one line, charged automatically once it is final."""
    return {
        "id": object_id,
        "object": "invoice",
        **_empty_invoice_fields(),
        "amount_due": amount_minor,
        "amount_remaining": amount_minor,
        "billing_reason": billing_reason,
        "created": created_s,
        "currency": currency,
        "customer": customer["id"],
        "customer_email": customer["email"],
        "lines": {
            "object": "list",
            "data": [_line(line_id, object_id, created_s, amount_minor, currency, livemode=livemode)],
            "has_more": False,
            "total_count": 1,
            "url": f"/v1/invoices/{object_id}/lines",
        },
        "livemode": livemode,
        "metadata": dict(metadata),
        "period_end": created_s,
        "period_start": created_s,
        "status": "draft",
        "status_transitions": dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        "subtotal": amount_minor,
        "subtotal_excluding_tax": amount_minor,
        "total": amount_minor,
        "total_excluding_tax": amount_minor,
    }


def _empty_invoice_fields() -> StripeObject:
    unused = (
        *("account_tax_ids", "application", "automatically_finalizes_at", "custom_fields"),
        *("customer_account", "customer_address", "customer_name", "customer_phone", "customer_shipping"),
        *("default_payment_method", "default_source", "description", "due_date", "effective_at"),
        *("ending_balance", "footer", "from_invoice", "hosted_invoice_url", "invoice_pdf"),
        *("last_finalization_error", "latest_revision", "next_payment_attempt", "number", "on_behalf_of"),
        *("parent", "receipt_number", "rendering", "shipping_cost", "shipping_details"),
        *("statement_descriptor", "test_clock", "threshold_reason", "webhooks_delivered_at"),
    )
    return {
        **dict.fromkeys(unused),
        "account_country": "US",
        "account_name": "Credits sandbox",
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_shipping": 0,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            **dict.fromkeys(("disabled_reason", "liability", "provider", "status")),
            "enabled": False,
        },
        "collection_method": "charge_automatically",
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def _line(
    line_id: str, invoice_id: str, created_s: int, amount_minor: int, currency: str, *, livemode: bool
) -> StripeObject:
    return {
        "id": line_id,
        "object": "line_item",
        "amount": amount_minor,
        "currency": currency,
        "description": "Credits",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": livemode,
        "metadata": {},
        "parent": None,
        "period": {"end": created_s, "start": created_s},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "quantity_decimal": "1",
        "subscription": None,
        "subtotal": amount_minor,
        "taxes": [],
    }


def invoice_payment(
    *, object_id: str, created_s: int, invoice: StripeObject, payment_intent: str
) -> StripeObject:
    """The link between an invoice and the intent that is to pay it, open until it does."""
    return {
        "id": object_id,
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_remaining"],
        "created": created_s,
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": invoice["livemode"],
        "payment": {"payment_intent": payment_intent, "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
