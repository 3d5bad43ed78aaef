"""What is kept of Stripe's objects as they came, and the data tables about them."""

from __future__ import annotations

import copy
import json
from typing import Any, get_args

import orjson
import pytest
from stripe import BalanceTransaction as SdkBalanceTransaction
from stripe import Dispute as SdkDispute
from stripe import PaymentIntent as SdkPaymentIntent
from stripe import SetupIntent as SdkSetupIntent

from payhealth.connectors.stripe.balance_types import FUNDS_MOVING, SOURCE_OBJECTS, source_type
from payhealth.connectors.stripe.enums import KNOWN
from payhealth.connectors.stripe.raw import object_id, raw_of, stripped
from payhealth.connectors.stripe.streams import STREAMS, translate
from payhealth.domain.record import Record
from payhealth.domain.records import BalanceTransaction, Dispute, PaymentIntent, SetupIntent, SourceEvent
from tests.golden.stripe.regenerate import RULES, cases, payload, rows, translated

PERSONAL = ("Some One", "someone@example.com", "Someone@Example", "Some Street", "203.0.113.9", "+491234")
SECRET = ("hush", "for Some One")
MARK = "nobody has looked at this yet"


@pytest.mark.parametrize("name", cases())
def test_nothing_personal_is_kept(name: str) -> None:
    """No names, addresses, numbers, secrets or free texts in any field of any record."""
    text = json.dumps(translated(name), ensure_ascii=False)
    assert not [word for word in (*PERSONAL, *SECRET) if word in text]


@pytest.mark.parametrize("name", cases())
def test_fields_that_are_not_listed_are_left_out(name: str) -> None:
    """A field that Stripe adds, at any depth, is not kept until somebody has listed it."""
    case = payload(name)
    found = translate(STREAMS[case["stream"]], [marked(case["object"])], RULES)
    assert MARK not in json.dumps([str(row) for _, row in rows(found)])


def marked(value: Any) -> Any:
    """The value with a field more in every object."""
    if isinstance(value, dict):
        return {name: marked(each) for name, each in value.items()} | {"brand_new": MARK}
    return [marked(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in cases() if "_rejected_" not in name])
def test_what_is_kept_is_what_came(name: str) -> None:
    """Every value of the raw object stands in the payload at the same place; the version is beside them."""
    case = payload(name)
    raws = [row["raw"] for _, row in rows(translate(STREAMS[case["stream"]], [case["object"]], RULES))
            if "raw" in row]  # fmt: skip
    kept = orjson.loads(raws[0])
    source = case["object"]
    if case["stream"] == "events":
        assert kept.pop("api_version") == (source["api_version"] or "")
        source = source["data"]["object"]
    else:
        assert kept.pop("api_version") == RULES.api_version
    assert contained(kept, source)


def contained(kept: Any, source: Any) -> bool:
    """Whether the kept JSON is the source with parts left out, linked objects as their ids."""
    if isinstance(kept, dict):
        return all(name in source and contained(value, source[name]) for name, value in kept.items())
    if isinstance(kept, list):
        listed = source["data"] if isinstance(source, dict) else source
        return all(contained(*pair) for pair in zip(kept, listed, strict=True))
    return bool(kept == (source["id"] if isinstance(source, dict) else source))


def test_the_same_object_gives_the_same_text() -> None:
    """The text follows the list, not the order in which fields came: reading again is no change."""
    found = payload("charge_with_everything")["object"]
    turned = dict(reversed(copy.deepcopy(found).items()))
    keys = RULES.kept_metadata
    assert raw_of(found, "charge", keys, "v") == raw_of(turned, "charge", keys, "v")


def test_long_texts_are_cut() -> None:
    """What no honest object holds does not fill the store."""
    found = {"id": "ch_1", "status": "x" * 10_000, "metadata": {"account_id": "y" * 10_000}}
    kept = orjson.loads(raw_of(found, "charge", ("account_id",), "v"))
    assert kept == {
        "id": "ch_1",
        "status": "x" * 500,
        "metadata": {"account_id": "y" * 500},
        "api_version": "v",
    }


