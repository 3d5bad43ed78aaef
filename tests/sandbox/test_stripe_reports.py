"""Report runs, their files, and what stands in the CSV, with the official SDK as the client."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from stripe import StripeClient

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.report_rows import major
from payhealth.sandbox.stripe.server import build_app

START = datetime(2026, 1, 5, tzinfo=UTC)
START_S = int(START.timestamp())
DAY_S = 86_400
KEY = "sk_test_0123456789abcdef"
ACTIVITY = "balance_change_from_activity.itemized.3"
PAID_OUT = "payout_reconciliation.itemized.5"
COLUMNS = (
    *("balance_transaction_id", "created_utc", "available_on_utc", "currency", "gross", "fee", "net"),
    *("reporting_category", "source_id", "description", "customer_id", "charge_id", "payment_intent_id"),
    *("automatic_payout_id", "customer_facing_amount", "customer_facing_currency", "invoice_id"),
    *("payment_metadata[order_id]", "card_brand", "is_link"),
)


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe, "enable_telemetry", False)


def day(number: float) -> datetime:
    """A moment of the story."""
    return START + timedelta(days=number)


@pytest.fixture(scope="module")
def account() -> StripeAccount:
    """Ten days: charges at 00:00 of each of the first five, a refund, disputes, two kinds of payouts."""
    account = StripeAccount(
        seed=5,
        api_key=KEY,
        webhook_secret="whsec_x",
        start=START,
        exchange_rates={"jpy": Decimal("0.7")},
    )
    who = account.create_customer(at=START, email="ada@example.com", metadata={})["id"]
    charges = []
    for number in range(5):
        intent = account.create_payment_intent(
            at=day(number),
            amount_minor=1000 + number,
            currency="jpy" if number == 4 else "usd",
            customer=who,
            metadata={"order_id": f"o,{number}"},
        )
        charges.append(account.attempt_payment(intent["id"], at=day(number), card=Card())["id"])
    account.pay_out(at=day(5))
    account.refund(charges[0], at=day(5.25), amount_minor=333)
    invoice = account.create_invoice(at=day(5.5), customer=who, amount_minor=50_000, currency="usd")
    account.pay_invoice(invoice["id"], at=day(5.5), card=Card())
    account.open_dispute(charges[1], at=day(6))
    account.pay_out_by_hand(at=day(8), amount_minor=1234)
    account.pay_out(at=day(8))
    account.advance_to(day(12))
    return account


@pytest.fixture(scope="module")
def server(account: StripeAccount) -> Iterator[LoopbackServer]:
    """The account over HTTP."""
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as running:
        yield running


@pytest.fixture
def client(server: LoopbackServer) -> StripeClient:
    """The official client of the account."""
    return StripeClient(KEY, base_addresses={"api": server.url, "files": server.url}, max_network_retries=0)


def run(client: StripeClient, report_type: str, start_s: int, end_s: int, **more: Any) -> Any:
    """A report run, polled until it is done."""
    parameters: Any = {"interval_start": start_s, "interval_end": end_s, **more}
    made = client.v1.reporting.report_runs.create(
        params={"report_type": report_type, "parameters": parameters}
    )
    assert made.status == "pending"
    assert client.v1.reporting.report_runs.retrieve(made.id).status == "pending"
    return client.v1.reporting.report_runs.retrieve(made.id)


def rows(of: Any) -> list[dict[str, str]]:
    """The rows of a finished run's file."""
    answer = httpx.get(of.result.url, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.content) == of.result.size
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_activity_holds_all_but_payouts(account: StripeAccount, client: StripeClient) -> None:
    """Every balance transaction of the interval that is no payout is a row, in exact major units."""
    found = rows(run(client, ACTIVITY, START_S, START_S + 12 * DAY_S, columns=list(COLUMNS)))
    expected = [t for t in account.balance_transactions.since(None) if t["type"] != "payout"]
    assert [r["balance_transaction_id"] for r in found] == [t["id"] for t in expected]
    assert tuple(found[0]) == COLUMNS
    for row, t in zip(found, expected, strict=True):
        for column, name in (("gross", "amount"), ("fee", "fee"), ("net", "net")):
            assert Decimal(row[column]).scaleb(2) == t[name]
            assert row[column] == f"{Decimal(t[name]).scaleb(-2):.2f}"
        assert (row["source_id"], row["reporting_category"]) == (t["source"], t["reporting_category"])
        assert datetime.fromisoformat(row["created_utc"]).replace(tzinfo=UTC).timestamp() == t["created"]
    kinds = [r["reporting_category"] for r in found]
    assert kinds == ["charge"] * 5 + ["refund", "charge", "dispute"]


