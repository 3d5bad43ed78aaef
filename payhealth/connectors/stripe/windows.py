"""How a stretch of time is cut into the windows that are read and committed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from payhealth.domain.times import from_us, iso, parse_moment, to_us

FIRST_S = 86_400
"""The first window: a day."""

LONGEST_S = 64 * 86_400
SHORTEST_S = 900

_FEW_OBJECTS = 100
"""One page: a window that holds no more costs one request, so a longer one costs no more."""

_MANY_OBJECTS = 5_000
"""Fifty pages: more would be lost by a kill than is worth a window's request."""


def next_span_s(span_s: int, objects: int) -> int:
    """The length of the next window, by what the last one held: few objects lengthen it, many shorten it.

    Args:
        span_s: length of the window that was just read, in seconds.
        objects: how many objects it held.
    """
    if objects <= _FEW_OBJECTS:
        return min(span_s * 4, LONGEST_S)
    if objects > _MANY_OBJECTS:
        return max(span_s // 4, SHORTEST_S)
    return span_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What was read of a stream without a gap: ``[since_s, until_s)`` unix seconds."""

    since_s: int
    until_s: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what :meth:`text` wrote.

        Raises:
            ValueError: something else.
        """
        since, _, until = text.partition("/")
        return cls(
            since_s=to_us(parse_moment(since)) // 1_000_000, until_s=to_us(parse_moment(until)) // 1_000_000
        )

    def text(self) -> str:
        """Two ISO 8601 moments."""
        return f"{iso(from_us(self.since_s * 1_000_000))}/{iso(from_us(self.until_s * 1_000_000))}"

    def joins(self, start_s: int) -> bool:
        """Whether reading on from here covers everything since a start.

        It does not where ``start`` was moved before what was read, or behind it.
        """
        return self.since_s <= start_s <= self.until_s

    def read_until(self, upper_s: int) -> Cursor:
        """The cursor once a window up to ``upper_s`` was read.

        Reading again behind the cursor never moves it back: a kill would go further back each time.
        """
        return Cursor(since_s=self.since_s, until_s=max(self.until_s, upper_s))