def test_metadata_keys_are_taken_as_they_are() -> None:
    """A key with a dot is one key, not a path."""
    found = {"id": "ch_1", "metadata": {"a.b": "1", "a": {"b": "2"}, "c": "3"}}
    assert orjson.loads(raw_of(found, "charge", ("a.b",), "v"))["metadata"] == {"a.b": "1"}


def test_rejected_objects_are_named_and_stripped() -> None:
    """One without an id is named by its content, and only ids, states, amounts and times are kept of it."""
    assert object_id({"id": "ch_1"}) == "ch_1"
    assert object_id({"id": "a\nb"}).startswith("sha256:")
    assert object_id([1]) == object_id([1]) != object_id([2])
    assert stripped([1]) == "a JSON list"
    found = {"id": "ch_1", "charge": {"id": "ch_2", "secret": 1}, "status": "x" * 200, "email": "a@b.c"}
    assert orjson.loads(stripped(found)) == {"id": "ch_1", "charge": "ch_2", "status": "x" * 100}


@pytest.mark.parametrize(
    ("transaction_type", "source", "expected"),
    [
        ("charge", "ch_1", "charge"),
        ("payment", "py_1", "charge"),
        ("payment_refund", "pyr_1", "refund"),
        ("refund_failure", "re_1", "refund"),
        ("payout_failure", "po_1", "payout"),
        ("adjustment", "dp_1", "dispute"),
        ("adjustment", "du_1", "dispute"),
        ("adjustment", "re_1", "refund"),
        ("adjustment", "adj_1", None),
        ("charge", None, None),
        ("stripe_fee", "fee_1", None),
        ("payment_failure_refund", "ch_1", "charge"),
        ("payment_failure_refund", "py_1", "charge"),
        ("payment_failure_refund", "pyr_1", "refund"),
        ("payment_reversal", "py_1", "charge"),
        ("payment_unreconciled", "src_1", None),
        ("charge", "x_1", "charge"),
        ("stripe_fee", "ch_1", None),
        ("gift", "ch_1", "charge"),
        ("gift", "gift_1", None),
    ],
)
def test_what_stands_behind_a_line(transaction_type: str, source: str | None, expected: str | None) -> None:
    """The source's own prefix says what it is; the type decides where that is unknown, or there is none."""
    assert source_type(transaction_type, source) == expected


def test_every_mapped_type_moves_funds() -> None:
    """What stands behind a line of the balance is an object that moves money, and is read."""
    assert {kind for kind in SOURCE_OBJECTS.values() if kind} | {"dispute"} == FUNDS_MOVING
    assert {stream.object_type for stream in STREAMS.values()} >= FUNDS_MOVING


@pytest.mark.parametrize(
    ("sdk", "record_type", "name"),
    [
        (SdkBalanceTransaction, BalanceTransaction, "type"),
        (SdkDispute, Dispute, "status"),
        (SdkPaymentIntent, PaymentIntent, "status"),
        (SdkSetupIntent, SetupIntent, "status"),
    ],
)
def test_the_known_values_are_those_of_the_sdk(sdk: Any, record_type: type[Record], name: str) -> None:
    """When the SDK learns a new value, so does the list; until then it is counted as unknown."""
    assert set(literals(sdk.__annotations__[name])) == KNOWN[record_type][name]


def literals(hint: Any) -> list[str]:
    """The texts that a type lists."""
    return [hint] if isinstance(hint, str) else [text for each in get_args(hint) for text in literals(each)]


def test_the_streams_objects_are_known_to_events() -> None:
    """An event about an object of ours is never counted as unknown."""
    assert {stream.object_type for stream in STREAMS.values()} <= KNOWN[SourceEvent]["object_type"]
