"""Bank debits: payments that are pending for days before they succeed or fail.

Source: https://docs.stripe.com/payments/ach-direct-debit and https://docs.stripe.com/api/charges/object
(``failure_balance_transaction``)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.stripe import outcomes
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.payments import Payments, unexpected_state

if TYPE_CHECKING:
    from datetime import datetime

    from payhealth.sandbox.interfaces import StripeObject


class Debits(Payments):
    """What an account does to collect money from bank accounts."""

    def debit_bank_account(self, intent: str, *, at: datetime, booked_at_once: bool = False) -> StripeObject:
        """One debit on an intent: a charge that is ``pending`` until ``settle_debit``.

        Args:
            intent: which intent; it is ``processing`` meanwhile.
            at: now.
            booked_at_once: whether its money is in the pending balance already.

        Returns:
            The charge.
        """
        with self._moment(at) as now_s:
            current = self._read(self.payment_intents, intent, "payment_intent")
            if current["status"] != "requires_payment_method":
                raise unexpected_state(current, "confirm")
            charge = self._new_charge(current, Card(), None) | {
                "amount_captured": current["amount"],
                "captured": True,
                "paid": False,
                "payment_method_details": outcomes.bank_details(chance=self._chance("bank", intent)),
                "status": "pending",
            }
            charge["outcome"] |= {"risk_level": "not_assessed", "risk_score": None}
            if booked_at_once:
                charge["balance_transaction"] = self._payment_transaction(charge, now_s)
            self._add(self.charges, charge, "charge.pending")
            fields = {
                "latest_charge": charge["id"],
                "payment_method": charge["payment_method"],
                "status": "processing",
            }
            self._change(self.payment_intents, intent, fields, "payment_intent.processing")
            return charge

    def settle_debit(self, charge: str, *, at: datetime, failed: bool = False) -> StripeObject:
        """The bank's answer to a pending debit; a failed one gives back what was booked of it.

        Returns:
            The charge.
        """
        with self._moment(at) as now_s:
            pending = self._read(self.charges, charge, "charge")
            if pending["status"] != "pending":
                raise StripeRefusedError(f"Charge {charge} is {pending['status']} already.")
            if failed:
                return self._bounce(pending)
            booked = pending["balance_transaction"] or self._payment_transaction(pending, now_s)
            fields = {"balance_transaction": booked, "paid": True, "status": "succeeded"}
            paid = self._change(self.charges, charge, fields, "charge.succeeded")
            self._intent_paid(paid)
            return paid

    def _bounce(self, pending: StripeObject) -> StripeObject:
        code, message = "insufficient_funds", "The customer's account has insufficient funds."
        fields: StripeObject = {"failure_code": code, "failure_message": message, "status": "failed"}
        booked = pending["balance_transaction"]
        if booked is not None:
            taken = self.balance_transactions.get(booked)
            back = self._post(
                kind="payment_failure_refund",
                reporting_category="charge_failure",
                source=pending["id"],
                amount_minor=-pending["amount"],
                currency=pending["currency"],
                description=f"REFUND FOR FAILED PAYMENT ({pending['id']})",
                fee_minor=-taken["fee"],
                fee_description="Stripe processing fees returned",
                since_s=taken["created"],
            )
            fields["failure_balance_transaction"] = back["id"]
        failed = self._change(self.charges, pending["id"], fields, "charge.failed")
        error = {"charge": pending["id"], "code": code, "message": message, "type": "card_error"}
        waiting = {"last_payment_error": error, "status": "requires_payment_method"}
        self._change(
            self.payment_intents, pending["payment_intent"], waiting, "payment_intent.payment_failed"
        )
        return failed

    def _payment_transaction(self, charge: StripeObject, since_s: int) -> str:
        return str(self._charge_transaction(charge, since_s, kind="payment")["id"])
