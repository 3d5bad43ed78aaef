"""Checkout sessions and invoices: what links a payment to an order, as the official SDK reads it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.server import build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
KEY = "sk_test_0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


@pytest.fixture
def account() -> StripeAccount:
    """An empty account."""
    return StripeAccount(seed=5, api_key=KEY, webhook_secret="whsec_x", start=START)


@pytest.fixture
def client(account: StripeAccount) -> Iterator[StripeClient]:
    """The official client of the account."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as server:
        yield StripeClient(KEY, base_addresses={"api": server.url}, max_network_retries=0)


def customer(account: StripeAccount) -> str:
    """A new customer's id."""
    return str(account.create_customer(at=START, email="ada@example.com", metadata={})["id"])


def session(account: StripeAccount, **options: Any) -> str:
    """A new session's id."""
    made = account.create_checkout_session(at=START, amount_minor=900, currency="usd", **options)
    return str(made["id"])


def event_types(account: StripeAccount, object_id: str) -> list[str]:
    """The types of an object's events, oldest first."""
    return [e["type"] for e in account.events_since() if e["data"]["object"]["id"] == object_id]


def test_paid_session_links_its_intent(account: StripeAccount, client: StripeClient) -> None:
    """A declined card leaves a session open and unlinked; a good one completes it on the same intent."""
    who = customer(account)
    made = session(account, customer=who, client_reference_id="order-7", metadata={"account_id": "a"})
    failed = account.pay_checkout_session(made, at=START, card=Card(), decline=Decline())
    still = client.v1.checkout.sessions.retrieve(made)
    assert (still.status, still.payment_status, still.payment_intent) == ("open", "unpaid", None)
    paid = account.pay_checkout_session(made, at=START, card=Card())
    assert paid["payment_intent"] == failed["payment_intent"]
    done = client.v1.checkout.sessions.retrieve(made, params={"expand": ["payment_intent.latest_charge"]})
    assert isinstance(done.payment_intent, stripe.PaymentIntent)
    assert isinstance(done.payment_intent.latest_charge, stripe.Charge)
    assert done.payment_intent.latest_charge.id == paid["id"]
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "order-7")
    assert done.metadata is not None
    assert done.metadata["account_id"] == "a"
    assert paid["metadata"] == {}
    assert event_types(account, made) == ["checkout.session.completed"]
    with pytest.raises(StripeRefusedError):
        account.pay_checkout_session(made, at=START, card=Card())


def test_guest_pays_without_a_customer(account: StripeAccount) -> None:
    """A guest's session, intent and charge have no customer; the session knows the address given."""
    made = session(account)
    charge = account.pay_checkout_session(
        made, at=START, card=Card(), email="g@example.com", intent_metadata={"order_id": "3"}
    )
    assert (charge["customer"], charge["metadata"]) == (None, {"order_id": "3"})
    kept = account.checkout_sessions.get(made)
    assert (kept["customer"], kept["customer_details"]["email"]) == (None, "g@example.com")


def test_session_expires_by_itself_or_by_hand(account: StripeAccount) -> None:
    """An open session expires at its hour, with its intent; a paid one never does."""
    lost, closed, paid = (session(account) for _ in range(3))
    account.pay_checkout_session(paid, at=START, card=Card())
    failed = account.pay_checkout_session(lost, at=START, card=Card(), decline=Decline())
    account.expire_checkout_session(closed, at=START + timedelta(hours=1))
    account.advance_to(START + timedelta(days=1, seconds=-1))
    assert account.checkout_sessions.get(lost)["status"] == "open"
    account.advance_to(START + timedelta(days=2))
    states = [account.checkout_sessions.get(one)["status"] for one in (lost, closed, paid)]
    assert states == ["expired", "expired", "complete"]
    assert account.payment_intents.get(failed["payment_intent"])["status"] == "canceled"
    assert event_types(account, lost) == event_types(account, closed) == ["checkout.session.expired"]
    (expired,) = [e for e in account.events_since() if e["data"]["object"]["id"] == lost]
    assert expired["created"] == int((START + timedelta(days=1)).timestamp())


