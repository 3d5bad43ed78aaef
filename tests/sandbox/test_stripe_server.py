"""The Stripe-shaped server, with the official SDK as its client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import stripe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stripe import StripeClient

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.reports import FILES_URL
from payhealth.sandbox.stripe.server import RESOURCES, build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
START_S = int(START.timestamp())
KEY = "sk_test_0123456789abcdef"
SECRET = "whsec_sandbox"
CHARGES = 257


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


def new_account() -> StripeAccount:
    """An empty account."""
    return StripeAccount(seed=5, api_key=KEY, webhook_secret=SECRET, start=START)


def pay(account: StripeAccount, at: datetime, customer: str, **how: Any) -> dict[str, Any]:
    """One attempt on a new intent; the charge."""
    intent = account.create_payment_intent(
        at=at, amount_minor=2000, currency="usd", customer=customer, metadata={"order": "9"}
    )
    return account.attempt_payment(intent["id"], at=at, card=Card(), **how)


def sdk(url: str, key: str = KEY) -> StripeClient:
    """The official client, pointed at the sandbox, without retries."""
    return StripeClient(key, base_addresses={"api": url}, max_network_retries=0)


@pytest.fixture(scope="module")
def account() -> StripeAccount:
    """257 charges of two customers, three to a second, with some of everything else."""
    account = new_account()
    customers = [
        account.create_customer(at=START, email=f"{name}@example.com", metadata={"account": name})["id"]
        for name in ("ada", "bob")
    ]
    at, charges = START, []
    for number in range(CHARGES):
        at = START + timedelta(seconds=number // 3)
        decline = Decline() if number % 10 == 9 else None
        charges.append(pay(account, at, customers[number % 2], decline=decline))
    refund = account.refund(charges[0]["id"], at=at, amount_minor=500)
    account.settle_refund(refund["id"], at=at, failed=True)
    account.refund(charges[1]["id"], at=at, amount_minor=500)
    account.open_dispute(charges[2]["id"], at=at)
    account.warn_of_fraud(charges[3]["id"], at=at)
    account.create_setup_intent(at=at, customer=customers[0])
    account.pay_out(at=START + timedelta(days=3))
    account.advance_to(START + timedelta(days=6))
    account.create_checkout_session(at=START + timedelta(days=6), amount_minor=900, currency="usd")
    account.create_invoice(
        at=START + timedelta(days=6), customer=customers[0], amount_minor=900, currency="usd"
    )
    interval = {"interval_start": START_S, "interval_end": START_S + 86_400}
    run = account.create_report_run("balance_change_from_activity.itemized.3", interval)
    for _ in range(2):
        account.poll_report_run(run["id"])
    return account


@pytest.fixture(scope="module")
def server(account: StripeAccount) -> Iterator[LoopbackServer]:
    """The account over HTTP, without a rate limit."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LoopbackServer) -> StripeClient:
    """The official client of that server."""
    return sdk(server.url)


def raw(server: LoopbackServer, path: str, **params: Any) -> httpx.Response:
    """A plain request with the right key."""
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.get(f"{server.url}{path}", params=params, headers=headers)


def ids(account: StripeAccount, name: str) -> list[str]:
    """Ids in the account, newest first."""
    return [value["id"] for value in reversed(getattr(account, name).since(None))]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_auto_paging_gives_each_object_once_newest_first(
    client: StripeClient, account: StripeAccount, limit: int
) -> None:
    """Auto-paging yields every object exactly once, newest first, whatever the page size."""
    if limit == 1:
        found = list(client.v1.customers.list(params={"limit": 1}).auto_paging_iter())
        assert [customer.id for customer in found] == ids(account, "customers")
        return
    charges = list(client.v1.charges.list(params={"limit": limit}).auto_paging_iter())
    assert [charge.id for charge in charges] == ids(account, "charges")
    assert [charge.created for charge in charges] == sorted((c.created for c in charges), reverse=True)


def test_default_page_is_ten(client: StripeClient) -> None:
    """Without a limit a page holds ten objects."""
    page = client.v1.charges.list()
    assert len(page.data) == 10
    assert page.has_more
    assert page.url == "/v1/charges"


