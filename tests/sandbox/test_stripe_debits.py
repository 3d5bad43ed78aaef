"""Bank debits: pending for days, then paid or failed, with or without money booked meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError

START = datetime(2026, 1, 5, tzinfo=UTC)
LATER = START + timedelta(days=4)


@pytest.fixture
def account() -> StripeAccount:
    """An empty account."""
    return StripeAccount(seed=5, api_key="sk_test_x", webhook_secret="whsec_x", start=START)


def debit(account: StripeAccount, **how: Any) -> dict[str, Any]:
    """A pending debit of 5 000."""
    intent = account.create_payment_intent(
        at=START, amount_minor=5000, currency="usd", customer=None, metadata={}
    )
    return account.debit_bank_account(intent["id"], at=START, **how)


def in_balance(account: StripeAccount) -> int:
    """Available plus pending."""
    shown = account.balance()
    return int(shown["available"][0]["amount"] + shown["pending"][0]["amount"])


def event_types(account: StripeAccount, object_id: str) -> list[str]:
    """The types of an object's events, oldest first."""
    return [e["type"] for e in account.events_since() if e["data"]["object"]["id"] == object_id]


@pytest.mark.parametrize("booked", [False, True])
def test_debit_that_succeeds(account: StripeAccount, *, booked: bool) -> None:
    """A pending debit is unpaid and its intent processing; success books it once, whenever that was."""
    charge = debit(account, booked_at_once=booked)
    assert (charge["status"], charge["paid"]) == ("pending", False)
    assert account.payment_intents.get(charge["payment_intent"])["status"] == "processing"
    assert in_balance(account) == (5000 - 175 if booked else 0)
    with pytest.raises(StripeRefusedError):
        account.refund(charge["id"], at=START)
    paid = account.settle_debit(charge["id"], at=LATER)
    assert (paid["status"], paid["paid"]) == ("succeeded", True)
    assert account.payment_intents.get(charge["payment_intent"])["status"] == "succeeded"
    (only,) = account.balance_transactions.since(None)
    assert (only["type"], only["reporting_category"], only["id"]) == (
        "payment",
        "charge",
        paid["balance_transaction"],
    )
    assert in_balance(account) == only["net"] == 5000 - 175
    assert event_types(account, charge["id"]) == ["charge.pending", "charge.succeeded"]


@pytest.mark.parametrize("booked", [False, True])
def test_debit_that_fails(account: StripeAccount, *, booked: bool) -> None:
    """A debit that fails leaves nothing in the balance; what was booked is given back by name."""
    charge = debit(account, booked_at_once=booked)
    failed = account.settle_debit(charge["id"], at=LATER, failed=True)
    assert (failed["status"], failed["failure_code"]) == ("failed", "insufficient_funds")
    intent = account.payment_intents.get(charge["payment_intent"])
    assert (intent["status"], intent["last_payment_error"]["charge"]) == (
        "requires_payment_method",
        charge["id"],
    )
    assert in_balance(account) == 0
    back = failed["failure_balance_transaction"]
    assert (back is not None) == booked
    if booked:
        assert account.balance_transactions.get(back)["type"] == "payment_failure_refund"
        assert account.balance_transactions.get(back)["net"] == -(5000 - 175)
    assert event_types(account, charge["id"]) == ["charge.pending", "charge.failed"]
    for again in (False, True):
        with pytest.raises(StripeRefusedError):
            account.settle_debit(charge["id"], at=LATER, failed=again)
    with pytest.raises(StripeRefusedError):
        account.refund(charge["id"], at=LATER)
    with pytest.raises(StripeRefusedError):
        account.open_dispute(charge["id"], at=LATER)
