"""Stripe's objects become the records they should, or are rejected with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.connectors.stripe.fields import rate
from payhealth.connectors.stripe.streams import STREAMS, charge_of, needs_booking, translate
from payhealth.connectors.stripe.translate import Payment, Rules
from payhealth.domain.record import Record
from payhealth.domain.records import (
    Charge,
    CheckoutSession,
    Dispute,
    Invoice,
    Link,
    Movement,
    PaymentClaim,
    Payout,
    Refund,
    Rejected,
)
from tests.golden.stripe.regenerate import RULES, cases, expected, page, payload, rows, translated

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
PAYLOADS = SHARED / "stripe_payloads"
needs_shared = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the published samples are not here")

by_object = {stream.object_type: stream for stream in STREAMS.values()}


def made(name: str, record_type: type[Record], rules: Rules = RULES) -> list[dict[str, Any]]:
    """The records of one class that a pair's payload becomes."""
    if rules is RULES:
        return [row for kind, row in rows(page(name)) if kind is record_type]
    case = payload(name)
    found = translate(STREAMS[case["stream"]], [case["object"]], rules)
    return [row for kind, row in rows(found) if kind is record_type]


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """A payload becomes exactly the records of its pair."""
    assert translated(name) == expected(name)


def test_golden_pairs_cover_every_stream() -> None:
    """No stream is without a pair that translates and one that is rejected."""
    translating = {payload(name)["stream"] for name in cases() if "rejected" not in name}
    rejected = {payload(name)["stream"] for name in cases() if "rejected" in name}
    assert translating == rejected == set(STREAMS)


@pytest.mark.parametrize("name", cases())
def test_rejected_pairs_are_those_named_so(name: str) -> None:
    """An object is either rejected, with a reason, or becomes records: never both, never neither."""
    found = page(name).records
    assert found
    assert (Rejected in found) == ("_rejected_" in name)
    assert set(found) == {Rejected} or Rejected not in found


@needs_shared
@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_payloads(file: Path) -> None:
    """Objects that a third party recorded, old versions among them, translate or say why not."""
    found = orjson.loads(file.read_bytes())
    stream = by_object.get(found["object"], STREAMS["charges"])
    records = translate(stream, [found], RULES).records
    assert records
    if Rejected in records:
        assert all(records[Rejected]["reason"].to_pylist())


@needs_shared
def test_recorded_dispute_with_reinstated_funds() -> None:
    """Money withdrawn and given back is two movements, and the fee is in neither."""
    found = orjson.loads((PAYLOADS / "dispute_dp_funds_reinstated_full.json").read_bytes())
    table = translate(STREAMS["disputes"], [found], RULES).records[Movement]
    moved = [(row["kind"], row["movement_id"], row["amount"]) for row in table.to_pylist()]
    assert moved == [
        ("dispute", "dp_1JAyTwJSZQVUcJYgPqasUEn1", 10),
        ("dispute_reversal", "txn_1JAyV2JSZQVUcJYgETKXUN9k", 10),
    ]


@needs_shared
@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.resource)
def test_published_fixtures(stream: Any) -> None:
    """Stripe's own sample of each object translates."""
    resources = json.loads((SHARED / "stripe_fixtures3.json").read_text())["resources"]
    if stream.object_type not in resources:
        pytest.skip(f"there is no sample of {stream.object_type}")
    assert Rejected not in translate(stream, [resources[stream.object_type]], RULES).records


@pytest.mark.parametrize(
    ("currency", "minor", "major"),
    [
        ("USD", 1, "0.01"),
        ("JPY", 1, "1"),
        ("XPF", 250, "250"),
        ("KWD", 1, "0.001"),
        ("ISK", 500, "5"),
        ("UGX", 500, "5"),
        ("HUF", 500, "5"),
    ],
)
def test_exponents(currency: str, minor: int, major: str) -> None:
    """Zero-decimal, three-decimal and the exceptions are as Stripe documents them."""
    decimals = decimals_of(currency)
    assert decimals is not None
    assert to_major(minor, decimals) == Decimal(major)


@pytest.mark.parametrize("currency", ["LYD", "IQD", "usd", "USDC", "", "U$D"])
def test_undocumented_currencies(currency: str) -> None:
    """Where nobody says how many digits an amount has, none are guessed."""
    assert decimals_of(currency) is None


@given(st.integers(min_value=1, max_value=10**9), st.integers(min_value=0, max_value=9))
def test_rates_are_what_the_wire_said(digits: int, places: int) -> None:
    """An exchange rate reads back as the decimal that was written."""
    written = f"{Decimal(digits).scaleb(-places):f}"
    assert rate(orjson.loads(f'{{"exchange_rate": {written}}}'), "exchange_rate") == Decimal(written)


