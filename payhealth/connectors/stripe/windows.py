"""How a stretch of time is cut into windows, and what a cursor remembers of those that were read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import orjson

from payhealth.domain.times import from_us, iso, parse_moment, to_us

FIRST_S = 3_600
"""The first window: an hour. Where there is little it soon grows, where there is much it is long enough."""

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


@dataclass(slots=True)
class Cutter:
    """Cuts ``[lower_s, upper_s)`` into windows, longer or shorter as those before turn out to be full.

    While windows turn out to hold next to nothing they are cut one after the other, each much longer than
    the last: reading several short empty ones at once would only cost requests.
    """

    lower_s: int
    upper_s: int
    span_s: int = FIRST_S
    _feeling: bool = True
    _under_way: int = 0

    def cut(self) -> tuple[int, int] | None:
        """The next window; None at the end, or where the one under way must be known first."""
        if self.lower_s >= self.upper_s or (self._feeling and self._under_way):
            return None
        lower_s = self.lower_s
        self.lower_s = min(lower_s + self.span_s, self.upper_s)
        self._under_way += 1
        return lower_s, self.lower_s

    def held(self, window_s: int, objects: int) -> None:
        """Learn how many objects a window of that length held."""
        self._under_way -= 1
        # Windows cut before this one was read still come with the old length: each is judged by its own.
        if window_s >= self.span_s:
            self.span_s = next_span_s(window_s, objects)
        self._feeling = self._feeling and objects <= _FEW_OBJECTS and self.span_s < LONGEST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What was read of a stream, in unix seconds.

    Args:
        since_s: from here ...
        until_s: ... to here nothing was left out (exclusive).
        began_s: Stripe's clock when the first of it was read: what changed before that was seen changed.
        again_s: the stretch that is still to be read again for changes, None where that is done.
        again_at_s: when it was last decided to read again, or when everything was read for the first time.
    """

    since_s: int
    until_s: int
    began_s: int
    again_s: tuple[int, int] | None = None
    again_at_s: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what :meth:`text` wrote, now or in the first version (``<since>/<until>``).

        Raises:
            ValueError: something else.
        """
        if not text.startswith("{"):
            since, _, until = text.partition("/")
            since_s, until_s = _seconds(since), _seconds(until)
            # That version read everything recent at each pull, and kept no note of when it began.
            return cls(since_s=since_s, until_s=until_s, began_s=until_s, again_at_s=until_s)
        found = orjson.loads(text)
        if not {"since", "until", "began", "again_at"} <= found.keys():
            raise ValueError("parts are missing")
        again = found.get("again")
        return cls(
            since_s=_seconds(found["since"]),
            until_s=_seconds(found["until"]),
            began_s=_seconds(found["began"]),
            again_s=(_seconds(again[0]), _seconds(again[1])) if again else None,
            again_at_s=_seconds(found["again_at"]),
        )

    def text(self) -> str:
        """JSON with ISO 8601 moments."""
        found: dict[str, Any] = {
            "since": _iso(self.since_s),
            "until": _iso(self.until_s),
            "began": _iso(self.began_s),
            "again": [_iso(self.again_s[0]), _iso(self.again_s[1])] if self.again_s else None,
            "again_at": _iso(self.again_at_s),
        }
        return orjson.dumps(found).decode()

    def joins(self, start_s: int) -> bool:
        """Whether reading on from here covers everything since a start.

        It does not where ``start`` was moved before what was read, or behind it.
        """
        return self.since_s <= start_s <= self.until_s

    def read_until(self, upper_s: int) -> Cursor:
        """The cursor once a window up to ``upper_s`` was read.

        Reading again behind the cursor never moves it back: a kill would go further back each time.
        """
        return replace(self, until_s=max(self.until_s, upper_s))

    def read_again_until(self, upper_s: int) -> Cursor:
        """The cursor once the stretch to be read again was read up to ``upper_s``."""
        if self.again_s is None or upper_s >= self.again_s[1]:
            return replace(self, again_s=None)
        return replace(self, again_s=(upper_s, self.again_s[1]))


def _seconds(text: Any) -> int:
    if not isinstance(text, str):
        raise ValueError("no moment")  # noqa: TRY004 - what parse() promises
    return to_us(parse_moment(text)) // 1_000_000


def _iso(seconds: int) -> str:
    return iso(from_us(seconds * 1_000_000))
