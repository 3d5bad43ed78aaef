"""Moments: aware and UTC, or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.errors import TimeError
from payhealth.domain.times import EPOCH, from_us, iso, parse_moment, to_us, utc

aware = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 - the zone is drawn
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.timezones(),
)


@given(aware)
def test_text_and_microseconds_keep_the_moment(moment: datetime) -> None:
    """ISO text and microseconds since 1970 give back the same moment to the microsecond, in UTC."""
    in_utc = moment.astimezone(UTC)  # Python calls hours that a zone skips unequal to every other moment.
    assert parse_moment(iso(moment)) == in_utc
    assert from_us(to_us(moment)) == in_utc
    assert iso(moment).endswith("Z")
    assert utc(moment).tzinfo is UTC


@given(aware, aware)
def test_microseconds_are_in_the_order_of_the_moments(left: datetime, right: datetime) -> None:
    """A number compares as its moment does, whatever the zones."""
    assert (to_us(left) < to_us(right)) == (left.astimezone(UTC) < right.astimezone(UTC))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01T00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01 00:00:00+00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:30:00+0230", "2026-01-01T00:00:00Z"),
        ("2026-01-01 00:00:00 -05:00", "2026-01-01T05:00:00Z"),
        ("2026-01-01 00:00:00 +05:00", "2025-12-31T19:00:00Z"),
        ("2026-01-01 00:00:00 Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01t00:00:00,5z", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000001Z"),
        ("2026-01-01T00:00:00-00:00", "2026-01-01T00:00:00Z"),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999Z"),
    ],
)
def test_usual_spellings_are_read(text: str, expected: str) -> None:
    """What databases and APIs write is understood: short zones, a blank, a comma, lower case."""
    assert iso(parse_moment(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00",
        "2026-01-01",
        "",
        "now",
        "1767225600",
        "20260101T000000Z",
        "2026-W01-1T00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01T00:00:00+99:00",
        "2026-01-01T00:00:00 UTC",
        "2026-01-01T00:00:00Z\n",
        "2026-01-01T00:00:00\tZ",
        " 2026-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-01:00",
        "\uff12026-01-01T00:00:00Z",
    ],
)
def test_naive_and_impossible_moments_are_refused(text: str) -> None:
    """No zone, no such day, no ISO form, no year in UTC: TimeError, never a guess."""
    with pytest.raises(TimeError):
        parse_moment(text)


def test_naive_datetimes_are_refused_everywhere() -> None:
    """Nothing assumes a zone for a datetime that has none."""
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    for use in (utc, to_us, iso):
        with pytest.raises(TimeError):
            use(naive)


def test_a_moment_that_utc_has_no_year_for_is_refused() -> None:
    """The ends of the calendar in a far zone raise TimeError, not OverflowError."""
    with pytest.raises(TimeError):
        utc(datetime.min.replace(tzinfo=timezone(timedelta(hours=1))))


def test_microseconds_are_exact() -> None:
    """No float is in between: a microsecond far from 1970 is still one microsecond."""
    late = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    assert from_us(to_us(late)) == late
    assert to_us(EPOCH) == 0
    assert to_us(EPOCH - timedelta(microseconds=1)) == -1
