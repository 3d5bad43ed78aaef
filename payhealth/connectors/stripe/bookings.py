"""Both halves of every movement: the object (charge, refund, dispute, payout) and its line in the books.

Every line is new when money moves, however old the object is. A line whose object does not name it, or an
object whose line is missing, therefore shows what lists and events did not tell: the missing half is read
by its id. What stays without its half is recorded as a gap until both were found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from payhealth.connectors.stripe.balance_types import source_type
from payhealth.connectors.stripe.events import RECORDS
from payhealth.connectors.stripe.reading import DAY_S, Reading, moment_of, seconds
from payhealth.connectors.stripe.windows import Cursor
from payhealth.domain.coverage import CoverageWindow
from payhealth.domain.errors import SourceDataError
from payhealth.domain.money import parse_amount
from payhealth.domain.records import BookingGap, Rejected
from payhealth.domain.times import parse_moment
from payhealth.ports import Batch, StoreReader

STREAM = "bookings"
_LISTED = ("charges", "refunds", "disputes", "payouts", "balance_transactions")
_BEHIND_S = 2 * DAY_S
"""Every pull looks this far behind the last one: a line may come a day after its object."""

NO_OBJECT = "a line of the balance whose object Stripe does not show"
NO_LINE = "money moved, but no line of the balance says so"

_LINES = """
select b.balance_transaction_id as line_id, b.source_id, b.type, b.net as amount, b.asset, b.created_at as at
from v_balance_transactions b
left join v_links l on l.connector = b.connector and l.alias_id = b.balance_transaction_id
left join v_payouts p on p.connector = b.connector and p.payout_id = b.source_id
    and b.balance_transaction_id in (p.balance_transaction, p.failure_balance_transaction)
where b.connector = :connector and b.created_at >= :lower and b.created_at < :upper
    and b.source_id is not null and l.alias_id is null and p.payout_id is null
"""

_OBJECTS = """
select 'charge' as object_type, c.charge_id as object_id, c.balance_transaction as line_id,
    c.amount_captured as amount, c.asset, c.created_at as at
from v_charges c
left join v_balance_transactions b
    on b.connector = c.connector and b.balance_transaction_id = c.balance_transaction
where c.connector = :connector and c.created_at >= :lower and c.created_at < :upper
    and c.status = 'succeeded' and ph_cmp(c.amount_captured, 0) <> 0 and b.balance_transaction_id is null
union all
select 'refund', r.refund_id, r.balance_transaction, r.amount, r.asset, r.created_at
from v_refunds r
join v_movements m on m.connector = r.connector and m.movement_id = r.refund_id and m.status = 'succeeded'
left join v_balance_transactions b
    on b.connector = r.connector and b.balance_transaction_id = r.balance_transaction
where r.connector = :connector and r.created_at >= :lower and r.created_at < :upper
    and b.balance_transaction_id is null
union all
select 'dispute', d.dispute_id, null, d.withdrawn, d.asset, d.created_at
from v_disputes d
left join v_balance_transactions b on b.connector = d.connector and b.source_id = d.dispute_id
where d.connector = :connector and d.created_at >= :lower and d.created_at < :upper
    and ph_cmp(d.withdrawn, 0) <> 0 and b.balance_transaction_id is null
union all
select 'balance_transaction', m.movement_id, m.movement_id, m.amount, m.asset, m.effective_at
from v_movements m
left join v_balance_transactions b
    on b.connector = m.connector and b.balance_transaction_id = m.movement_id
where m.connector = :connector and m.effective_at >= :lower and m.effective_at < :upper
    and m.status = 'succeeded' and substr(m.movement_id, 1, 4) = 'txn_' and b.balance_transaction_id is null
"""

_OPEN = "select object_id, moved_at, since from v_booking_gaps where connector = :connector and not closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Half:
    """What was found without its other half, and which objects would mend it."""

    object_id: str
    missing: tuple[tuple[str, str], ...]
    """(type of object, id) to read: the other half, or the object again, which may name it by now."""
    reason: str
    gap: Mapping[str, Any]


def pull(reading: Reading, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
    """Look for halves, read what is missing, and record what stays missing.

    Raises:
        SourceError: an object could not be read.
    """
    position = _Position.parse(cursor, reading)
    upper_s = _listed_until_s(reading, reader)
    open_gaps = _open_gaps(reading, reader)
    lower_s = position.lower_s(reading, seconds(now), [gap.moved_s for gap in open_gaps.values()])
    for object_type, ids in _wanted(_halves(reading, lower_s, upper_s, reader)).items():
        stream = reading.stream_of(object_type)
        if stream is not None:
            yield from reading.fetched(stream, ids, STREAM, reader)
    alone = _halves(reading, lower_s, upper_s, reader)
    gaps = list(_gaps(reading, alone, {gap: open_gaps[gap].since for gap in open_gaps}, now, reader))
    # What lies outside of where it was looked was not found together either.
    looked_at = {gap for gap in open_gaps if lower_s <= open_gaps[gap].moved_s < upper_s}
    closed = [_closed(reading, gap, reader) for gap in looked_at - _ids(gaps)]
    yield Batch(
        stream=STREAM,
        records={BookingGap: [*gaps, *closed]},
        windows=_covered(reading, upper_s, now),
        cursor=position.moved(upper_s, seconds(now), reading).text(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A gap that is known: when its money moved, and since when it is known."""

    moved_s: int
    since: datetime


