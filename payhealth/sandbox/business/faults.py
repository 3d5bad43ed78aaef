"""What goes wrong in the credit service: each fault does it, and writes down what it did.

The reasons and amounts are those of a reconciliation that holds payments against positive entries and
what undid them against negative ones; an amount is what was expected less what was entered.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial
from random import Random
from typing import ClassVar, Final

from payhealth.sandbox.business.service import Conduct, CreditService, Payment, Undoing
from payhealth.sandbox.business.stories import Story
from payhealth.sandbox.business.truth import TruthBook


class LostWebhook(Conduct):
    """The service never hears of a payment."""

    fault = "lost_webhook"
    reason = "paid_not_credited"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit nothing."""
        service.plant(self, payment, payment.amount, at)


class LostDeposit(LostWebhook):
    """The service never sees a deposit."""

    fault = "lost_deposit"


class DoubleCredit(Conduct):
    """A webhook is delivered twice, and each delivery names the payment by another of its ids."""

    fault = "double_credit"
    reason = "duplicate_credit"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit now and, after the retry, again."""
        service.top_up(payment, payment.amount, at)
        service.later(at, partial(self._again, service, payment))

    def _again(self, service: CreditService, payment: Payment, at: datetime) -> None:
        service.top_up(payment, payment.amount, at, reference=service.rng.choice(payment.references))
        service.plant(self, payment, -payment.amount, at)


class DoubleCreditedDeposit(DoubleCredit):
    """Two watchers see the same deposit."""

    fault = "double_credited_deposit"


class CreditedTooMuch(Conduct):
    """The decimal point slips, or a bonus is applied twice."""

    fault = "credited_too_much"
    reason = "amount_over"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit more than was paid."""
        factor = service.rng.choice((Decimal(10), Decimal("1.1"), Decimal("1.25")))
        credited = _part(payment.amount, factor)
        service.top_up(payment, credited, at)
        service.plant(self, payment, payment.amount - credited, at)


class CreditedTooLittle(Conduct):
    """The processor's fee is deducted although the business bears it."""

    fault = "credited_too_little"
    reason = "amount_under"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit less than was paid."""
        credited = _part(
            payment.amount, service.rng.choice((Decimal("0.971"), Decimal("0.9"), Decimal("0.5")))
        )
        service.top_up(payment, credited, at)
        service.plant(self, payment, payment.amount - credited, at)


class RefundNotClawedBack(Conduct):
    """Refunds are not listened to."""

    fault = "refund_not_clawed_back"
    reason = "refund_not_clawed_back"

    def undone(self, service: CreditService, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Leave the credit with the customer."""
        service.plant(self, payment, -undoing.amount, at)


class PartialRefundNotClawedBack(RefundNotClawedBack):
    """Partial refunds are not listened to."""

    fault = "partial_refund_not_clawed_back"


class DisputeNotClawedBack(RefundNotClawedBack):
    """Disputes are not listened to."""

    fault = "dispute_not_clawed_back"
    reason = "dispute_not_clawed_back"


