"""The processor's own books as records: balance transactions and payouts.

Source: https://docs.stripe.com/api/balance_transactions/object, https://docs.stripe.com/api/payouts/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    currency,
    linked_id,
    moment,
    optional_moment,
    rate,
    required_flag,
    required_id,
    required_text,
    signed,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import Made, Rules
from payhealth.domain.records import BalanceTransaction, Payout


def balance_transaction(found: JsonObject, rules: Rules) -> Made:
    """A line of the balance: ``amount`` less ``fee`` is ``net``, all in the settlement currency."""
    asset, digits = currency(found)
    row = {
        "balance_transaction_id": required_id(found),
        "source_id": linked_id(found, "source"),
        "type": required_text(found, "type"),
        "reporting_category": found.get("reporting_category"),
        "amount": signed(found, "amount"),
        "fee": signed(found, "fee"),
        "net": signed(found, "net"),
        "asset": asset,
        "exchange_rate": rate(found, "exchange_rate"),
        "created_at": moment(found, "created"),
        "available_at": optional_moment(found, "available_on"),
        "raw": raw_of(found, "balance_transaction", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    return [(BalanceTransaction, row)]


def payout(found: JsonObject, rules: Rules) -> Made:
    """A payout; a negative one takes money from the bank."""
    asset, digits = currency(found)
    row = {
        "payout_id": required_id(found),
        "status": required_text(found, "status"),
        "amount": signed(found, "amount"),
        "asset": asset,
        "automatic": required_flag(found, "automatic"),
        "created_at": moment(found, "created"),
        "arrival_at": optional_moment(found, "arrival_date"),
        "balance_transaction": linked_id(found, "balance_transaction"),
        "failure_balance_transaction": linked_id(found, "failure_balance_transaction"),
        "failure_code": found.get("failure_code"),
        "method": found.get("method"),
        "reconciliation_status": found.get("reconciliation_status"),
        "raw": raw_of(found, "payout", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    return [(Payout, row)]
