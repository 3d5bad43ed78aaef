"""Checkout sessions and invoices: where a payment comes from, and what links it to an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from payhealth.sandbox.stripe import selling_objects
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.ids import from_unix_s
from payhealth.sandbox.stripe.money_objects import DAY_S
from payhealth.sandbox.stripe.undoings import Undoings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from payhealth.sandbox.interfaces import Card, Decline, StripeObject

_NO_METADATA: Final[Mapping[str, str]] = {}


class Selling(Undoings):
    """What asks for payments: sessions and invoices, each with the intent that pays it."""

    _session_intents: dict[str, str]

    def create_checkout_session(
        self,
        *,
        at: datetime,
        amount_minor: int,
        currency: str,
        customer: str | None = None,
        email: str | None = None,
        client_reference_id: str | None = None,
        metadata: Mapping[str, str] = _NO_METADATA,
        expires_after_s: int = DAY_S,
    ) -> StripeObject:
        """A new session in payment mode; it expires by itself unless it is paid. Stripe tells no event.

        Args:
            at: now.
            amount_minor: what is to be paid.
            currency: in which currency.
            customer: who pays, None for a guest.
            email: a guest's address, where it is known already.
            client_reference_id: the business's own reference.
            metadata: the session's own; it is not copied to the intent.
            expires_after_s: seconds until nobody can pay any more.
        """
        with self._moment(at) as now_s:
            if customer is not None:
                self._read(self.customers, customer, "customer")
            self._settled(0, currency)
            session = selling_objects.checkout_session(
                object_id=self._ids.new("cs_live" if self.livemode else "cs_test"),
                created_s=now_s,
                expires_s=now_s + expires_after_s,
                amount_minor=amount_minor,
                currency=currency,
                customer=customer,
                email=email,
                client_reference_id=client_reference_id,
                metadata=metadata,
                livemode=self.livemode,
            )
            self._later(session["expires_at"], lambda _: self._expire(session["id"]))
            return self._add(self.checkout_sessions, session)

    def pay_checkout_session(
        self,
        session: str,
        *,
        at: datetime,
        card: Card,
        decline: Decline | None = None,
        intent_metadata: Mapping[str, str] = _NO_METADATA,
        email: str = "guest@example.com",
    ) -> StripeObject:
        """The customer tries to pay; a decline leaves the session open for another card.

        Args:
            session: which session.
            at: now.
            card: what is tried.
            decline: why it fails.
            intent_metadata: the metadata of the intent that the first attempt makes.
            email: what a guest types in.

        Returns:
            The charge. The session links its intent once it is paid.
        """
        with self._moment(at):
            current = self._open_session(session)
            intent = self._session_intents.get(session)
            if intent is None:
                made = self.create_payment_intent(
                    at=at,
                    amount_minor=current["amount_total"],
                    currency=current["currency"],
                    customer=current["customer"],
                    metadata=intent_metadata,
                )
                intent = self._session_intents[session] = str(made["id"])
            charge = self.attempt_payment(intent, at=at, card=card, decline=decline)
            if decline is None:
                self._complete(current, intent, current["customer_email"] or email)
            return charge

    def expire_checkout_session(self, session: str, *, at: datetime) -> StripeObject:
        """The business closes an open session before its time (``checkout.session.expired``)."""
        with self._moment(at):
            self._open_session(session)
            return self._expire(session)

    def create_invoice(
        self,
        *,
        at: datetime,
        customer: str,
        amount_minor: int,
        currency: str,
        billing_reason: str = "manual",
        metadata: Mapping[str, str] = _NO_METADATA,
        draft: bool = False,
    ) -> StripeObject:
        """A new invoice, final at once and with an intent to pay it unless it stays a ``draft``."""
        with self._moment(at) as now_s:
            self._settled(0, currency)
            invoice = selling_objects.invoice(
                object_id=self._ids.new("in"),
                line_id=self._ids.new("il"),
                created_s=now_s,
                amount_minor=amount_minor,
                currency=currency,
                customer=self._read(self.customers, customer, "customer"),
                billing_reason=billing_reason,
                metadata=metadata,
                livemode=self.livemode,
            )
            self._add(self.invoices, invoice, "invoice.created")
            return invoice if draft else self.finalize_invoice(invoice["id"], at=at)

    def finalize_invoice(self, invoice: str, *, at: datetime) -> StripeObject:
        """A draft becomes open (``invoice.finalized``): it gets its number and its intent."""
        with self._moment(at) as now_s:
            current = self._invoice(invoice, "draft")
            intent = self.create_payment_intent(
                at=at,
                amount_minor=current["total"],
                currency=current["currency"],
                customer=current["customer"],
                metadata=_NO_METADATA,
            )
            payment = selling_objects.invoice_payment(
                object_id=self._ids.new("inpay"),
                created_s=now_s,
                invoice=current,
                payment_intent=intent["id"],
            )
            self._add(self.invoice_payments, payment)
            self.invoice_payments.tag(payment["id"], "payment[payment_intent]", intent["id"])
            self.invoice_payments.tag(payment["id"], "payment[type]", "payment_intent")
            fields = {
                "effective_at": now_s,
                "hosted_invoice_url": f"https://invoice.stripe.com/i/{invoice}",
                "invoice_pdf": f"https://pay.stripe.com/invoice/{invoice}/pdf",
                "number": f"SANDBOX-{len(self.invoice_payments):04d}",
                "status": "open",
                "status_transitions": {**current["status_transitions"], "finalized_at": now_s},
            }
            return self._change(self.invoices, invoice, fields, "invoice.finalized", "invoice.updated")

    def pay_invoice(
        self, invoice: str, *, at: datetime, card: Card, decline: Decline | None = None
    ) -> StripeObject:
        """One attempt to collect an open invoice; returns the charge."""
        with self._moment(at) as now_s:
            current = self._invoice(invoice, "open")
            payment = self._invoice_payment(invoice)
            intent = payment["payment"]["payment_intent"]
            charge = self.attempt_payment(intent, at=at, card=card, decline=decline)
            fields: StripeObject = {"attempt_count": current["attempt_count"] + 1, "attempted": True}
            if decline is not None:
                fields["next_payment_attempt"] = now_s + 3 * DAY_S
                self._change(self.invoices, invoice, fields, "invoice.payment_failed", "invoice.updated")
                return charge
            paid = {
                "amount_paid": current["total"],
                "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": now_s},
            }
            self._change(self.invoice_payments, payment["id"], paid, "invoice_payment.paid")
            fields |= {
                "amount_paid": current["total"],
                "amount_remaining": 0,
                "auto_advance": False,
                "next_payment_attempt": None,
                "status": "paid",
                "status_transitions": {**current["status_transitions"], "paid_at": now_s},
            }
            event_types = ("invoice.updated", "invoice.paid", "invoice.payment_succeeded")
            self._change(self.invoices, invoice, fields, *event_types)
            return charge

    def void_invoice(self, invoice: str, *, at: datetime) -> StripeObject:
        """Give an open invoice up; its intent is cancelled (``invoice.voided``)."""
        with self._moment(at) as now_s:
            current = self._invoice(invoice, "open")
            payment = self._invoice_payment(invoice)
            self.cancel_payment_intent(payment["payment"]["payment_intent"], at=at)
            canceled = {"status": "canceled", "status_transitions": {"canceled_at": now_s, "paid_at": None}}
            self._change(self.invoice_payments, payment["id"], canceled)
            fields = {
                "auto_advance": False,
                "next_payment_attempt": None,
                "status": "void",
                "status_transitions": {**current["status_transitions"], "voided_at": now_s},
            }
            return self._change(self.invoices, invoice, fields, "invoice.updated", "invoice.voided")

    def payments_of(self, invoice: str) -> bytes:
        """The list of an invoice's payments, as ``expand[]=payments`` shows it; hold the lock."""
        found = [self.invoice_payments.get(one) for one in self.invoice_payments.found("invoice", invoice)]
        url = f"/v1/invoice_payments?invoice={invoice}"
        return orjson.dumps({"object": "list", "data": found, "has_more": False, "url": url})

    def _open_session(self, session: str) -> StripeObject:
        current = self._read(self.checkout_sessions, session, "checkout.session")
        if current["status"] != "open":
            raise StripeRefusedError(f"This Session has a status of {current['status']}.")
        return current

    def _complete(self, session: StripeObject, intent: str, email: str) -> None:
        customer = session["customer"]
        known = self.customers.get(customer)["email"] if customer is not None else email
        fields = {
            "customer_details": selling_objects.customer_details(email=known),
            "payment_intent": intent,
            "payment_status": "paid",
            "status": "complete",
            "url": None,
        }
        self._change(self.checkout_sessions, session["id"], fields, "checkout.session.completed")

    def _expire(self, session: str) -> StripeObject:
        current = self.checkout_sessions.get(session)
        if current["status"] != "open":
            return current
        intent = self._session_intents.get(session)
        waits = intent is not None and self.payment_intents.get(intent)["status"] != "canceled"
        if intent is not None and waits:
            self.cancel_payment_intent(intent, at=from_unix_s(self._now_s))
        fields = {"status": "expired", "url": None}
        return self._change(self.checkout_sessions, session, fields, "checkout.session.expired")

    def _invoice(self, invoice: str, status: str) -> StripeObject:
        current = self._read(self.invoices, invoice, "invoice")
        if current["status"] != status:
            raise StripeRefusedError(f"Invoice {invoice} is {current['status']}, not {status}.")
        return current

    def _invoice_payment(self, invoice: str) -> StripeObject:
        return self.invoice_payments.get(self.invoice_payments.found("invoice", invoice)[-1])
