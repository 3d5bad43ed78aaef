"""What of Stripe's objects is kept as it came: a list of allowed fields for each type, and nothing else.

No names, emails, addresses, IPs, numbers of cards, secrets, descriptions or texts that people wrote; of the
metadata only the keys that the configuration names. What is not listed here is not kept, so that a field
that Stripe adds is left out until somebody has looked at it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from payhealth.connectors.stripe.fields import TEXT_CHARS_MAX, JsonObject, is_id


@dataclass(frozen=True, slots=True)
class Shape:
    """What is allowed of an object.

    Args:
        values: fields with a value of their own; of an object that stands there its id alone.
        inside: fields with an object or a list of objects, and what is allowed of those.
    """

    values: tuple[str, ...]
    inside: tuple[tuple[str, Shape], ...]


_ITEMS_MAX = 100
_CHARS_MAX = 4_000
"""Of a whole object; no honest one has more, and of a longer one texts are cut."""

_PLAIN = frozenset({str, int, float, bool})

_FIELDS: Mapping[str, str] = {
    "charge": """
        id object amount amount_captured amount_refunded balance_transaction calculated_statement_descriptor
        captured created currency customer disputed failure_balance_transaction failure_code invoice livemode
        paid payment_intent refunded status metadata
        outcome.advice_code outcome.network_advice_code outcome.network_decline_code outcome.network_status
        outcome.reason outcome.risk_level outcome.risk_score outcome.rule outcome.type
        payment_method_details.type payment_method_details.card.brand payment_method_details.card.country
        payment_method_details.card.funding payment_method_details.card.fingerprint
        payment_method_details.card.iin payment_method_details.card.network
        payment_method_details.card.wallet.type payment_method_details.card.checks.cvc_check
        payment_method_details.card.three_d_secure.result
        payment_method_details.card.three_d_secure.authentication_flow
        payment_method_details.card.three_d_secure.electronic_commerce_indicator
        payment_method_details.card.three_d_secure.version
    """,
    "refund": """
        id object amount balance_transaction charge created currency failure_balance_transaction
        failure_reason payment_intent pending_reason reason status metadata
    """,
    "dispute": """
        id object amount charge created currency is_charge_refundable livemode network_reason_code
        payment_intent reason status metadata
        evidence_details.due_by evidence_details.has_evidence evidence_details.past_due
        evidence_details.submission_count
        payment_method_details.type payment_method_details.card.brand
        payment_method_details.card.case_type payment_method_details.card.network_reason_code
        balance_transactions.id balance_transactions.object balance_transactions.amount
        balance_transactions.currency balance_transactions.created balance_transactions.fee
        balance_transactions.net balance_transactions.exchange_rate balance_transactions.type
        balance_transactions.reporting_category balance_transactions.available_on
    """,
    "payment_intent": """
        id object amount amount_capturable amount_received canceled_at cancellation_reason capture_method
        confirmation_method created currency customer invoice latest_charge livemode payment_method
        setup_future_usage status metadata
        last_payment_error.charge last_payment_error.code last_payment_error.decline_code
        last_payment_error.advice_code last_payment_error.network_advice_code
        last_payment_error.network_decline_code last_payment_error.type
    """,
    "setup_intent": """
        id object cancellation_reason created customer latest_attempt livemode mandate payment_method status
        usage metadata last_setup_error.code last_setup_error.decline_code last_setup_error.advice_code
        last_setup_error.network_advice_code last_setup_error.network_decline_code last_setup_error.type
    """,
    "radar.early_fraud_warning": """
        id object actionable charge created fraud_type livemode payment_intent
    """,
    "checkout.session": """
        id object amount_subtotal amount_total created currency customer expires_at
        invoice livemode mode payment_intent payment_link payment_status setup_intent status subscription
        metadata
    """,
    "invoice": """
        id object amount_due amount_paid amount_remaining attempt_count attempted auto_advance billing_reason
        charge collection_method created currency customer due_date livemode next_payment_attempt paid
        payment_intent status subscription total metadata
        status_transitions.finalized_at status_transitions.paid_at status_transitions.voided_at
        payments.id payments.object payments.amount_paid payments.amount_requested payments.created
        payments.currency payments.is_default payments.status
        payments.payment.charge payments.payment.payment_intent payments.payment.type
    """,
    "payout": """
        id object amount arrival_date automatic balance_transaction created currency
        failure_balance_transaction failure_code livemode method original_payout reconciliation_status
        reversed_by source_type status type metadata
    """,
    "balance_transaction": """
        id object amount available_on balance_type created currency exchange_rate fee net
        reporting_category source status type
        fee_details.amount fee_details.currency fee_details.type
    """,
}
"""Type of object -> its allowed fields; a path leads into nested objects and the items of lists."""

_BASIC = "id object created livemode status type"
"""Of an object of any other type, and of one that was rejected."""

_REJECTED = (
    *("id", "object", "status", "type", "reporting_category", "amount", "amount_captured"),
    *("amount_received", "amount_refunded", "amount_due", "amount_paid", "amount_total", "fee", "net"),
    *("currency", "exchange_rate", "created", "available_on", "arrival_date", "canceled_at", "captured"),
    *("paid", "automatic", "livemode", "charge", "payment_intent", "latest_charge", "invoice"),
    *("balance_transaction", "failure_balance_transaction", "source", "customer", "reason"),
    *("failure_code", "actionable", "api_version"),
)
"""What of a rejected object may be kept: ids, states, amounts and times."""


def raw_of(found: JsonObject, object_type: str, metadata_keys: tuple[str, ...], api_version: str) -> str:
    """The allowed fields of an object as JSON, with the version they came in; empty ones are left out.

    Args:
        metadata_keys: the metadata keys that may be kept.
    """
    kept = _kept(found, _shape(object_type, metadata_keys))
    kept["api_version"] = api_version
    body = orjson.dumps(kept)
    return (body if len(body) <= _CHARS_MAX else orjson.dumps(_cut(kept))).decode()


@cache
def _shape(object_type: str, metadata_keys: tuple[str, ...]) -> Shape:
    paths = [path.split(".") for path in _FIELDS.get(object_type, _BASIC).split()]
    if ["metadata"] in paths:
        paths += [["metadata", key] for key in metadata_keys]
    return _tree(paths)


def _tree(paths: Iterable[list[str]]) -> Shape:
    """Paths as a tree, in their own order: the same object gives the same text everywhere."""
    below: dict[str, list[list[str]]] = {}
    for name, *rest in paths:
        below.setdefault(name, []).extend([rest] if rest else [])
    return Shape(
        values=tuple(name for name, rests in below.items() if not rests),
        inside=tuple((name, _tree(rests)) for name, rests in below.items() if rests),
    )


def _kept(found: JsonObject, shape: Shape) -> dict[str, Any]:
    get = found.get
    kept: dict[str, Any] = {}
    for name in shape.values:
        value = get(name)
        if value is not None:
            kept[name] = value if type(value) in _PLAIN else _id_in(value)
    for name, inside in shape.inside:
        value = get(name)
        if value:
            below = _kept(value, inside) if _is_one(value) else _listed(value, inside)
            if below:
                kept[name] = below
    return kept


def _id_in(value: Any) -> str | None:
    """The id of an object that was put in whole; nothing of a list."""
    linked = value.get("id") if type(value) is dict else None
    return linked if is_id(linked) else None


def _is_one(value: Any) -> bool:
    """Whether it is a single object, and not a list, Stripe's list objects included."""
    return type(value) is dict and type(value.get("data")) is not list


