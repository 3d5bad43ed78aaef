"""Lists read by windows of ``created``: several at once, committed one by one, resumable at any moment.

Stripe has no filter for what changed. Every pull reads what was created since its cursor (and a little
before it, for what is listed late); once a day it reads the recent past again, for changes whose event was
lost. The store adds a version only where something did change.

Source: https://docs.stripe.com/api/pagination
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from payhealth.connectors.stripe.client import Page
from payhealth.connectors.stripe.parallel import as_they_come
from payhealth.connectors.stripe.reading import BATCH_OBJECTS, DAY_S, Reading, Seen, earliest, seconds
from payhealth.connectors.stripe.streams import Stream
from payhealth.connectors.stripe.windows import Cursor, Cutter
from payhealth.domain.coverage import CoverageWindow
from payhealth.domain.errors import SourceDataError, SourceError
from payhealth.ports import Batch, StoreReader, StreamProgress

EVENTS_KEPT_S = 30 * DAY_S
"""For so long Stripe keeps events; whoever was away for longer must read everything again."""

_MARGIN_S = DAY_S
_WINDOWS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One stretch to be read, and how the cursor learns that it was read up to a moment."""

    lower_s: int
    upper_s: int
    read: Callable[[Cursor, int], Cursor]


class ListPull:
    """One pull of one list.

    Args:
        cursor: where the last pull ended.
        now: the moment to read up to, cut to the second and exclusive; Stripe's own clock where it is
            behind: what is created after it has not happened yet, whatever our clock says.
        reader: what the store knows; lists whose objects belong to no payment need none.
    """

    def __init__(
        self,
        reading: Reading,
        stream: Stream,
        cursor: str | None,
        now: datetime,
        reader: StoreReader | None,
    ) -> None:
        self._reading = reading
        self._stream = stream
        self._now = now
        self._reader = reader
        self._stored = cursor
        known = self._known(cursor)
        self._fresh = known is None
        self._upper_s = seconds(now)
        self._cursor = known or self._first()
        self._done_s = 0
        self._windows = 0

    def _known(self, cursor: str | None) -> Cursor | None:
        """What was read before, None where reading must begin at the start (again)."""
        if cursor is None:
            return None
        try:
            known = Cursor.parse(cursor)
        except ValueError as error:
            raise SourceDataError(
                f"{self._reading.name}: the cursor of {self._stream.resource} is not one of Stripe's"
            ) from error
        return known if known.joins(self._reading.start_s) else None

    def _first(self) -> Cursor:
        start_s = self._reading.start_s
        return Cursor(since_s=start_s, until_s=start_s, began_s=self._upper_s, again_at_s=self._upper_s)

    def batches(self) -> Iterator[Batch]:
        """Read what is new, then what is due to be read again.

        Raises:
            SourceError: the list could not be read on; what was yielded stays valid.
        """
        self._cursor = self._with_again()
        parts = self._parts()
        total_s = sum(max(part.upper_s - part.lower_s, 0) for part in parts)
        for part in parts:
            yield from self._part(part, total_s)

    def _with_again(self) -> Cursor:
        """The cursor with the stretch that is due to be read again."""
        known, settings = self._cursor, self._reading.settings
        start_s = self._reading.start_s
        if self._fresh or self._stream.resource == "events":
            return known
        if self._changes_were_missed(known):
            return replace(
                known,
                again_s=(start_s, known.until_s),
                again_at_s=self._upper_s,
                began_s=self._upper_s,
            )
        is_due = not 0 <= self._upper_s - known.again_at_s < settings.repull_every_s
        if known.again_s is not None or not is_due:
            return known
        days = settings.repull_days
        if self._stream.resource == "disputes":
            days = max(days, settings.dispute_repull_days)
        lower_s = max(start_s, known.until_s - days * DAY_S)
        again = (lower_s, known.until_s) if lower_s < known.until_s else None
        return replace(known, again_s=again, again_at_s=self._upper_s)

    def _changes_were_missed(self, known: Cursor) -> bool:
        """Whether nothing tells any more what changed, so that everything must be read again.

        Either events were not followed for so long that Stripe has dropped some, or they were followed while
        this list was not read, and so were passed over.
        """
        followed_s = self._followed_until_s()
        if followed_s is None:
            return self._upper_s - known.began_s > EVENTS_KEPT_S - _MARGIN_S
        gone = self._upper_s - max(followed_s, known.began_s) > EVENTS_KEPT_S - _MARGIN_S
        return gone or followed_s - max(known.until_s, known.began_s) > _MARGIN_S

    def _followed_until_s(self) -> int | None:
        """Up to when events were listed, None before the first of them."""
        text = self._reader.cursor(self._reading.name, "events") if self._reader else None
        try:
            listed = orjson.loads(text)["listed"] if text else None
            return None if listed is None else Cursor.parse(listed).until_s
        except (ValueError, KeyError, TypeError):
            # The stream of events says what is wrong with its own cursor.
            return None

    def _parts(self) -> list[_Part]:
        known = self._cursor
        lower_s = known.until_s
        if not self._fresh:
            lower_s = max(self._reading.start_s, known.until_s - self._reading.settings.overlap_s)
        parts = []
        if self._upper_s > known.until_s:
            parts.append(_Part(lower_s=lower_s, upper_s=self._upper_s, read=Cursor.read_until))
        if known.again_s is not None:
            parts.append(
                _Part(lower_s=known.again_s[0], upper_s=known.again_s[1], read=Cursor.read_again_until)
            )
        return parts

    def _part(self, part: _Part, total_s: int) -> Iterator[Batch]:
        """Read a stretch; a batch is committed when it is full, with the windows that ended in it."""
        cutter = Cutter(part.lower_s, part.upper_s)
        workers = self._reading.settings.parallel_windows
        windows = _Windows(part)
        gathered = _Gathered()
        failure: SourceError | None = None
        try:
            for bounds, page in as_they_come(cutter.cut, self._pages, workers=workers):
                window = windows.of(bounds)
                if page is not None:
                    self._reading.tick(page.read_at)
                    gathered.pages.append(window.taken(page))
                else:
                    cutter.held(bounds[1] - bounds[0], window.objects)
                    gathered.ended.append(window)
                if gathered.is_full():
                    yield self._batch(gathered, windows, total_s)
                    gathered = _Gathered()
        except SourceError as error:
            failure = error
        if gathered.pages or gathered.ended:
            yield self._batch(gathered, windows, total_s)
        if failure is not None:
            raise failure

    def _pages(self, bounds: tuple[int, int]) -> Iterator[Page]:
        return self._reading.client.pages(
            self._stream.resource,
            created_from_s=bounds[0],
            created_to_s=bounds[1],
            expand=self._stream.expand,
        )

    def _batch(self, gathered: _Gathered, windows: _Windows, total_s: int) -> Batch:
        """What was gathered as one step; the cursor moves as far as windows were read without a gap."""
        for window in gathered.ended:
            self._done_s += window.upper_s - window.lower_s
            self._note(window)
        self._windows += len(gathered.ended)
        self._cursor = windows.read_until(self._cursor, gathered.ended)
        objects = [found for page in gathered.pages for found in page.objects]
        return Batch(
            stream=self._stream.resource,
            records=self._reading.records(self._stream, objects, self._reader) if objects else {},
            windows=[self._covered(each) for each in gathered.ended if each.lower_s < each.upper_s],
            cursor=self._cursor.text() if self._windows else self._stored,
            objects_read=len(objects),
            requests=sum(page.requests for page in gathered.pages),
            read_at=earliest(page.read_at for page in gathered.pages),
            progress=StreamProgress(
                done=self._done_s * 1_000_000, total=total_s * 1_000_000, windows=self._windows
            ),
        )

    def _note(self, window: _Window) -> None:
        """Remember when this was read: events from before it tell nothing new."""
        if window.read_at_s is None:
            return
        seen = Seen(lower_s=window.lower_s, upper_s=window.upper_s, read_at_s=window.read_at_s)
        self._reading.seen.setdefault(self._stream.resource, []).append(seen)
        if self._fresh:
            began_s = min(self._cursor.began_s, window.read_at_s)
            self._cursor = replace(self._cursor, began_s=began_s)

    def _covered(self, window: _Window) -> CoverageWindow:
        bounds = window.lower_s, window.upper_s
        return self._reading.covered(
            self._stream.resource, *bounds, self._now, objects=window.objects, pages=window.pages
        )


