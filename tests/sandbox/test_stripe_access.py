"""Keys, permissions, modes and connected accounts, as the official SDK meets them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe
from stripe import StripeClient

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.access import PERMISSIONS
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.server import RESOURCES, build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
FULL = "sk_test_0123456789abcdef"
READER = "rk_test_reader0123456789"
WRITER = "rk_test_writer0123456789"
LIVE = "rk_live_0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


def new_account(key: str = FULL, **options: Any) -> StripeAccount:
    """An account with one paid charge."""
    account = StripeAccount(api_key=key, webhook_secret="whsec_x", start=START, **options)
    intent = account.create_payment_intent(
        at=START, amount_minor=900, currency="usd", customer=None, metadata={}
    )
    account.attempt_payment(intent["id"], at=START, card=Card())
    return account


@pytest.fixture
def account() -> StripeAccount:
    """An account with a full key, a key that reads charges and one that may refund."""
    keys = {READER: ["charge_read", "rak_event_read"], WRITER: {"charge_write"}}
    return new_account(seed=5, api_keys=keys)


@pytest.fixture
def server(account: StripeAccount) -> Iterator[LoopbackServer]:
    """The account over HTTP."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as running:
        yield running


def sdk(server: LoopbackServer, key: str, stripe_account: str | None = None) -> StripeClient:
    """The official client with a key."""
    return StripeClient(
        key, base_addresses={"api": server.url}, max_network_retries=0, stripe_account=stripe_account
    )


def code_of(error: stripe.StripeError) -> str | None:
    """The machine-readable code, which the library reads from some errors only."""
    body: dict[str, Any] = error.json_body or {}
    code: str | None = body["error"].get("code")
    return code


def post(server: LoopbackServer, path: str, key: str, **form: str) -> httpx.Response:
    """A plain POST."""
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{server.url}/v1/{path}", headers=headers, data=form)


def test_restricted_key_reads_what_it_may(server: LoopbackServer, account: StripeAccount) -> None:
    """A restricted key reads what is named; the refusal is 403 in Stripe's words and hides the key."""
    client = sdk(server, READER)
    (charge,) = client.v1.charges.list().data
    assert client.v1.charges.retrieve(charge.id).id == charge.id
    assert client.v1.events.list().data
    assert client.v1.refunds.list().data == []
    with pytest.raises(stripe.PermissionError, match="'rak_payout_read' permission would allow") as caught:
        client.v1.payouts.list()
    assert caught.value.http_status == 403
    assert account.account_id in str(caught.value)
    assert READER not in str(caught.value)
    assert (caught.value.json_body or {})["error"]["type"] == "invalid_request_error"
    with pytest.raises(stripe.PermissionError, match="rak_accounts_kyc_basic_read"):
        client.v1.accounts.retrieve_current()


def test_every_resource_needs_a_permission(server: LoopbackServer) -> None:
    """Whatever is served names the permission it needs, lists and single objects alike."""
    others = ("account", "balance", "accounts/acct_1", "reporting/report_types", "files/file_1/contents")
    headers = {"Authorization": f"Bearer {WRITER}"}
    for path in (*RESOURCES, *others, *(f"{path}/x_1" for path in RESOURCES)):
        if path.split("/")[0] in {"charges", "refunds"}:
            continue
        answer = httpx.get(f"{server.url}/v1/{path}", headers=headers)
        assert (answer.status_code, path) == (403, path)
    assert set(RESOURCES) < set(PERMISSIONS)


def test_write_probe_makes_nothing(server: LoopbackServer, account: StripeAccount) -> None:
    """POST /v1/refunds tells who may write, and refuses even those."""
    before = len(account.events_since())
    assert post(server, "refunds", READER).status_code == 403
    assert "rak_charge_write" in post(server, "refunds", READER).json()["error"]["message"]
    for key in (WRITER, FULL):
        empty = post(server, "refunds", key)
        assert (empty.status_code, empty.json()["error"]["code"]) == (400, "parameter_missing")
        assert post(server, "refunds", key, charge="ch_unknown").status_code == 404
        charge = account.charges.since(None)[0]["id"]
        assert post(server, "refunds", key, charge=charge).status_code == 400
    assert sdk(server, WRITER).v1.charges.list().data
    assert (len(account.refunds), len(account.events_since())) == (0, before)


@pytest.mark.parametrize("path", ["charges", "customers", "payouts", "checkout/sessions", "invoices"])
def test_nothing_else_can_be_posted(server: LoopbackServer, path: str) -> None:
    """POST anywhere else is an unknown URL."""
    answer = post(server, path, FULL, amount="1")
    assert answer.status_code == 404
    assert f"Unrecognized request URL (POST: /v1/{path})" in answer.json()["error"]["message"]


