"""Customers, intents and the attempts to charge them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.stripe import objects, outcomes
from payhealth.sandbox.stripe.books import Books
from payhealth.sandbox.stripe.errors import StripeRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from payhealth.sandbox.interfaces import Decline, StripeObject


class Payments(Books):
    """What an account does to collect money."""

    def create_customer(self, *, at: datetime, email: str, metadata: Mapping[str, str]) -> StripeObject:
        """A new customer (``customer.created``)."""
        with self._moment(at) as now_s:
            customer = objects.customer(
                object_id=self._ids.new("cus"),
                created_s=now_s,
                email=email,
                metadata=metadata,
                livemode=self.livemode,
                currency=self.currency,
            )
            return self._add(self.customers, customer, "customer.created")

    def create_payment_intent(
        self,
        *,
        at: datetime,
        amount_minor: int,
        currency: str,
        customer: str | None,
        metadata: Mapping[str, str],
    ) -> StripeObject:
        """A new payment intent that nobody has tried to pay yet (``payment_intent.created``).

        A guest's intent has no ``customer``.
        """
        with self._moment(at) as now_s:
            if customer is not None:
                self._read(self.customers, customer, "customer")
            self._settled(0, currency)
            if amount_minor < 1:
                raise StripeRefusedError(
                    "This value must be greater than or equal to 1.",
                    code="parameter_invalid_integer",
                    param="amount",
                )
            object_id = self._ids.new("pi")
            intent = objects.payment_intent(
                object_id=object_id,
                created_s=now_s,
                amount_minor=amount_minor,
                currency=currency,
                customer=customer,
                metadata=metadata,
                livemode=self.livemode,
                client_secret=f"{object_id}_{self._ids.new('secret')}",
            )
            return self._add(self.payment_intents, intent, "payment_intent.created")

    def cancel_payment_intent(self, intent: str, *, at: datetime) -> StripeObject:
        """Give an intent up; an authorised but uncaptured charge of it is released."""
        with self._moment(at) as now_s:
            current = self._read(self.payment_intents, intent, "payment_intent")
            if current["status"] not in {"requires_payment_method", "requires_capture"}:
                raise unexpected_state(current, "cancel")
            if current["status"] == "requires_capture":
                freed = {"amount_refunded": current["amount"], "refunded": True}
                self._change(self.charges, current["latest_charge"], freed, "charge.refunded")
            fields = {"status": "canceled", "canceled_at": now_s, "amount_capturable": 0}
            return self._change(self.payment_intents, intent, fields, "payment_intent.canceled")

    def attempt_payment(
        self,
        intent: str,
        *,
        at: datetime,
        card: Card,
        decline: Decline | None = None,
        capture: bool = True,
        fee_visible_after_s: int = 0,
    ) -> StripeObject:
        """One charge on an intent.

        Args:
            decline: why it fails; the intent then waits for another card.
            capture: take the money at once, or only hold it.
            fee_visible_after_s: seconds until the charge's balance transaction appears.

        Returns:
            The charge.
        """
        with self._moment(at):
            current = self._read(self.payment_intents, intent, "payment_intent")
            if current["status"] != "requires_payment_method":
                raise unexpected_state(current, "confirm")
            charge = self._new_charge(current, card, decline)
            if decline is not None:
                return self._decline(charge, current, card, decline)
            if capture:
                return self._collect(charge, fee_visible_after_s)
            return self._hold(charge)

    def capture_charge(self, charge: str, *, at: datetime, amount_minor: int | None = None) -> StripeObject:
        """Take held money, all of it or a part (the rest is let go)."""
        with self._moment(at):
            held = self._read(self.charges, charge, "charge")
            if held["captured"]:
                raise StripeRefusedError(
                    f"Charge {charge} has already been captured.", code="charge_already_captured"
                )
            if held["status"] != "succeeded" or held["refunded"]:
                raise StripeRefusedError(f"Charge {charge} cannot be captured.", code="charge_not_capturable")
            amount_minor = held["amount"] if amount_minor is None else amount_minor
            if not 0 < amount_minor <= held["amount"]:
                raise StripeRefusedError(
                    "The amount to capture exceeds the authorised amount.", code="amount_too_large"
                )
            fields = {"captured": True, "amount_captured": amount_minor}
            self._change(self.charges, charge, fields)
            captured = self._post_charge(charge, "charge.captured", since_s=self._now_s)
            self._intent_paid(captured)
            return captured

    def create_setup_intent(
        self, *, at: datetime, customer: str, decline: Decline | None = None
    ) -> StripeObject:
        """Keep a card for later, or, with ``decline``, fail to."""
        with self._moment(at) as now_s:
            self._read(self.customers, customer, "customer")
            object_id = self._ids.new("seti")
            intent = objects.setup_intent(
                object_id=object_id,
                created_s=now_s,
                customer=customer,
                livemode=self.livemode,
                client_secret=f"{object_id}_{self._ids.new('secret')}",
            )
            self._add(self.setup_intents, intent, "setup_intent.created")
            method_id = self._ids.new("pm")
            fields: StripeObject = {"latest_attempt": self._ids.new("setatt")}
            if decline is None:
                fields |= {"status": "succeeded", "payment_method": method_id}
                return self._change(self.setup_intents, object_id, fields, "setup_intent.succeeded")
            method = outcomes.payment_method(Card(), method_id=method_id, created_s=now_s, customer=None)
            fields["last_setup_error"] = outcomes.payment_error(decline, charge=None, method=method)
            return self._change(self.setup_intents, object_id, fields, "setup_intent.setup_failed")

    def _new_charge(self, intent: StripeObject, card: Card, decline: Decline | None) -> StripeObject:
        object_id = self._ids.new("ch")
        chance = self._chance("charge", object_id)
        details = outcomes.card_details(
            card, amount_minor=intent["amount"], declined=decline is not None, chance=chance
        )
        customer = intent["customer"]
        return objects.charge(
            object_id=object_id,
            created_s=self._now_s,
            intent=intent,
            email=None if customer is None else self.customers.get(customer)["email"],
            method=self._ids.new("pm"),
            method_details=details,
            outcome=outcomes.outcome_of(decline, chance=chance),
        )

    def _decline(
        self, charge: StripeObject, intent: StripeObject, card: Card, decline: Decline
    ) -> StripeObject:
        charge |= {
            "failure_code": decline.failure_code,
            "failure_message": outcomes.failure_message(decline),
            "paid": False,
            "receipt_url": None,
            "status": "failed",
        }
        self._add(self.charges, charge, "charge.failed")
        method = outcomes.payment_method(
            card, method_id=charge["payment_method"], created_s=self._now_s, customer=None
        )
        error = outcomes.payment_error(decline, charge=charge["id"], method=method)
        fields = {"latest_charge": charge["id"], "last_payment_error": error}
        self._change(self.payment_intents, intent["id"], fields, "payment_intent.payment_failed")
        return charge

    def _collect(self, charge: StripeObject, fee_visible_after_s: int) -> StripeObject:
        charge |= {"captured": True, "amount_captured": charge["amount"]}
        if fee_visible_after_s <= 0:
            charge["balance_transaction"] = self._charge_transaction(charge, self._now_s)["id"]
        self._add(self.charges, charge, "charge.succeeded")
        if fee_visible_after_s > 0:
            object_id, charged_s = charge["id"], self._now_s
            self._later(
                charged_s + fee_visible_after_s,
                lambda _: self._post_charge(object_id, "charge.updated", since_s=charged_s),
            )
        self._intent_paid(charge)
        return charge

    def _hold(self, charge: StripeObject) -> StripeObject:
        self._add(self.charges, charge, "charge.succeeded")
        fields = {
            "amount_capturable": charge["amount"],
            "capture_method": "manual",
            "last_payment_error": None,
            "latest_charge": charge["id"],
            "payment_method": charge["payment_method"],
            "status": "requires_capture",
        }
        event_type = "payment_intent.amount_capturable_updated"
        self._change(self.payment_intents, charge["payment_intent"], fields, event_type)
        return charge

    def _intent_paid(self, charge: StripeObject) -> None:
        fields = {
            "amount_capturable": 0,
            "amount_received": charge["amount_captured"],
            "last_payment_error": None,
            "latest_charge": charge["id"],
            "payment_method": charge["payment_method"],
            "status": "succeeded",
        }
        self._change(self.payment_intents, charge["payment_intent"], fields, "payment_intent.succeeded")

    def _post_charge(self, charge: str, event_type: str, *, since_s: int) -> StripeObject:
        transaction = self._charge_transaction(self.charges.get(charge), since_s)
        fields = {"balance_transaction": transaction["id"]}
        return self._change(self.charges, charge, fields, event_type)

    def _charge_transaction(
        self, charge: StripeObject, since_s: int, *, kind: str = "charge"
    ) -> StripeObject:
        return self._post(
            kind=kind,
            reporting_category="charge",
            source=charge["id"],
            amount_minor=charge["amount_captured"],
            currency=charge["currency"],
            description=charge["description"] or f"Payment {charge['payment_intent']}",
            fee_minor=self._fee_minor(charge["amount_captured"], charge["currency"]),
            since_s=since_s,
        )


def unexpected_state(intent: StripeObject, verb: str) -> StripeRefusedError:
    """An intent that is too far, or not far enough, to ``verb`` it."""
    return StripeRefusedError(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intentunexpected_state",
    )
