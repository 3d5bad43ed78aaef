"""Taking values out of Stripe's objects: exact, bounded, and with a reason where one does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

import orjson

from payhealth.connectors.stripe.currencies import decimals_of, to_major
from payhealth.domain.errors import AmountError
from payhealth.domain.times import EPOCH, from_us

JsonObject = Mapping[str, Any]

_ID_CHARS_MAX = 255
_TEXT_CHARS_MAX = 500
_SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999."""

_RATE_UNIT = Decimal("1E-18")
_WIDE = Context(prec=60)
"""The default context would refuse a rate above 10^10 at eighteen places."""

_RAW_FIELDS = (
    *("id", "object", "status", "type", "reporting_category", "amount", "amount_captured"),
    *("amount_received", "amount_refunded", "fee", "net", "currency", "exchange_rate", "created"),
    *("available_on", "arrival_date", "canceled_at", "captured", "paid", "automatic", "livemode"),
    *("charge", "payment_intent", "latest_charge", "balance_transaction"),
    *("failure_balance_transaction", "source", "customer", "reason", "failure_code"),
)
"""What of an object may be kept: ids, states, amounts and times. No names, emails, addresses or texts."""


class UnfitError(Exception):
    """An object that cannot be understood; the text says why, without its content."""


def required_id(found: JsonObject, name: str = "id") -> str:
    """An id that must be there."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise UnfitError(f"{name} is missing")
    if len(value) > _ID_CHARS_MAX or not value.isprintable():
        raise UnfitError(f"{name} is no id")
    return value


def linked_id(found: JsonObject, name: str) -> str | None:
    """The id of another object, which Stripe may have put in whole (expanded)."""
    value = found.get(name)
    if isinstance(value, Mapping):
        value = value.get("id")
    if not isinstance(value, str) or not value:
        return None
    if len(value) > _ID_CHARS_MAX or not value.isprintable():
        raise UnfitError(f"{name} is no id")
    return value


def text(found: JsonObject, name: str) -> str | None:
    """A text that may be absent, cut to a bound; PostgreSQL cannot keep a NUL character."""
    value = found.get(name)
    if not isinstance(value, str):
        return None
    return value.replace("\x00", "")[:_TEXT_CHARS_MAX] or None


def required_text(found: JsonObject, name: str) -> str:
    """A text that must be there."""
    value = text(found, name)
    if value is None:
        raise UnfitError(f"{name} is missing")
    return value


def part(found: JsonObject, name: str) -> JsonObject:
    """A nested object, empty where there is none."""
    value = found.get(name)
    return value if isinstance(value, Mapping) else {}


def whole(found: JsonObject, name: str) -> int:
    """An integer that must be there; true and 1.0 are none."""
    value = found.get(name)
    if value is None:
        raise UnfitError(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnfitError(f"{name} is not an integer")
    return value


def currency(found: JsonObject) -> tuple[str, int]:
    """The asset, and how many digits after the point its amounts carry."""
    asset = required_text(found, "currency").upper()
    decimals = decimals_of(asset)
    if decimals is None:
        raise UnfitError("the digits of its currency are not documented")
    return asset, decimals


def signed(found: JsonObject, name: str, decimals: int) -> Decimal:
    """An amount of either sign, in major units."""
    try:
        return to_major(whole(found, name), decimals)
    except AmountError as error:
        raise UnfitError(f"{name} lies outside the domain of amounts") from error


def unsigned(found: JsonObject, name: str, decimals: int) -> Decimal:
    """An amount that cannot be negative, in major units."""
    amount = signed(found, name, decimals)
    if amount < 0:
        raise UnfitError(f"{name} is negative")
    return amount


def rate(found: JsonObject, name: str) -> Decimal | None:
    """An exchange rate that may be absent.

    Stripe sends a JSON number of a few digits. The shortest decimal that reads back as the same binary
    number is what was written on the wire, for up to fifteen digits.
    """
    value = found.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError(f"{name} is not a number")
    exact = Decimal(repr(value))
    if not exact.is_finite() or not 0 < exact < 10**12:
        raise UnfitError(f"{name} is no exchange rate")
    return exact.quantize(_RATE_UNIT, context=_WIDE)


def moment(found: JsonObject, name: str) -> datetime:
    """A unix time that must be there."""
    seconds = whole(found, name)
    if not 0 <= seconds <= _SECONDS_MAX:
        raise UnfitError(f"{name} is no moment")
    return from_us(seconds * 1_000_000)


def optional_moment(found: JsonObject, name: str) -> datetime | None:
    """A unix time that may be absent; Stripe also writes 0 for none (``evidence_details.due_by``)."""
    if not found.get(name):
        return None
    value = moment(found, name)
    return value if value > EPOCH else None


def object_id(found: Any) -> str:
    """What an object is called: its id, else a hash of its text."""
    value = found.get("id") if isinstance(found, Mapping) else None
    if isinstance(value, str) and 0 < len(value) <= _ID_CHARS_MAX and value.isprintable():
        return value
    body = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def stripped(found: Any) -> str:
    """What may be kept of an object that was rejected, as JSON."""
    if not isinstance(found, Mapping):
        return f"a JSON {type(found).__name__}"
    kept: dict[str, Any] = {}
    for name in _RAW_FIELDS:
        value = found.get(name)
        if isinstance(value, Mapping):
            value = value.get("id")
        if isinstance(value, str):
            value = value.replace("\x00", "")[:100]
        if name in found and isinstance(value, str | int | float | None):
            kept[name] = value
    return orjson.dumps(kept).decode()
