"""The Stripe source against the sandbox's server, over HTTP: what it reports is what the account holds."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from starlette.responses import Response

from payhealth.connectors.stripe import ahead
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import StripeSource
from payhealth.domain.coverage import merge
from payhealth.domain.errors import SourceRefusedError, SourceUnavailableError
from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceProof,
    BalanceTransaction,
    Charge,
    Dispute,
    Link,
    Movement,
    PaymentIntent,
    Payout,
    Refund,
    Rejected,
    SourceAccount,
)
from payhealth.domain.times import to_us
from payhealth.ports import Store
from payhealth.sandbox.interfaces import Card, Decline
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.server import build_app
from payhealth.secrets import Secret
from payhealth.store import open_store
from payhealth.testing.contract import SourceContract
from tests.unit.connectors.support import KeptInStore as Kept
from tests.unit.connectors.support import pull as pull_into

KEY = "sk_test_sandbox_contract"
START = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2026, 2, 20, 12, 0, 0, 500_000, tzinfo=UTC)

CLASSES = {
    "charges": (Charge, "charge_id"),
    "refunds": (Refund, "refund_id"),
    "disputes": (Dispute, "dispute_id"),
    "payment_intents": (PaymentIntent, "intent_id"),
    "balance_transactions": (BalanceTransaction, "balance_transaction_id"),
    "payouts": (Payout, "payout_id"),
}


NOW = [END]
"""Stripe's own clock, the last of them."""


def pull(source: StripeSource, kept: Kept, now: datetime, **options: Any) -> None:
    """Read every stream at a moment, which is Stripe's moment too."""
    NOW.append(now)
    pull_into(source, kept, now, **options)


def new_account(seed: int = 7) -> StripeAccount:
    """An empty account that settles in dollars and knows yen and dinars."""
    rates = {"jpy": Decimal("0.65"), "kwd": Decimal("0.325")}
    return StripeAccount(seed=seed, api_key=KEY, webhook_secret="whsec_x", start=START, exchange_rates=rates)