def test_every_resource_lists_and_retrieves_what_the_account_holds(
    server: LoopbackServer, account: StripeAccount
) -> None:
    """Each list's objects are those of the account, and each can be read by its id."""
    for path, kind in RESOURCES.items():
        page = raw(server, f"/v1/{path}", limit=100).json()
        assert page["object"] == "list"
        assert page["data"], path
        newest = page["data"][0]
        assert newest["object"] == kind
        kept = orjson.dumps(account.retrieve(newest["id"])).replace(FILES_URL.encode(), server.url.encode())
        assert newest == raw(server, f"/v1/{path}/{newest['id']}").json() == orjson.loads(kept)


@pytest.mark.parametrize(
    ("bounds", "seconds"),
    [
        ({"gte": 10, "lt": 20}, range(10, 20)),
        ({"gt": 10, "lte": 20}, range(11, 21)),
        ({"gte": 85}, range(85, 86)),
        ({"lt": 0}, range(0)),
    ],
)
def test_created_ranges_cut_exactly(
    client: StripeClient, account: StripeAccount, bounds: dict[str, int], seconds: range
) -> None:
    """``created`` bounds are exact at both edges, and combine with paging."""
    created: Any = {name: START_S + value for name, value in bounds.items()}
    page = client.v1.charges.list(params={"created": created, "limit": 4})
    expected = [c for c in account.charges.since(None) if c["created"] - START_S in seconds]
    assert [c.id for c in page.auto_paging_iter()] == [c["id"] for c in reversed(expected)]


def test_ending_before_walks_towards_the_newest(client: StripeClient, account: StripeAccount) -> None:
    """``ending_before`` gives the newer neighbours of the cursor, newest first."""
    newest_first = ids(account, "charges")
    page = client.v1.charges.list(params={"ending_before": newest_first[10], "limit": 4})
    assert [c.id for c in page.data] == newest_first[6:10]
    assert page.has_more
    first = client.v1.charges.list(params={"ending_before": newest_first[2], "limit": 4})
    assert [c.id for c in first.data] == newest_first[:2]
    assert not first.has_more


def test_new_objects_shift_pages_but_cursors_hold() -> None:
    """A charge made between two pages is not on the second, and none is skipped."""
    account = new_account()
    customer = account.create_customer(at=START, email="a@example.com", metadata={})["id"]
    for _ in range(8):
        pay(account, START, customer)
    before = ids(account, "charges")
    with LoopbackServer(build_app(account)) as server:
        client = sdk(server.url)
        first = client.v1.charges.list(params={"limit": 5})
        pay(account, START, customer)
        second = client.v1.charges.list(params={"limit": 5, "starting_after": first.data[-1].id})
    assert [c.id for c in [*first.data, *second.data]] == before


def test_filters(client: StripeClient, account: StripeAccount) -> None:
    """Lists filter by customer, intent, charge, payout, type and types."""
    ada = ids(account, "customers")[1]
    mine = list(client.v1.charges.list(params={"customer": ada, "limit": 100}).auto_paging_iter())
    assert len(mine) == (CHARGES + 1) // 2
    assert {c.customer for c in mine} == {ada}
    intent = str(mine[0].payment_intent)
    both: Any = {"customer": ada, "payment_intent": intent}
    assert [c.id for c in client.v1.charges.list(params=both).data] == [mine[0].id]
    dispute = client.v1.disputes.list().data[0]
    assert client.v1.disputes.list(params={"charge": str(dispute.charge)}).data[0].id == dispute.id
    assert client.v1.refunds.list(params={"charge": str(dispute.charge)}).data == []
    payout = client.v1.payouts.list(params={"status": "paid"}).data[0]
    paid = list(
        client.v1.balance_transactions.list(params={"payout": payout.id, "limit": 50}).auto_paging_iter()
    )
    assert sum(t.net for t in paid) == 0
    assert sum(t.net for t in paid if t.type != "payout") == payout.amount
    kinds: Any = ["charge.failed", "charge.refunded"]
    events = list(client.v1.events.list(params={"types": kinds, "limit": 3}).auto_paging_iter())
    assert {e.type for e in events} == set(kinds)
    assert [e.created for e in events] == sorted((e.created for e in events), reverse=True)
    assert len(events) == CHARGES // 10 + 2
    assert client.v1.events.list(params={"delivery_success": False}).data == []


