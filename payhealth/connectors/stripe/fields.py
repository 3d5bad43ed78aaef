"""Taking values out of Stripe's objects: exact, bounded, and with a reason where one does not fit.

Objects are what a JSON parser gives: dicts with text keys, lists, texts, numbers, booleans and None. What
is taken are primitive values (minor units, unix seconds); :mod:`columns` makes columns of them in bulk.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

from payhealth.connectors.stripe.currencies import decimals_of

JsonObject = Mapping[str, Any]

ID_CHARS_MAX = 255
TEXT_CHARS_MAX = 500

_SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999."""

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
_RATE_UNIT = Decimal("1E-18")
_WIDE = Context(prec=60)
"""The default context would refuse a rate above 10^10 at eighteen places."""

_NOTHING: JsonObject = {}


class UnfitError(Exception):
    """An object that cannot be understood; the text says why, without its content."""


def is_id(value: Any) -> bool:
    """Whether a value can be an id: a text that is not empty, bounded and without control characters."""
    return type(value) is str and 0 < len(value) <= ID_CHARS_MAX and value.isprintable()


def required_id(found: JsonObject, name: str = "id") -> str:
    """An id that must be there."""
    value = found.get(name)
    if type(value) is str and 0 < len(value) <= ID_CHARS_MAX and value.isprintable():
        return value
    raise UnfitError(f"{name} is no id" if type(value) is str and value else f"{name} is missing")


def linked_id(found: JsonObject, name: str) -> str | None:
    """The id of another object, which Stripe may have put in whole (expanded)."""
    value = found.get(name)
    if value is None:
        return None
    if type(value) is dict:
        value = value.get("id")
    if type(value) is not str or not value:
        return None
    if len(value) > ID_CHARS_MAX or not value.isprintable():
        raise UnfitError(f"{name} is no id")
    return value


def text(found: JsonObject, name: str) -> str | None:
    """A text that may be absent, cut to a bound."""
    value = found.get(name)
    return fitting(value) if type(value) is str else None


def fitting(value: Any) -> str | None:
    """The value cut to a bound if it is a text that is not empty, else None."""
    return value[:TEXT_CHARS_MAX] or None if isinstance(value, str) else None


def required_text(found: JsonObject, name: str) -> str:
    """A text that must be there."""
    value = text(found, name)
    if value is None:
        raise UnfitError(f"{name} is missing")
    return value


def part(found: JsonObject, name: str) -> JsonObject:
    """A nested object, empty where there is none."""
    value = found.get(name)
    return value if type(value) is dict else _NOTHING


def items(found: JsonObject, name: str) -> list[JsonObject]:
    """The objects of a nested list, Stripe's list objects included; empty where there is none."""
    value = found.get(name)
    if type(value) is dict:
        value = value.get("data")
    return [each for each in value if type(each) is dict] if type(value) is list else []


def flag(found: JsonObject, name: str) -> bool | None:
    """A boolean that may be absent."""
    value = found.get(name)
    return value if type(value) is bool else None


def required_flag(found: JsonObject, name: str) -> bool:
    """A boolean that must be there."""
    value = found.get(name)
    if type(value) is not bool:
        raise UnfitError(f"{name} is missing")
    return value


def number(found: JsonObject, name: str) -> int | None:
    """An integer of 64 bits that may be absent and is no amount."""
    value = found.get(name)
    return value if type(value) is int and _INTEGER_MIN <= value <= _INTEGER_MAX else None


def whole(found: JsonObject, name: str) -> int:
    """An integer that must be there; true and 1.0 are none."""
    value = found.get(name)
    if type(value) is int:
        return value
    raise UnfitError(f"{name} is missing" if value is None else f"{name} is not an integer")


def currency(found: JsonObject) -> tuple[str, int]:
    """The asset, and how many digits after the point its amounts carry."""
    asset, decimals = _money(required_text(found, "currency"))
    if decimals is None:
        raise UnfitError("the digits of its currency are not documented")
    return asset, decimals


@lru_cache(maxsize=512)
def _money(code: str) -> tuple[str, int | None]:
    asset = code.upper()
    return asset, decimals_of(asset)


def signed(found: JsonObject, name: str) -> int:
    """An amount of either sign, in minor units.

    Stripe's own bound is twelve digits; 64 bits hold that, and in any currency lie inside the domain.
    """
    return bounded(whole(found, name), name)


def bounded(minor: int, name: str) -> int:
    """A number of minor units unless it is larger than any amount can be."""
    if not _INTEGER_MIN <= minor <= _INTEGER_MAX:
        raise UnfitError(f"{name} lies outside the domain of amounts")
    return minor


def unsigned(found: JsonObject, name: str) -> int:
    """An amount that cannot be negative, in minor units."""
    minor = signed(found, name)
    if minor < 0:
        raise UnfitError(f"{name} is negative")
    return minor


def rate(found: JsonObject, name: str) -> Decimal | None:
    """An exchange rate that may be absent.

    Stripe sends a JSON number of a few digits. The shortest decimal that reads back as the same binary
    number is what was written on the wire, for up to fifteen digits.
    """
    value = found.get(name)
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        raise UnfitError(f"{name} is not a number")
    exact = Decimal(repr(value))
    if not exact.is_finite() or not 0 < exact < 10**12:
        raise UnfitError(f"{name} is no exchange rate")
    return exact.quantize(_RATE_UNIT, context=_WIDE)


def moment(found: JsonObject, name: str) -> int:
    """A unix time in seconds that must be there."""
    seconds = whole(found, name)
    if not 0 <= seconds <= _SECONDS_MAX:
        raise UnfitError(f"{name} is no moment")
    return seconds


def optional_moment(found: JsonObject, name: str) -> int | None:
    """A unix time that may be absent; Stripe also writes 0 for none (``evidence_details.due_by``)."""
    return moment(found, name) if found.get(name) else None
