"""Payouts by hand and at once, and a balance that is the sum of its transactions whatever happens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import StripeClient

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.server import build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = "sk_test_0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


def rich_account(seed: int = 5) -> StripeAccount:
    """An account with 9 680 available at START + 3 days."""
    account = StripeAccount(seed=seed, api_key=KEY, webhook_secret="whsec_x", start=START)
    pay(account, START, 10_000)
    account.advance_to(START + 3 * DAY)
    return account


def pay(account: StripeAccount, at: datetime, amount_minor: int) -> dict[str, Any]:
    """A paid charge."""
    intent = account.create_payment_intent(
        at=at, amount_minor=amount_minor, currency="usd", customer=None, metadata={}
    )
    return account.attempt_payment(intent["id"], at=at, card=Card())


@pytest.fixture
def account() -> StripeAccount:
    """An account with money to pay out."""
    return rich_account()


@pytest.fixture
def client(account: StripeAccount) -> Iterator[StripeClient]:
    """The official client of the account."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as server:
        yield StripeClient(KEY, base_addresses={"api": server.url}, max_network_retries=0)


def in_balance(account: StripeAccount) -> int:
    """Available plus pending."""
    shown = account.balance()
    return int(shown["available"][0]["amount"] + shown["pending"][0]["amount"])


def test_payout_by_hand_says_nothing_of_its_transactions(
    account: StripeAccount, client: StripeClient
) -> None:
    """A payout by hand is not automatic, is paid without a reconciliation, and its list is refused."""
    made = account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=4000, metadata={"for": "rent"})
    assert (made["automatic"], made["method"], made["reconciliation_status"]) == (
        False,
        "standard",
        "not_applicable",
    )
    account.advance_to(START + 6 * DAY)
    read = client.v1.payouts.retrieve(made["id"])
    assert (read.status, read.reconciliation_status) == ("paid", "not_applicable")
    assert read.to_dict()["metadata"] == {"for": "rent"}
    with pytest.raises(stripe.InvalidRequestError, match="only be filtered on automatic transfers") as caught:
        client.v1.balance_transactions.list(params={"payout": made["id"]})
    assert caught.value.http_status == 400
    own = client.v1.balance_transactions.list(params={"source": made["id"]}).data
    assert [(t.amount, t.fee, t.net, t.type) for t in own] == [(-4000, 0, -4000, "payout")]
    types = [e["type"] for e in account.events_since() if e["data"]["object"]["id"] == made["id"]]
    assert types == ["payout.created", "payout.updated", "payout.paid"]


def test_instant_payout_costs_one_per_cent_and_arrives_soon(account: StripeAccount) -> None:
    """An instant payout is paid within the hour, its fee on its transaction; its failure keeps the fee."""
    made = account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=4000, instant=True)
    out = account.balance_transactions.get(made["balance_transaction"])
    assert (made["method"], out["amount"], out["fee"], out["net"]) == ("instant", -4000, 40, -4040)
    account.advance_to(START + 3 * DAY + timedelta(hours=1))
    assert account.payouts.get(made["id"])["status"] == "paid"
    failed = account.fail_payout(made["id"], at=START + 4 * DAY)
    back = account.balance_transactions.get(failed["failure_balance_transaction"])
    assert (failed["status"], back["net"], back["type"]) == ("failed", 4000, "payout_failure")
    assert in_balance(account) == 9680 - 40


@pytest.mark.parametrize(("amount_minor", "instant"), [(9681, False), (9600, True), (0, False), (-5, False)])
def test_no_more_is_paid_out_than_there_is(
    account: StripeAccount, amount_minor: int, *, instant: bool
) -> None:
    """More than is available, with its fee, is refused, and so is nothing."""
    with pytest.raises(StripeRefusedError) as caught:
        account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=amount_minor, instant=instant)
    assert caught.value.code == "balance_insufficient"


def test_automatic_list_waits_for_its_reconciliation(account: StripeAccount, client: StripeClient) -> None:
    """The list behind ``payout`` is empty until the payout is reconciled; an unknown payout is missing."""
    made = account.pay_out(at=START + 3 * DAY)
    assert made is not None

    def listed() -> list[int]:
        return [t.net for t in client.v1.balance_transactions.list(params={"payout": made["id"]}).data]

    assert client.v1.payouts.retrieve(made["id"]).reconciliation_status == "in_progress"
    assert listed() == []
    account.advance_to(START + 6 * DAY)
    assert client.v1.payouts.retrieve(made["id"]).reconciliation_status == "completed"
    assert listed() == [-9680, 9680]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.balance_transactions.list(params={"payout": "po_unknown"})
    assert caught.value.code == "resource_missing"


