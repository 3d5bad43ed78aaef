"""What payments and entries are read from; each connector is client (I/O), translate (pure) and source."""

from __future__ import annotations

from datetime import UTC, date, datetime

from payhealth.domain.times import parse_moment, utc


def start_moment(value: object) -> datetime:
    """Read a ``start`` of the configuration: a date (midnight UTC) or a moment with a zone.

    Args:
        value: a date, a datetime, or either as ISO 8601 text.

    Returns:
        The moment in UTC, cut to the second.

    Raises:
        ValueError: another form, or a moment without a zone.
    """
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == len("2026-01-01") else parse_moment(value)
    if isinstance(value, datetime):
        return utc(value).replace(microsecond=0)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError("must be a date such as 2026-01-01, or a moment with its zone")
