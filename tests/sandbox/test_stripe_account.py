"""The simulated account itself: money is conserved, refunds are bounded, the same seed repeats."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError

START = datetime(2026, 1, 5, tzinfo=UTC)


def new_account(seed: int = 7, **options: Any) -> StripeAccount:
    """An account that was opened at START."""
    return StripeAccount(
        seed=seed, api_key="sk_test_sandbox", webhook_secret="whsec_sandbox", start=START, **options
    )


def everything(account: StripeAccount, name: str) -> list[dict[str, Any]]:
    """All objects of a kind, oldest first."""
    return list(getattr(account, name).since(None))


def pay(account: StripeAccount, at: datetime, amount_minor: int = 5000, **how: Any) -> dict[str, Any]:
    """One attempt of a new customer on a new intent; the charge."""
    customer = account.create_customer(at=at, email="someone@example.com", metadata={})
    intent = account.create_payment_intent(
        at=at, amount_minor=amount_minor, currency="usd", customer=customer["id"], metadata={"order": "1"}
    )
    return account.attempt_payment(intent["id"], at=at, card=Card(), **how)


def live_a_little(account: StripeAccount, seed: int, steps: int) -> None:
    """A random history; what the account refuses is part of it."""
    rng = random.Random(seed)
    at, charges, refunds, disputes, payouts = START, [], [], [], []
    for _ in range(steps):
        at += timedelta(seconds=rng.randrange(20_000))
        action = rng.randrange(9)
        try:
            if action <= 3:
                decline = Decline() if rng.random() < 0.2 else None
                late_s = rng.choice([0, 0, 90_000])
                amount_minor = rng.randrange(50, 9000)
                charges.append(
                    pay(account, at, amount_minor, decline=decline, fee_visible_after_s=late_s)["id"]
                )
            elif action == 4 and charges:
                amount = rng.choice([None, rng.randrange(1, 6000)])
                charge, waits = rng.choice(charges), rng.random() < 0.4
                refunds.append(account.refund(charge, at=at, amount_minor=amount, pending=waits)["id"])
            elif action == 5 and refunds:
                account.settle_refund(rng.choice(refunds), at=at, failed=rng.random() < 0.5)
            elif action == 6 and charges:
                disputes.append(
                    account.open_dispute(rng.choice(charges), at=at, inquiry=rng.random() < 0.3)["id"]
                )
            elif action == 7 and disputes:
                how = rng.choice(["won", "lost", "warning_closed"])
                account.close_dispute(rng.choice(disputes), at=at, status=how)
            elif action == 8:
                payouts += [p["id"] for p in [account.pay_out(at=at)] if p]
                if payouts and rng.random() < 0.2:
                    account.fail_payout(rng.choice(payouts), at=at)
        except StripeRefusedError:
            continue


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_balance_is_the_sum_of_nets(seed: int) -> None:
    """Available plus pending is the sum of ``net``, net is amount less fee, and fee its details."""
    account = new_account(seed)
    live_a_little(account, seed, 60)
    transactions = everything(account, "balance_transactions")
    balance = account.balance()
    both = balance["available"][0]["amount"] + balance["pending"][0]["amount"]
    assert both == sum(t["net"] for t in transactions)
    assert balance["pending"][0]["amount"] == sum(t["net"] for t in transactions if t["status"] == "pending")
    for t in transactions:
        assert t["net"] == t["amount"] - t["fee"]
        assert t["fee"] == sum(detail["amount"] for detail in t["fee_details"])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_refunds_never_exceed_what_was_taken(seed: int) -> None:
    """``amount_refunded`` is the sum of refunds not failed, and never above ``amount_captured``."""
    account = new_account(seed)
    live_a_little(account, seed, 60)
    refunds = everything(account, "refunds")
    for charge in everything(account, "charges"):
        own = [r for r in refunds if r["charge"] == charge["id"]]
        alive_minor = sum(r["amount"] for r in own if r["status"] != "failed")
        assert charge["amount_refunded"] == alive_minor <= charge["amount_captured"] <= charge["amount"]
        assert charge["refunded"] == (0 < alive_minor == charge["amount_captured"])
        assert [r["id"] for r in charge["refunds"]["data"]] == [r["id"] for r in reversed(own)][:10]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_payout_is_explained_by_its_transactions(seed: int) -> None:
    """The transactions under a payout sum to zero with the payout's own, and none is paid twice."""
    account = new_account(seed)
    live_a_little(account, seed, 80)
    seen: set[str] = set()
    for payout in everything(account, "payouts"):
        ids = account.balance_transactions.found("payout", payout["id"])
        assert payout["balance_transaction"] in ids
        assert sum(account.balance_transactions.get(i)["net"] for i in ids) == 0
        assert not seen & set(ids)
        seen |= set(ids)


