"""Amounts survive as whole numbers, in narrow units where all of them fit and in wide ones where not."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.domain.errors import InputError
from payhealth.domain.money import MAX_SCALED, from_scaled, plain
from payhealth.matching.exact import (
    WIDE,
    Units,
    choose_units,
    codes,
    max_by,
    min_by,
    sum_by,
    to_decimals,
    to_ints,
)
from payhealth.matching.inputs import MONEY

TINY, HUGE = Decimal("0.000000000000000001"), Decimal("99999999999999999999.999999999999999999")


def column(*amounts: Decimal) -> pa.ChunkedArray:
    """A column of amounts."""
    return pa.chunked_array([pa.array(amounts, MONEY)])


@settings(deadline=None)
@given(st.lists(st.integers(-MAX_SCALED, MAX_SCALED), min_size=1))
def test_wide_numbers_hold_every_amount(scaled: list[int]) -> None:
    """Out and back again nothing changes, and the numbers are units of 1e-18."""
    amounts = column(*(from_scaled(value) for value in scaled))
    numbers = to_ints(amounts, WIDE)
    assert numbers.tolist() == scaled
    assert to_decimals(numbers, WIDE).to_pylist() == amounts.to_pylist()


@settings(deadline=None)
@given(st.lists(st.integers(-(10**14), 10**14), min_size=1))
def test_narrow_numbers_hold_cents(cents: list[int]) -> None:
    """Cents are counted in int64, and come back as decimals of 18 places."""
    amounts = column(*(Decimal(value).scaleb(-2) for value in cents))
    units = choose_units([amounts], [])
    assert units == Units(2, narrow=True)
    numbers = to_ints(amounts, units)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == cents
    assert to_decimals(numbers, units).to_pylist() == amounts.to_pylist()


@pytest.mark.parametrize(
    ("amounts", "quanta", "places"),
    [
        ((Decimal("1.5"),), [], 2),
        ((Decimal("1.000001"),), [], 6),
        ((Decimal("1.000001"),), [10**12], 6),
        ((Decimal("1.5"),), [10**9], 9),
        ((Decimal("1.5"),), [1], 18),
        ((TINY,), [], 18),
        ((HUGE, HUGE.copy_negate()), [], 18),
        ((Decimal(10**15), Decimal(10**15), Decimal(10**16)), [], 18),
    ],
)
def test_units_are_chosen_so_that_nothing_can_wrap(
    amounts: tuple[Decimal, ...], quanta: list[int], places: int
) -> None:
    """Narrow only where every amount and quantum is whole and no sum of all rows leaves int64."""
    assert choose_units([column(*amounts)], quanta) == Units(places, narrow=places < 18)


def test_a_slice_is_read_where_it_begins() -> None:
    """Arrow's buffers hold more than a slice shows."""
    amounts = column(*map(Decimal, range(10))).chunk(0).slice(3, 4)
    assert to_ints(amounts, Units(2, narrow=True)).tolist() == [300, 400, 500, 600]
    assert to_ints(amounts, WIDE).tolist() == [number * 10**18 for number in (3, 4, 5, 6)]


def test_a_sum_outside_the_domain_is_refused() -> None:
    """A sum of 39 digits is an error, never a wrapped amount."""
    with pytest.raises(InputError, match="more than 38 digits"):
        to_decimals(WIDE.array([2 * MAX_SCALED]), WIDE)


@settings(deadline=None)
@given(st.integers(-MAX_SCALED, MAX_SCALED))
def test_text_is_canonical(scaled: int) -> None:
    """Amounts are written as the domain writes them."""
    assert WIDE.text(scaled) == plain(from_scaled(scaled))


def test_text_of_a_sum_of_any_size() -> None:
    """A statement's sum may have more digits than an amount."""
    assert WIDE.text(-2 * MAX_SCALED) == "-199999999999999999999.999999999999999998"
    assert Units(2, narrow=True).text(-5) == "-0.05"


@pytest.mark.parametrize("units", [WIDE, Units(2, narrow=True)])
def test_buckets_are_reduced_exactly(units: Units) -> None:
    """Sums, minima and maxima by bucket, with an empty bucket in between."""
    index, values = np.array([2, 0, 2, 0]), units.array([5, -7, 11, 3])
    assert sum_by(index, values, 3).tolist() == [-4, 0, 16]
    assert max_by(index, values, 3, -1).tolist() == [3, -1, 11]
    assert min_by(index, values, 3, -1).tolist() == [-7, -1, 5]


def test_texts_are_numbered_in_their_order() -> None:
    """The numbering depends on the texts alone, not on where they stand."""
    (left, right), names = codes([pa.array(["b", "a"]), pa.chunked_array([["c"], ["a"]])])
    assert names == ["a", "b", "c"]
    assert left.tolist() == [1, 0]
    assert right.tolist() == [2, 0]
