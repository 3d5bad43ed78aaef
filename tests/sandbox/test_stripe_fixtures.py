"""The sandbox's objects against published ones: the same fields with the same types.

An object may hold null where the published one does, or where the official SDK says it may.
"""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stripe

from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.reports import REPORT_TYPES

DATA = Path(__file__).parents[2].parent / "shared" / "data"
START = datetime(2026, 1, 5, tzinfo=UTC)
CLASSES = {
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "file": stripe.File,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "payment_intent": stripe.PaymentIntent,
    "payout": stripe.Payout,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "refund": stripe.Refund,
    "reporting.report_run": stripe.reporting.ReportRun,
    "reporting.report_type": stripe.reporting.ReportType,
    "setup_intent": stripe.SetupIntent,
}
NOT_OURS = {
    ("payout", "djstripe_owner_account"): "added by the recorder of the older payloads",
    ("balance_transaction", "livemode"): "the recorder's empty column",
    ("balance_transaction", "metadata"): "the recorder's empty column",
    ("payment_intent", "charges"): "not sent since version 2022-11-15",
}
"""Published fields that the pinned version does not send, and why."""

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"published samples are absent: {DATA}")


def _published() -> list[tuple[str, dict[str, Any]]]:
    if not DATA.is_dir():
        return []
    fixtures = json.loads((DATA / "stripe_fixtures3.json").read_text())
    fixtures = fixtures.get("resources", fixtures)
    found = [(f"fixture {kind}", value) for kind, value in fixtures.items() if kind in CLASSES]
    payloads = sorted((DATA / "stripe_payloads").glob("*.json"))
    return found + [(path.stem, json.loads(path.read_text())) for path in payloads]


PUBLISHED = _published()


@pytest.fixture(scope="module")
def objects() -> dict[str, list[dict[str, Any]]]:
    """Objects of every kind, in many states."""
    account = StripeAccount(seed=2, api_key="sk_test_x", webhook_secret="whsec_x", start=START)
    customer = account.create_customer(at=START, email="a@example.com", metadata={"account": "a"})["id"]
    charges = []
    for number in range(40):
        intent = account.create_payment_intent(
            at=START, amount_minor=900, currency="usd", customer=customer, metadata={}
        )
        decline = Decline(blocked=number % 6 == 0) if number % 3 == 0 else None
        card = Card(country="DE" if number % 2 else "US", last4=f"{number:04d}")
        charges.append(account.attempt_payment(intent["id"], at=START, card=card, decline=decline))
    paid = [c["id"] for c in charges if c["status"] == "succeeded"]
    refund = account.refund(paid[0], at=START)
    account.settle_refund(refund["id"], at=START, failed=True)
    account.refund(paid[1], at=START, amount_minor=100, pending=True)
    won = account.open_dispute(paid[2], at=START)
    account.close_dispute(won["id"], at=START, status="won")
    account.open_dispute(paid[3], at=START, inquiry=True)
    account.warn_of_fraud(paid[4], at=START)
    account.create_setup_intent(at=START, customer=customer)
    account.create_setup_intent(at=START, customer=customer, decline=Decline())
    payout = account.pay_out(at=START + timedelta(days=4))
    assert payout is not None
    account.advance_to(START + timedelta(days=7))
    account.fail_payout(payout["id"], at=START + timedelta(days=8))
    account.pay_out_by_hand(at=START + timedelta(days=8), amount_minor=100, instant=True)
    account.pay_out(at=START + timedelta(days=8))
    sell(account, customer, at=START + timedelta(days=9))
    report(account)
    names: tuple[str, ...] = (
        "balance_transactions",
        "charges",
        "customers",
        "disputes",
        "events",
        "payment_intents",
    )
    names += ("payouts", "early_fraud_warnings", "refunds", "setup_intents", "checkout_sessions", "files")
    names += ("invoices", "invoice_payments", "report_runs")
    found: dict[str, list[dict[str, Any]]] = {"balance": [account.balance()]}
    found["reporting.report_type"] = [account.report_type(name) for name in REPORT_TYPES]
    for name in names:
        values = getattr(account, name).since(None)
        found[values[0]["object"]] = values
    return found


def sell(account: StripeAccount, customer: str, *, at: datetime) -> None:
    """Sessions and invoices in every state."""
    for buyer, decline in ((customer, None), (None, None), (customer, Decline())):
        session = account.create_checkout_session(at=at, amount_minor=700, currency="usd", customer=buyer)
        account.pay_checkout_session(session["id"], at=at, card=Card(), decline=decline)
    account.expire_checkout_session(session["id"], at=at)
    account.create_checkout_session(at=at, amount_minor=700, currency="usd", client_reference_id="a")
    invoices = [
        account.create_invoice(at=at, customer=customer, amount_minor=700, currency="usd", draft=n == 3)
        for n in range(4)
    ]
    account.pay_invoice(invoices[0]["id"], at=at, card=Card(), decline=Decline())
    account.pay_invoice(invoices[0]["id"], at=at, card=Card())
    account.void_invoice(invoices[1]["id"], at=at)