def test_sessions_are_listed_by_what_stripe_lists_them_by(
    account: StripeAccount, client: StripeClient
) -> None:
    """Sessions filter by intent, customer, status and ``created``, also together."""
    who = customer(account)
    ours, guests = session(account, customer=who), session(account)
    charge = account.pay_checkout_session(ours, at=START + timedelta(seconds=5), card=Card())
    account.create_checkout_session(at=START + timedelta(seconds=9), amount_minor=1, currency="usd")

    def found(**params: Any) -> list[str]:
        return [one.id for one in client.v1.checkout.sessions.list(params=params).data]  # type: ignore[arg-type]

    assert found(payment_intent=charge["payment_intent"]) == [ours]
    assert found(customer=who) == found(status="complete") == [ours]
    assert found(created={"lt": int(START.timestamp()) + 9}) == [guests, ours]
    assert found(created={"lt": int(START.timestamp()) + 9}, status="open") == [guests]
    assert found(customer=who, status="open") == []


def test_invoice_life(account: StripeAccount, client: StripeClient) -> None:
    """An invoice fails, then is paid, by one intent, which its payments name where they are asked for."""
    made = account.create_invoice(
        at=START, customer=customer(account), amount_minor=900, currency="usd", billing_reason="manual"
    )["id"]
    account.pay_invoice(made, at=START, card=Card(), decline=Decline())
    assert account.invoices.get(made)["status"] == "open"
    charge = account.pay_invoice(made, at=START + timedelta(days=3), card=Card())
    plain = client.v1.invoices.retrieve(made)
    assert "payments" not in plain.to_dict()
    assert (plain.status, plain.amount_paid, plain.attempt_count) == ("paid", 900, 2)
    (listed,) = client.v1.invoices.list(params={"expand": ["data.payments"]}).data
    assert listed.payments is not None
    assert [one.payment.payment_intent for one in listed.payments.data] == [charge["payment_intent"]]
    wide = client.v1.invoices.retrieve(made, params={"expand": ["payments.data.payment.payment_intent"]})
    assert wide.payments is not None
    (payment,) = wide.payments.data
    assert isinstance(payment.payment.payment_intent, stripe.PaymentIntent)
    assert payment.payment.payment_intent.latest_charge == charge["id"]
    (by_intent,) = client.v1.invoice_payments.list(
        params={"payment": {"type": "payment_intent", "payment_intent": charge["payment_intent"]}}
    ).data
    assert (by_intent.invoice, by_intent.status) == (made, "paid")
    assert event_types(account, made) == [
        *("invoice.created", "invoice.finalized", "invoice.updated"),
        *("invoice.payment_failed", "invoice.updated"),
        *("invoice.updated", "invoice.paid", "invoice.payment_succeeded"),
    ]
    assert event_types(account, by_intent.id) == ["invoice_payment.paid"]


def test_invoices_are_listed_by_what_stripe_lists_them_by(
    account: StripeAccount, client: StripeClient
) -> None:
    """Invoices filter by customer, status and ``created``; an unknown filter is refused."""
    ada, bob = customer(account), customer(account)
    how: dict[str, Any] = {"amount_minor": 5, "currency": "usd"}
    draft = account.create_invoice(at=START, customer=ada, draft=True, **how)["id"]
    void = account.create_invoice(at=START + timedelta(seconds=1), customer=bob, **how)["id"]
    account.void_invoice(void, at=START + timedelta(seconds=1))

    def found(**params: Any) -> list[str]:
        return [one.id for one in client.v1.invoices.list(params=params).data]  # type: ignore[arg-type]

    assert found(customer=ada) == found(status="draft") == [draft]
    assert found(status="void") == found(created={"gte": int(START.timestamp()) + 1}) == [void]
    assert found(due_date={"gte": 0}) == []
    with pytest.raises(stripe.InvalidRequestError) as caught:
        found(payment_intent="pi_1")
    assert caught.value.param == "payment_intent"
    with pytest.raises(StripeRefusedError):
        account.pay_invoice(draft, at=START + timedelta(seconds=2), card=Card())


def test_last_event_of_a_session_or_invoice_shows_it_as_it_is(account: StripeAccount) -> None:
    """Every change of a session or an invoice that Stripe tells of leaves the object in an event."""
    who = customer(account)
    for decline in (None, Decline()):
        account.pay_checkout_session(session(account), at=START, card=Card(), decline=decline)
        made = account.create_invoice(at=START, customer=who, amount_minor=7, currency="usd")["id"]
        account.pay_invoice(made, at=START, card=Card(), decline=decline)
    account.advance_to(START + timedelta(days=3))
    last = {e["data"]["object"]["id"]: e["data"]["object"] for e in account.events_since()}
    objects = [*account.checkout_sessions.since(None), *account.invoices.since(None)]
    assert len(objects) == 4
    assert all(last[one["id"]] == one for one in objects)
