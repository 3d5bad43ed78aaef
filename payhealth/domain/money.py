"""Exact money: decimals of 38 digits with 18 after the point, and nothing else.

The domain is the same everywhere: PostgreSQL ``NUMERIC(38,18)``, DuckDB and Arrow ``DECIMAL(38,18)``,
and in SQLite a text key of our own that sorts as the numbers do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation, Rounded
from functools import reduce
from typing import Self

from payhealth.domain.errors import AmountError

PRECISION = 38
SCALE = 18
UNIT = 10**SCALE
MAX_SCALED = 10**PRECISION - 1
"""The largest magnitude, in units of 1e-18: twenty digits before the point, eighteen after it."""

_PLAIN_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_MAX_TEXT = 120
_EXACT = Context(prec=200, traps=[InvalidOperation, Inexact, Rounded])


def parse_amount(text: str) -> Decimal:
    """Read a plain decimal exactly.

    Args:
        text: digits with an optional sign and point; no exponent, separator, blank, NaN or infinity.

    Returns:
        The value, at most 20 digits before and 18 after the point.

    Raises:
        AmountError: the text is not such a decimal, or lies outside the domain.
    """
    if len(text) > _MAX_TEXT or not _PLAIN_DECIMAL.fullmatch(text):
        raise AmountError(f"not a plain decimal: {text[:40]!r}")
    return checked(Decimal(text))


def checked(amount: Decimal) -> Decimal:
    """Return the amount unchanged in value if it lies in the domain, else raise AmountError."""
    return from_scaled(to_scaled(amount))


def to_scaled(amount: Decimal) -> int:
    """The amount in units of 1e-18, exact.

    Raises:
        AmountError: not finite, more than 18 digits after the point, or more than 20 before it.
    """
    if not amount.is_finite():
        raise AmountError(f"not a finite amount: {amount}")
    if not amount:
        return 0
    if not -60 < amount.adjusted() < 60:
        raise AmountError(f"outside the domain of 38 digits with 18 after the point: {amount:.6E}")
    sign, digits, exponent = amount.as_tuple()
    if len(digits) > _MAX_TEXT:
        raise AmountError(f"outside the domain of 38 digits with 18 after the point: {len(digits)} digits")
    value = int("".join(map(str, digits)))
    shift = int(exponent) + SCALE
    scaled: int
    if shift >= 0:
        scaled = value * 10**shift
    else:
        scaled, rest = divmod(value, 10**-shift)
        if rest:
            raise AmountError(f"more than {SCALE} digits after the point: {amount:f}")
    if scaled > MAX_SCALED:
        raise AmountError(f"outside the domain of 38 digits with 18 after the point: {amount:f}")
    return -scaled if sign else scaled


def from_scaled(scaled: int) -> Decimal:
    """The decimal for a number of units of 1e-18.

    Raises:
        AmountError: its magnitude exceeds 38 digits.
    """
    if abs(scaled) > MAX_SCALED:
        raise AmountError("outside the domain of 38 digits with 18 after the point")
    return _EXACT.create_decimal(scaled).scaleb(-SCALE, _EXACT)


def from_units(units: int, decimals: int) -> Decimal:
    """The amount for an integer in an asset's smallest unit.

    Args:
        units: cents, wei and the like; may be negative.
        decimals: digits after the point that the unit stands for, 0 to 77.

    Raises:
        AmountError: outside the domain (2**256 - 1 of any token is).
    """
    if not 0 <= decimals <= 77:
        raise AmountError(f"an asset cannot have {decimals} decimals")
    scaled, rest = divmod(abs(units) * UNIT, 10**decimals)
    if rest:
        raise AmountError(f"more than {SCALE} digits after the point: {units} units of 1e-{decimals}")
    return from_scaled(-scaled if units < 0 else scaled)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum, to show or to compare; unlike an amount it may lie outside the domain."""
    return reduce(_EXACT.add, amounts, Decimal(0))


def plain(amount: Decimal) -> str:
    """The canonical text of an amount: no exponent, no needless zeros, ``0`` for any zero."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def ordered_key(amount: Decimal) -> str:
    """A text whose order is the numeric order, for databases without decimals.

    A sign digit (1 for zero and above, 0 below) and the scaled magnitude in 38 digits, each digit
    replaced by nine minus itself when the amount is negative.
    """
    scaled = to_scaled(amount)
    return f"1{scaled:038d}" if scaled >= 0 else f"0{MAX_SCALED + scaled:038d}"


def from_ordered_key(key: str) -> Decimal:
    """The amount that :func:`ordered_key` was given."""
    magnitude = int(key[1:])
    return from_scaled(magnitude if key[0] == "1" else magnitude - MAX_SCALED)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount of one asset.

    Args:
        amount: a decimal inside the domain.
        asset: an ISO 4217 code or a CAIP-19 id.
    """

    amount: Decimal
    asset: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise AmountError(f"an amount must be a Decimal, not {type(self.amount).__name__}")
        object.__setattr__(self, "amount", checked(self.amount))

    def _same(self, other: Self) -> None:
        if self.asset != other.asset:
            raise AmountError(f"cannot combine {self.asset} with {other.asset}")

    def __add__(self, other: Self) -> Self:
        self._same(other)
        return type(self)(from_scaled(to_scaled(self.amount) + to_scaled(other.amount)), self.asset)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __neg__(self) -> Self:
        return type(self)(self.amount.copy_negate(), self.asset)

    def __lt__(self, other: Self) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.asset}"