def _open_gaps(reading: Reading, reader: StoreReader) -> dict[str, _Open]:
    return {
        row["object_id"]: _Open(
            moved_s=seconds(parse_moment(row["moved_at"])), since=parse_moment(row["since"])
        )
        for row in reader.rows(_OPEN, {"connector": reading.name})
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Up to when halves were looked for, and when that was last done for all the recent past."""

    looked_s: int | None
    all_at_s: int

    @classmethod
    def parse(cls, text: str | None, reading: Reading) -> _Position:
        if text is None:
            return cls(looked_s=None, all_at_s=0)
        try:
            found = orjson.loads(text)
            return cls(looked_s=found["looked_s"], all_at_s=found["all_at_s"])
        except (ValueError, KeyError, TypeError) as error:
            raise SourceDataError(f"{reading.name}: the cursor of {STREAM} is not one of Stripe's") from error

    def text(self) -> str:
        return orjson.dumps({"looked_s": self.looked_s, "all_at_s": self.all_at_s}).decode()

    def _is_due(self, reading: Reading, now_s: int) -> bool:
        return now_s - self.all_at_s >= reading.settings.repull_every_s

    def lower_s(self, reading: Reading, now_s: int, open_since_s: Sequence[int]) -> int:
        """From when on to look: where a gap is open, from there."""
        if self.looked_s is None:
            return reading.start_s
        behind_s = _BEHIND_S
        if self._is_due(reading, now_s):
            behind_s = max(behind_s, reading.settings.repull_days * DAY_S)
        return max(reading.start_s, min(self.looked_s - behind_s, *open_since_s, self.looked_s))

    def moved(self, upper_s: int, now_s: int, reading: Reading) -> _Position:
        looked_s = max(upper_s, self.looked_s or 0)
        due = self.looked_s is None or self._is_due(reading, now_s)
        return replace(self, looked_s=looked_s, all_at_s=now_s if due else self.all_at_s)


def _listed_until_s(reading: Reading, reader: StoreReader) -> int:
    """Up to when all lists were read: what is younger may simply not have been listed yet."""
    cursors = [reader.cursor(reading.name, stream) for stream in _LISTED]
    return min((Cursor.parse(text).until_s for text in cursors if text), default=reading.start_s)


def _halves(reading: Reading, lower_s: int, upper_s: int, reader: StoreReader) -> list[_Half]:
    bounds = {"lower": moment_of(lower_s), "upper": moment_of(upper_s), "connector": reading.name}
    lines = [_line(row) for row in reader.rows(_LINES, bounds)]
    objects = [_object(row) for row in reader.rows(_OBJECTS, bounds)]
    return [half for half in (*lines, *objects) if half is not None]


def _line(row: Mapping[str, Any]) -> _Half | None:
    """A line without its object, None where lines of its type have none."""
    object_type = source_type(row["type"], row["source_id"])
    if object_type is None:
        return None
    missing = ((object_type, row["source_id"]),)
    return _Half(object_id=row["line_id"], missing=missing, reason=NO_OBJECT, gap=row)


def _object(row: Mapping[str, Any]) -> _Half:
    again = (row["object_type"], row["object_id"])
    line = (("balance_transaction", row["line_id"]),) if row["line_id"] else ()
    return _Half(object_id=row["object_id"], missing=(again, *line), reason=NO_LINE, gap=row)


def _wanted(halves: Sequence[_Half]) -> dict[str, set[str]]:
    """Ids by type of object, lines of the books last: an object may have come to name another one."""
    found: dict[str, set[str]] = {}
    for half in halves:
        for object_type, object_id in half.missing:
            found.setdefault(object_type, set()).add(object_id)
    return dict(sorted(found.items(), key=lambda item: item[0] == "balance_transaction"))


def _gaps(
    reading: Reading,
    halves: Sequence[_Half],
    since: Mapping[str, datetime],
    now: datetime,
    reader: StoreReader,
) -> Iterator[BookingGap]:
    """The halves that stay alone. A line whose object was just read whole is none: its money is known."""
    known = {
        (object_type, found_id)
        for object_type, ids in _wanted([half for half in halves if half.reason == NO_OBJECT]).items()
        for found_id in _recorded(reading, object_type, ids, reader)
    }
    for half in halves:
        if half.reason == NO_OBJECT and half.missing[0] in known:
            continue
        amount = half.gap["amount"]
        yield BookingGap(
            connector=reading.name,
            object_id=half.object_id,
            reason=half.reason,
            moved_at=parse_moment(half.gap["at"]),
            since=since.get(half.object_id, now),
            amount=None if amount is None else parse_amount(str(amount)),
            asset=half.gap["asset"],
        )


def _recorded(reading: Reading, object_type: str, ids: set[str], reader: StoreReader) -> list[str]:
    """The objects that are recorded as they are: not those whose newest version was not understood."""
    record = RECORDS[object_type]
    stored = reader.lookup(record, reading.name, record.KEY[-1], ids)
    rejected = reader.lookup(Rejected, reading.name, "object_id", ids)
    refused_at = dict(
        zip(rejected["object_id"].to_pylist(), rejected["recorded_at"].to_pylist(), strict=True)
    )
    rows = zip(stored[record.KEY[-1]].to_pylist(), stored["recorded_at"].to_pylist(), strict=True)
    return [found for found, at in rows if found not in refused_at or refused_at[found] < at]


def _ids(gaps: Sequence[BookingGap]) -> set[str]:
    return {gap.object_id for gap in gaps}


def _closed(reading: Reading, object_id: str, reader: StoreReader) -> BookingGap:
    table = reader.lookup(BookingGap, reading.name, "object_id", [object_id])
    row = table.select([name for name in table.column_names if name not in _BESIDE]).to_pylist()[0]
    return replace(BookingGap(**row), closed=True)


_BESIDE = ("recorded_at", "first_recorded_at", "read_at")


def _covered(reading: Reading, upper_s: int, now: datetime) -> tuple[CoverageWindow, ...]:
    if upper_s <= reading.start_s:
        return ()
    return (reading.covered(STREAM, reading.start_s, upper_s, now, unproved=False),)
