"""What each of Stripe's objects must look like in our words: a table of fields, read from the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from payhealth.domain import records
from tests.auditor.stripe_facts import Raw, dispute_amount, id_of, major

Read = Callable[[Raw], Any]


def _plain(*path: str) -> Read:
    """The value at a path of names, None where any of them is absent."""

    def read(row: Raw) -> Any:
        value: Any = row
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    return read


def _link(name: str) -> Read:
    return lambda row: id_of(row.get(name))


def _amount(name: str) -> Read:
    return lambda row: None if row.get(name) is None else major(row[name], row["currency"])


def _asset(row: Raw) -> str | None:
    return row["currency"].upper() if row.get("currency") else None


def _moment(*path: str) -> Read:
    """A moment of unix seconds; 0 and null are no moment."""
    read = _plain(*path)
    return lambda row: datetime.fromtimestamp(read(row), UTC) if read(row) else None


def _rate(row: Raw) -> Decimal | None:
    return None if row["exchange_rate"] is None else Decimal(repr(row["exchange_rate"]))


def _moved(sign: int) -> Read:
    def read(row: Raw) -> Decimal:
        amounts = [dispute_amount(row, line) for line in row["balance_transactions"]]
        return sum((abs(each) for each in amounts if each * sign > 0), Decimal(0))

    return read


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How the objects of a list are known to the store: which class, by which id, with which fields."""

    record: type[records.Record]
    key: str
    fields: Mapping[str, Read]


_CARD = ("payment_method_details", "card")

SHAPES: Mapping[str, Shape] = {
    "charges": Shape(
        record=records.Charge,
        key="charge_id",
        fields={
            "intent_id": _link("payment_intent"),
            "status": _plain("status"),
            "amount": _amount("amount"),
            "amount_captured": _amount("amount_captured"),
            "asset": _asset,
            "created_at": _moment("created"),
            "failure_code": _plain("failure_code"),
            "network_status": _plain("outcome", "network_status"),
            "outcome_reason": _plain("outcome", "reason"),
            "risk_level": _plain("outcome", "risk_level"),
            "risk_score": _plain("outcome", "risk_score"),
            "brand": _plain(*_CARD, "brand"),
            "country": _plain(*_CARD, "country"),
            "funding": _plain(*_CARD, "funding"),
            "fingerprint": _plain(*_CARD, "fingerprint"),
            "bin": _plain(*_CARD, "iin"),
            "wallet": _plain(*_CARD, "wallet", "type"),
            "customer": _link("customer"),
            "balance_transaction": _link("balance_transaction"),
        },
    ),
    "refunds": Shape(
        record=records.Refund,
        key="refund_id",
        fields={
            "charge_id": _link("charge"),
            "intent_id": _link("payment_intent"),
            "status": _plain("status"),
            "amount": _amount("amount"),
            "asset": _asset,
            "reason": _plain("reason"),
            "created_at": _moment("created"),
            "balance_transaction": _link("balance_transaction"),
            "failure_balance_transaction": _link("failure_balance_transaction"),
            "failure_reason": _plain("failure_reason"),
        },
    ),
    "disputes": Shape(
        record=records.Dispute,
        key="dispute_id",
        fields={
            "charge_id": _link("charge"),
            "intent_id": _link("payment_intent"),
            "status": _plain("status"),
            "reason": _plain("reason"),
            "amount": _amount("amount"),
            "asset": _asset,
            "withdrawn": _moved(-1),
            "reinstated": _moved(1),
            "created_at": _moment("created"),
            "evidence_due_at": _moment("evidence_details", "due_by"),
            "has_evidence": _plain("evidence_details", "has_evidence"),
            "past_due": _plain("evidence_details", "past_due"),
            "submission_count": _plain("evidence_details", "submission_count"),
            "is_charge_refundable": _plain("is_charge_refundable"),
            "network_reason_code": _plain(*_CARD, "network_reason_code"),
            "brand": _plain(*_CARD, "brand"),
        },
    ),
    "payment_intents": Shape(
        record=records.PaymentIntent,
        key="intent_id",
        fields={
            "status": _plain("status"),
            "amount": _amount("amount"),
            "amount_received": _amount("amount_received"),
            "asset": _asset,
            "created_at": _moment("created"),
            "canceled_at": _moment("canceled_at"),
            "latest_charge": _link("latest_charge"),
            "customer": _link("customer"),
            "capture_method": _plain("capture_method"),
            "cancellation_reason": _plain("cancellation_reason"),
            "setup_future_usage": _plain("setup_future_usage"),
            "last_failure_code": _plain("last_payment_error", "code"),
            "last_decline_code": _plain("last_payment_error", "decline_code"),
        },
    ),
    "setup_intents": Shape(
        record=records.SetupIntent,
        key="setup_intent_id",
        fields={
            "status": _plain("status"),
            "created_at": _moment("created"),
            "usage": _plain("usage"),
            "failure_code": _plain("last_setup_error", "code"),
            "decline_code": _plain("last_setup_error", "decline_code"),
            "cancellation_reason": _plain("cancellation_reason"),
            "customer": _link("customer"),
        },
    ),
    "early_fraud_warnings": Shape(
        record=records.EarlyFraudWarning,
        key="warning_id",
        fields={
            "charge_id": _link("charge"),
            "intent_id": _link("payment_intent"),
            "fraud_type": _plain("fraud_type"),
            "actionable": _plain("actionable"),
            "created_at": _moment("created"),
        },
    ),
    "checkout_sessions": Shape(
        record=records.CheckoutSession,
        key="session_id",
        fields={
            "intent_id": _link("payment_intent"),
            "invoice_id": _link("invoice"),
            "status": _plain("status"),
            "payment_status": _plain("payment_status"),
            "mode": _plain("mode"),
            "client_reference": _plain("client_reference_id"),
            "customer": _link("customer"),
            "amount": _amount("amount_total"),
            "asset": _asset,
            "created_at": _moment("created"),
        },
    ),
    "invoices": Shape(
        record=records.Invoice,
        key="invoice_id",
        fields={
            "status": _plain("status"),
            "billing_reason": _plain("billing_reason"),
            "customer": _link("customer"),
            "amount_due": _amount("amount_due"),
            "amount_paid": _amount("amount_paid"),
            "asset": _asset,
            "created_at": _moment("created"),
        },
    ),
    "payouts": Shape(
        record=records.Payout,
        key="payout_id",
        fields={
            "status": _plain("status"),
            "amount": _amount("amount"),
            "asset": _asset,
            "automatic": _plain("automatic"),
            "created_at": _moment("created"),
            "arrival_at": _moment("arrival_date"),
            "balance_transaction": _link("balance_transaction"),
        },
    ),
    "balance_transactions": Shape(
        record=records.BalanceTransaction,
        key="balance_transaction_id",
        fields={
            "source_id": _link("source"),
            "type": _plain("type"),
            "reporting_category": _plain("reporting_category"),
            "amount": _amount("amount"),
            "fee": _amount("fee"),
            "net": _amount("net"),
            "asset": _asset,
            "exchange_rate": _rate,
            "created_at": _moment("created"),
            "available_at": _moment("available_on"),
        },
    ),
}
"""The account's collections -> the records that must stand for their objects."""
