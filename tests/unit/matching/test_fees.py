"""Credits follow from amounts in exact whole numbers."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
)
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.domain.money import from_scaled, to_scaled
from payhealth.matching.fees import credit, round_ratio
from payhealth.matching.policy import Basis, Policy, Rounding

PYTHONS = {
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_DOWN: ROUND_HALF_DOWN,
    Rounding.UP: ROUND_UP,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.CEILING: ROUND_CEILING,
    Rounding.FLOOR: ROUND_FLOOR,
}
CENT = Decimal("0.01")


def credited(amount: str, policy: Policy) -> Decimal:
    """The credit for an amount."""
    return from_scaled(credit(to_scaled(Decimal(amount)), policy))


@pytest.mark.parametrize("rounding", list(Rounding))
@settings(deadline=None)
@given(numerator=st.integers(-(10**6), 10**6), places=st.integers(0, 4))
def test_rounding_is_that_of_decimal(rounding: Rounding, numerator: int, places: int) -> None:
    """Every mode rounds both signs as Python's decimal does."""
    value = Decimal(numerator).scaleb(-places)
    expected = value.quantize(Decimal(1), PYTHONS[rounding], Context(prec=60))
    assert round_ratio(numerator, 10**places, rounding) == expected


def test_gross_credit_is_what_was_paid_less_the_fee() -> None:
    """Basis gross: 100 less 2.9 % and 0.30 is 96.80."""
    policy = Policy(fee_rate=Decimal("0.029"), fee_fixed=Decimal("0.30"), quantum=CENT)
    assert credited("100", policy) == Decimal("96.80")


def test_on_top_credit_is_the_largest_that_fits() -> None:
    """Basis on_top: 5.5 %, at least 0.80: of 100 it is 94.78, of 10 the minimum counts."""
    policy = Policy(basis=Basis.ON_TOP, fee_rate=Decimal("0.055"), fee_minimum=Decimal("0.80"), quantum=CENT)
    assert credited("100", policy) == Decimal("94.78")
    assert credited("10", policy) == Decimal("9.20")


@pytest.mark.parametrize("basis", list(Basis))
def test_a_fee_above_the_amount_expects_nothing(basis: Basis) -> None:
    """A fee above the gross expects 0, never a negative credit."""
    assert credited("0.50", Policy(basis=basis, fee_minimum=Decimal("0.80"), quantum=CENT)) == 0


amounts = st.integers(0, 10**30)
rates = st.integers(0, 2 * 10**18).map(from_scaled)
steps = st.integers(1, 10**19).map(from_scaled)


@settings(deadline=None)
@given(paid=amounts, rate=rates, minimum=rates, fixed=rates, quantum=steps)
def test_on_top_is_maximal(
    paid: int, rate: Decimal, minimum: Decimal, fixed: Decimal, quantum: Decimal
) -> None:
    """The bound c + fee(c) <= gross holds for the credit and fails one quantum higher."""
    policy = Policy(basis=Basis.ON_TOP, fee_rate=rate, fee_minimum=minimum, fee_fixed=fixed, quantum=quantum)

    def costs(value: int) -> Fraction:
        fee = max(Fraction(to_scaled(minimum)), value * Fraction(rate) + to_scaled(fixed))
        return value + fee

    step = to_scaled(quantum)
    found = credit(paid, policy)
    assert found % step == 0
    assert found == 0 or costs(found) <= paid
    assert costs(found + step) > paid


@settings(deadline=None)
@given(paid=amounts)
def test_without_a_fee_the_credit_is_the_amount(paid: int) -> None:
    """The built-in policy changes nothing."""
    assert credit(paid, Policy()) == paid