def test_revoked_key_is_refused_from_then_on(server: LoopbackServer, account: StripeAccount) -> None:
    """A key revoked during a run is refused with 401 ``api_key_expired``; the others go on."""
    client = sdk(server, READER)
    client.v1.charges.list()
    account.keys.revoke(READER)
    with pytest.raises(stripe.AuthenticationError, match="Expired API Key provided") as caught:
        client.v1.charges.list()
    assert (caught.value.http_status, code_of(caught.value)) == (401, "api_key_expired")
    assert READER not in str(caught.value)
    assert sdk(server, FULL).v1.charges.list().data
    with pytest.raises(KeyError):
        account.keys.revoke("rk_test_unknown")


def test_each_mode_shows_its_own_objects() -> None:
    """Live and test keys of one account see only their mode; alone, a key of the other mode is unknown."""
    test, live = new_account(seed=5), new_account(LIVE, seed=6, account_id="acct_same")
    live.account_id = test.account_id
    with LoopbackServer(build_app(test, other_mode=live, rate_limit_per_s=None)) as server:
        for key, account in ((FULL, test), (LIVE, live)):
            (charge,) = sdk(server, key).v1.charges.list().data
            assert (charge.id, charge.livemode) == (account.charges.since(None)[0]["id"], account.livemode)
            assert sdk(server, key).v1.accounts.retrieve_current().id == test.account_id
    with LoopbackServer(build_app(test)) as server, pytest.raises(stripe.AuthenticationError):
        sdk(server, LIVE).v1.charges.list()


def test_stripe_account_leads_to_a_connected_account(account: StripeAccount) -> None:
    """``Stripe-Account`` selects a connected account with the platform's key and its permissions."""
    other = new_account("sk_test_of_the_other_one", seed=9)
    with LoopbackServer(build_app(account, connected=[other], rate_limit_per_s=None)) as server:
        client = sdk(server, FULL, other.account_id)
        assert [c.id for c in client.v1.charges.list().data] == [other.charges.since(None)[0]["id"]]
        assert client.v1.accounts.retrieve_current().id == other.account_id
        assert sdk(server, FULL).v1.accounts.retrieve(other.account_id).id == other.account_id
        assert sdk(server, FULL, account.account_id).v1.charges.list().data[0].id in account.charges
        with pytest.raises(
            stripe.PermissionError, match="does not have access to account 'acct_x'"
        ) as caught:
            sdk(server, FULL, "acct_x").v1.charges.list()
        assert (caught.value.http_status, code_of(caught.value)) == (403, "account_invalid")
        with pytest.raises(stripe.PermissionError, match=other.account_id):
            sdk(server, READER, other.account_id).v1.payouts.list()
        with pytest.raises(stripe.AuthenticationError):
            sdk(server, other.api_key).v1.charges.list()


def test_connected_accounts_are_of_the_keys_mode() -> None:
    """A test key does not reach a connected account's live objects, nor a live key its test ones."""
    test, live = new_account(seed=5), new_account(LIVE, seed=6)
    shops = [new_account(key, seed=9) for key in ("sk_test_of_the_shop", "sk_live_of_the_shop")]
    app = build_app(test, other_mode=live, connected=shops, rate_limit_per_s=None)
    with LoopbackServer(app) as server:
        for key, shop in zip((FULL, LIVE), shops, strict=True):
            (charge,) = sdk(server, key, shop.account_id).v1.charges.list().data
            assert charge.livemode == shop.livemode
    only_live = build_app(test, connected=shops[1:], rate_limit_per_s=None)
    with LoopbackServer(only_live) as server, pytest.raises(stripe.PermissionError):
        sdk(server, FULL, shops[1].account_id).v1.charges.list()


def test_what_cannot_be_is_refused() -> None:
    """Unknown permissions, keys of the other mode and accounts that clash are refused at once."""
    with pytest.raises(ValueError, match="unknown permissions"):
        new_account(seed=1, api_keys={READER: ["charges_read"]})
    with pytest.raises(ValueError, match="mode"):
        new_account(seed=1, api_keys={LIVE: None})
    account = new_account(seed=1)
    with pytest.raises(ValueError, match="ids of their own"):
        build_app(account, connected=[new_account(seed=1)])
    with pytest.raises(ValueError, match="other mode"):
        build_app(account, other_mode=new_account(seed=2))