def test_same_seed_same_world() -> None:
    """The same seed and the same calls give the same objects and events, another seed other ids."""
    worlds = []
    for seed in (3, 3, 4):
        account = new_account(seed)
        live_a_little(account, 11, 60)
        worlds.append([everything(account, name) for name in ("charges", "events", "balance_transactions")])
    assert worlds[0] == worlds[1]
    assert worlds[0] != worlds[2]


def test_last_event_of_an_object_shows_it_as_it_is() -> None:
    """Every change of a charge, intent, refund, dispute or payout leaves an event with the new object."""
    account = new_account()
    live_a_little(account, 5, 150)
    account.advance_to(START + timedelta(days=90))
    last = {e["data"]["object"]["id"]: e["data"]["object"] for e in account.events_since()}
    for name in ("charges", "payment_intents", "refunds", "disputes", "payouts", "customers"):
        objects = everything(account, name)
        assert objects
        assert all(last[o["id"]] == o for o in objects), name


def test_fee_of_a_charge() -> None:
    """A charge costs 2.9 % and 30, rounded half up, and is available two midnights later."""
    account = new_account()
    charge = pay(account, START + timedelta(hours=5), 1050)
    transaction = account.retrieve(charge["balance_transaction"]) or {}
    assert (transaction["amount"], transaction["fee"], transaction["net"]) == (1050, 60, 990)
    assert transaction["available_on"] == int((START + timedelta(days=2)).timestamp())
    assert (transaction["status"], transaction["reporting_category"]) == ("pending", "charge")
    account.advance_to(START + timedelta(days=2))
    assert (account.retrieve(transaction["id"]) or {})["status"] == "available"
    assert account.balance()["available"][0]["amount"] == 990


def test_late_fee_appears_with_an_event() -> None:
    """A late balance transaction is null until its moment; then ``charge.updated`` tells of it."""
    account = new_account()
    charge = pay(account, START, fee_visible_after_s=3600)
    assert charge["balance_transaction"] is None
    assert account.balance()["pending"][0]["amount"] == 0
    account.advance_to(START + timedelta(seconds=3599))
    assert (account.retrieve(charge["id"]) or {})["balance_transaction"] is None
    account.advance_to(START + timedelta(hours=2))
    now = account.retrieve(charge["id"]) or {}
    transaction = account.retrieve(now["balance_transaction"]) or {}
    assert transaction["created"] == charge["created"] + 3600
    event = account.events_since()[-1]
    assert event["type"] == "charge.updated"
    assert event["created"] == charge["created"] + 3600
    assert event["data"]["previous_attributes"] == {"balance_transaction": None}


def test_failed_refund_gives_the_money_back() -> None:
    """A refund that fails after it succeeded has a second transaction, and the charge counts it no more."""
    account = new_account()
    charge = pay(account, START)
    before = account.balance()
    refund = account.refund(charge["id"], at=START, amount_minor=1200)
    failed = account.settle_refund(refund["id"], at=START + timedelta(hours=1), failed=True)
    back = account.retrieve(failed["failure_balance_transaction"]) or {}
    assert (failed["status"], back["type"], back["net"]) == ("failed", "refund_failure", 1200)
    assert account.balance() == before
    assert (account.retrieve(charge["id"]) or {})["amount_refunded"] == 0
    types = [e["type"] for e in account.events_since()][-4:]
    assert types == ["refund.updated", "charge.refund.updated", "refund.failed", "charge.updated"]


def test_pending_refund_moves_no_money() -> None:
    """A pending refund has no transaction until it succeeds, and none ever when it fails."""
    account = new_account()
    charge = pay(account, START)
    one = account.refund(charge["id"], at=START, amount_minor=100, pending=True)
    two = account.refund(charge["id"], at=START, amount_minor=200, pending=True)
    assert (one["status"], one["balance_transaction"]) == ("pending", None)
    assert (account.retrieve(charge["id"]) or {})["amount_refunded"] == 300
    done = account.settle_refund(one["id"], at=START, failed=False)
    assert (account.retrieve(done["balance_transaction"]) or {})["net"] == -100
    gone = account.settle_refund(two["id"], at=START, failed=True)
    assert gone["balance_transaction"] is None
    assert "failure_balance_transaction" not in gone
    assert (account.retrieve(charge["id"]) or {})["amount_refunded"] == 100


