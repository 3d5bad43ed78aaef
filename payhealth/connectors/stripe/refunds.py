"""Refunds as records: what gives money back, and what gives none.

Source: https://docs.stripe.com/api/refunds/object
"""

from __future__ import annotations

from payhealth.connectors.stripe.fields import (
    JsonObject,
    UnfitError,
    currency,
    linked_id,
    moment,
    part,
    required_id,
    required_text,
    unsigned,
)
from payhealth.connectors.stripe.raw import raw_of
from payhealth.connectors.stripe.translate import (
    Made,
    Payment,
    Row,
    Rules,
    links,
    movement,
    payment_values,
)
from payhealth.domain.records import Movement, MovementKind, MovementStatus, Refund

_PARTIAL_CAPTURE = "partial_capture_reversal"
_EXPIRED = "expired_uncaptured_charge"


def refund(found: JsonObject, rules: Rules, payment: Payment | None) -> Made:
    """A refund, its movements and its links.

    Args:
        payment: the charge it belongs to; None where Stripe does not have it any more.
    """
    money = currency(found)
    row = _row(found, rules, money)
    payment_key = payment.payment_key if payment else row["intent_id"] or row["charge_id"] or row["refund_id"]
    moved = _movements(found, rules, row, payment, payment_key, money)
    aliases = links(
        payment_key, row["refund_id"], row["balance_transaction"], row["failure_balance_transaction"]
    )
    return [(Refund, row), *((Movement, each) for each in moved), *aliases]


def _row(found: JsonObject, rules: Rules, money: tuple[str, int]) -> Row:
    asset, digits = money
    return {
        "refund_id": required_id(found),
        "charge_id": linked_id(found, "charge"),
        "intent_id": linked_id(found, "payment_intent"),
        "status": required_text(found, "status"),
        "amount": unsigned(found, "amount"),
        "asset": asset,
        "reason": found.get("reason"),
        "created_at": moment(found, "created"),
        "balance_transaction": linked_id(found, "balance_transaction"),
        "failure_balance_transaction": linked_id(found, "failure_balance_transaction"),
        "failure_reason": found.get("failure_reason"),
        "raw": raw_of(found, "refund", rules.kept_metadata, rules.api_version),
        "digits": digits,
    }


def _movements(
    found: JsonObject,
    rules: Rules,
    row: Row,
    payment: Payment | None,
    payment_key: str,
    money: tuple[str, int],
) -> list[Row]:
    returned = row["failure_balance_transaction"]
    given_back = movement(
        movement_id=row["refund_id"],
        kind=MovementKind.REFUND,
        status=_status(found, row, payment),
        payment_key=payment_key,
        amount=row["amount"],
        money=money,
        at_s=row["created_at"],
        **payment_values(found, rules, payment),
    )
    if returned is None:
        return [given_back]
    # The money of a failed refund coming back; its id is that of the balance transaction.
    booked = part(found, "failure_balance_transaction")
    if not booked:
        raise UnfitError("failure_balance_transaction is not expanded")
    at_s = moment(booked, "created")
    reversal = {"movement_id": returned, "kind": MovementKind.REFUND_REVERSAL, "effective_at": at_s}
    return [given_back, given_back | reversal]


def _is_release(found: JsonObject, row: Row, payment: Payment | None) -> bool:
    """Whether it lets go of what was only held: it takes nothing back, because nothing came.

    Stripe shows both kinds of release as refunds. An authorisation that was never captured has no balance
    transaction, and neither has its release. A partial capture is booked as two: the whole authorisation,
    and the part that was not captured with the category ``partial_capture_reversal``. Our charge counts
    what was captured, so that this second one must not count against it. A refund of a captured charge
    that merely lacks its balance transaction still counts: it is said to have succeeded, and the proof of
    bookings asks for the missing line. Of a charge that was captured in part it is not known yet.

    Source: https://docs.stripe.com/reports/reporting-categories (partial-capture reversals)
    """
    if part(found, "balance_transaction").get("reporting_category") == _PARTIAL_CAPTURE:
        return True
    if row["balance_transaction"] is not None:
        return False
    return row["reason"] == _EXPIRED or (payment is not None and not payment.captured)


def _is_undecided(found: JsonObject, row: Row, payment: Payment | None) -> bool:
    """Whether only its line, which is not there yet, will say that it is a refund or a release."""
    if payment is None or not payment.in_part or part(found, "balance_transaction"):
        return False
    if row["balance_transaction"] is not None:
        raise UnfitError("balance_transaction is not expanded")
    return bool(row["status"] == "succeeded")


def _status(found: JsonObject, row: Row, payment: Payment | None) -> MovementStatus:
    if _is_release(found, row, payment):
        # It counts for nothing. The movement is there all the same: an earlier look at this object may have
        # taken it for a refund, and only a newer version of the movement takes that back.
        return MovementStatus.FAILED
    status, returned = row["status"], row["failure_balance_transaction"] is not None
    if not returned and _is_undecided(found, row, payment):
        return MovementStatus.PENDING
    if status == "succeeded" or returned:
        # One that failed after it moved money did happen; its reversal is a movement of its own.
        return MovementStatus.SUCCEEDED
    return MovementStatus.FAILED if status in ("failed", "canceled") else MovementStatus.PENDING
