"""Amounts, moments and hashes keep their value and order in whatever form a database needs."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.money import MAX_SCALED, from_scaled, ordered_key, plain
from payhealth.domain.records import Movement
from payhealth.store import amounts, functions
from payhealth.store.arrow import content_hashes, content_table
from payhealth.store.spec import RECORD_SPECS
from payhealth.store.sqltypes import moment_text
from payhealth.testing.samples import movement

SPEC = RECORD_SPECS[Movement]
scaled = st.one_of(
    st.integers(-MAX_SCALED, MAX_SCALED),
    st.integers(-(10**20), 10**20),
    st.sampled_from([-MAX_SCALED, -1, 0, 1, MAX_SCALED]),
)
decimals = scaled.map(from_scaled)
moments = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=45))]),
)  # fmt: skip


@given(st.lists(st.none() | decimals, min_size=1))
def test_columns_of_keys_equal_the_domains_keys(values: list[Decimal | None]) -> None:
    """The column-wise keys are the domain's keys, and lead back to the same amounts."""
    column = amounts.from_decimals(values)
    keys = amounts.to_keys(column)
    assert keys.to_pylist() == [None if value is None else ordered_key(value) for value in values]
    assert amounts.from_keys(keys).equals(column)


@given(st.lists(decimals, min_size=1), st.data())
def test_slices_of_columns_too(values: list[Decimal], data: st.DataObject) -> None:
    """A slice of a column, which starts inside its buffers, converts like a column of its own."""
    start = data.draw(st.integers(0, len(values) - 1))
    keys = amounts.to_keys(amounts.from_decimals(values).slice(start))
    assert keys.to_pylist() == [ordered_key(value) for value in values[start:]]
    assert amounts.from_keys(keys.slice(0)).to_pylist() == values[start:]


@given(decimals, decimals)
def test_key_order_is_numeric_order(left: Decimal, right: Decimal) -> None:
    """Text order of keys is the order of the numbers, for both signs; ph_cmp agrees."""
    assert (ordered_key(left) < ordered_key(right)) == (left < right)
    assert functions.compare(plain(left), ordered_key(right)) == (left > right) - (left < right)


@given(st.lists(decimals))
def test_ph_sum_is_exact(values: list[Decimal]) -> None:
    """The sum of any amounts is exact, also beyond the domain of one amount."""
    total = functions.ExactSum()
    for value in values:
        total.step(plain(value))
    units = sum(
        int(value.scaleb(18)) if abs(value) < 1 else functions.scaled(plain(value)) for value in values
    )
    assert total.finalize() == (functions.text(units) if values else None)


@given(decimals)
def test_canonical_text_is_a_fixed_point(value: Decimal) -> None:
    """ph_dec of canonical text or of a key is the canonical text."""
    assert functions.canonical(plain(value)) == plain(value)
    assert functions.canonical(ordered_key(value)) == plain(value)


@given(moments, moments)
def test_moment_text_sorts(left: datetime, right: datetime) -> None:
    """Text order of stored moments is time order, from any zone, and the text leads back."""
    assert (moment_text(left) < moment_text(right)) == (left < right)
    assert len(moment_text(left)) == 27
    assert datetime.fromisoformat(moment_text(left)) == left


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(texts, texts, decimals, texts, texts, decimals)
def test_hashes_differ_exactly_where_content_does(
    a1: str, h1: str, m1: Decimal, a2: str, h2: str, m2: Decimal
) -> None:
    """Two rows have one hash if and only if they have one content, separators inside values included."""
    rows = [movement(account=a1, handle=h1, amount=m1), movement(account=a2, handle=h2, amount=m2)]
    first, second = content_hashes(SPEC, content_table(SPEC, rows)).to_pylist()
    assert (first == second) == (rows[0] == rows[1])


@given(texts, decimals, moments)
def test_a_hash_does_not_depend_on_company(text: str, amount: Decimal, moment: datetime) -> None:
    """A row's hash is the same alone, in a page of others, as a record and as a row of a table."""
    row = movement(account=text, amount=amount, effective_at=moment)
    alone = content_hashes(SPEC, content_table(SPEC, [row]))[0]
    page = content_table(SPEC, [movement("x", handle="h", chain="eip155:1", block_number=1), row])
    assert content_hashes(SPEC, page)[1] == alone
    assert content_hashes(SPEC, content_table(SPEC, pa.concat_tables([page, page])))[3] == alone


def test_a_hash_is_pinned() -> None:
    """The form that is hashed never changes, or every record would become a new version once."""
    fields = (
        "connector=cards",
        "movement_id=ch_1",
        "rail=card",
        "kind=charge",
        "status=succeeded",
        "account=alice",
        "payment_key=pi_ch_1",
        "amount=12500000000000000000",
        "asset=USD",
        "symbol=USD",
        "effective_at=1767268800000000",
    )
    expected = hashlib.blake2b("\x1f".join(fields).encode(), digest_size=16).hexdigest()
    assert content_hashes(SPEC, content_table(SPEC, [movement()])).to_pylist() == [expected]


@pytest.mark.parametrize("text", ["2432273025036907293751", "1E+30", "-100000000000000000000", "NaN"])
def test_amounts_outside_the_domain_are_refused_not_wrapped(text: str) -> None:
    """Arrow's own cast wraps beyond twenty digits before the point; ours refuses."""
    with pytest.raises(pa.ArrowInvalid):
        amounts.from_decimals([Decimal(text)])
