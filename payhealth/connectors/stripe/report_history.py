"""The first reading of the balance transactions by reports instead of lists: ``history = "reports"``.

A report leaves payouts out and does not tell every line plainly (:mod:`report_rows`): payouts are listed by
their type, and the other lines read by their ids, so that a stretch is claimed only once it is whole. Where
that is more work than listing the stretch (more than one line in a hundred has to be read by itself), the
report saves nothing, and the lists go on from where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from payhealth.connectors.stripe.client import PAGE_OBJECTS, Page
from payhealth.connectors.stripe.payouts import Composition
from payhealth.connectors.stripe.reading import BATCH_OBJECTS, DAY_S, Reading, earliest, moment_of, seconds
from payhealth.connectors.stripe.reports import (
    PAYOUT_RECONCILIATION,
    Prepared,
    Waiting,
    history,
    payout_composition,
    prepared,
)
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.connectors.stripe.windows import Cursor
from payhealth.domain.errors import SourceDataError
from payhealth.domain.records import BalanceTransaction
from payhealth.ports import Batch, StoreReader, StreamProgress

STREAM = "balance_transactions"
LEFT_OUT = ("payout", "payout_cancel", "payout_failure")
"""Types of balance transactions that the report of the activity does not hold."""

REPORT_S = 31 * DAY_S
"""What one report covers: a run that breaks off loses no more."""

FEW_REQUESTS = 100
"""So many lines of a stretch are read by themselves in any case: seconds, against minutes of a report."""

UNTOLD_MAX = 20_000
"""More single reads than this take longer than anybody waits, and more ids than this fill the memory."""

WORTH_S = 7 * DAY_S
"""A shorter stretch is listed: a report is made for minutes before its first line comes."""


@dataclass(slots=True)
class _Stretch:
    """One stretch while it is read: what it held, and what is left to be read by itself."""

    lower_s: int
    upper_s: int
    objects: int = 0
    requests: int = 0
    untold: list[str] = field(default_factory=list)
    lost: int = 0

    @property
    def is_worth_it(self) -> bool:
        """Whether the lines that are left cost fewer requests than the list of all, or few in any case."""
        bound = min(max(self.objects // PAGE_OBJECTS, FEW_REQUESTS), UNTOLD_MAX)
        return not self.lost and len(self.untold) <= bound


def backfill(
    reading: Reading,
    cursor: str | None,
    now: datetime,
    reader: StoreReader,
    *,
    waiting: Waiting | None = None,
) -> Iterator[Batch]:
    """Read balance transactions by reports as far as their data goes; lists read the rest.

    Each stretch ends with a batch whose cursor the lists go on from. Nothing is read where what is left to
    read is short, or lies before what reports know.

    Raises:
        SourceError: a report could not be made or read; what was yielded stays valid.
    """
    known = _known(reading, cursor, now)
    if seconds(now) - known.until_s < WORTH_S:
        return
    data = prepared(reading.client, reading.name)
    whole = data.within(known.until_s, seconds(now))
    if whole is None or whole[1] - whole[0] < WORTH_S:
        return
    known = replace(known, began_s=min(known.began_s, data.to_s))
    head = (known.until_s, whole[0])
    for stretch in (_Stretch(*head), *_cut(whole)):
        if stretch.upper_s <= stretch.lower_s:
            continue
        if (stretch.lower_s, stretch.upper_s) == head:
            # Reports know nothing from before the account's first movement; a list proves that there is none.
            yield from _of_list(reading, stretch, {}, cursor)
        else:
            yield from _read(reading, stretch, data, reader, cursor, waiting or Waiting())
        if not stretch.is_worth_it:
            return
        known = known.read_until(stretch.upper_s)
        cursor = known.text()
        yield _claimed(reading, stretch, (head[0], whole[1]), cursor, now)


def payouts_made_of(
    reading: Reading, now: datetime, *, waiting: Waiting | None = None
) -> dict[str, Composition]:
    """What automatic payouts since ``start`` are made of, as far as a report tells; the rest is listed.

    Raises:
        SourceError: the report could not be made or read.
    """
    data = prepared(reading.client, reading.name, PAYOUT_RECONCILIATION)
    whole = data.within(reading.start_s, seconds(now))
    if whole is None or whole[1] - whole[0] < WORTH_S:
        return {}
    return payout_composition(reading.client, reading.rules, from_s=whole[0], to_s=whole[1], waiting=waiting)


def _cut(whole: tuple[int, int]) -> list[_Stretch]:
    lowers = range(whole[0], whole[1], REPORT_S)
    return [_Stretch(lower_s, min(lower_s + REPORT_S, whole[1])) for lower_s in lowers]


def _known(reading: Reading, cursor: str | None, now: datetime) -> Cursor:
    """What was read before; from the start where nothing was, or where ``start`` was moved."""
    start_s, now_s = reading.start_s, seconds(now)
    fresh = Cursor(since_s=start_s, until_s=start_s, began_s=now_s, again_at_s=now_s)
    if cursor is None:
        return fresh
    try:
        known = Cursor.parse(cursor)
    except ValueError as error:
        raise SourceDataError(f"{reading.name}: the cursor of {STREAM} is not one of Stripe's") from error
    return known if known.joins(start_s) else fresh


def _read(
    reading: Reading,
    stretch: _Stretch,
    data: Prepared,
    reader: StoreReader,
    cursor: str | None,
    waiting: Waiting,
) -> Iterator[Batch]:
    """The lines of a stretch: those of the report, those that it leaves out, those that it does not tell."""
    before = reading.client.requests
    parts = history(
        reading.client, reading.rules, from_s=stretch.lower_s, to_s=stretch.upper_s, waiting=waiting
    )
    for part in parts:
        stretch.objects += part.rows
        stretch.untold.extend(part.untold)
        stretch.lost += part.lost
        requests, before = reading.client.requests - before, reading.client.requests
        stretch.requests += requests
        yield Batch(
            stream=STREAM,
            records={BalanceTransaction: part.told} if part.told.num_rows else {},
            cursor=cursor,
            objects_read=part.told.num_rows,
            requests=requests,
            # The report says how things stood when its data was prepared, not when it was asked for.
            read_at=moment_of(data.to_s),
        )
        if len(stretch.untold) > UNTOLD_MAX:
            break
    if not stretch.is_worth_it:
        return
    for kind in LEFT_OUT:
        yield from _of_list(reading, stretch, {"type": kind}, cursor)
    yield from _untold(reading, stretch, cursor, reader)


def _of_list(
    reading: Reading, stretch: _Stretch, filters: Mapping[str, str], cursor: str | None
) -> Iterator[Batch]:
    """What the list of a stretch holds under some filters."""
    bounds = {"created[gte]": str(stretch.lower_s), "created[lt]": str(stretch.upper_s)}
    waiting: list[Page] = []
    for page in reading.client.listed(STREAM, {**filters, **bounds}):
        waiting.append(page)
        if not page.has_more or sum(len(each.objects) for each in waiting) >= BATCH_OBJECTS:
            batch = _listed(reading, waiting, cursor)
            stretch.objects += batch.objects_read
            stretch.requests += batch.requests
            yield batch
            waiting = []


def _listed(reading: Reading, pages: list[Page], cursor: str | None) -> Batch:
    objects = [found for page in pages for found in page.objects]
    return Batch(
        stream=STREAM,
        records=reading.translated(STREAMS[STREAM], objects) if objects else {},
        cursor=cursor,
        objects_read=len(objects),
        requests=sum(page.requests for page in pages),
        read_at=earliest(page.read_at for page in pages),
    )


def _untold(reading: Reading, stretch: _Stretch, cursor: str | None, reader: StoreReader) -> Iterator[Batch]:
    """The lines that the report does not tell plainly, each by its id.

    Raises:
        SourceDataError: Stripe shows fewer of them than its report names.
    """
    found = 0
    for batch in reading.fetched(STREAMS[STREAM], stretch.untold, STREAM, reader):
        found += batch.objects_read
        stretch.requests += batch.requests
        yield replace(batch, cursor=cursor)
    if found < len(set(stretch.untold)):
        raise SourceDataError(
            f"{reading.name}: Stripe's report names lines of the balance that Stripe does not show",
            hint='set history = "lists", and ask Stripe\'s support if balance_identity fails then',
        )


def _claimed(
    reading: Reading, stretch: _Stretch, whole: tuple[int, int], cursor: str, now: datetime
) -> Batch:
    window = reading.covered(
        STREAM, stretch.lower_s, stretch.upper_s, now, objects=stretch.objects, pages=stretch.requests
    )
    progress = StreamProgress(
        done=(stretch.upper_s - whole[0]) * 1_000_000,
        total=(whole[1] - whole[0]) * 1_000_000,
        windows=1 + (stretch.lower_s - whole[0]) // REPORT_S,
    )
    return Batch(stream=STREAM, records={}, windows=(window,), cursor=cursor, progress=progress)