@dataclass(slots=True)
class _Gathered:
    """Pages, and windows that came to their end, since the last batch."""

    pages: list[Page] = field(default_factory=list)
    ended: list[_Window] = field(default_factory=list)

    def is_full(self) -> bool:
        """Whether it is worth a commit: many objects, or many windows though they were empty."""
        objects = sum(len(page.objects) for page in self.pages)
        return objects >= BATCH_OBJECTS or len(self.ended) >= _WINDOWS_AT_ONCE


class _Windows:
    """The windows of a stretch, and up to where they were read without a gap."""

    def __init__(self, part: _Part) -> None:
        self._part = part
        self._position_s = part.lower_s
        self._ended: dict[int, int] = {}
        self._open: dict[tuple[int, int], _Window] = {}

    def of(self, bounds: tuple[int, int]) -> _Window:
        """The window with these bounds, as they were asked for."""
        if bounds not in self._open:
            self._open[bounds] = _Window(*bounds)
        return self._open[bounds]

    def read_until(self, cursor: Cursor, ended: Iterable[_Window]) -> Cursor:
        """The cursor once these windows were read: it stops at the first that was not, or not to its end."""
        for window in ended:
            self._ended[window.lower_s] = window.upper_s
            self._open.pop((window.lower_s, window.asked_upper_s), None)
        while (upper_s := self._ended.pop(self._position_s, self._position_s)) > self._position_s:
            self._position_s = upper_s
        return self._part.read(cursor, self._position_s)


class _Window:
    """One window while it is read."""

    def __init__(self, lower_s: int, upper_s: int) -> None:
        self.lower_s, self.upper_s, self.asked_upper_s = lower_s, upper_s, upper_s
        self.objects = self.pages = 0
        self.read_at_s: int | None = None
        self._ids: set[str] = set()

    def taken(self, page: Page) -> Page:
        """The page without what this window has shown already: pages shift while new objects arrive."""
        if not self.pages and page.read_at is not None:
            self.read_at_s = seconds(page.read_at)
            self.upper_s = max(self.lower_s, min(self.upper_s, self.read_at_s))
        fresh = [found for found in page.objects if self._is_new(found)]
        self.pages += 1
        self.objects += len(fresh)
        return replace(page, objects=fresh)

    def _is_new(self, found: Any) -> bool:
        found_id = found.get("id") if isinstance(found, dict) else None
        if not isinstance(found_id, str):
            return True
        known = found_id in self._ids
        self._ids.add(found_id)
        return not known
