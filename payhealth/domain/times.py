"""Moments: aware, UTC, to the microsecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from payhealth.domain.errors import TimeError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(Z|[+-]\d\d(?::?\d\d)?)",
    re.ASCII | re.IGNORECASE,
)


def utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is refused.

    Raises:
        TimeError: the moment has no time zone, or UTC has no year for it.
    """
    if moment.utcoffset() is None:
        raise TimeError(f"a moment without a time zone: {moment.isoformat()}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise TimeError(f"a moment outside the calendar in UTC: {moment.isoformat()}") from error


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 moment that names its zone.

    Raises:
        TimeError: another form, or no zone.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        raise TimeError(f"not an ISO 8601 moment with a time zone: {text[:40]!r}")
    try:
        parsed = datetime.fromisoformat("".join(found.groups()).replace(",", ".").upper())
    except ValueError as error:
        raise TimeError(f"not a moment: {text[:40]!r}") from error
    return utc(parsed)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (utc(moment) - EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """The moment that many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with a Z, microseconds only where there are any."""
    return utc(moment).isoformat().replace("+00:00", "Z")