def _listed(value: Any, inside: Shape) -> list[dict[str, Any]] | None:
    """What is allowed of each object of a list."""
    listed = value["data"] if type(value) is dict else value
    if type(listed) is not list:
        return None
    return [_kept(each, inside) for each in listed[:_ITEMS_MAX] if type(each) is dict]


def _cut(value: Any) -> Any:
    """The same with every text no longer than fits."""
    if type(value) is dict:
        return {name: _cut(each) for name, each in value.items()}
    if type(value) is list:
        return [_cut(each) for each in value]
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else value


def _below(value: Any, inside: Shape) -> Any:
    """What is allowed of a nested object, or of each object of a list, Stripe's list objects included."""
    if type(value) is dict:
        listed = value.get("data")
        if type(listed) is not list:
            return _kept(value, inside)
        value = listed
    if type(value) is not list:
        return None
    return [_kept(each, inside) for each in value[:_ITEMS_MAX] if type(each) is dict]


def object_id(found: Any) -> str:
    """What an object is called: its id, else a hash of its text."""
    value = found.get("id") if type(found) is dict else None
    if isinstance(value, str) and is_id(value):
        return value
    body = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def stripped(found: Any) -> str:
    """What may be kept of an object that was rejected, as JSON."""
    if type(found) is not dict:
        return f"a JSON {type(found).__name__}"
    kept: dict[str, Any] = {}
    for name in _REJECTED:
        value = found.get(name)
        if type(value) is dict:
            value = value.get("id")
        if isinstance(value, str):
            value = value.replace("\x00", "")[:100]
        if name in found and isinstance(value, str | int | float | None):
            kept[name] = value
    return orjson.dumps(kept).decode()