def test_dispute_takes_and_returns_funds() -> None:
    """A dispute withdraws amount and fee, winning brings both back, and refunds wait meanwhile."""
    account = new_account()
    charge = pay(account, START)
    dispute = account.open_dispute(charge["id"], at=START, amount_minor=2000)
    (withdrawal,) = dispute["balance_transactions"]
    assert (withdrawal["amount"], withdrawal["fee"], withdrawal["net"]) == (-2000, 1500, -3500)
    assert withdrawal["reporting_category"] == "dispute"
    with pytest.raises(StripeRefusedError, match="charged back"):
        account.refund(charge["id"], at=START)
    won = account.close_dispute(dispute["id"], at=START + timedelta(days=9), status="won")
    assert [t["net"] for t in won["balance_transactions"]] == [-3500, 3500]
    types = [e["type"] for e in account.events_since() if "dispute" in e["type"]]
    assert types == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


def test_inquiry_moves_no_money() -> None:
    """An inquiry has no transactions and can be refunded; escalated, it takes the money."""
    account = new_account()
    first, second = pay(account, START), pay(account, START)
    inquiry = account.open_dispute(first["id"], at=START, inquiry=True)
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    with pytest.raises(StripeRefusedError):
        account.close_dispute(inquiry["id"], at=START, status="lost")
    assert account.close_dispute(inquiry["id"], at=START, status="warning_closed")["status"]
    assert account.refund(first["id"], at=START)["status"] == "succeeded"
    other = account.open_dispute(second["id"], at=START, inquiry=True)
    taken = account.escalate_dispute(other["id"], at=START)
    assert (taken["status"], len(taken["balance_transactions"])) == ("needs_response", 1)


def test_evidence_is_submitted_once() -> None:
    """Evidence brings a dispute or an inquiry under review, once, with an event and no money."""
    account = new_account()
    for inquiry, status in ((False, "under_review"), (True, "warning_under_review")):
        dispute = account.open_dispute(pay(account, START)["id"], at=START, inquiry=inquiry)
        before = account.balance()
        answered = account.submit_evidence(dispute["id"], at=START)
        assert (answered["status"], answered["evidence_details"]["submission_count"]) == (status, 1)
        assert answered["evidence_details"]["due_by"] == dispute["evidence_details"]["due_by"]
        assert account.balance() == before
        event = account.events_since()[-1]
        assert (event["type"], event["data"]["object"]) == ("charge.dispute.updated", answered)
        with pytest.raises(StripeRefusedError):
            account.submit_evidence(dispute["id"], at=START)
        if inquiry:
            account.escalate_dispute(dispute["id"], at=START)
        assert account.close_dispute(dispute["id"], at=START, status="won")["status"] == "won"


def test_declines_are_told_three_times() -> None:
    """A decline shows on the charge, in its outcome, and in the intent's last error; then a retry works."""
    account = new_account()
    decline = Decline(failure_code="card_declined", decline_code="insufficient_funds")
    charge = pay(account, START, decline=decline)
    assert (charge["status"], charge["paid"], charge["failure_code"]) == ("failed", False, "card_declined")
    assert charge["outcome"]["network_status"] == "declined_by_network"
    assert charge["outcome"]["reason"] == "insufficient_funds"
    intent = account.retrieve(charge["payment_intent"]) or {}
    error = intent["last_payment_error"]
    assert (intent["status"], error["decline_code"]) == ("requires_payment_method", "insufficient_funds")
    assert (error["charge"], error["advice_code"]) == (charge["id"], "try_again_later")
    paid = account.attempt_payment(intent["id"], at=START, card=Card())
    intent = account.retrieve(intent["id"]) or {}
    assert (intent["status"], intent["latest_charge"]) == ("succeeded", paid["id"])
    assert intent["last_payment_error"] is None
    blocked = pay(account, START, decline=Decline(blocked=True))
    assert blocked["outcome"]["network_status"] == "not_sent_to_network"
    assert blocked["outcome"]["type"] == "blocked"
    assert account.charges.get(charge["id"])["balance_transaction"] is None