class WonDisputeNotRecredited(Conduct):
    """A customer loses a dispute, pays in effect, and never gets the credit back."""

    fault = "won_dispute_not_recredited"
    reason = "reversal_not_recredited"

    def restored(self, service: CreditService, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Do not credit again what was clawed back."""
        service.plant(self, payment, undoing.amount, at)


class CreditToWrongAccount(Conduct):
    """The credit goes to somebody else, under the payment's own reference."""

    fault = "credit_to_wrong_account"
    reason = "wrong_account"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit a stranger; over both accounts nothing is missing, on each the whole amount is."""
        service.top_up(payment, payment.amount, at, account=service.somebody_else(payment.account))
        service.plant(self, payment, Decimal(0), at, at_risk=payment.amount)


class DepositToWrongAccount(CreditToWrongAccount):
    """A deposit is credited to somebody else."""

    fault = "deposit_to_wrong_account"


class ClawedBackNotRefunded(Conduct):
    """Support takes a credit back for a refund that nobody then makes."""

    fault = "clawed_back_not_refunded"
    reason = "clawed_back_not_refunded"

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """Credit correctly, and take all of it back a little later."""
        service.top_up(payment, payment.amount, at)
        service.later(at, partial(self._take_back, service, payment))

    def _take_back(self, service: CreditService, payment: Payment, at: datetime) -> None:
        service.claw_back(payment, Undoing(id=payment.reference, amount=payment.amount), at)
        service.plant(self, payment, payment.amount, at)


class CreditedBeforeReorg(Conduct):
    """A deposit is credited when seen, before it is final, and a reorg then removes it."""

    fault = "credited_before_reorg"
    reason = "reorg_not_clawed_back"

    def retracted(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """The deposit is gone and the credit stays: only now is it a fault."""
        service.plant(self, payment, -payment.amount, at)


CARD_FAULTS: Final[Mapping[str, tuple[type[Conduct], Story]]] = {
    kind.fault: (kind, story)
    for kind, story in (
        (LostWebhook, Story.PLAIN),
        (DoubleCredit, Story.PLAIN),
        (CreditedTooMuch, Story.PLAIN),
        (CreditedTooLittle, Story.PLAIN),
        (CreditToWrongAccount, Story.PLAIN),
        (ClawedBackNotRefunded, Story.PLAIN),
        (RefundNotClawedBack, Story.REFUNDED),
        (PartialRefundNotClawedBack, Story.REFUNDED_IN_PART),
        (DisputeNotClawedBack, Story.DISPUTE_LOST),
        (WonDisputeNotRecredited, Story.DISPUTE_WON),
    )
}
"""Faults in the treatment of card payments, and what must happen to a payment for them to show."""

CRYPTO_FAULTS: Final[Mapping[str, type[Conduct]]] = {
    kind.fault: kind for kind in (LostDeposit, DoubleCreditedDeposit, DepositToWrongAccount)
}
"""Faults in the treatment of deposits."""

UNPAID_FAULTS: Final = ("credit_without_payment", "credit_with_invented_reference")
"""Credits that no payment stands behind."""

DEFAULT_FAULTS: Final[Mapping[str, int]] = {
    "lost_webhook": 2,
    "double_credit": 2,
    "credited_too_much": 2,
    "credited_too_little": 2,
    "credit_to_wrong_account": 1,
    "clawed_back_not_refunded": 1,
    "refund_not_clawed_back": 1,
    "partial_refund_not_clawed_back": 1,
    "dispute_not_clawed_back": 2,
    "won_dispute_not_recredited": 1,
    "lost_deposit": 1,
    "double_credited_deposit": 1,
    "deposit_to_wrong_account": 1,
    "credit_without_payment": 1,
    "credit_with_invented_reference": 1,
    "credited_before_reorg": 1,
}
"""How often each fault is planted unless one is told otherwise."""


class UnpaidCredit:
    """Somebody writes a credit that nobody paid for.

    Args:
        fault: with a reference that names no payment, or with none.
        account: who gets it.
    """

    reason: ClassVar[str] = "credited_not_paid"

    def __init__(self, *, fault: str, account: str) -> None:
        self._fault = fault
        self._account = account

    def write(self, service: CreditService, truth: TruthBook, at: datetime) -> None:
        """Write the entry, of an odd amount so that no real payment looks like it."""
        amount = Decimal(service.rng.randrange(10_01, 499_99, 2)).scaleb(-2)
        invented = self._fault == "credit_with_invented_reference"
        reference = _invented_intent(service.rng) if invented else None
        entry_id = service.grant(
            account=self._account, amount=amount, asset="USD", reference=reference, at=at
        )
        truth.plant(
            fault=self._fault,
            reason=self.reason,
            ids=(entry_id,),
            payment_references=(),
            account=self._account,
            amount=-amount,
            asset="USD",
            at=at,
        )


def check_names(faults: Mapping[str, int]) -> None:
    """Refuse faults that do not exist or cannot be planted as often as asked.

    Raises:
        ValueError: with the name.
    """
    for name, count in faults.items():
        if name not in DEFAULT_FAULTS:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(DEFAULT_FAULTS)}")
        if not 0 <= count <= 3 or (name == "credited_before_reorg" and count > 1):
            raise ValueError(f"the fault {name!r} cannot be planted {count} times")


def random_moment(rng: Random, begin: datetime, end: datetime) -> datetime:
    """A whole second between two moments."""
    return begin + timedelta(seconds=rng.randrange(int((end - begin).total_seconds())))


def _part(amount: Decimal, factor: Decimal) -> Decimal:
    """``amount`` times ``factor`` cut to the amount's own places, so that it stays exact in the asset."""
    return (amount * factor).quantize(amount, rounding=ROUND_DOWN)


def _invented_intent(rng: Random) -> str:
    return "pi_" + "".join(rng.choices(string.ascii_letters + string.digits, k=24))
