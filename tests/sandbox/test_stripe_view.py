"""What readers are shown: the account's clock, and objects lost, late or deleted on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.server import build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
START_S = int(START.timestamp())
KEY = "sk_test_0123456789abcdef"


@pytest.fixture
def account() -> StripeAccount:
    """An account with ten paid charges, one a second."""
    account = StripeAccount(seed=5, api_key=KEY, webhook_secret="whsec_x", start=START)
    for number in range(10):
        pay(account, START + timedelta(seconds=number))
    return account


@pytest.fixture
def server(account: StripeAccount) -> Iterator[LoopbackServer]:
    """The account over HTTP."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as running:
        yield running


def pay(account: StripeAccount, at: datetime) -> dict[str, Any]:
    """A paid charge."""
    intent = account.create_payment_intent(
        at=at, amount_minor=900, currency="usd", customer=None, metadata={}
    )
    return account.attempt_payment(intent["id"], at=at, card=Card())


def get(server: LoopbackServer, path: str, **params: Any) -> httpx.Response:
    """A plain request."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.get(f"{server.url}/v1/{path}", params=params, headers=headers)


def listed(server: LoopbackServer, path: str, **params: Any) -> list[str]:
    """The ids on a page."""
    return [one["id"] for one in get(server, path, **params).json()["data"]]


def date_s(answer: httpx.Response) -> int:
    """The one ``Date`` of an answer in unix seconds."""
    (value,) = answer.headers.get_list("date")
    return int(parsedate_to_datetime(value).timestamp())


def newest_first(account: StripeAccount, name: str) -> list[str]:
    """Ids in the account."""
    return [one["id"] for one in reversed(getattr(account, name).since(None))]


def test_date_is_the_accounts_moment(server: LoopbackServer, account: StripeAccount) -> None:
    """Every answer, refusals too, has one ``Date``: the account's now, never before what is in it."""
    for answer in (get(server, "charges"), get(server, "charges/ch_x"), get(server, "nothing")):
        assert date_s(answer) == START_S + 9
    refused = httpx.get(f"{server.url}/v1/charges")
    assert (refused.status_code, date_s(refused)) == (401, START_S + 9)
    account.advance_to(START + timedelta(days=1))
    assert date_s(get(server, "balance")) == START_S + 86_400


def test_injected_clock_runs_on_but_never_before_the_account(account: StripeAccount) -> None:
    """A clock of the test's own is told, unless the account knows a later moment."""
    now_s = [START_S - 100]
    broken = [False]

    def intercept(_: Request) -> Response | None:
        return Response("", status_code=503) if broken[0] else None

    app = build_app(account, now_s=lambda: now_s[0], intercept=intercept, rate_limit_per_s=None)
    with LoopbackServer(app) as server:
        assert date_s(get(server, "charges")) == START_S + 9
        now_s[0] = START_S + 5000
        assert date_s(get(server, "charges")) == START_S + 5000
        broken[0] = True
        answer = get(server, "charges")
        assert (answer.status_code, date_s(answer)) == (503, START_S + 5000)


def test_hidden_object_is_nowhere_but_in_the_balance(server: LoopbackServer, account: StripeAccount) -> None:
    """A hidden object is in no list, missing by id and not expanded; the balance holds its money still."""
    everything = newest_first(account, "balance_transactions")
    lost = everything[3]
    before = get(server, "balance").json()
    account.hide(lost)
    assert listed(server, "balance_transactions", limit=100) == [one for one in everything if one != lost]
    assert listed(server, "balance_transactions", limit=4, type="charge") == [*everything[:3], everything[4]]
    charge = account.balance_transactions.get(lost)["source"]
    assert listed(server, "balance_transactions", source=charge) == []
    assert get(server, f"balance_transactions/{lost}").json()["error"]["code"] == "resource_missing"
    shown = get(server, f"charges/{charge}", **{"expand[]": "balance_transaction"}).json()
    assert shown["balance_transaction"] == lost
    assert get(server, "balance").json() == before
    assert get(server, "balance_transactions", limit=9).json()["has_more"] is False
    assert len(listed(server, "balance_transactions", starting_after=lost)) == 6
    account.reveal(lost)
    assert listed(server, "balance_transactions", limit=100) == everything


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_stay_whole_around_what_is_hidden(
    server: LoopbackServer, account: StripeAccount, limit: int
) -> None:
    """Paging gives every object that is shown once, in both directions, whatever is hidden between."""
    everything = newest_first(account, "charges")
    for lost in (everything[0], everything[4], everything[5], everything[9]):
        account.hide(lost)
    shown = [one for number, one in enumerate(everything) if number not in {0, 4, 5, 9}]
    down: list[str] = []
    up: list[str] = []
    for found, cursor, at in ((down, "starting_after", -1), (up, "ending_before", 0)):
        where: dict[str, str] = {} if cursor == "starting_after" else {cursor: shown[-1]}
        more = True
        while more:
            page = get(server, "charges", limit=limit, **where).json()
            ids = [one["id"] for one in page["data"]]
            found[:] = [*found, *ids] if cursor == "starting_after" else [*ids, *found]
            more = page["has_more"]
            where = {cursor: ids[at]}
    assert down == shown
    assert up == shown[:-1]