def test_unknown_statuses_are_kept_and_counted() -> None:
    """A status that Stripe added since is kept as text, and expects nothing yet."""
    (charge,) = made("charge_of_unknown_status", Charge)
    (movement,) = made("charge_of_unknown_status", Movement)
    assert (charge["status"], movement["status"]) == ("held_by_regulator", "pending")
    assert page("charge_of_unknown_status").unknown == {"charge.status=held_by_regulator": 1}


def test_every_unknown_value_of_a_page_is_counted() -> None:
    """Values are counted by object and field, and cut where they are long."""
    odd, known = payload("charge_of_unknown_values")["object"], payload("charge_captured")["object"]
    long = {**odd, "id": "ch_long", "outcome": {"risk_level": "x" * 90}}
    unknown = translate(STREAMS["charges"], [odd, {**odd, "id": "ch_again"}, long, known], RULES).unknown
    assert unknown == {
        "charge.network_status=approved_by_satellite": 2,
        "charge.risk_level=volcanic": 2,
        f"charge.risk_level={'x' * 40}": 1,
        "charge.funding=borrowed": 3,
        "charge.payment_method_type=telepathy": 3,
    }


def test_integers_beyond_64_bits_are_rejected() -> None:
    """A number that the parser could only hold as a float is no amount."""
    body = orjson.dumps(payload("charge_captured")["object"]).replace(b"2550", str(2**256 - 1).encode())
    (reason,) = translate(STREAMS["charges"], [orjson.loads(body)], RULES).records[Rejected]["reason"]
    assert "not an integer" in reason.as_py()


@pytest.mark.parametrize("name", ["dispute_inquiry", "dispute_prevented", "dispute_fee_alone"])
def test_inquiries_have_no_movement(name: str) -> None:
    """An inquiry and a prevented dispute are known, but move no money."""
    assert made(name, Dispute)
    assert not made(name, Movement)


@pytest.mark.parametrize(
    "name",
    [
        "refund_release_of_authorisation",
        "refund_release_of_expired_authorisation",
        "refund_release_of_partial_capture",
    ],
)
def test_releases_take_nothing_back(name: str) -> None:
    """Letting go of what was only held is shown as a refund, but no money ever came: its movement failed."""
    assert made(name, Refund)
    assert [row["status"] for row in made(name, Movement)] == ["failed"]


def test_a_release_takes_back_what_looked_like_a_refund() -> None:
    """Read before it was booked and after: the same movement, which never counts."""
    case = payload("refund_release_of_partial_capture")["object"]
    payment = Payment(
        payment_key="pi_1", account="acct-7", handle="cus_1", reference="", captured=True, in_part=True
    )
    found = [
        translate(STREAMS["refunds"], [each], RULES, {"ch_1": payment}).records[Movement].to_pylist()
        for each in ({**case, "balance_transaction": None}, case)
    ]
    assert [[(row["movement_id"], row["status"]) for row in each] for each in found] == [
        [("re_1", "pending")],
        [("re_1", "failed")],
    ]


@pytest.mark.parametrize(
    ("booked", "status", "expected"),
    [("none", "succeeded", "pending"), ("whole", "succeeded", "succeeded"), ("none", "failed", "failed")],
)
def test_refunds_of_a_charge_captured_in_part(booked: str, status: str, expected: str) -> None:
    """Until the line is there nobody knows whether it is a refund or the release of the rest."""
    case = payload("refund_with_balance_transaction")["object"]
    line = {"none": None, "whole": case["balance_transaction"]}[booked]
    payment = Payment(payment_key="pi_1", account="", handle="", reference="", captured=True, in_part=True)
    found = {**case, "status": status, "balance_transaction": line}
    records = translate(STREAMS["refunds"], [found], RULES, {"ch_1": payment}).records
    assert records[Movement]["status"].to_pylist() == [expected]


def test_a_line_by_its_id_alone_decides_nothing() -> None:
    """Of a charge captured in part the line itself is needed; without it the refund is not understood."""
    case = payload("refund_succeeded")["object"]
    payment = Payment(payment_key="pi_1", account="", handle="", reference="", captured=True, in_part=True)
    records = translate(STREAMS["refunds"], [case], RULES, {"ch_1": payment}).records
    assert records[Rejected]["reason"].to_pylist() == ["balance_transaction is not expanded"]


def test_a_captured_refund_counts_before_it_is_booked() -> None:
    """A refund that succeeded counts, even while its balance transaction is not there yet."""
    case = payload("refund_succeeded")["object"]
    found = translate(STREAMS["refunds"], [{**case, "balance_transaction": None}], RULES)
    assert found.records[Movement]["status"].to_pylist() == ["succeeded"]


def test_payouts_keep_their_sign() -> None:
    """A negative payout takes money from the bank."""
    assert [row["amount"] for row in made("payout_negative", Payout)] == [-7]


