"""The moments that a simulated history hangs on, all derived from its start and end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SHORTEST = timedelta(days=1)
"""A history shorter than this has no room for refunds, disputes and the last day's burst."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One simulated history: a busy life, then quiet, then a reorg and a little light life."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse naive or fractional moments and histories too short to hold the planned stories."""
        for moment in (self.start, self.end):
            if moment.utcoffset() != timedelta(0):
                raise ValueError(f"a moment of the history is not in UTC: {moment!r}")
            if moment.microsecond:
                raise ValueError(f"a moment of the history is not a whole second: {moment!r}")
        if self.end - self.start < SHORTEST:
            raise ValueError("the history must last at least one day")

    @classmethod
    def of(cls, start: datetime, end: datetime) -> Window:
        """A window of whole seconds in UTC from any two aware moments."""
        if start.tzinfo is None or end.tzinfo is None:
            raise ValueError("start and end must be aware datetimes")
        return cls(start=_whole(start), end=_whole(end))

    @property
    def days(self) -> float:
        """The length in days, for rates only."""
        return (self.end - self.start) / timedelta(days=1)

    @property
    def busy_from(self) -> datetime:
        """When the first customers buy; wallets are filled before it."""
        return self.start + timedelta(minutes=30)

    @property
    def busy_until(self) -> datetime:
        """After it nothing new begins; what has begun is in the ledger by ``end`` - 90 minutes."""
        return self.end - timedelta(minutes=100)

    @property
    def shops_close_at(self) -> datetime:
        """After it nobody orders any more: several declined attempts still end before the quiet."""
        return self.busy_until - timedelta(minutes=25)

    @property
    def burst_at(self) -> datetime:
        """When the card testers come: inside the last 24 hours."""
        return self.end - timedelta(hours=5)

    @property
    def doomed_deposit_at(self) -> datetime:
        """When the deposit arrives that the reorg will remove."""
        return self.end - timedelta(minutes=62)

    @property
    def doomed_credit_at(self) -> datetime:
        """When the service credits that deposit, before it is final."""
        return self.end - timedelta(minutes=61)

    @property
    def before_reorg(self) -> datetime:
        """The end of the first phase."""
        return self.end - timedelta(minutes=60)

    @property
    def reorg_at(self) -> datetime:
        """When the chain changes its mind."""
        return self.end - timedelta(minutes=45)

    @property
    def light_until(self) -> datetime:
        """The end of the light life after the reorg; later nothing but usage and empty blocks."""
        return self.end - timedelta(minutes=30)

    @property
    def last_event_at(self) -> datetime:
        """The last moment at which anything happens."""
        return self.end - timedelta(minutes=1)

    def daily(self, hour: int) -> list[datetime]:
        """The moments of a daily job inside the busy life, ``hour`` hours into each simulated day."""
        first = self.start + timedelta(hours=hour)
        moments = (first + timedelta(days=day) for day in range(int(self.days) + 1))
        return [moment for moment in moments if moment < self.busy_until]


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