def test_late_object_appears_in_lists_at_its_moment(server: LoopbackServer, account: StripeAccount) -> None:
    """A delayed object is left out of lists until the account's clock has come so far; by id it is there."""
    late = newest_first(account, "charges")[2]
    account.delay(late, for_s=60)
    assert late not in listed(server, "charges")
    assert get(server, f"charges/{late}").json()["id"] == late
    account.advance_to(START + timedelta(seconds=9 + 59))
    assert late not in listed(server, "charges")
    account.advance_to(START + timedelta(seconds=9 + 60))
    assert listed(server, "charges") == newest_first(account, "charges")


@pytest.mark.parametrize("cursor", ["starting_after", "ending_before"])
def test_deleted_object_is_no_cursor(server: LoopbackServer, account: StripeAccount, cursor: str) -> None:
    """A page after a deleted object is refused as Stripe refuses it: 400, missing, naming the cursor."""
    gone = newest_first(account, "charges")[4]
    account.delete(gone)
    answer = get(server, "charges", **{cursor: gone})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "resource_missing", cursor)
    assert get(server, f"charges/{gone}").status_code == 404
    assert len(listed(server, "charges")) == 9
    with pytest.raises(StripeRefusedError):
        account.delete("ch_unknown")


def test_lost_event_is_not_listed(server: LoopbackServer, account: StripeAccount) -> None:
    """An event can be lost like any object, and the object that it tells of has changed all the same."""
    charge = newest_first(account, "charges")[0]
    account.refund(charge, at=START + timedelta(seconds=10))
    lost = [e["id"] for e in account.events_since() if e["type"] in {"charge.refunded", "refund.created"}]
    for one in lost:
        account.hide(one)
    params = {"types[0]": "charge.refunded", "types[1]": "refund.created", "types[2]": "charge.succeeded"}
    kinds = {one["type"] for one in get(server, "events", limit=100, **params).json()["data"]}
    assert kinds == {"charge.succeeded"}
    assert get(server, f"charges/{charge}").json()["refunded"] is True


def test_setups_and_warnings_are_listed_and_told(server: LoopbackServer, account: StripeAccount) -> None:
    """Setup intents and early fraud warnings filter as at Stripe, and each change leaves its event."""
    at = START + timedelta(seconds=10)
    who = [account.create_customer(at=at, email="a@example.com", metadata={})["id"] for _ in range(2)]
    good = account.create_setup_intent(at=at, customer=who[0])
    bad = account.create_setup_intent(at=at, customer=who[1], decline=Decline())
    assert listed(server, "setup_intents", customer=who[1]) == [bad["id"]]
    assert listed(server, "setup_intents", payment_method=good["payment_method"]) == [good["id"]]
    assert get(server, "setup_intents", status="succeeded").status_code == 400
    charges = [account.charges.get(one) for one in newest_first(account, "charges")[:2]]
    warnings = [account.warn_of_fraud(charge["id"], at=at)["id"] for charge in charges]
    path = "radar/early_fraud_warnings"
    assert listed(server, path, charge=charges[0]["id"]) == warnings[:1]
    assert listed(server, path, payment_intent=charges[1]["payment_intent"]) == warnings[1:]
    assert listed(server, path, **{"created[gte]": START_S + 11}) == []
    account.refund(charges[0]["id"], at=at)
    told = [(e["type"], e["data"]["object"]["id"]) for e in account.events_since()]
    for kind, one in [
        ("setup_intent.created", good["id"]),
        ("setup_intent.succeeded", good["id"]),
        ("setup_intent.setup_failed", bad["id"]),
        ("radar.early_fraud_warning.created", warnings[0]),
        ("radar.early_fraud_warning.updated", warnings[0]),
    ]:
        assert told.count((kind, one)) == 1
