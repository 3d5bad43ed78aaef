"""Stripe's objects become the records they should, or are rejected with a reason."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.connectors.stripe.fields import rate
from payhealth.connectors.stripe.streams import STREAMS, to_records, unknown_status
from payhealth.domain.records import Charge, Dispute, Movement, Payout, Rejected
from tests.golden.stripe.regenerate import CASES, RULES, cases, expected, translated

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
PAYLOADS = SHARED / "stripe_payloads"
needs_shared = pytest.mark.skipif(not PAYLOADS.is_dir(), reason="the published samples are not here")

by_object = {stream.object_type: stream for stream in STREAMS.values()}


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """A payload becomes exactly the records of its pair."""
    assert translated(name) == expected(name)


def test_golden_pairs_cover_every_stream() -> None:
    """No stream is without a pair."""
    seen = {orjson.loads((CASES / f"{name}.payload.json").read_bytes())["stream"] for name in cases()}
    assert seen == set(STREAMS)


@needs_shared
@pytest.mark.parametrize("file", sorted(PAYLOADS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_payloads(file: Path) -> None:
    """Objects that a third party recorded, old versions among them, translate or say why not."""
    found = orjson.loads(file.read_bytes())
    stream = by_object.get(found["object"], STREAMS["charges"])
    records = to_records(stream, found, RULES)
    assert records
    assert all(record.reason for record in records if isinstance(record, Rejected))


@needs_shared
def test_recorded_dispute_with_reinstated_funds() -> None:
    """Money withdrawn and given back is two movements, and the fee is in neither."""
    found = orjson.loads((PAYLOADS / "dispute_dp_funds_reinstated_full.json").read_bytes())
    records = to_records(STREAMS["disputes"], found, RULES)
    moved = [(row.kind, row.movement_id, row.amount) for row in records if isinstance(row, Movement)]
    assert moved == [
        ("dispute", "dp_1JAyTwJSZQVUcJYgPqasUEn1", 10),
        ("dispute_reversal", "txn_1JAyV2JSZQVUcJYgETKXUN9k", 10),
    ]


@needs_shared
@pytest.mark.parametrize("stream", STREAMS.values(), ids=lambda stream: stream.resource)
def test_published_fixtures(stream: Any) -> None:
    """Stripe's own sample of each object translates."""
    resources = json.loads((SHARED / "stripe_fixtures3.json").read_text())["resources"]
    records = to_records(stream, resources[stream.object_type], RULES)
    assert not [record for record in records if isinstance(record, Rejected)]


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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(cases()), st.data())
def test_any_field_may_be_anything(name: str, data: st.DataObject) -> None:
    """Whatever stands in a field, an object translates or is rejected; it never raises."""
    case = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
    found = case["object"]
    found[data.draw(st.sampled_from(sorted(found)))] = data.draw(json_values)
    assert to_records(STREAMS[case["stream"]], found, RULES)


@given(st.sampled_from(sorted(STREAMS)), json_values)
def test_any_json_at_all(stream: str, found: Any) -> None:
    """An item that is no object of the stream is one rejected record."""
    (record,) = to_records(STREAMS[stream], found, RULES)
    assert isinstance(record, Rejected)
    assert record.object_id
    assert record.reason


def test_rejected_raw_holds_nothing_personal() -> None:
    """What is kept of a rejected object passes an allow-list: no emails, names, addresses or texts."""
    for name in cases():
        for record in translated(name):
            assert "someone@example.com" not in json.dumps(record)
            assert "Some One" not in json.dumps(record)


def test_unknown_statuses_are_kept_and_named() -> None:
    """A status that Stripe added since is kept as text, and expects nothing yet."""
    case = orjson.loads((CASES / "charge_of_unknown_status.payload.json").read_bytes())
    records = to_records(STREAMS["charges"], case["object"], RULES)
    (charge,) = (row for row in records if isinstance(row, Charge))
    (movement,) = (row for row in records if isinstance(row, Movement))
    assert (charge.status, movement.status) == ("held_by_regulator", "pending")
    assert unknown_status(STREAMS["charges"], case["object"]) == "charge.status=held_by_regulator"


def test_integers_beyond_64_bits_are_rejected() -> None:
    """A number that the parser could only hold as a float is no amount."""
    case = (CASES / "charge_captured.payload.json").read_text().replace("2550", str(2**256 - 1))
    (record,) = to_records(STREAMS["charges"], orjson.loads(case)["object"], RULES)
    assert isinstance(record, Rejected)
    assert "not an integer" in record.reason


def test_inquiries_have_no_movement() -> None:
    """An inquiry and a prevented dispute are known, but move no money."""
    for name in ("dispute_inquiry", "dispute_prevented", "dispute_fee_alone"):
        case = orjson.loads((CASES / f"{name}.payload.json").read_bytes())
        records = to_records(STREAMS["disputes"], case["object"], RULES)
        assert [row for row in records if isinstance(row, Dispute)]
        assert not [row for row in records if isinstance(row, Movement)]


def test_payouts_keep_their_sign() -> None:
    """A negative payout takes money from the bank."""
    case = orjson.loads((CASES / "payout_negative.payload.json").read_bytes())
    (payout,) = to_records(STREAMS["payouts"], case["object"], RULES)
    assert isinstance(payout, Payout)
    assert payout.amount == -7