def test_payouts_are_listed_by_what_stripe_lists_them_by(
    account: StripeAccount, client: StripeClient
) -> None:
    """Payouts filter by arrival, ``created`` and status, also together."""
    slow = account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=100)["id"]
    fast = account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=100, instant=True)["id"]
    account.advance_to(START + 4 * DAY)
    border_s = int((START + 5 * DAY).timestamp())

    def found(**params: Any) -> list[str]:
        return [one.id for one in client.v1.payouts.list(params=params).data]  # type: ignore[arg-type]

    assert found(arrival_date={"gte": border_s}) == found(arrival_date=border_s) == [slow]
    assert found(arrival_date={"lt": border_s}) == found(status="paid") == [fast]
    assert found(arrival_date={"gt": border_s}) == []
    assert found(arrival_date={"lte": border_s}, status="in_transit") == [slow]
    assert found(created={"gte": int((START + 3 * DAY).timestamp())}, limit=1) == [fast]


def test_balance_transactions_filter_by_kind_and_currency(
    account: StripeAccount, client: StripeClient
) -> None:
    """Balance transactions filter by type and currency; ``types`` is only for events."""
    account.pay_out_by_hand(at=START + 3 * DAY, amount_minor=100)

    def nets(**params: Any) -> list[int]:
        return [t.net for t in client.v1.balance_transactions.list(params=params).data]  # type: ignore[arg-type]

    assert nets(type="payout") == [-100]
    assert nets(currency="usd", type="charge") == [9680]
    assert nets(currency="eur") == []
    with pytest.raises(stripe.InvalidRequestError):
        nets(types=["charge"])


def step(account: StripeAccount, rng: random.Random, at: datetime, made: dict[str, list[str]]) -> None:
    """One random thing that may move money."""
    action = rng.randrange(10)
    if action <= 2:
        made["charges"].append(pay(account, at, rng.randrange(50, 9000))["id"])
    elif action == 3:
        one = account.create_checkout_session(at=at, amount_minor=rng.randrange(50, 900), currency="usd")
        decline = rng.choice([None, Decline()])
        charge = account.pay_checkout_session(one["id"], at=at, card=Card(), decline=decline)
        made["charges"].append(charge["id"])
    elif action == 4:
        made["payouts"] += [one["id"] for one in [account.pay_out(at=at)] if one]
    elif action == 5:
        by_hand = account.pay_out_by_hand(
            at=at, amount_minor=rng.randrange(1, 3000), instant=rng.random() < 0.5
        )
        made["payouts"].append(by_hand["id"])
    elif action == 6 and made["payouts"]:
        account.fail_payout(rng.choice(made["payouts"]), at=at)
    elif action == 7 and made["charges"]:
        made["refunds"].append(account.refund(rng.choice(made["charges"]), at=at)["id"])
    elif action == 8 and made["refunds"]:
        account.settle_refund(rng.choice(made["refunds"]), at=at, failed=True)
    elif action == 9 and made["charges"]:
        account.open_dispute(rng.choice(made["charges"]), at=at)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_balance_moves_by_nets_alone(seed: int) -> None:
    """At every moment the balance is the sum of nets so far, and each automatic payout that of its list."""
    account = rich_account(seed)
    rng, at, made = random.Random(seed), START + 3 * DAY, {"charges": [], "payouts": [], "refunds": []}
    for _ in range(50):
        at += timedelta(seconds=rng.randrange(60_000))
        try:
            step(account, rng, at, made)  # type: ignore[arg-type]
        except StripeRefusedError:
            continue
        finally:
            assert in_balance(account) == sum(t["net"] for t in account.balance_transactions.since(None))
    for payout in account.payouts.since(None):
        inside = account.balance_transactions.found("payout", payout["id"])
        assert bool(inside) == payout["automatic"]
        assert sum(account.balance_transactions.get(one)["net"] for one in inside) == 0