def report(account: StripeAccount) -> None:
    """A report that was made, one that failed and one that waits."""
    interval = {"interval_start": account.start_s, "interval_end": account.start_s + 86_400}
    for error in (None, "No data.", ...):
        run = account.create_report_run("payout_reconciliation.itemized.5", interval)
        if error is not ...:
            if error is not None:
                account.fail_next_report(error)
            account.poll_report_run(run["id"])
            account.poll_report_run(run["id"])


def _hints(of: Any) -> dict[str, Any]:
    if not isinstance(of, type):
        return {}
    try:
        return typing.get_type_hints(of)
    except (NameError, TypeError):
        return dict(getattr(of, "__annotations__", {}))


def _inner(hint: Any, *, listed: bool = False) -> Any:
    """The class behind Optional[...] (and List[...])."""
    for part in [hint, *typing.get_args(hint)]:
        if listed and typing.get_origin(part) is list:
            return _inner(typing.get_args(part)[0])
        if isinstance(part, type) and issubclass(part, stripe.StripeObject):
            return part
    return None


def _nullable(hints: dict[str, Any], name: str) -> bool:
    hint = hints.get(name)
    # A field that the SDK does not know is an old one, which today's answers hold as null.
    return hint is None or type(None) in typing.get_args(hint)


def _same_otherwise(published: Any, ours: Any) -> bool:
    """An expanded object for an id, or the text that the older payloads' recorder made of values."""
    if isinstance(published, dict) and isinstance(ours, str):
        return "id" in published
    return published in ("", "10.00", "0.00") and not isinstance(ours, str)


def _differences(published: Any, ours: Any, sdk_class: Any, path: str) -> list[str]:
    if published is None or ours is None or _same_otherwise(published, ours):
        return []
    if isinstance(published, bool) != isinstance(ours, bool) or type(published) is not type(ours):
        return [f"{path}: {type(ours).__name__}, published {type(published).__name__}"]
    if isinstance(published, list):
        inner = _inner(sdk_class, listed=True)
        pairs = [(published[0], one) for one in ours] if published else []
        return [found for one, two in pairs for found in _differences(one, two, inner, f"{path}[]")]
    if not isinstance(published, dict) or path.endswith(("metadata", "data.object", "previous_attributes")):
        return []
    return _field_differences(published, ours, sdk_class, path)


def _field_differences(
    published: dict[str, Any], ours: dict[str, Any], sdk_class: Any, path: str
) -> list[str]:
    hints = _hints(sdk_class or CLASSES.get(ours.get("object", "")))
    found = []
    for name, value in published.items():
        where = f"{path}.{name}"
        if (path, name) in NOT_OURS:
            continue
        if name not in ours:
            found.append(f"{where}: missing")
        elif ours[name] is None and value is not None and not _nullable(hints, name):
            found.append(f"{where}: null, published {type(value).__name__}")
        else:
            hint = hints.get(name)
            below = hint if isinstance(value, list) else _inner(hint)
            found += _differences(value, ours[name], below, where)
    return found


@pytest.mark.parametrize(("name", "published"), PUBLISHED, ids=[name for name, _ in PUBLISHED])
def test_every_published_field_is_there_with_its_type(
    name: str, published: dict[str, Any], objects: dict[str, list[dict[str, Any]]]
) -> None:
    """Every object of the sandbox has every field of the published one, of the same type."""
    kind = published.get("object", name.removeprefix("fixture "))
    assert objects[kind]
    found = {
        difference
        for ours in objects[kind]
        for difference in _differences(published, ours, CLASSES[kind], kind)
    }
    assert not found


@pytest.mark.parametrize("kind", CLASSES)
def test_fields_that_the_sdk_requires_are_never_null(
    kind: str, objects: dict[str, list[dict[str, Any]]]
) -> None:
    """No field that the official SDK declares as always there is missing or null."""
    required = {
        name
        for name, hint in _hints(CLASSES[kind]).items()
        if name != "OBJECT_NAME" and not name.startswith("_") and name in CLASSES[kind].__annotations__
        if type(None) not in typing.get_args(hint) and typing.get_origin(hint) is not typing.ClassVar
    }
    for ours in objects[kind]:
        assert [name for name in sorted(required) if ours.get(name) is None] == []


def test_nullable_details_are_filled_in_somewhere(objects: dict[str, list[dict[str, Any]]]) -> None:
    """Wallets, 3-D Secure, declines and errors do occur: null everywhere would prove nothing."""
    cards = [c["payment_method_details"]["card"] for c in objects["charge"]]
    assert any(card["wallet"] for card in cards)
    assert any(card["three_d_secure"] for card in cards)
    assert any(card["wallet"] is None for card in cards)
    outcomes = [c["outcome"] for c in objects["charge"]]
    assert {o["network_status"] for o in outcomes} == {
        "approved_by_network",
        "declined_by_network",
        "not_sent_to_network",
    }
    assert any("rule" in o for o in outcomes)
    assert any(i["last_payment_error"] for i in objects["payment_intent"])
    assert any(p["failure_code"] for p in objects["payout"])
