"""Money: what is an amount, what is none, and what may be combined."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payhealth.domain.errors import AmountError, InputError
from payhealth.domain.money import Money, checked, from_units, ordered_key, parse_amount, plain, to_scaled

SMALLEST = "0.000000000000000001"
LARGEST = "99999999999999999999.999999999999999999"


@pytest.mark.parametrize("text", [SMALLEST, f"-{SMALLEST}", LARGEST, f"-{LARGEST}", "0", "12.5", "-3"])
def test_the_extremes_of_both_signs_come_back_unchanged(text: str) -> None:
    """Text -> amount -> key -> amount -> text is the identity at the ends of the domain."""
    assert plain(parse_amount(text)) == text


def test_the_extremes_are_in_order() -> None:
    """The keys of the extreme amounts of both signs and of zero sort as the numbers do."""
    ascending = [f"-{LARGEST}", "-1", f"-{SMALLEST}", "0", SMALLEST, "1", LARGEST]
    keys = [ordered_key(parse_amount(text)) for text in ascending]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " 1",
        "1 ",
        "1\n",
        "1e3",
        "1E-3",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "1,000",
        "1_000",
        "0x10",
        "--1",
        "+-1",
        "1.2.3",
        ".",
        "-",
        "$1",
        "\u0661\u0662",
        "\uff11",
        "\u00b2",
        "1\u00a0",
        "0." + "0" * 18 + "1",
        "100000000000000000000",
        "-100000000000000000000",
        "0" * 200,
        "1" * 5000,
    ],
)
def test_what_is_no_plain_decimal_of_the_domain_is_refused(text: str) -> None:
    """Exponents, blanks, separators, NaN, digits of other scripts and anything outside raise AmountError."""
    with pytest.raises(AmountError):
        parse_amount(text)


def test_the_largest_uint256_is_refused() -> None:
    """2**256 - 1, the classic unlimited allowance, is no amount at any usual number of decimals."""
    for decimals in (0, 6, 8, 18):
        with pytest.raises(AmountError):
            from_units(2**256 - 1, decimals)


@pytest.mark.parametrize("decimals", [-1, 78, 255])
def test_impossible_decimals_are_refused(decimals: int) -> None:
    """A token may claim any number of decimals; what no power of ten can be is refused."""
    with pytest.raises(AmountError):
        from_units(1, decimals)


@pytest.mark.parametrize("value", [1.0, 1, "1", None, True])
def test_money_is_made_of_decimals_alone(value: object) -> None:
    """A float, an int or a text is no amount, not even one that happens to be exact."""
    with pytest.raises(AmountError):
        Money(value, "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1E+400000"),
        Decimal("1E-400000"),
        Decimal("1." + "1" * 5000),
    ],
)
def test_hostile_decimals_are_refused_at_once(value: Decimal) -> None:
    """A decimal that cannot be an amount raises AmountError, whatever its exponent or digits."""
    with pytest.raises(AmountError):
        checked(value)


@pytest.mark.parametrize("text", ["0E+999999999", "-0E-999999999", "-0.00"])
def test_any_zero_is_zero(text: str) -> None:
    """Zeros of every sign and exponent are the one zero; a huge exponent costs nothing."""
    assert to_scaled(Decimal(text)) == 0
    assert Money(Decimal(text), "USD") == Money(Decimal(0), "USD")
    assert str(Money(Decimal(text), "USD")) == "0 USD"


def test_assets_do_not_mix() -> None:
    """Adding, taking away and comparing across assets raises instead of guessing a rate."""
    dollars, euros = Money(Decimal(1), "USD"), Money(Decimal(1), "EUR")
    for combine in (lambda: dollars + euros, lambda: dollars - euros, lambda: dollars < euros):
        with pytest.raises(AmountError):
            combine()
    assert dollars != euros


def test_equal_values_are_equal_money() -> None:
    """How an amount was spelled does not show in equality or hash."""
    left, right = Money(Decimal("1.50"), "USD"), Money(Decimal("1.5"), "USD")
    assert left == right
    assert hash(left) == hash(right)
    assert not left < right


def test_an_amount_error_is_an_input_error_and_a_value_error() -> None:
    """Callers may catch it as bad input, pydantic as a bad value."""
    assert issubclass(AmountError, InputError)
    assert issubclass(AmountError, ValueError)