def live(account: StripeAccount, seed: int, *, payments: int = 700) -> None:
    """Weeks of a business: payments, declines, refunds, disputes, payouts."""
    draw = random.Random(seed)
    at = START + timedelta(hours=1)
    customers = [
        account.create_customer(at=at, email=f"c{number}@example.com", metadata={})["id"]
        for number in range(9)
    ]
    paid: list[str] = []
    for number in range(payments):
        at += timedelta(minutes=draw.randint(1, 90_000 // payments))
        if at > END - timedelta(days=1):
            break
        charge = _pay(account, draw, at, customers, number)
        if charge is not None:
            paid.append(charge)
        if paid and draw.random() < 0.3:
            at += timedelta(minutes=5)
            _undo(account, draw, at, paid.pop(draw.randrange(len(paid))))
        if number % 20 == 19:
            at += timedelta(minutes=1)
            account.pay_out(at=at)
    account.advance_to(END - timedelta(hours=1))


def _pay(
    account: StripeAccount, draw: random.Random, at: datetime, customers: list[str], number: int
) -> str | None:
    intent = account.create_payment_intent(
        at=at,
        amount_minor=draw.randint(300, 90_000),
        currency=draw.choice(["usd", "usd", "jpy", "kwd"]),
        customer=draw.choice(customers),
        metadata={"account_id": f"acct-{number % 9}", "order_id": f"order-{number}"},
    )["id"]
    if draw.random() < 0.2:
        account.attempt_payment(intent, at=at, card=Card(), decline=Decline(blocked=draw.random() < 0.3))
    if draw.random() < 0.1:
        charge = account.attempt_payment(intent, at=at, card=Card(), capture=False)["id"]
        if draw.random() < 0.5:
            account.capture_charge(charge, at=at + timedelta(minutes=1), amount_minor=200)
        return None
    late_s = draw.choice([0, 0, 7200])
    return str(account.attempt_payment(intent, at=at, card=Card(), fee_visible_after_s=late_s)["id"])


def _undo(account: StripeAccount, draw: random.Random, at: datetime, charge: str) -> None:
    what = draw.randrange(6)
    if what <= 1:
        account.refund(charge, at=at, amount_minor=100 if what else None)
    elif what == 2:
        refund = account.refund(charge, at=at, pending=draw.random() < 0.5)["id"]
        account.settle_refund(refund, at=at, failed=True)
    else:
        dispute = account.open_dispute(charge, at=at, inquiry=what == 3)["id"]
        if what >= 4:
            account.close_dispute(dispute, at=at, status="won" if what == 4 else "lost")


@contextmanager
def connected(account: StripeAccount, **changes: Any) -> Iterator[StripeSource]:
    """A source that reads the account over HTTP; rate limits are off unless told."""
    intercept = changes.pop("intercept", None)
    rate = changes.pop("server_rate", None)
    options = {"sleep": changes.pop("sleep")} if "sleep" in changes else {}
    NOW.append(END)
    app = build_app(
        account, rate_limit_per_s=rate, intercept=intercept, now_s=lambda: int(NOW[-1].timestamp())
    )
    with LoopbackServer(app) as server:
        values = {
            "api_key": Secret(KEY, "env:STRIPE_API_KEY"),
            "api_base": server.url,
            "start": START.date(),
            "rate_limit_per_s": 5000,
            "per_endpoint_rate_limit_per_s": 5000,
            **changes,
        }
        source = StripeSource("cards", StripeSettings.model_validate(values), **options)
        try:
            yield source
        finally:
            source.close()


@pytest.fixture(scope="module")
def account() -> StripeAccount:
    """An account after fifty days."""
    made = new_account()
    live(made, 7)
    return made


def held(account: StripeAccount, stream: str) -> list[dict[str, Any]]:
    """The account's objects of a kind, as they are now."""
    found: list[dict[str, Any]] = getattr(account, stream).since(None)
    return found


def digits(currency: str) -> int:
    """Digits after the point, for the currencies of these tests."""
    return {"usd": 2, "jpy": 0, "kwd": 3}[currency]


def naive_movements(account: StripeAccount) -> dict[str, tuple[str, str, Decimal]]:
    """What a person with the account's objects would write down: id -> kind, status, amount."""
    found: dict[str, tuple[str, str, Decimal]] = {}
    for row in held(account, "charges"):
        unit = Decimal(1).scaleb(-digits(row["currency"]))
        if row["status"] == "succeeded" and row["amount_captured"]:
            found[row["id"]] = ("charge", "succeeded", row["amount_captured"] * unit)
        else:
            status = "failed" if row["status"] == "failed" else "pending"
            found[row["id"]] = ("charge", status, row["amount"] * unit)
    for row in held(account, "refunds"):
        amount = row["amount"] * Decimal(1).scaleb(-digits(row["currency"]))
        returned = row.get("failure_balance_transaction")
        found[row["id"]] = ("refund", "succeeded" if returned else row["status"], amount)
        if returned:
            found[returned] = ("refund_reversal", "succeeded", amount)
    for row in held(account, "disputes"):
        amount = row["amount"] * Decimal(1).scaleb(-digits(row["currency"]))
        for booked in row["balance_transactions"]:
            taken = booked["amount"] < 0
            found[row["id"] if taken else booked["id"]] = (
                "dispute" if taken else "dispute_reversal",
                "succeeded",
                amount,
            )
    return found


def test_records_are_what_the_account_holds(account: StripeAccount) -> None:
    """Every object is reported once, and every movement has its kind, status and exact amount."""
    kept = Kept()
    with connected(account) as source:
        source.verify()
        pull(source, kept, END)
    for stream, (record_type, name) in CLASSES.items():
        ids = Counter(getattr(row, name) for row in kept.all(record_type))
        assert ids == Counter(row["id"] for row in held(account, stream))
    movements = {row.movement_id: (row.kind, row.status, row.amount) for row in kept.all(Movement)}
    assert movements == naive_movements(account)
    assert {row[0] for row in movements.values()} == {
        "charge", "refund", "refund_reversal", "dispute", "dispute_reversal",
    }  # fmt: skip
    assert not kept.all(Rejected)


def test_all_ids_of_a_payment_lead_to_its_intent(account: StripeAccount) -> None:
    """Charge, refund, dispute and balance transaction ids resolve to one key, account and reference."""
    kept = Kept()
    with connected(account) as source:
        pull(source, kept, END)
    keys = {row.alias: row.payment_key for row in kept.all(Link)}
    intents = {row["id"]: row for row in held(account, "payment_intents")}
    for row in [*held(account, "charges"), *held(account, "refunds"), *held(account, "disputes")]:
        assert keys[row["id"]] == row["payment_intent"]
        if row["balance_transaction"]:
            assert keys[row["balance_transaction"]] == row["payment_intent"]
    for movement in kept.all(Movement):
        metadata = intents[movement.payment_key]["metadata"]
        assert (movement.account, movement.reference) == (metadata["account_id"], metadata["order_id"])
        assert movement.handle == intents[movement.payment_key]["customer"]


def test_pulling_twice_adds_nothing(account: StripeAccount) -> None:
    """Reading again is idempotent: no version, and coverage without a hole."""
    kept = Kept()
    with connected(account) as source:
        pull(source, kept, END)
        versions = kept.versions
        pull(source, kept, END)
        assert kept.versions == versions
        for plan in source.streams():
            windows = [(row.lower, row.upper) for row in kept.windows if row.stream == plan.stream]
            assert merge(windows) == ((to_us(START), to_us(END.replace(microsecond=0))),)


@pytest.mark.parametrize("stop_after", [1, 3, 8, 12])
def test_a_killed_pull_goes_on(account: StripeAccount, stop_after: int) -> None:
    """Stopped after any batch and started again, the records equal those of an undisturbed pull."""
    undisturbed, kept = Kept(), Kept()
    with connected(account) as source:
        pull(source, undisturbed, END)

    def kill(batches: int) -> None:
        if batches == stop_after:
            raise KeyboardInterrupt

    with connected(account) as source, pytest.raises(KeyboardInterrupt):
        pull(source, kept, END, after_batch=kill)
    with connected(account) as source:
        pull(source, kept, END)
    assert kept.everything() == undisturbed.everything()


def test_changes_inside_the_window_are_seen() -> None:
    """A late fee, a capture, a lost refund, a won dispute: seen by the next pull, without any event."""
    account = new_account()
    live(account, 3, payments=40)
    kept = Kept()
    at = END
    with connected(account) as source:
        pull(source, kept, at)
        for days in range(1, 12):
            at += timedelta(days=1)
            for row in held(account, "refunds"):
                if row["status"] == "succeeded" and days == 4:
                    account.settle_refund(row["id"], at=at, failed=True)
            for row in held(account, "disputes"):
                if row["status"] == "needs_response" and days == 9:
                    account.close_dispute(row["id"], at=at, status="won")
            if days in (5, 11):
                pull(source, kept, at)
    recent = (END - timedelta(days=30)).timestamp()
    expected = naive_movements(account)
    for row in kept.all(Movement):
        if row.effective_at.timestamp() > recent or row.kind != "refund":
            assert expected[row.movement_id] == (row.kind, row.status, row.amount)


def test_disputes_are_followed_for_months() -> None:
    """A dispute that is won a hundred days later still gives its money back."""
    account = new_account()
    live(account, 5, payments=60)
    kept = Kept()
    with connected(account) as source:
        pull(source, kept, END)
        (row, *_) = [row for row in held(account, "disputes") if row["status"] == "warning_needs_response"]
        later = END + timedelta(days=100)
        account.escalate_dispute(row["id"], at=later - timedelta(hours=2))
        account.close_dispute(row["id"], at=later - timedelta(hours=1), status="won")
        for days in range(0, 101, 20):
            pull(source, kept, END + timedelta(days=days))
    assert {found.kind for found in kept.all(Movement) if found.payment_key == row["payment_intent"]} >= {
        "charge",
        "dispute",
        "dispute_reversal",
    }


def test_a_payment_before_the_start_is_fetched() -> None:
    """A refund of an older charge brings that charge: its movement, account and links are reported."""
    account = new_account()
    live(account, 7)
    with connected(account, start="2026-01-15") as source:
        kept = Kept()
        for _ in range(2):
            # The first balance is not 0 and proves nothing yet; the second is held against it.
            pull(source, kept, END)
        versions = kept.versions
        pull(source, kept, END)
        assert kept.versions == versions
        assert [row.state for row in kept.all(BalanceProof)] == ["proved"]
    start_s = datetime(2026, 1, 15, tzinfo=UTC).timestamp()
    old = {row["charge"] for row in held(account, "refunds") if row["created"] >= start_s}
    old |= {row["charge"] for row in held(account, "disputes") if row["created"] >= start_s}
    charges = {row["id"]: row for row in held(account, "charges")}
    new = {row["id"] for row in charges.values() if row["created"] >= start_s}
    assert old - new, "the draw must hold such a payment"
    # Money of an older charge that moved since (a late capture) is told by the books.
    booked = {row["source"] for row in held(account, "balance_transactions") if row["created"] >= start_s}
    assert {row.charge_id for row in kept.all(Charge)} == old | new | (booked & charges.keys())
    for movement in kept.all(Movement):
        assert movement.account


def test_an_earlier_start_reads_the_past() -> None:
    """Moving ``start`` back reads what was never read, rather than leaving a hole."""
    account = new_account()
    live(account, 2, payments=50)
    moved, fresh = Kept(), Kept()
    for start in ("2026-02-01", "2026-01-01"):
        with connected(account, start=start) as source:
            pull(source, moved, END)
    with connected(account) as source:
        pull(source, fresh, END)
    # The balance is held against the list from where it first was: that is another moment.
    assert without_proofs(moved) == without_proofs(fresh)


def without_proofs(kept: Kept) -> list[Record]:
    """Every record but how the balance's proof came about."""
    return [record for record in kept.everything() if not isinstance(record, BalanceProof)]


def test_limits_of_the_server_are_met() -> None:
    """Inside Stripe's own limits nothing is refused."""
    account = new_account()
    live(account, 4, payments=20)
    with connected(account, server_rate=25, per_endpoint_rate_limit_per_s=25) as source:
        kept = Kept()
        pull(source, kept, END)
        pull(source, kept, END)
    assert kept.all(Charge)


def test_faults_on_the_wire_change_nothing(account: StripeAccount) -> None:
    """A server that fails, lies and limits in between ends with exactly its records."""
    draw = random.Random(11)
    undisturbed, kept = Kept(), Kept()

    def intercept(_request: Any) -> Response | None:
        return draw.choice(
            [
                None,
                None,
                Response(status_code=500),
                Response("<html>", media_type="text/html"),
                Response('{"object":"list","da', media_type="application/json"),
            ]
        )

    with connected(account) as source:
        pull(source, undisturbed, END)
    with connected(account, intercept=intercept, max_attempts=20, sleep=lambda _s: None) as source:
        pull(source, kept, END)
    assert kept.everything() == undisturbed.everything()


def test_pages_that_shift_are_read_once(account: StripeAccount) -> None:
    """Rows that stand on two pages, because new ones came in between, count once."""
    newest_first = list(reversed(held(account, "charges")))
    places = {row["id"]: place for place, row in enumerate(newest_first)}
    shifted: list[str] = []

    def intercept(request: Any) -> Response | None:
        after = request.query_params.get("starting_after")
        if request.url.path != "/v1/charges" or after is None:
            return None
        shifted.append(after)
        # The page begins three rows early, as if three new objects had come in.
        oldest_s = int(request.query_params["created[gte]"])
        rows = [row for row in newest_first[places[after] - 2 :] if row["created"] >= oldest_s]
        page = {"object": "list", "data": rows[:100], "has_more": len(rows) > 100, "url": ""}
        return Response(orjson.dumps(page), media_type="application/json")

    kept, read = Kept(), Counter[str]()
    with connected(account, intercept=intercept) as source:
        for batch in source.pull("charges", None, END, kept):
            kept.commit("cards", batch)
            read.update(batch.records[Charge]["charge_id"].to_pylist() if Charge in batch.records else [])
    assert shifted
    assert read == Counter(row["id"] for row in newest_first)


def test_a_wrong_key_is_told_at_once(account: StripeAccount) -> None:
    """One clear line, before anything is written; the key is not in it."""
    wrong = Secret("sk_test_wrong_wrong_wrong", "env:K")
    with connected(account, api_key=wrong) as source, pytest.raises(SourceRefusedError) as caught:
        source.verify()
    assert "refused the API key" in caught.value.message
    assert "wrong" not in f"{caught.value} {caught.value.hint}"


def test_nobody_there() -> None:
    """A server that does not answer is unavailable after bounded attempts."""
    values = {
        "api_key": Secret(KEY, "env:K"),
        "api_base": "http://127.0.0.1:9",
        "start": "2026-01-01",
        "max_attempts": 2,
    }
    source = StripeSource("cards", StripeSettings.model_validate(values), sleep=lambda _seconds: None)
    with pytest.raises(SourceUnavailableError, match="connection failed"):
        source.verify()
    source.close()


def test_reports_tell_the_same_history(account: StripeAccount) -> None:
    """Begun by reports instead of lists, the store ends with the same records, and asks for less."""
    by_lists, by_reports = Kept(), Kept()
    with connected(account) as source:
        pull(source, by_lists, END)
    with connected(account, history="reports", sleep=lambda _s: None) as source:
        source.verify()
        pull(source, by_reports, END)
        pull(source, by_reports, END)
    listed = [record for record in without_proofs(by_lists) if not isinstance(record, SourceAccount)]
    assert without_proofs(by_reports) == [*listed, *by_reports.all(SourceAccount)]
    assert [row.state for row in by_reports.all(BalanceProof)] == ["proved"]
    coverage = [row for row in by_reports.windows if row.stream == "balance_transactions"]
    assert merge((row.lower, row.upper) for row in coverage)[0][0] == to_us(START)


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every list is long, and another process can find the secret; which lists were handed over."""
    monkeypatch.setenv("STRIPE_API_KEY", KEY)
    monkeypatch.setattr("payhealth.connectors.stripe.source._LONG_OBJECTS", 1)
    monkeypatch.setattr("payhealth.connectors.stripe.lists.BATCH_OBJECTS", 100)
    streams: list[str] = []
    real = ahead.batches

    def noted(reading: Any, stream: str, *arguments: Any) -> Iterator[Any]:
        streams.append(stream)
        return real(reading, stream, *arguments)

    monkeypatch.setattr(ahead, "batches", noted)
    return streams


def test_a_process_that_reads_ahead_brings_the_same(account: StripeAccount, handed_over: list[str]) -> None:
    """Handed over to another process after its first step, a list ends with the same records."""
    alone, ahead_of_us = Kept(), Kept()
    with connected(account, sleep=lambda _s: None) as source:
        pull(source, alone, END)
    assert not handed_over, "a clock of one's own cannot be taken along"
    with connected(account) as source:
        pull(source, ahead_of_us, END)
    assert set(handed_over) >= {"charges", "payment_intents", "balance_transactions"}
    assert ahead_of_us.everything() == alone.everything()


def test_a_process_that_ends_is_done_without(
    account: StripeAccount, handed_over: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that dies without a word costs nothing: the list is read on by ourselves."""
    alone, without = Kept(), Kept()
    with connected(account, sleep=lambda _s: None) as source:
        pull(source, alone, END)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with connected(account) as source:
        pull(source, without, END)
    assert handed_over == ["charges"], "it is not tried again"
    assert without.everything() == alone.everything()


def test_what_stops_the_other_process_is_said_by_it(account: StripeAccount, handed_over: list[str]) -> None:
    """A key that is refused while the child reads ends the pull with the line that we would have said."""

    def intercept(request: Any) -> Response | None:
        return Response(status_code=401, content=b"{}") if handed_over else None

    with connected(account, intercept=intercept) as source, pytest.raises(SourceRefusedError, match="401"):
        pull(source, Kept(), END)
    assert handed_over == ["charges"]


class TestWholeSource(SourceContract):
    """The contract that every source keeps, on the account after fifty days."""

    @pytest.fixture
    def now(self) -> datetime:
        """The moment that the account stands still at."""
        return END

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """An empty store."""
        opened = open_store("sqlite://")
        yield opened
        opened.close()

    @pytest.fixture
    def source(self, account: StripeAccount) -> Iterator[StripeSource]:
        """The account over HTTP."""
        NOW.append(END)
        with connected(account) as opened:
            yield opened

    @pytest.fixture
    def nonsense_source(self, account: StripeAccount) -> Iterator[StripeSource]:
        """The same with a wrong key."""
        with connected(account, api_key=Secret("sk_test_wrong", "env:WRONG")) as opened:
            yield opened
