"""A clock that moves only when it is told to."""

from __future__ import annotations

from datetime import datetime, timedelta

from payhealth.domain.times import utc


class FixedClock:
    """The present moment, as a test sets it.

    Args:
        now: where the clock stands; aware.
    """

    def __init__(self, now: datetime) -> None:
        self._now = utc(now)

    def now(self) -> datetime:
        """The moment that was set."""
        return self._now

    def advance(self, step: timedelta) -> datetime:
        """Move on and tell the new moment."""
        self._now += step
        return self._now
