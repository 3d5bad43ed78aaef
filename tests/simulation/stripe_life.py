"""What may happen to a small Stripe account, one named step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError

KEY = "rk_test_simulated_orders"
SECRET = "whsec_simulated_orders"


def new_account(start: datetime, seed: int = 3) -> StripeAccount:
    """An empty account that settles in dollars and knows yen and dinars."""
    return StripeAccount(
        seed=seed,
        api_key=KEY,
        webhook_secret=SECRET,
        start=start,
        exchange_rates={"jpy": Decimal("0.65"), "kwd": Decimal("0.325")},
    )


class Life:
    """Steps of a business; one that its account refuses just then does not happen.

    Each step takes the moment and a number that picks what it happens to.
    """

    def __init__(self, account: StripeAccount) -> None:
        self.account = account
        self._customer = ""
        self._payments = 0
        self.steps: dict[str, Callable[[datetime, int], object]] = {
            "pay": self._pay,
            "pay_unnamed": lambda at, pick: self._pay(at, pick, named=False),
            "pay_late_fee": lambda at, pick: self._pay(at, pick, fee_visible_after_s=7200),
            "decline": lambda at, pick: self._pay(at, pick, decline=Decline(blocked=pick % 2 == 1)),
            "hold": lambda at, pick: self._pay(at, pick, capture=False),
            "intent": self._intent,
            "retry": self._retry,
            "capture": self._capture,
            "capture_part": lambda at, pick: self._capture(at, pick, amount_minor=70 + pick),
            "cancel": self._cancel,
            "refund": self._refund,
            "refund_part": lambda at, pick: self._refund(at, pick, amount_minor=40 + pick),
            "refund_pending": lambda at, pick: self._refund(at, pick, amount_minor=30 + pick, pending=True),
            "refund_settles": lambda at, pick: self._settle(at, pick, failed=False),
            "refund_fails": lambda at, pick: self._settle(at, pick, failed=True),
            "dispute": self._dispute,
            "dispute_part": lambda at, pick: self._dispute(at, pick, amount_minor=25 + pick),
            "inquiry": lambda at, pick: self._dispute(at, pick, inquiry=True),
            "escalate": lambda at, pick: account.escalate_dispute(self._one("disputes", pick), at=at),
            "win": lambda at, pick: self._close(at, pick, "won"),
            "lose": lambda at, pick: self._close(at, pick, "lost"),
            "close_inquiry": lambda at, pick: self._close(at, pick, "warning_closed"),
            "warn": lambda at, pick: account.warn_of_fraud(self._one("charges", pick), at=at),
            "session": self._session,
            "session_pays": lambda at, pick: account.pay_checkout_session(
                self._one("checkout_sessions", pick, "open"), at=at, card=Card()
            ),
            "session_fails": lambda at, pick: account.pay_checkout_session(
                self._one("checkout_sessions", pick, "open"), at=at, card=Card(), decline=Decline()
            ),
            "invoice": self._invoice,
            "invoice_pays": lambda at, pick: account.pay_invoice(
                self._one("invoices", pick, "open"), at=at, card=Card()
            ),
            "void_invoice": lambda at, pick: account.void_invoice(self._one("invoices", pick, "open"), at=at),
            "pay_out_part": lambda at, pick: account.pay_out_by_hand(
                at=at, amount_minor=500 + pick, instant=pick % 2 == 1
            ),
            "pay_out": lambda at, _: account.pay_out(at=at),
            "fail_payout": lambda at, pick: account.fail_payout(self._one("payouts", pick), at=at),
            "setup": lambda at, _: account.create_setup_intent(at=at, customer=self._buyer(at)),
            "setup_fails": lambda at, _: account.create_setup_intent(
                at=at, customer=self._buyer(at), decline=Decline()
            ),
        }

    def do(self, step: str, at: datetime, pick: int = 0) -> bool:
        """Let a step happen; tells whether the account let it."""
        self.account.advance_to(at)
        try:
            self.steps[step](at, pick)
        except (StripeRefusedError, LookupError):
            return False
        return True

    def _ids(self, name: str, *statuses: str) -> Sequence[str]:
        rows: list[dict[str, Any]] = getattr(self.account, name).since(None)
        return [row["id"] for row in rows if not statuses or row["status"] in statuses]

    def _one(self, name: str, pick: int, *statuses: str) -> str:
        """The newest of a kind, or an older one; LookupError where there is none."""
        found = self._ids(name, *statuses)
        if not found:
            raise LookupError(name)
        return found[-1 - pick % len(found)]

    def _buyer(self, at: datetime) -> str:
        if not self._customer:
            made = self.account.create_customer(at=at, email="buyer@example.com", metadata={})
            self._customer = str(made["id"])
        return self._customer

    def _intent(self, at: datetime, pick: int, *, named: bool = True) -> str:
        self._payments += 1
        metadata = {"account_id": f"acct-{pick % 3}", "order_id": f"order-{self._payments}"}
        made = self.account.create_payment_intent(
            at=at,
            amount_minor=10_000 + 7 * self._payments,
            currency=("usd", "usd", "jpy", "kwd")[pick % 4],
            customer=self._buyer(at),
            metadata=metadata if named else {},
        )
        return str(made["id"])

    def _session(self, at: datetime, pick: int) -> object:
        return self.account.create_checkout_session(
            at=at,
            amount_minor=5_000 + pick,
            currency="usd",
            customer=self._buyer(at),
            expires_after_s=2_500_000,
            client_reference_id=f"acct-{pick % 3}" if pick % 2 == 0 else None,
        )

    def _invoice(self, at: datetime, pick: int) -> object:
        metadata = {"account_id": f"acct-{pick % 3}"} if pick % 2 == 0 else {}
        return self.account.create_invoice(
            at=at, customer=self._buyer(at), amount_minor=6_000 + pick, currency="usd", metadata=metadata
        )

    def _pay(self, at: datetime, pick: int, *, named: bool = True, **how: Any) -> object:
        intent = self._intent(at, pick, named=named)
        return self.account.attempt_payment(intent, at=at, card=Card(fingerprint=f"card{pick}"), **how)

    def _retry(self, at: datetime, pick: int) -> object:
        waiting = self._one("payment_intents", pick, "requires_payment_method")
        return self.account.attempt_payment(waiting, at=at, card=Card())

    def _held(self, pick: int) -> dict[str, Any]:
        waiting = self._one("payment_intents", pick, "requires_capture")
        return self.account.payment_intents.get(waiting)

    def _capture(self, at: datetime, pick: int, **how: Any) -> object:
        return self.account.capture_charge(self._held(pick)["latest_charge"], at=at, **how)

    def _cancel(self, at: datetime, pick: int) -> object:
        waiting = self._one("payment_intents", pick, "requires_capture", "requires_payment_method")
        return self.account.cancel_payment_intent(waiting, at=at)

    def _refund(self, at: datetime, pick: int, **how: Any) -> object:
        return self.account.refund(self._one("charges", pick, "succeeded"), at=at, **how)

    def _settle(self, at: datetime, pick: int, *, failed: bool) -> object:
        return self.account.settle_refund(self._one("refunds", pick), at=at, failed=failed)

    def _dispute(self, at: datetime, pick: int, **how: Any) -> object:
        return self.account.open_dispute(self._one("charges", pick, "succeeded"), at=at, **how)

    def _close(self, at: datetime, pick: int, status: str) -> object:
        inquiries = ("warning_needs_response", "warning_under_review")
        open_ = inquiries if status == "warning_closed" else ("needs_response", "under_review")
        return self.account.close_dispute(self._one("disputes", pick, *open_), at=at, status=status)