def test_rows_name_what_belongs_to_them(account: StripeAccount, client: StripeClient) -> None:
    """Refunds and disputes name their charge; metadata, invoices and foreign amounts have columns."""
    found = rows(run(client, ACTIVITY, START_S, START_S + 12 * DAY_S, columns=list(COLUMNS)))
    charges = {c["id"]: c for c in account.charges.since(None)}
    for row in found:
        charge = charges[row["charge_id"]]
        assert (row["payment_intent_id"], row["customer_id"]) == (
            charge["payment_intent"],
            charge["customer"],
        )
        assert (row["card_brand"], row["is_link"]) == ("visa", "")
    assert [r["payment_metadata[order_id]"] for r in found[:5]] == [f"o,{n}" for n in range(5)]
    assert (found[4]["customer_facing_amount"], found[4]["customer_facing_currency"]) == ("1004", "jpy")
    assert found[5]["customer_facing_amount"] == "-3.33"
    assert [r["invoice_id"] for r in found if r["invoice_id"]] == [account.invoices.since(None)[0]["id"]]
    assert found[0]["automatic_payout_id"] == account.payouts.since(None)[0]["id"]


def test_interval_ends_before_its_end(client: StripeClient) -> None:
    """The start belongs to the interval, the end does not: neighbouring intervals share no row."""
    parts = [(0, 2), (2, 4), (4, 12)]
    found = [rows(run(client, ACTIVITY, START_S + a * DAY_S, START_S + b * DAY_S)) for a, b in parts]
    assert [len(part) for part in found] == [2, 2, 4]
    assert tuple(found[0][0]) == (
        *("balance_transaction_id", "created", "available_on", "currency", "gross", "fee", "net"),
        *("reporting_category", "description"),
    )


def test_filters_of_a_run(client: StripeClient) -> None:
    """``currency``, ``reporting_category`` and ``timezone`` do what Stripe says."""
    whole = (ACTIVITY, START_S, START_S + 12 * DAY_S)
    assert rows(run(client, *whole, currency="eur")) == []
    assert len(rows(run(client, *whole, currency="usd", reporting_category="refund"))) == 1
    there = rows(run(client, *whole, timezone="America/New_York", columns=["created", "created_utc"]))
    assert (there[0]["created"], there[0]["created_utc"]) == ("2026-01-04 19:00:00", "2026-01-05 00:00:00")


def test_reconciliation_adds_up_to_each_payout(account: StripeAccount, client: StripeClient) -> None:
    """The rows of an automatic payout sum to it; it is chosen by its arrival, end exclusive."""
    first, by_hand, second = account.payouts.since(None)
    found = rows(run(client, PAID_OUT, START_S, START_S + 12 * DAY_S))
    for payout in (first, second):
        nets = [Decimal(r["net"]) for r in found if r["automatic_payout_id"] == payout["id"]]
        assert len(nets) > 1
        assert sum(nets).scaleb(2) == payout["amount"]
    assert by_hand["id"] not in {r["automatic_payout_id"] for r in found}
    assert rows(run(client, PAID_OUT, START_S, first["arrival_date"])) == []
    only = rows(run(client, PAID_OUT, first["arrival_date"], first["arrival_date"] + 1))
    assert {r["automatic_payout_id"] for r in only} == {first["id"]}
    assert only[0]["automatic_payout_effective_at"] == "2026-01-12 00:00:00"


def test_run_and_file_are_told_and_listed(
    account: StripeAccount, client: StripeClient, server: LoopbackServer
) -> None:
    """A finished run has its file, which the SDK reads, here and not at Stripe, and an event tells of it."""
    done = run(client, ACTIVITY, START_S, START_S + DAY_S)
    assert done.status == "succeeded"
    file = client.v1.files.retrieve(done.result.id)
    assert (file.purpose, file.type, file.url) == (
        "finance_report_run",
        "csv",
        f"{server.url}/v1/files/{file.id}/contents",
    )
    assert client.v1.reporting.report_runs.list().data[0].id == done.id
    event = account.events_since()[-1]
    assert (event["type"], event["data"]["object"]["id"]) == ("reporting.report_run.succeeded", done.id)
    unread = httpx.get(file.url or "")
    assert unread.status_code == 401
    missing = httpx.get(f"{server.url}/v1/files/file_x/contents", headers={"Authorization": f"Bearer {KEY}"})
    assert missing.status_code == 404


def test_failed_run(account: StripeAccount, client: StripeClient) -> None:
    """A run that fails says why, has no file, and an event tells of it; the next one succeeds."""
    account.fail_next_report("An error occurred.")
    failed = run(client, ACTIVITY, START_S, START_S + DAY_S)
    assert (failed.status, failed.error, failed.result) == ("failed", "An error occurred.", None)
    assert account.events_since()[-1]["type"] == "reporting.report_run.failed"
    assert run(client, ACTIVITY, START_S, START_S + DAY_S).status == "succeeded"


