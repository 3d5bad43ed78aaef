"""The streams of a Stripe account, in the order in which they are read, and a page of them as records.

Charges come first: refunds and disputes take their account and reference from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from payhealth.connectors.stripe import columns
from payhealth.connectors.stripe.charges import charge
from payhealth.connectors.stripe.checkouts import checkout_session, invoice
from payhealth.connectors.stripe.disputes import dispute, early_fraud_warning
from payhealth.connectors.stripe.enums import KNOWN
from payhealth.connectors.stripe.event_records import event
from payhealth.connectors.stripe.fields import JsonObject, UnfitError, linked_id
from payhealth.connectors.stripe.intents import payment_intent, setup_intent
from payhealth.connectors.stripe.money_lines import balance_transaction, payout
from payhealth.connectors.stripe.raw import object_id, stripped
from payhealth.connectors.stripe.refunds import refund
from payhealth.connectors.stripe.translate import Made, Payment, Row, Rules
from payhealth.domain.record import Record
from payhealth.domain.records import Rejected

if TYPE_CHECKING:
    import pyarrow as pa

_VALUE_CHARS_MAX = 40


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
            expand=("balance_transaction", "failure_balance_transaction"),
            of_payment=True,
        ),
        Stream(resource="disputes", object_type="dispute", of_payment=True),
        Stream(resource="payment_intents", object_type="payment_intent"),
        Stream(resource="setup_intents", object_type="setup_intent"),
        Stream(resource="radar/early_fraud_warnings", object_type="radar.early_fraud_warning"),
        Stream(resource="checkout/sessions", object_type="checkout.session", expand=("invoice.payments",)),
        Stream(resource="invoices", object_type="invoice", expand=("payments",)),
        Stream(resource="payouts", object_type="payout"),
        Stream(resource="balance_transactions", object_type="balance_transaction"),
        Stream(resource="events", object_type="event"),
    )
}

_ALONE: Mapping[str, Callable[[JsonObject, Rules], Made]] = {
    "charge": charge,
    "payment_intent": payment_intent,
    "setup_intent": setup_intent,
    "radar.early_fraud_warning": early_fraud_warning,
    "checkout.session": checkout_session,
    "invoice": invoice,
    "payout": payout,
    "balance_transaction": balance_transaction,
    "event": event,
}
_OF_PAYMENT: Mapping[str, Callable[[JsonObject, Rules, Payment | None], Made]] = {
    "refund": refund,
    "dispute": dispute,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """What a page of objects becomes.

    Args:
        records: a table for every record class that came out, with the record's fields as columns.
        unknown: values of Stripe's open enums that this version does not know, ``<object>.<field>=<value>``.
    """

    records: dict[type[Record], pa.Table] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)


def translate(
    stream: Stream,
    objects: Sequence[Any],
    rules: Rules,
    payments: Mapping[str, Payment] | None = None,
) -> Translated:
    """A page of a stream as records; an object that cannot be understood becomes a rejected one.

    Args:
        objects: parsed JSON, of any shape.
        payments: charge id -> the payment that refunds and disputes of it belong to, where it is known.
    """
    rows: dict[type[Record], list[Row]] = {}
    for found in objects:
        for record_type, row in _made(stream, found, rules, payments or {}):
            if record_type in rows:
                rows[record_type].append(row)
            else:
                rows[record_type] = [row]
    records = {kind: columns.table(kind, made, rules.connector) for kind, made in rows.items()}
    return Translated(records=records, unknown=_unknown(stream.object_type, records))


def _made(stream: Stream, found: Any, rules: Rules, payments: Mapping[str, Payment]) -> Made:
    """What one object becomes."""
    try:
        _refuse_others(stream, found, rules)
        if stream.of_payment:
            payment = payments.get(linked_id(found, "charge") or "")
            return _OF_PAYMENT[stream.object_type](found, rules, payment)
        return _ALONE[stream.object_type](found, rules)
    except UnfitError as unfit:
        return [(Rejected, _rejected(stream, found, str(unfit)))]


def _refuse_others(stream: Stream, found: Any, rules: Rules) -> None:
    """Only objects of the stream's type and of the connector's mode are read."""
    if type(found) is not dict:
        raise UnfitError("not an object")
    if found.get("object") != stream.object_type:
        raise UnfitError(f"not a {stream.object_type}")
    live = found.get("livemode")
    if rules.live is not None and type(live) is bool and live is not rules.live:
        modes = ("live mode", "test mode") if live else ("test mode", "live mode")
        raise UnfitError(f"it is of {modes[0]}, and this connector reads {modes[1]}")


def _rejected(stream: Stream, found: Any, reason: str) -> Row:
    """An object that was not understood, with why and what of it may be kept."""
    return {
        "stream": stream.resource,
        "object_id": object_id(found),
        "reason": reason,
        "raw": stripped(found),
    }


def _unknown(object_type: str, records: Mapping[type[Record], pa.Table]) -> Counter[str]:
    """How often each value came that its field's list does not hold."""
    unknown: Counter[str] = Counter()
    for record_type, table in records.items():
        for name, known in KNOWN.get(record_type, {}).items():
            for value, count in columns.strange(table[name], known).items():
                unknown[f"{object_type}.{name}={value[:_VALUE_CHARS_MAX]}"] += count
    return unknown


def charge_of(found: Any) -> str | None:
    """The charge that a refund or dispute belongs to."""
    try:
        return linked_id(found, "charge") if type(found) is dict else None
    except UnfitError:
        return None


def needs_booking(found: Any) -> str | None:
    """The balance transaction of a failed refund that Stripe gave by its id alone, if any."""
    value = found.get("failure_balance_transaction") if type(found) is dict else None
    return value if isinstance(value, str) and value else None
