"""The card side of the business: orders, attempts, refunds, disputes, payouts and card testers."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Final

from payhealth.sandbox.business.customers import CardCustomer, new_card
from payhealth.sandbox.business.plan import DECLINES, CardPurchase
from payhealth.sandbox.business.service import CreditService, Payment, Undoing
from payhealth.sandbox.business.stories import Story
from payhealth.sandbox.business.timeline import Timeline
from payhealth.sandbox.business.truth import TruthBook
from payhealth.sandbox.business.window import Window
from payhealth.sandbox.interfaces import Card, CardProcessor, Decline

BURST_ATTEMPTS: Final = 80
BURST_S: Final = 600
BURST_DECLINES: Final = (
    Decline(decline_code="generic_decline"),
    Decline(decline_code="generic_decline"),
    Decline(decline_code="do_not_honor"),
    Decline(failure_code="incorrect_cvc", decline_code="incorrect_cvc"),
    Decline(decline_code="fraudulent", blocked=True),
)
LONGEST_WAIT: Final = timedelta(days=8)
USD: Final = "USD"
REFUNDS: Final = frozenset(
    {
        Story.REFUNDED,
        Story.REFUNDED_IN_PART,
        Story.REFUNDED_IN_PARTS,
        Story.REFUND_PENDING,
        Story.REFUND_STILL_PENDING,
        Story.REFUND_REJECTED,
        Story.REFUND_BOUNCED,
    }
)


class CardDesk:
    """Plays the stories of card purchases on the processor and tells the credit service of them."""

    def __init__(
        self,
        *,
        processor: CardProcessor,
        service: CreditService,
        timeline: Timeline,
        window: Window,
        rng: Random,
    ) -> None:
        self._processor = processor
        self._service = service
        self._timeline = timeline
        self._window = window
        self._rng = rng
        self._customers: dict[str, str] = {}

    def expect(self, purchase: CardPurchase) -> None:
        """Plan an order: its attempts a little apart, then its story."""
        self._timeline.at(purchase.at, partial(self._order, purchase))

    def refund_soon(self, purchase: CardPurchase, *, after: timedelta) -> None:
        """Plan an order that is refunded in full after a fixed time, however late in the history."""

        def order(at: datetime) -> None:
            intent = self._intent(purchase, at)
            payment, charge = self._charge(purchase, intent, at, capture=True)
            self._service.hear_paid(payment, at)
            refund_at = at + after
            self._timeline.at(refund_at, partial(self._refund, payment, charge, purchase.amount_minor))

        self._timeline.at(purchase.at, order)

    def _customer(self, customer: CardCustomer, at: datetime) -> str:
        if customer.account not in self._customers:
            made = self._processor.create_customer(
                at=at, email=customer.email, metadata={"account_id": customer.account}
            )
            self._customers[customer.account] = made["id"]
        return self._customers[customer.account]

    def _intent(self, purchase: CardPurchase, at: datetime) -> str:
        intent = self._processor.create_payment_intent(
            at=at,
            amount_minor=purchase.amount_minor,
            currency="usd",
            customer=self._customer(purchase.customer, at),
            metadata={"account_id": purchase.customer.account, "order_id": purchase.order},
        )
        return str(intent["id"])

    def _order(self, purchase: CardPurchase, at: datetime) -> None:
        intent = self._intent(purchase, at)
        attempt_at = at
        for decline in purchase.declines:
            self._timeline.at(attempt_at, partial(self._fail, purchase, intent, decline))
            attempt_at += timedelta(seconds=self._rng.randint(15, 300))
        if purchase.story is not Story.ABANDONED:
            self._timeline.at(attempt_at, partial(self._succeed, purchase, intent))

    def _fail(self, purchase: CardPurchase, intent: str, decline: Decline, at: datetime) -> None:
        self._processor.attempt_payment(intent, at=at, card=purchase.customer.card, decline=decline)

    def _succeed(self, purchase: CardPurchase, intent: str, at: datetime) -> None:
        match purchase.story:
            case Story.CAPTURED_LATER | Story.CAPTURED_IN_PART | Story.NEVER_CAPTURED:
                self._authorise(purchase, intent, at)
            case _:
                payment, charge = self._charge(purchase, intent, at, capture=True)
                self._service.hear_paid(payment, at)
                self._go_on(purchase, payment, charge, at)

    def _charge(
        self, purchase: CardPurchase, intent: str, at: datetime, *, capture: bool
    ) -> tuple[Payment, str]:
        charge = self._processor.attempt_payment(
            intent,
            at=at,
            card=purchase.customer.card,
            capture=capture,
            fee_visible_after_s=self._fee_delay_s(at) if capture else 0,
        )
        references = (str(charge["id"]), intent)
        payment = Payment(
            account=purchase.customer.account,
            asset=USD,
            amount=from_minor(purchase.amount_minor),
            references=references,
            reference=self._rng.choice(references),
            movement_ids=[references[0]],
            conduct=purchase.conduct,
        )
        return payment, references[0]

    def _fee_delay_s(self, at: datetime) -> int:
        """Some charges show their fee hours later, all of them before the quiet."""
        if self._rng.random() >= 0.1:
            return 0
        room_s = max(0, int((self._window.busy_until - at).total_seconds()))
        return min(self._rng.randint(600, 100_000), room_s)

    def _authorise(self, purchase: CardPurchase, intent: str, at: datetime) -> None:
        payment, charge = self._charge(purchase, intent, at, capture=False)
        if purchase.story is Story.NEVER_CAPTURED:
            return
        captured_minor = purchase.amount_minor
        if purchase.story is Story.CAPTURED_IN_PART:
            captured_minor = self._rng.randint(100, purchase.amount_minor - 1)

        def capture(now: datetime) -> None:
            self._processor.capture_charge(charge, at=now, amount_minor=captured_minor)
            payment.amount = from_minor(captured_minor)
            self._service.hear_paid(payment, now)

        self._timeline.at(self._some_time_after(at), capture)

    def _some_time_after(self, at: datetime) -> datetime:
        """A moment hours or days later that leaves room for more before the quiet."""
        room = min(self._window.busy_until - at, LONGEST_WAIT)
        later = at + room * self._rng.uniform(0.05, 0.5)
        return later.replace(microsecond=0) + timedelta(seconds=1)

    def _go_on(self, purchase: CardPurchase, payment: Payment, charge: str, at: datetime) -> None:
        """Plan what happens to a payment that was made and credited."""
        if purchase.story is Story.PLAIN:
            return
        next_at = self._some_time_after(at)
        if purchase.story in REFUNDS:
            self._timeline.at(next_at, partial(self._refund_story, purchase, payment, charge))
        elif purchase.story in {Story.WARNED, Story.WARNED_AND_REFUNDED}:
            self._timeline.at(next_at, partial(self._warn, purchase, payment, charge))
        elif purchase.story in {Story.INQUIRY_CLOSED, Story.INQUIRY_OPEN}:
            self._timeline.at(next_at, partial(self._inquire, purchase, charge))
        else:
            self._timeline.at(next_at, partial(self._dispute, purchase, payment, charge))

    def _refund_story(self, purchase: CardPurchase, payment: Payment, charge: str, at: datetime) -> None:
        minor = purchase.amount_minor
        match purchase.story:
            case Story.REFUNDED:
                self._refund(payment, charge, minor, at)
            case Story.REFUNDED_IN_PART:
                self._refund(payment, charge, self._rng.randint(100, minor - 1), at)
            case Story.REFUNDED_IN_PARTS:
                self._refund_in_parts(payment, charge, minor, at)
            case Story.REFUND_BOUNCED:
                self._bounce(payment, charge, minor, at)
            case _:
                self._refund_pending(purchase, payment, charge, at)

    def _refund(self, payment: Payment, charge: str, amount_minor: int, at: datetime) -> Undoing:
        refund = self._processor.refund(charge, at=at, amount_minor=amount_minor)
        undoing = Undoing(id=str(refund["id"]), amount=from_minor(amount_minor))
        self._service.hear_undone(payment, undoing, at)
        return undoing

    def _refund_in_parts(self, payment: Payment, charge: str, minor: int, at: datetime) -> None:
        """Three refunds; every other time they add up to the whole payment."""
        first, second = self._rng.randint(1, minor // 3), self._rng.randint(1, minor // 3)
        third = minor - first - second if self._rng.random() < 0.5 else self._rng.randint(1, minor // 3)
        for part in (first, second, third):
            self._timeline.at(at, partial(self._refund, payment, charge, part))
            at = self._some_time_after(at)

    def _bounce(self, payment: Payment, charge: str, minor: int, at: datetime) -> None:
        undoing = self._refund(payment, charge, minor, at)

        def fail(now: datetime) -> None:
            self._processor.settle_refund(undoing.id, at=now, failed=True)
            self._service.hear_restored(payment, undoing, now)

        self._timeline.at(self._some_time_after(at), fail)

    def _refund_pending(self, purchase: CardPurchase, payment: Payment, charge: str, at: datetime) -> None:
        """A refund that the bank takes its time for: the service waits for the end of it."""
        refund = self._processor.refund(charge, at=at, amount_minor=purchase.amount_minor, pending=True)
        undoing = Undoing(id=str(refund["id"]), amount=from_minor(purchase.amount_minor))
        if purchase.story is Story.REFUND_STILL_PENDING:
            return
        failed = purchase.story is Story.REFUND_REJECTED

        def settle(now: datetime) -> None:
            self._processor.settle_refund(undoing.id, at=now, failed=failed)
            if not failed:
                self._service.hear_undone(payment, undoing, now)

        self._timeline.at(self._some_time_after(at), settle)

    def _dispute(self, purchase: CardPurchase, payment: Payment, charge: str, at: datetime) -> None:
        reason = self._rng.choice(("fraudulent", "fraudulent", "product_not_received", "unrecognized"))
        dispute = self._processor.open_dispute(charge, at=at, reason=reason)
        undoing = Undoing(id=str(dispute["id"]), amount=payment.amount)
        self._service.hear_undone(payment, undoing, at)
        if purchase.story is Story.DISPUTE_OPEN:
            return
        won = purchase.story is Story.DISPUTE_WON

        def close(now: datetime) -> None:
            self._processor.close_dispute(undoing.id, at=now, status="won" if won else "lost")
            if won:
                self._service.hear_restored(payment, undoing, now)

        self._timeline.at(self._some_time_after(at), close)

    def _inquire(self, purchase: CardPurchase, charge: str, at: datetime) -> None:
        """An inquiry moves no money: the service does nothing about it."""
        inquiry = self._processor.open_dispute(charge, at=at, reason="general", inquiry=True)
        if purchase.story is Story.INQUIRY_CLOSED:
            self._timeline.at(
                self._some_time_after(at),
                partial(self._close_inquiry, str(inquiry["id"])),
            )

    def _close_inquiry(self, inquiry: str, at: datetime) -> None:
        self._processor.close_dispute(inquiry, at=at, status="warning_closed")

    def _warn(self, purchase: CardPurchase, payment: Payment, charge: str, at: datetime) -> None:
        self._processor.warn_of_fraud(charge, at=at)
        if purchase.story is Story.WARNED_AND_REFUNDED:
            self._timeline.at(
                self._some_time_after(at),
                partial(self._refund, payment, charge, purchase.amount_minor),
            )


class CardRoutine:
    """What goes on at the processor beside purchases: payouts, cards saved, cards tested."""

    def __init__(
        self, *, processor: CardProcessor, timeline: Timeline, window: Window, rng: Random, truth: TruthBook
    ) -> None:
        self._processor = processor
        self._timeline = timeline
        self._window = window
        self._rng = rng
        self._truth = truth

    def expect(self) -> None:
        """Plan all of it."""
        for at in self._window.daily(18):
            self._timeline.at(at, self._pay_out)
        for at in self._window.daily(9):
            self._timeline.at(at, self._save_card)
        self._timeline.at(self._window.burst_at, self._test_cards)

    def _pay_out(self, at: datetime) -> None:
        self._processor.pay_out(at=at)

    def _save_card(self, at: datetime) -> None:
        customer = self._processor.create_customer(
            at=at, email=f"saver.{at:%m%d}@example.test", metadata={"account_id": f"user-7{at:%m%d}"}
        )
        decline = self._rng.choice(DECLINES) if self._rng.random() < 0.2 else None
        self._processor.create_setup_intent(at=at, customer=customer["id"], decline=decline)

    def _test_cards(self, at: datetime) -> None:
        """Strangers try stolen cards with small amounts, on three accounts made for it."""
        testers = [
            self._processor.create_customer(
                at=at,
                email=f"{self._rng.randrange(16**8):08x}@example.test",
                metadata={"account_id": account},
            )["id"]
            for account in ("user-9001", "user-9002", "user-9003")
        ]
        offsets_s = sorted(self._rng.randrange(BURST_S) for _ in range(BURST_ATTEMPTS))
        for number, offset_s in enumerate(offsets_s):
            tester = number % len(testers)
            self._timeline.at(
                at + timedelta(seconds=offset_s),
                partial(self._test_card, testers[tester], f"user-{9001 + tester}"),
            )
        self._truth.plant_burst(
            begins_at=at, ends_at=at + timedelta(seconds=BURST_S), attempts=BURST_ATTEMPTS
        )

    def _test_card(self, customer: str, account: str, at: datetime) -> None:
        intent = self._processor.create_payment_intent(
            at=at,
            amount_minor=self._rng.randint(50, 300),
            currency="usd",
            customer=customer,
            metadata={"account_id": account, "order_id": f"order-t{self._rng.randrange(16**8):08x}"},
        )
        card: Card = new_card(self._rng)
        self._processor.attempt_payment(
            intent["id"], at=at, card=card, decline=self._rng.choice(BURST_DECLINES)
        )


def from_minor(amount_minor: int) -> Decimal:
    """An amount in cents as dollars."""
    return Decimal(amount_minor).scaleb(-2)