def test_same_idempotency_key_same_run(client: StripeClient) -> None:
    """A request sent twice makes one run."""
    params: Any = {
        "report_type": ACTIVITY,
        "parameters": {"interval_start": START_S, "interval_end": START_S + 1},
    }
    made = [
        client.v1.reporting.report_runs.create(params=params, options={"idempotency_key": key}).id
        for key in ("a", "a", "b")
    ]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(
    ("report_type", "parameters", "param"),
    [
        ("unknown.1", {}, "report_type"),
        (ACTIVITY, {"interval_start": START_S}, "parameters[interval_end]"),
        (ACTIVITY, {"interval_end": START_S}, "parameters[interval_start]"),
        (ACTIVITY, {"interval_start": START_S, "interval_end": START_S}, "parameters[interval_start]"),
        (
            ACTIVITY,
            {"interval_start": START_S - 1, "interval_end": START_S + 1},
            "parameters[interval_start]",
        ),
        (
            ACTIVITY,
            {"interval_start": START_S, "interval_end": START_S + 13 * DAY_S},
            "parameters[interval_end]",
        ),
        (ACTIVITY, {"interval_start": "monday", "interval_end": START_S}, "parameters[interval_start]"),
        (ACTIVITY, {"columns": ["net", "profit"]}, "parameters[columns]"),
        (ACTIVITY, {"columns": ["payment_metadata"]}, "parameters[columns]"),
        (ACTIVITY, {"timezone": "Mars/Olympus"}, "parameters[timezone]"),
        (ACTIVITY, {"payout": "po_1"}, "parameters[payout]"),
    ],
)
def test_bad_runs_are_refused(
    client: StripeClient, report_type: str, parameters: dict[str, Any], param: str
) -> None:
    """What Stripe cannot prepare is refused at once, naming the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.reporting.report_runs.create(
            params={"report_type": report_type, "parameters": parameters}  # type: ignore[typeddict-item]
        )
    assert (caught.value.http_status, caught.value.param) == (400, param)


def test_report_types_say_what_is_prepared(client: StripeClient, account: StripeAccount) -> None:
    """Data is prepared twice a day, from the account's start; an unknown type is missing."""
    known = client.v1.reporting.report_types.retrieve(ACTIVITY)
    assert (known.data_available_start, known.data_available_end) == (START_S, START_S + 12 * DAY_S)
    assert known.default_columns is not None
    assert "net" in known.default_columns
    assert known.version == 3
    assert ACTIVITY in {one.id for one in client.v1.reporting.report_types.list().data}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.reporting.report_types.retrieve("unknown.1")
    assert caught.value.code == "resource_missing"
    fresh = StripeAccount(seed=1, api_key=KEY, webhook_secret="whsec_x", start=day(0.25))
    assert fresh.report_type(ACTIVITY)["data_available_end"] == START_S + DAY_S // 4
    fresh.advance_to(day(0.9))
    assert fresh.report_type(ACTIVITY)["data_available_end"] == START_S + DAY_S // 2


@pytest.mark.parametrize(
    ("amount_minor", "currency", "shown"),
    [
        (1050, "usd", "10.50"),
        (-5, "usd", "-0.05"),
        (0, "usd", "0.00"),
        (1050, "jpy", "1050"),
        (-1, "jpy", "-1"),
        (1050, "kwd", "1.050"),
        (-7, "bhd", "-0.007"),
        (10_000, "isk", "100.00"),
        (123_456_789_012_345_678, "usd", "1234567890123456.78"),
    ],
)
def test_major_units(amount_minor: int, currency: str, shown: str) -> None:
    """Two decimals, none for yen, three for dinars; ISK counts hundredths in the API, so it has two."""
    assert major(amount_minor, currency) == shown


@given(
    amount_minor=st.integers(-(10**18), 10**18),
    currency=st.sampled_from([("usd", 2), ("jpy", 0), ("kwd", 3)]),
)
def test_major_units_are_exact(amount_minor: int, currency: tuple[str, int]) -> None:
    """No amount is changed by being written in major units."""
    assert Decimal(major(amount_minor, currency[0])).scaleb(currency[1]) == amount_minor


def test_report_of_a_yen_account_has_no_decimals() -> None:
    """An account that settles in yen reports whole yen."""
    account = StripeAccount(
        seed=1, api_key=KEY, webhook_secret="whsec_x", start=START, currency="jpy", report_polls=0
    )
    intent = account.create_payment_intent(
        at=START, amount_minor=5000, currency="jpy", customer=None, metadata={}
    )
    account.attempt_payment(intent["id"], at=START, card=Card())
    account.advance_to(day(1))
    made = account.create_report_run(ACTIVITY, {"interval_start": START_S, "interval_end": START_S + 1})
    account.poll_report_run(made["id"])
    (file,) = account.files.since(None)
    (row,) = csv.DictReader(io.StringIO(b"".join(account.file_contents(file["id"])).decode()))
    assert (row["gross"], row["fee"], row["net"]) == ("5000", "175", "4825")