def test_expand_replaces_ids_by_objects(client: StripeClient, account: StripeAccount) -> None:
    """``expand`` nests objects in lists and single objects, to several levels; null stays null."""
    page = client.v1.charges.list(
        params={"limit": 100, "expand": ["data.balance_transaction", "data.payment_intent.latest_charge"]}
    )
    assert len(page.data) == 100
    for charge in page.data:
        intent: Any = charge.payment_intent
        assert intent.latest_charge.id == charge.id
        transaction: Any = charge.balance_transaction
        assert (transaction is None) == (charge.status == "failed")
        if transaction is not None:
            assert transaction.net == charge.amount - transaction.fee
    refund = client.v1.refunds.list().data[0]
    whole: Any = client.v1.refunds.retrieve(refund.id, params={"expand": ["charge.customer"]})
    assert whole.charge.customer.email == "bob@example.com"
    dispute: Any = client.v1.disputes.list(params={"expand": ["data.charge"]}).data[0]
    assert dispute.charge.disputed
    source: Any = client.v1.balance_transactions.list(params={"expand": ["data.source"]}).data[0].source
    assert source.object == "payout"


def test_balance_and_account(client: StripeClient, account: StripeAccount) -> None:
    """The balance is the sum of the balance transactions, over HTTP too; the account tells its name."""
    balance = client.v1.balance.retrieve()
    transactions = client.v1.balance_transactions.list(params={"limit": 100}).auto_paging_iter()
    both = balance.available[0].amount + balance.pending[0].amount
    assert both == sum(t.net for t in transactions)
    assert client.v1.accounts.retrieve_current().id == account.account_id


@pytest.mark.parametrize("key", ["sk_test_wrong", "rk_test_0123456789abcdee"])
def test_wrong_key_is_an_authentication_error(server: LoopbackServer, key: str) -> None:
    """A wrong key is refused with 401, a request id, and without showing the key."""
    with pytest.raises(stripe.AuthenticationError) as caught:
        sdk(server.url, key).v1.charges.list()
    assert caught.value.http_status == 401
    assert str(caught.value.request_id).startswith("req_")
    assert key not in str(caught.value)


def test_no_key_and_basic_auth(server: LoopbackServer) -> None:
    """No key is refused in Stripe's shape; basic authentication is as good as Bearer."""
    refused = httpx.get(f"{server.url}/v1/charges")
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert httpx.get(f"{server.url}/v1/charges", auth=(KEY, "")).status_code == 200
    assert httpx.get(f"{server.url}/v1/charges", headers={"Authorization": "Basic !!"}).status_code == 401


