"""How many digits Stripe's integer amounts carry after the point, by currency.

Source: https://docs.stripe.com/currencies (zero-decimal, three-decimal and special-case currencies).
"""

from __future__ import annotations

import re
from decimal import Decimal

from payhealth.domain.money import from_units

ZERO_DECIMAL = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 - a table
)
"""One unit of the amount is one unit of the currency."""

THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""One unit of the amount is a thousandth."""

DIGITS_MAX = 3
"""No currency has more digits after the point."""

TWO_DECIMAL_BY_EXCEPTION = frozenset({"ISK", "UGX", "HUF", "TWD"})
"""Without small coins in practice, but hundredths in the API (HUF and TWD only pay out whole units)."""

NOT_DOCUMENTED = frozenset({"IQD", "LYD", "CLF", "UYW"})
"""ISO 4217 gives these another number of digits, Stripe gives none: an amount would be a guess."""

_CODE = re.compile(r"[A-Z]{3}", re.ASCII)


def decimals_of(currency: str) -> int | None:
    """Digits after the point of an amount in this currency (upper case), None where nobody says."""
    if currency in ZERO_DECIMAL:
        return 0
    if currency in THREE_DECIMAL:
        return 3
    if currency in NOT_DOCUMENTED or not _CODE.fullmatch(currency):
        return None
    return 2


def to_major(amount_minor: int, decimals: int) -> Decimal:
    """The amount in the currency itself, exact.

    Raises:
        AmountError: outside the domain of 38 digits.
    """
    return from_units(amount_minor, decimals)
