"""Why a group does not add up: the closed list of break reasons and flags."""

from __future__ import annotations

from enum import StrEnum


class BreakReason(StrEnum):
    """What a break is called first; the order is the order in which they are tried."""

    PAID_NOT_CREDITED = "paid_not_credited"
    CREDITED_NOT_PAID = "credited_not_paid"
    WRONG_ACCOUNT = "wrong_account"
    WRONG_ASSET = "wrong_asset"
    REFUND_NOT_CLAWED_BACK = "refund_not_clawed_back"
    DISPUTE_NOT_CLAWED_BACK = "dispute_not_clawed_back"
    REORG_NOT_CLAWED_BACK = "reorg_not_clawed_back"
    DUPLICATE_CREDIT = "duplicate_credit"
    AMOUNT_OVER = "amount_over"
    DUPLICATE_PAYMENT = "duplicate_payment"
    CLAWED_BACK_NOT_REFUNDED = "clawed_back_not_refunded"
    REVERSAL_NOT_RECREDITED = "reversal_not_recredited"
    AMOUNT_UNDER = "amount_under"
    PAYOUT_MISMATCH = "payout_mismatch"
    LEDGER_CHANGED = "ledger_changed"


class BreakFlag(StrEnum):
    """What else is true of a break or a match."""

    WRONG_CHAIN = "wrong_chain"
    LATE = "late"
    CREDITED_BEFORE_FINAL = "credited_before_final"
    DUST = "dust"
    UNKNOWN_SENDER = "unknown_sender"
    OVER_REFUNDED = "over_refunded"
    AMBIGUOUS = "ambiguous"


OUTSIDE_STATEMENT = frozenset({BreakReason.PAYOUT_MISMATCH, BreakReason.LEDGER_CHANGED})
"""Breaks of other proofs: listed and counted, but without legs and outside the statement's equation."""