def test_unknown_objects_are_missing(client: StripeClient) -> None:
    """An unknown id is 404 ``resource_missing``; an unknown cursor is 400 with its parameter."""
    with pytest.raises(stripe.InvalidRequestError) as single:
        client.v1.charges.retrieve("ch_unknown")
    assert (single.value.http_status, single.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as cursor:
        client.v1.charges.list(params={"starting_after": "ch_unknown"})
    assert (cursor.value.http_status, cursor.value.param) == (400, "starting_after")


@pytest.mark.parametrize(
    ("path", "params", "param"),
    [
        ("charges", {"limit": 0}, "limit"),
        ("charges", {"limit": 101}, "limit"),
        ("charges", {"limit": "many"}, "limit"),
        ("charges", {"status": "failed"}, "status"),
        ("charges", {"updated[gte]": 1}, "updated[gte]"),
        ("charges", {"created[gte]": "monday"}, "created[gte]"),
        ("charges", {"expand[]": "balance_transaction"}, "expand"),
        ("charges", {"expand[]": "data.amount"}, "expand"),
        ("charges", {"expand[]": "data.a.b.c.d"}, "expand"),
        ("payment_intents", {"charge": "ch_1"}, "charge"),
        ("events", {f"types[{n}]": f"type.{n}" for n in range(21)}, "types"),
    ],
)
def test_bad_parameters_are_refused(
    server: LoopbackServer, path: str, params: dict[str, Any], param: str
) -> None:
    """What Stripe refuses is refused: 400, its type, and the parameter's name."""
    answer = raw(server, f"/v1/{path}", **params)
    assert answer.status_code == 400
    assert (answer.json()["error"]["type"], answer.json()["error"]["param"]) == (
        "invalid_request_error",
        param,
    )


def test_unknown_urls_and_methods(server: LoopbackServer) -> None:
    """A URL or method that is not served answers 404 in Stripe's shape."""
    assert raw(server, "/v1/nothing").json()["error"]["type"] == "invalid_request_error"
    posted = httpx.post(f"{server.url}/v1/charges", headers={"Authorization": f"Bearer {KEY}"})
    assert posted.status_code == 404
    assert "Unrecognized request URL (POST: /v1/charges)" in posted.json()["error"]["message"]


def test_rate_limit_is_per_endpoint() -> None:
    """Above the rate an endpoint answers 429 with Retry-After, others still answer, and tokens return."""
    now_s = [100.0]
    app = build_app(new_account(), rate_limit_per_s=3, monotonic=lambda: now_s[0])
    with LoopbackServer(app) as server:
        client = sdk(server.url)
        for _ in range(3):
            client.v1.charges.list()
        with pytest.raises(stripe.RateLimitError) as caught:
            client.v1.charges.list()
        assert caught.value.http_status == 429
        assert (caught.value.headers or {})["retry-after"] == "1"
        client.v1.refunds.list()
        now_s[0] += 1 / 3 + 0.001
        client.v1.charges.list()
        with pytest.raises(stripe.RateLimitError):
            client.v1.charges.list()
    assert app.state.requests["charges"] == 6
    assert app.state.refused["charges"] == 2


def test_version_is_echoed(server: LoopbackServer) -> None:
    """``Stripe-Version`` comes back, the account's own when none was sent."""
    assert raw(server, "/v1/charges").headers["stripe-version"] == "2026-10-28.endive"
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Version": "2024-06-20"}
    assert httpx.get(f"{server.url}/v1/charges", headers=headers).headers["stripe-version"] == "2024-06-20"


def test_intercept_stands_in_for_outages() -> None:
    """A response of ``intercept`` is sent instead of the real one."""
    app = build_app(new_account(), intercept=lambda _: Response("{}", status_code=503))
    with LoopbackServer(app) as server, pytest.raises(stripe.APIError) as caught:
        sdk(server.url).v1.charges.list()
    assert caught.value.http_status == 503


def test_events_can_be_read_for_thirty_days() -> None:
    """Events older than 30 days are gone from the list and by id."""
    account = new_account()
    account.create_customer(at=START, email="a@example.com", metadata={})
    old = account.events_since()[0]["id"]
    account.create_customer(at=START + timedelta(days=31), email="b@example.com", metadata={})
    with LoopbackServer(build_app(account)) as server:
        client = sdk(server.url)
        assert [e.id for e in client.v1.events.list().data] == [account.events_since()[1]["id"]]
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.events.retrieve(old)


def test_webhooks_verify_with_the_official_library() -> None:
    """Deliveries hold the event as it is listed, and their signature passes ``construct_event``."""
    account = new_account()
    customer = account.create_customer(at=START, email="a@example.com", metadata={})["id"]
    pay(account, START, customer)
    received: list[tuple[bytes, str]] = []

    async def receive(request: Request) -> Response:
        received.append((await request.body(), request.headers["stripe-signature"]))
        return Response(status_code=204)

    events = account.events_since()
    with LoopbackServer(Starlette(routes=[Route("/hook", receive, methods=["POST"])])) as endpoint:
        sent = account.deliver_webhooks(f"{endpoint.url}/hook", events)
        nowhere = endpoint.url
    assert [(d.event, d.status) for d in sent] == [(e["id"], 204) for e in events]
    for (payload, header), event in zip(received, events, strict=True):
        verified = stripe.Webhook.construct_event(payload, header, SECRET)
        assert (verified.id, verified.type) == (event["id"], event["type"])
    payload, header = received[0]
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(payload + b" ", header, SECRET)
    (lost,) = account.deliver_webhooks(nowhere, events[:1])
    assert (lost.status, lost.error) == (None, "ConnectError")


def test_reading_while_the_simulation_writes() -> None:
    """Pages read during writes are whole: no object twice, none skipped among those already there."""
    account = new_account()
    customer = account.create_customer(at=START, email="a@example.com", metadata={})["id"]
    for _ in range(60):
        pay(account, START, customer)
    before = set(ids(account, "charges"))

    def write() -> None:
        for number in range(200):
            pay(account, START + timedelta(seconds=number), customer)

    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as server:
        writer = threading.Thread(target=write)
        writer.start()
        found = [c.id for c in sdk(server.url).v1.charges.list(params={"limit": 10}).auto_paging_iter()]
        writer.join()
    assert len(found) == len(set(found))
    assert before <= set(found)
