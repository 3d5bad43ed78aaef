"""The credit service: hears of payments and writes the ledger, well or as its faults make it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import ClassVar

from payhealth.sandbox.business.ledger import CreditLedger, EntryWord
from payhealth.sandbox.business.timeline import Action, Timeline
from payhealth.sandbox.business.truth import TruthBook


@dataclass(kw_only=True)
class Payment:
    """A payment as the credit service knows it."""

    account: str
    asset: str
    amount: Decimal
    """What the customer paid and is to get, in the asset's major unit."""
    references: tuple[str, ...]
    """Every id by which an entry may name the payment."""
    reference: str
    """The one that the service writes into the payment's entries."""
    movement_ids: list[str]
    """The payment itself and what undid it, by the ids of processor and chain."""
    entry_ids: list[str] = field(default_factory=list)
    conduct: Conduct


@dataclass(frozen=True, kw_only=True)
class Undoing:
    """A refund or dispute: how much of a payment it took back."""

    id: str
    amount: Decimal


class Conduct:
    """How the service treats one payment: this one correctly; each fault is a subclass."""

    fault: ClassVar[str] = ""
    reason: ClassVar[str] = ""

    def paid(self, service: CreditService, payment: Payment, at: datetime) -> None:
        """The payment has become creditable."""
        service.top_up(payment, payment.amount, at)

    def undone(self, service: CreditService, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Money of the payment went back."""
        service.claw_back(payment, undoing, at)

    def restored(self, service: CreditService, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Money that had gone back came to us again: a dispute was won, a refund failed."""
        service.top_up(payment, undoing.amount, at)


class CreditService:
    """Writes the ledger some time after it hears of a payment.

    Args:
        ledger: what it writes.
        timeline: when it does.
        truth: where faults are written down.
        rng: decides delays and what faults look like.
        accounts: every account there is, for credits that go astray.
    """

    def __init__(
        self, *, ledger: CreditLedger, timeline: Timeline, truth: TruthBook, rng: Random, accounts: list[str]
    ) -> None:
        self._ledger = ledger
        self._timeline = timeline
        self._truth = truth
        self._accounts = accounts
        self.rng = rng

    def hear_paid(self, payment: Payment, at: datetime) -> None:
        """Learn that a payment is creditable; it is dealt with seconds to two minutes later."""
        self.later(at, partial(payment.conduct.paid, self, payment))

    def hear_undone(self, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Learn that a refund succeeded or that a dispute withdrew funds."""
        payment.movement_ids.append(undoing.id)
        self.later(at, partial(payment.conduct.undone, self, payment, undoing))

    def hear_restored(self, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Learn that a succeeded refund failed after all or that a dispute was won."""
        self.later(at, partial(payment.conduct.restored, self, payment, undoing))

    def later(self, at: datetime, action: Action) -> None:
        """Do something a few seconds to two minutes later."""
        self._timeline.at(at + timedelta(microseconds=self.rng.randint(3_000_000, 120_000_000)), action)

    def top_up(
        self,
        payment: Payment,
        amount: Decimal,
        at: datetime,
        *,
        account: str | None = None,
        reference: str | None = None,
    ) -> None:
        """Credit a payment, or a part of it again."""
        entry_id = self._ledger.enter(
            at=at,
            account=account or payment.account,
            reference=reference or payment.reference,
            amount=amount,
            asset=payment.asset,
            kind=EntryWord.TOPUP,
        )
        payment.entry_ids.append(entry_id)

    def claw_back(self, payment: Payment, undoing: Undoing, at: datetime) -> None:
        """Take credit back; the entry names the payment or what undid it, as it happens."""
        entry_id = self._ledger.enter(
            at=at,
            account=payment.account,
            reference=self.rng.choice((*payment.references, undoing.id)),
            amount=-undoing.amount,
            asset=payment.asset,
            kind=EntryWord.CLAWBACK,
        )
        payment.entry_ids.append(entry_id)

    def grant(self, *, account: str, amount: Decimal, asset: str, reference: str | None, at: datetime) -> str:
        """Write a top-up that belongs to no payment.

        Returns:
            The entry's id.
        """
        return self._ledger.enter(
            at=at, account=account, reference=reference, amount=amount, asset=asset, kind=EntryWord.TOPUP
        )

    def somebody_else(self, account: str) -> str:
        """An account that is not the given one."""
        return self.rng.choice([other for other in self._accounts if other != account])

    def plant(
        self,
        conduct: Conduct,
        payment: Payment,
        amount: Decimal,
        at: datetime,
        *,
        at_risk: Decimal | None = None,
    ) -> None:
        """Write down what a conduct has just done to a payment; ``amount`` is expected minus entered."""
        self._truth.plant(
            fault=conduct.fault,
            reason=conduct.reason,
            ids=(*payment.movement_ids, *payment.entry_ids),
            payment_references=payment.references,
            account=payment.account,
            amount=amount,
            asset=payment.asset,
            at=at,
            at_risk=at_risk,
        )
