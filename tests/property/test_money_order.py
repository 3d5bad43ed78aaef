"""Money over the whole domain: round trips, exact sums, and a database order that is the numeric one."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.errors import AmountError
from payhealth.domain.money import (
    MAX_SCALED,
    Money,
    from_ordered_key,
    from_scaled,
    from_units,
    ordered_key,
    parse_amount,
    plain,
    to_scaled,
    total,
)

EDGES = (0, 1, -1, 9, -9, 10**18, -(10**18), MAX_SCALED, -MAX_SCALED, MAX_SCALED - 1, 1 - MAX_SCALED)
scaled_amounts = st.one_of(
    st.sampled_from(EDGES), st.integers(-MAX_SCALED, MAX_SCALED), st.integers(-(10**6), 10**6)
)


def naive(scaled: int) -> str:
    """The decimal text of a scaled amount, written down digit by digit."""
    digits = f"{abs(scaled):039d}"
    return f"{'-' if scaled < 0 else ''}{digits[:-18]}.{digits[-18:]}"


@given(scaled_amounts)
def test_every_amount_of_the_domain_survives_text_and_back(scaled: int) -> None:
    """Written as text and read again, an amount is the same number of units; no digit is lost or made."""
    assert to_scaled(parse_amount(naive(scaled))) == scaled
    assert to_scaled(parse_amount(plain(from_scaled(scaled)))) == scaled


@given(scaled_amounts)
def test_the_ordered_key_gives_the_amount_back(scaled: int) -> None:
    """The database's text holds the whole amount, in 39 digits."""
    key = ordered_key(from_scaled(scaled))
    assert len(key) == 39
    assert key.isdecimal()
    assert to_scaled(from_ordered_key(key)) == scaled


@given(scaled_amounts, scaled_amounts)
def test_the_order_of_keys_is_the_order_of_numbers(left: int, right: int) -> None:
    """Comparing keys as text says what comparing the numbers says, for both signs and the extremes."""
    keys = ordered_key(from_scaled(left)), ordered_key(from_scaled(right))
    assert (keys[0] < keys[1]) == (left < right)
    assert (keys[0] == keys[1]) == (left == right)


@given(scaled_amounts)
def test_one_value_has_one_canonical_text(scaled: int) -> None:
    """However an amount is spelled, its canonical text is one: no exponent, no needless zero, no ``-0``."""
    text = plain(from_scaled(scaled))
    assert text == plain(parse_amount(naive(scaled)))
    assert "E" not in text
    assert not (("." in text) and text.endswith(("0", ".")))
    assert text != "-0"
    assert Decimal(text) == from_scaled(scaled)


@given(scaled_amounts, scaled_amounts)
def test_adding_and_taking_away_is_integer_arithmetic(left: int, right: int) -> None:
    """Sums and differences are exact, or refused where they leave the domain; nothing wraps or rounds."""
    one, other = Money(from_scaled(left), "USD"), Money(from_scaled(right), "USD")
    for got, expected in ((lambda: one + other, left + right), (lambda: one - other, left - right)):
        if abs(expected) <= MAX_SCALED:
            assert to_scaled(got().amount) == expected
        else:
            with pytest.raises(AmountError):
                got()


@given(scaled_amounts, scaled_amounts)
def test_an_ambient_context_of_low_precision_changes_nothing(left: int, right: int) -> None:
    """A caller's decimal context of five digits neither rounds nor breaks our arithmetic."""
    with localcontext() as context:
        context.prec = 5
        assert to_scaled(parse_amount(naive(left))) == left
        assert to_scaled(parse_amount(plain(from_scaled(left)))) == left
        assert total([from_scaled(left), from_scaled(right)]) == Decimal(f"{left + right}E-18")


@given(st.lists(scaled_amounts, max_size=50))
def test_a_total_is_exact_even_outside_the_domain(amounts: list[int]) -> None:
    """A sum that is only shown may be larger than any amount, and is exact all the same."""
    assert total(from_scaled(amount) for amount in amounts) == Decimal(f"{sum(amounts)}E-18")


@given(st.integers(-(2**256), 2**256), st.integers(0, 77))
def test_units_are_exact_or_refused(units: int, decimals: int) -> None:
    """An integer of a token's smallest unit becomes exactly its amount, or no amount at all."""
    scaled, rest = divmod(abs(units) * 10**18, 10**decimals)
    if rest or scaled > MAX_SCALED:
        with pytest.raises(AmountError):
            from_units(units, decimals)
    else:
        assert to_scaled(from_units(units, decimals)) == (scaled if units >= 0 else -scaled)


@given(st.integers(MAX_SCALED + 1, 10**60), st.sampled_from((1, -1)))
def test_beyond_the_domain_is_refused_and_never_wrapped(magnitude: int, sign: int) -> None:
    """The first value beyond the domain and any above it raise, from integers, decimals and text alike."""
    with pytest.raises(AmountError):
        from_scaled(sign * magnitude)
    with pytest.raises(AmountError):
        to_scaled(Decimal(sign * magnitude).scaleb(-18))
    with pytest.raises(AmountError):
        parse_amount(naive(sign * magnitude))
