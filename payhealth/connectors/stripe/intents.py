"""Payment intents and setup intents as records.

Source: https://docs.stripe.com/api/payment_intents/object, https://docs.stripe.com/api/setup_intents/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    currency,
    linked_id,
    moment,
    optional_moment,
    part,
    required_id,
    required_text,
    text,
    unsigned,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import Made, Rules, account_of, links
from payhealth.domain.records import PaymentIntent, SetupIntent


def payment_intent(found: JsonObject, rules: Rules) -> Made:
    """An intent, with the links to its newest charge and, in older versions, to its invoice."""
    intent_id = required_id(found)
    asset, digits = currency(found)
    latest = linked_id(found, "latest_charge")
    error = part(found, "last_payment_error")
    row = {
        "intent_id": intent_id,
        "status": required_text(found, "status"),
        "amount": unsigned(found, "amount"),
        "amount_received": unsigned(found, "amount_received"),
        "asset": asset,
        "created_at": moment(found, "created"),
        "canceled_at": optional_moment(found, "canceled_at"),
        "latest_charge": latest,
        "customer": linked_id(found, "customer"),
        "account": account_of(found, rules),
        "capture_method": found.get("capture_method"),
        "cancellation_reason": found.get("cancellation_reason"),
        "setup_future_usage": found.get("setup_future_usage"),
        "last_failure_code": error.get("code"),
        "last_decline_code": error.get("decline_code"),
        "raw": raw_of(found, "payment_intent", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }
    return [(PaymentIntent, row), *links(intent_id, latest, linked_id(found, "invoice"))]


def setup_intent(found: JsonObject, rules: Rules) -> Made:
    """An attempt to keep a card; no money moves with it."""
    error = part(found, "last_setup_error")
    row = {
        "setup_intent_id": required_id(found),
        "status": required_text(found, "status"),
        "created_at": moment(found, "created"),
        "usage": found.get("usage"),
        "payment_method_type": _method_type(found),
        "failure_code": error.get("code"),
        "decline_code": error.get("decline_code"),
        "cancellation_reason": found.get("cancellation_reason"),
        "customer": linked_id(found, "customer"),
        "account": account_of(found, rules),
        "raw": raw_of(found, "setup_intent", rules.kept_metadata, rules.api_version),
    }
    return [(SetupIntent, row)]


def _method_type(found: JsonObject) -> str | None:
    """What was tried; of those that were on offer only where it is a single one."""
    tried = (
        text(part(found, "payment_method"), "type")
        or text(part(part(found, "latest_attempt"), "payment_method_details"), "type")
        or text(part(part(found, "last_setup_error"), "payment_method"), "type")
    )
    if tried:
        return tried
    offered = found.get("payment_method_types")
    if type(offered) is not list or len(offered) != 1:
        return None
    return text({"type": offered[0]}, "type")
