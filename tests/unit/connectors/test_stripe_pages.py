"""Pages as columns: exact amounts, the same records however a page is cut, and nothing that raises."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.stripe.currencies import THREE_DECIMAL, ZERO_DECIMAL, decimals_of, to_major
from payhealth.connectors.stripe.streams import STREAMS, Translated, translate
from payhealth.domain.record import Record
from payhealth.domain.records import (
    RECORD_TYPES,
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Dispute,
    EarlyFraudWarning,
    Invoice,
    Link,
    Movement,
    PaymentIntent,
    Payout,
    Refund,
    Rejected,
    SetupIntent,
    SourceEvent,
)
from payhealth.store.arrow import content_table
from payhealth.store.spec import RECORD_SPECS
from tests.golden.stripe.regenerate import RULES, cases, page, payload, rows

RECORDS = {
    "charges": Charge,
    "refunds": Refund,
    "disputes": Dispute,
    "payment_intents": PaymentIntent,
    "setup_intents": SetupIntent,
    "radar/early_fraud_warnings": EarlyFraudWarning,
    "checkout/sessions": CheckoutSession,
    "invoices": Invoice,
    "payouts": Payout,
    "balance_transactions": BalanceTransaction,
    "events": SourceEvent,
}
Keyed = dict[tuple[type[Record], tuple[Any, ...]], dict[str, Any]]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def keyed(found: Translated) -> Keyed:
    """Every record of a page by its class and natural key."""
    return {
        (record_type, tuple(row[name] for name in record_type.KEY)): row for record_type, row in rows(found)
    }


def of_stream(stream: str) -> list[Any]:
    """The objects of all pairs of a stream, with ids of their own."""
    found = [payload(name)["object"] for name in cases() if payload(name)["stream"] == stream]
    return [{**each, "id": f"{each['id']}_{place}"} for place, each in enumerate(found)]


@given(st.sampled_from(sorted(STREAMS)), st.data())
def test_any_cut_gives_the_same_records(stream: str, data: st.DataObject) -> None:
    """Pages cut anywhere, in order, give what the whole gives."""
    objects = data.draw(st.lists(st.sampled_from(of_stream(stream)), max_size=8))
    cut = data.draw(st.integers(0, len(objects)))
    parts = [translate(STREAMS[stream], part, RULES) for part in (objects[:cut], objects[cut:])]
    whole = translate(STREAMS[stream], objects, RULES)
    assert keyed(whole) == keyed(parts[0]) | keyed(parts[1])


def test_the_last_of_equal_ids_wins() -> None:
    """A page may hold an object twice, when new ones push it along; the later one is the newer."""
    first = payload("charge_captured")["object"]
    second = {**first, "failure_code": "later"}
    records = translate(STREAMS["charges"], [first, second], RULES).records
    assert records[Charge]["failure_code"].to_pylist() == ["later"]
    assert {kind: table.num_rows for kind, table in records.items()} == {Charge: 1, Movement: 1, Link: 2}


def test_an_empty_page_has_no_tables() -> None:
    """Nothing read is nothing to write."""
    assert translate(STREAMS["charges"], [], RULES) == Translated()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["USD", "JPY", "KWD", "ISK", *sorted(ZERO_DECIMAL), *sorted(THREE_DECIMAL)]),
            st.integers(-(2**63), 2**63 - 1),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_amounts_are_exact(amounts: list[tuple[str, int]]) -> None:
    """Every amount of 64 bits in any mixture of currencies is its minor units to the last digit."""
    template = payload("payout_paid")["object"]
    objects = [
        {**template, "id": f"po_{place}", "currency": currency.lower(), "amount": minor}
        for place, (currency, minor) in enumerate(amounts)
    ]
    found = translate(STREAMS["payouts"], objects, RULES).records[Payout]
    assert found["amount"].type == pa.decimal128(38, 18)
    assert found["amount"].to_pylist() == [_major(*each) for each in amounts]


def _major(currency: str, minor: int) -> Decimal:
    digits = decimals_of(currency)
    assert digits is not None
    return to_major(minor, digits)


@given(st.sampled_from(cases()), st.data())
def test_any_field_may_be_anything(name: str, data: st.DataObject) -> None:
    """Whatever stands in a field, an object ends in its record or is rejected; it never raises."""
    case = payload(name)
    found = mutated(case["object"], data)
    records = translate(STREAMS[case["stream"]], [found], RULES).records
    assert (RECORDS[case["stream"]] in records) != (Rejected in records)
    for record_type, table in records.items():
        content_table(RECORD_SPECS[record_type], table)


def mutated(found: Any, data: st.DataObject) -> Any:
    """The object with one value, at any depth, replaced or left out."""
    found = copy.deepcopy(found)
    inside = found
    while True:
        name = data.draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
        below = inside[name]
        if not (isinstance(below, dict | list) and below and data.draw(st.booleans())):
            break
        inside = below
    if isinstance(inside, dict) and data.draw(st.booleans()):
        del inside[name]
    else:
        inside[name] = data.draw(json_values)
    return found


@given(st.sampled_from(sorted(STREAMS)), json_values)
def test_any_json_at_all(stream: str, found: Any) -> None:
    """An item that is no object of the stream is one rejected record."""
    records = translate(STREAMS[stream], [found], RULES).records
    assert set(records) == {Rejected}
    (row,) = records[Rejected].to_pylist()
    assert row["object_id"]
    assert row["reason"]


def test_tables_are_what_the_store_takes() -> None:
    """Columns have the store's own names and types, and no required one is missing."""
    assert set(RECORDS) == set(STREAMS)
    for name in cases():
        for record_type, table in page(name).records.items():
            assert record_type in RECORD_TYPES
            kept = content_table(RECORD_SPECS[record_type], table)
            for column in table.column_names:
                assert table[column].type == kept[column].type