def test_held_money_is_captured_once_and_in_part() -> None:
    """Held money has no transaction; a capture takes a part of it, and only once."""
    account = new_account()
    charge = pay(account, START, capture=False)
    assert (charge["captured"], charge["balance_transaction"]) == (False, None)
    assert (account.retrieve(charge["payment_intent"]) or {})["status"] == "requires_capture"
    captured = account.capture_charge(charge["id"], at=START, amount_minor=3000)
    assert (captured["amount"], captured["amount_captured"]) == (5000, 3000)
    assert (account.retrieve(captured["balance_transaction"]) or {})["amount"] == 3000
    assert (account.retrieve(charge["payment_intent"]) or {})["amount_received"] == 3000
    with pytest.raises(StripeRefusedError):
        account.capture_charge(charge["id"], at=START)
    with pytest.raises(StripeRefusedError):
        account.refund(charge["id"], at=START, amount_minor=3001)


def test_warning_is_actionable_until_the_money_is_gone() -> None:
    """An early fraud warning stops being actionable once the charge is refunded or disputed."""
    account = new_account()
    charge = pay(account, START)
    warning = account.warn_of_fraud(charge["id"], at=START)
    assert warning["id"].startswith("issfr_")
    assert warning["actionable"]
    account.refund(charge["id"], at=START)
    assert not (account.retrieve(warning["id"]) or {})["actionable"]


def test_payout_life() -> None:
    """A payout goes out, arrives, is reconciled, and may still fail; nothing available, no payout."""
    account = new_account()
    assert account.pay_out(at=START) is None
    pay(account, START)
    payout = account.pay_out(at=START + timedelta(days=3))
    assert payout is not None
    assert (payout["amount"], payout["status"]) == (5000 - 175, "in_transit")
    assert account.balance()["available"][0]["amount"] == 0
    account.advance_to(START + timedelta(days=6))
    arrived = account.retrieve(payout["id"]) or {}
    assert (arrived["status"], arrived["reconciliation_status"]) == ("paid", "completed")
    failed = account.fail_payout(payout["id"], at=START + timedelta(days=7))
    assert failed["status"] == "failed"
    assert account.balance()["available"][0]["amount"] == payout["amount"]


def test_setup_intents_succeed_or_keep_their_error() -> None:
    """A setup intent succeeds with a payment method or waits with its last error."""
    account = new_account()
    customer = account.create_customer(at=START, email="a@example.com", metadata={})["id"]
    good = account.create_setup_intent(at=START, customer=customer)
    bad = account.create_setup_intent(at=START, customer=customer, decline=Decline())
    assert good["status"] == "succeeded"
    assert (bad["status"], bad["last_setup_error"]["code"]) == ("requires_payment_method", "card_declined")


def test_other_currencies_settle_at_the_rate() -> None:
    """A charge in another currency settles at the given rate; one without a rate is refused."""
    account = new_account(exchange_rates={"eur": Decimal("1.10")})
    customer = account.create_customer(at=START, email="a@example.com", metadata={})["id"]

    def intent(currency: str) -> dict[str, Any]:
        return account.create_payment_intent(
            at=START, amount_minor=1000, currency=currency, customer=customer, metadata={}
        )

    charge = account.attempt_payment(intent("eur")["id"], at=START, card=Card())
    transaction = account.retrieve(charge["balance_transaction"]) or {}
    assert (charge["currency"], transaction["currency"]) == ("eur", "usd")
    assert (transaction["amount"], transaction["exchange_rate"]) == (1100, 1.1)
    with pytest.raises(StripeRefusedError):
        intent("gbp")


def test_moments_never_go_back() -> None:
    """A moment before the account's now, or one without a time zone, is refused."""
    account = new_account()
    account.advance_to(START + timedelta(days=1))
    with pytest.raises(ValueError, match="go back"):
        account.create_customer(at=START, email="a@example.com", metadata={})
    with pytest.raises(ValueError, match="time zone"):
        account.advance_to(datetime(2027, 1, 1))  # noqa: DTZ001


def test_returned_objects_are_copies() -> None:
    """Changing what a call returned changes nothing in the account."""
    account = new_account()
    charge = pay(account, START, fee_visible_after_s=60)
    charge["amount_captured"] = 1
    account.advance_to(START + timedelta(minutes=2))
    kept = account.retrieve(charge["id"]) or {}
    assert kept["amount_captured"] == 5000
    assert (account.retrieve(kept["balance_transaction"]) or {})["amount"] == 5000
