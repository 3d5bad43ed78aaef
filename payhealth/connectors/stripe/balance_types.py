"""Types of balance transactions, and what object their ``source`` names.

Source: https://docs.stripe.com/api/balance_transactions/object#balance_transaction_object-type and
https://docs.stripe.com/reports/balance-transaction-types
"""

from __future__ import annotations

from collections.abc import Mapping

FUNDS_MOVING = frozenset({"charge", "refund", "dispute", "payout"})
"""Types of object that move money through the balance, each with a line there."""

_OF_NO_OBJECT = """
    advance advance_funding anticipation_repayment application_fee application_fee_refund
    climate_order_purchase climate_order_refund connect_collection_transfer contribution
    fee_credit_funding inbound_transfer inbound_transfer_reversal issuing_authorization_hold
    issuing_authorization_release issuing_dispute issuing_dispute_provisional_credit
    issuing_dispute_provisional_credit_reversal issuing_transaction obligation_outbound
    obligation_reversal_inbound payment_network_reserve_hold payment_network_reserve_release
    payout_minimum_balance_hold payout_minimum_balance_release reserve_hold reserve_release
    reserve_transaction reserved_funds stripe_balance_payment_debit
    stripe_balance_payment_debit_reversal stripe_fee stripe_fx_fee tax_fee tax_fund topup
    topup_reversal transfer transfer_cancel transfer_failure transfer_refund
""".split()  # noqa: SIM905 - a table
"""Fees, reserves, transfers, top-ups and the like: nothing that is read stands behind them."""

SOURCE_OBJECTS: Mapping[str, str | None] = {
    "charge": "charge",
    "payment": "charge",
    "refund": "refund",
    "payment_refund": "refund",
    "refund_failure": "refund",
    "payment_failure_refund": "refund",
    "payout": "payout",
    "payout_cancel": "payout",
    "payout_failure": "payout",
    # Disputes, failed refunds in older versions, and corrections without any object: the id tells.
    "adjustment": None,
    # Payments that come back without a refund; what their source names is not documented.
    "payment_reversal": None,
    "payment_unreconciled": None,
    **dict.fromkeys(_OF_NO_OBJECT),
}
"""Type -> the type of object that its source names; None where it is none of ours."""

_PREFIXES: Mapping[str, str] = {
    **dict.fromkeys(("ch_", "py_"), "charge"),
    **dict.fromkeys(("re_", "pyr_"), "refund"),
    **dict.fromkeys(("dp_", "du_"), "dispute"),
    "po_": "payout",
}
"""Prefix of an id -> the type of its object."""

_NO_OBJECT = frozenset(_OF_NO_OBJECT)


def source_type(transaction_type: str, source_id: str | None) -> str | None:
    """The type of object behind a line of the balance, None where it has none, or none that we read.

    The id says it where its prefix is known: lines of one type have sources of several (a payment that
    failed after all is booked as ``payment_failure_refund`` of the charge or of a refund).

    Args:
        transaction_type: the line's ``type``, of which Stripe may add more.
        source_id: the line's ``source``.
    """
    if not source_id or transaction_type in _NO_OBJECT:
        return None
    found = (kind for prefix, kind in _PREFIXES.items() if source_id.startswith(prefix))
    return next(found, SOURCE_OBJECTS.get(transaction_type))