@pytest.mark.parametrize(
    ("amounts", "moved"),
    [
        ([-2326, 0, 2301], [("dispute", 2550), ("dispute_reversal", 2550)]),
        ([0, 0, -2326], [("dispute", 2550)]),
        ([-1000, -1326], None),
    ],
)
def test_lines_of_another_currency(amounts: list[int], moved: list[tuple[str, int]] | None) -> None:
    """Fees alone are no withdrawal; of two lines of one direction nobody knows what each comes to."""
    case = payload("dispute_settled_in_another_currency")["object"]
    line = case["balance_transactions"][0]
    lines = [
        {**line, "id": f"txn_{number}", "amount": amount, "created": line["created"] + number}
        for number, amount in enumerate(amounts)
    ]
    records = translate(STREAMS["disputes"], [{**case, "balance_transactions": lines}], RULES).records
    if moved is None:
        assert set(records) == {Rejected}
    else:
        rows = records[Movement].to_pylist()
        assert [(row["kind"], row["amount"] * 100) for row in rows] == moved


def test_both_modes_are_never_mixed() -> None:
    """An object of the other mode is refused; without a mode to hold it against it is read."""
    found = [payload("charge_rejected_live")["object"]]
    reasons = translate(STREAMS["charges"], found, RULES).records[Rejected]["reason"].to_pylist()
    assert reasons == ["it is of live mode, and this connector reads test mode"]
    for live in (True, None):
        assert Charge in translate(STREAMS["charges"], found, replace(RULES, live=live)).records


@pytest.mark.parametrize(
    ("meaning", "account", "reference"),
    [("account", "acct-8", "acct-8"), ("reference", "", "acct-8"), ("nothing", "", None)],
)
def test_client_references(meaning: Any, account: str, reference: str | None) -> None:
    """What a client reference is, the configuration says; a reference never becomes an id of a payment."""
    rules = replace(RULES, client_reference_is=meaning)
    name = "checkout_session_account_by_client_reference"
    (session,) = made(name, CheckoutSession, rules)
    assert (session["account"], session["client_reference"]) == (account, reference)
    assert [row["account"] for row in made(name, PaymentClaim, rules)] == [account] * bool(account)
    assert [row["alias"] for row in made(name, Link, rules)] == ["cs_test_1"]


def test_metadata_wins_over_the_client_reference() -> None:
    """The account in the metadata was put there to say whose the payment is."""
    claims = made("checkout_session_account_by_metadata", PaymentClaim)
    assert [(row["payment_key"], row["account"]) for row in claims] == [("pi_1", "acct-7")]


def test_every_payment_of_an_invoice_is_linked() -> None:
    """An invoice may be settled by several payments; the newest one stands in its row."""
    (invoice,) = made("invoice_of_several_payments", Invoice)
    assert (invoice["intent_id"], invoice["charge_id"]) == (None, "ch_2")
    links = {(row["alias"], row["payment_key"]) for row in made("invoice_of_several_payments", Link)}
    assert links == {("in_1", "pi_1"), ("in_1", "ch_2"), ("in_1", "pi_3")}


def test_without_a_key_nothing_is_hashed() -> None:
    """A hash without a key can be guessed: then addresses are not kept at all."""
    (charge,) = made("charge_with_everything", Charge, replace(RULES, hash_key=None))
    assert (charge["email_domain"], charge["email_hash"], charge["ip_hash"]) == ("example.com", None, None)
    assert "secret" not in repr(replace(RULES, hash_key=b"secret"))


def test_the_same_address_has_the_same_hash() -> None:
    """Case and blanks of an address, and the ways to write an IP, make no difference."""
    first = payload("charge_with_everything")["object"]
    second = {
        **first,
        "billing_details": {"email": "SOMEONE@example.com"},
        "metadata": {"ip_address": " ::ffff:203.0.113.9 "},
    }
    tables = [translate(STREAMS["charges"], [each], RULES).records[Charge] for each in (first, second)]
    for name in ("email_hash", "ip_hash"):
        assert tables[0][name].to_pylist() == tables[1][name].to_pylist() != [None]


def test_charges_and_bookings_that_must_be_fetched() -> None:
    """What a refund needs beside itself is read from it, whatever shape it has."""
    assert charge_of({"charge": {"id": "ch_1"}}) == charge_of({"charge": "ch_1"}) == "ch_1"
    assert [charge_of(found) for found in ({}, None, {"charge": "a\nb"}, {"charge": 1})] == [None] * 4
    assert needs_booking({"failure_balance_transaction": "txn_1"}) == "txn_1"
    assert [needs_booking(found) for found in ({}, 1, {"failure_balance_transaction": {}})] == [None] * 3
