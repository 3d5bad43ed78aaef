"""The streams of a Stripe account, in the order in which they are read, and how each is translated.

Charges come first: refunds and disputes take their account and reference from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.stripe import disputes, translate
from payhealth.connectors.stripe.fields import JsonObject, UnfitError, linked_id
from payhealth.connectors.stripe.translate import KNOWN_STATUSES, Payment, Rules
from payhealth.domain.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One list of Stripe's.

    Args:
        resource: its path under ``/v1``, which is also the stream's name.
        object_type: what each item's ``object`` says.
        expand: linked objects that Stripe is asked to put in whole.
        of_payment: whether its objects belong to a charge that must be known first.
    """

    resource: str
    object_type: str
    expand: tuple[str, ...] = ()
    of_payment: bool = False


STREAMS: Mapping[str, Stream] = {
    stream.resource: stream
    for stream in (
        Stream(resource="charges", object_type="charge", expand=("balance_transaction",)),
        Stream(
            resource="refunds",
            object_type="refund",
            expand=("failure_balance_transaction",),
            of_payment=True,
        ),
        Stream(resource="disputes", object_type="dispute", of_payment=True),
        Stream(resource="payment_intents", object_type="payment_intent"),
        Stream(resource="balance_transactions", object_type="balance_transaction"),
        Stream(resource="payouts", object_type="payout"),
    )
}

_ALONE = {
    "charge": translate.charge,
    "payment_intent": translate.payment_intent,
    "balance_transaction": translate.balance_transaction,
    "payout": translate.payout,
}
_OF_PAYMENT = {"refund": translate.refund, "dispute": disputes.dispute}


def to_records(stream: Stream, found: Any, rules: Rules, payment: Payment | None = None) -> list[Record]:
    """An object of a stream as records; one that cannot be understood becomes a rejected record.

    Args:
        found: parsed JSON, of any shape.
        payment: the charge that a refund or dispute belongs to, where it is known.
    """
    if not isinstance(found, dict):
        return [translate.rejected(stream.resource, found, "not an object", rules)]
    if found.get("object") != stream.object_type:
        return [translate.rejected(stream.resource, found, f"not a {stream.object_type}", rules)]
    try:
        if stream.of_payment:
            return _OF_PAYMENT[stream.object_type](found, rules, payment)
        return _ALONE[stream.object_type](found, rules)
    except UnfitError as unfit:
        return [translate.rejected(stream.resource, found, str(unfit), rules)]


def unknown_status(stream: Stream, found: Any) -> str | None:
    """``<object>.status=<value>`` where the value is one that this version does not know."""
    known = KNOWN_STATUSES.get(stream.object_type)
    status = found.get("status") if isinstance(found, dict) else None
    if known is None or not isinstance(status, str) or status in known:
        return None
    return f"{stream.object_type}.status={status[:40]}"


def charge_of(found: Any) -> str | None:
    """The charge that a refund or dispute belongs to."""
    try:
        return linked_id(found, "charge") if isinstance(found, dict) else None
    except UnfitError:
        return None


def needs_booking(found: Any) -> str | None:
    """The balance transaction of a failed refund that Stripe gave by its id alone, if any."""
    value: JsonObject | str | None
    value = found.get("failure_balance_transaction") if isinstance(found, dict) else None
    return value if isinstance(value, str) and value else None
