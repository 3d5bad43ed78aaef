"""Exact arithmetic for SQL on our own SQLite connections, where ``sum()`` over text would be a float.

``ph_sum(amount)`` adds exactly, ``ph_cmp(a, b)`` is -1, 0 or 1, ``ph_dec(x)`` is the canonical text of a
number. Amounts may be given as canonical text, as integers or as an ``amount_key``. On PostgreSQL functions
of the same names exist (views/functions.postgresql.sql), so that one query runs on both.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from payhealth.domain.errors import AmountError
from payhealth.domain.money import PRECISION, SCALE, UNIT, from_ordered_key, to_scaled

_PLAIN = re.compile(r"([+-]?)(\d{0,60})(?:\.(\d{0,18})0*)?", re.ASCII)
_KEY = re.compile(rf"[01]\d{{{PRECISION}}}", re.ASCII)


def scaled(value: Any) -> int:
    """A number as units of 1e-18; sums may exceed the domain of a column, so size is not limited to it.

    Raises:
        AmountError: a float, or text that is no plain decimal of at most 18 places.
    """
    if isinstance(value, int):
        whole: int = value * UNIT
        return whole
    if isinstance(value, str):
        if _KEY.fullmatch(value):
            units: int = to_scaled(from_ordered_key(value))
            return units
        found = _PLAIN.fullmatch(value)
        if found and (found[2] or found[3]):
            magnitude = int((found[2] or "0") + (found[3] or "").ljust(SCALE, "0"))
            return -magnitude if found[1] == "-" else magnitude
    raise AmountError(f"no exact amount: {str(value)[:40]!r}")


def text(units: int) -> str:
    """Units of 1e-18 as canonical text."""
    whole, rest = divmod(abs(units), UNIT)
    fraction = f".{rest:0{SCALE}d}".rstrip("0") if rest else ""
    return f"{'-' if units < 0 else ''}{whole}{fraction}"


class ExactSum:
    """The aggregate behind ``ph_sum``: NULL over no values, as ``sum()`` is."""

    def __init__(self) -> None:
        self._units: int | None = None

    def step(self, value: Any) -> None:
        """Add one value; NULL adds nothing."""
        if value is not None:
            self._units = (self._units or 0) + scaled(value)

    def finalize(self) -> str | None:
        """The sum."""
        return None if self._units is None else text(self._units)


def compare(left: Any, right: Any) -> int | None:
    """-1, 0 or 1, NULL when either is."""
    if left is None or right is None:
        return None
    a, b = scaled(left), scaled(right)
    return (a > b) - (a < b)


def canonical(value: Any) -> str | None:
    """The canonical text of a number, NULL for NULL."""
    return None if value is None else text(scaled(value))


def register(connection: sqlite3.Connection) -> None:
    """Add the functions to a connection."""
    connection.create_aggregate("ph_sum", 1, ExactSum)  # type: ignore[arg-type]
    connection.create_function("ph_cmp", 2, compare, deterministic=True)
    connection.create_function("ph_dec", 1, canonical, deterministic=True)
