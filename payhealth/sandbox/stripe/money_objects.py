"""New objects that move money or undo a payment: refunds, disputes, payouts, balance transactions.

Pure functions like those of ``objects``; amounts in minor units, times in unix seconds.
Source: https://docs.stripe.com/api/balance_transactions/object, …/refunds, …/disputes, …/payouts
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payhealth.sandbox.interfaces import StripeObject

DAY_S: Final = 86_400
_EVIDENCE_FIELDS: Final = (
    *("access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure"),
    *("cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name"),
    *("customer_purchase_ip", "customer_signature", "duplicate_charge_documentation"),
    *("duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt"),
    *("refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date"),
    *("service_documentation", "shipping_address", "shipping_carrier", "shipping_date"),
    *("shipping_documentation", "shipping_tracking_number", "uncategorized_file", "uncategorized_text"),
)
_NETWORK_REASONS: Final = {
    "credit_not_processed": "13.7",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "general": "10.5",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
    "unrecognized": "10.3",
}


def balance_transaction(
    *,
    object_id: str,
    created_s: int,
    available_on_s: int,
    available: bool,
    amount_minor: int,
    fee_minor: int,
    fee_description: str,
    currency: str,
    exchange_rate: float | None,
    kind: str,
    reporting_category: str,
    source: str,
    description: str,
) -> StripeObject:
    """One line of the processor's balance; ``net`` is ``amount`` less ``fee``."""
    fee = {
        "amount": fee_minor,
        "application": None,
        "currency": currency,
        "description": fee_description,
        "type": "stripe_fee",
    }
    return {
        "id": object_id,
        "object": "balance_transaction",
        "amount": amount_minor,
        "available_on": available_on_s,
        "balance_type": "payments",
        "created": created_s,
        "currency": currency,
        "description": description,
        "exchange_rate": exchange_rate,
        "fee": fee_minor,
        "fee_details": [fee] if fee_minor else [],
        "net": amount_minor - fee_minor,
        "reporting_category": reporting_category,
        "source": source,
        "status": "available" if available else "pending",
        "type": kind,
    }


def refund(*, object_id: str, created_s: int, charge: StripeObject, amount_minor: int) -> StripeObject:
    """A new refund that has not reached its end yet."""
    return {
        "id": object_id,
        "object": "refund",
        "amount": amount_minor,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": created_s,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
            | {"type": "refund"},
            "type": "card",
        },
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending",
        "transfer_reversal": None,
    }


def dispute(
    *, object_id: str, created_s: int, charge: StripeObject, amount_minor: int, reason: str, inquiry: bool
) -> StripeObject:
    """A new dispute, or an inquiry, which moves no money."""
    network_reason = _NETWORK_REASONS.get(reason, "10.4")
    due_by_s = (created_s // DAY_S + 10) * DAY_S - 1
    return {
        "id": object_id,
        "object": "dispute",
        "amount": amount_minor,
        "balance_transaction": None,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": created_s,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(_EVIDENCE_FIELDS) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due_by_s,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": charge["livemode"],
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _disputed_card(charge, network_reason, inquiry=inquiry),
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }


def _disputed_card(charge: StripeObject, network_reason: str, *, inquiry: bool) -> StripeObject | None:
    card = charge["payment_method_details"].get("card")
    if card is None:
        return None
    return {
        "card": {
            "brand": card["brand"],
            "case_type": "inquiry" if inquiry else "chargeback",
            "network": card["network"],
            "network_reason_code": network_reason,
        },
        "type": "card",
    }


def early_fraud_warning(*, object_id: str, created_s: int, charge: StripeObject) -> StripeObject:
    """The issuer's word that a charge may be fraud, before any dispute."""
    return {
        "id": object_id,
        "object": "radar.early_fraud_warning",
        "actionable": not (charge["disputed"] or charge["refunded"]),
        "charge": charge["id"],
        "created": created_s,
        "fraud_type": "made_with_stolen_card",
        "livemode": charge["livemode"],
        "payment_intent": charge["payment_intent"],
    }


def payout(
    *,
    object_id: str,
    created_s: int,
    amount_minor: int,
    currency: str,
    arrival_s: int,
    livemode: bool,
    automatic: bool,
) -> StripeObject:
    """A new payout on its way to the bank, made by the schedule (``automatic``) or by hand."""
    return {
        "id": object_id,
        "object": "payout",
        "amount": amount_minor,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival_s,
        "automatic": automatic,
        "balance_transaction": None,
        "created": created_s,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": "ba_sandbox",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": livemode,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "in_progress",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }


def balance(*, currencies: Sequence[tuple[str, int, int]], livemode: bool) -> StripeObject:
    """The balance object from (currency, available, pending) triples."""

    def side(place: int) -> list[StripeObject]:
        return [
            {"amount": row[place], "currency": row[0], "source_types": {"card": row[place]}}
            for row in currencies
        ]

    return {
        "object": "balance",
        "available": side(1),
        "connect_reserved": [{"amount": 0, "currency": row[0]} for row in currencies],
        "livemode": livemode,
        "pending": side(2),
    }
