"""Events: what changed, whatever its age. They are followed, never believed.

An event tells that an object changed; what it looks like now is read from the object itself, at our API
version. So it does not matter in which order events come, how often, or by which way: those of the list and
those that webhooks delivered are the same records, and the queue is what the store recorded of them since
the last pull. An object that was read after its event needs no second look.

Source: https://docs.stripe.com/api/events, https://docs.stripe.com/webhooks#event-ordering
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from payhealth.connectors.stripe.lists import EVENTS_KEPT_S, ListPull
from payhealth.connectors.stripe.reading import Reading, Seen, earliest, joined, seconds
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.connectors.stripe.windows import Cursor
from payhealth.domain.errors import SourceDataError
from payhealth.domain.record import Record
from payhealth.domain.records import (
    Charge,
    CheckoutSession,
    Dispute,
    EarlyFraudWarning,
    Invoice,
    PaymentIntent,
    Payout,
    Refund,
    SetupIntent,
    SourceEvent,
)
from payhealth.ports import READ_SKEW, Batch, StoreReader

if TYPE_CHECKING:
    import pyarrow as pa

STREAM = "events"
RECORDS: Mapping[str, type[Record]] = {
    "charge": Charge,
    "refund": Refund,
    "dispute": Dispute,
    "payment_intent": PaymentIntent,
    "setup_intent": SetupIntent,
    "radar.early_fraud_warning": EarlyFraudWarning,
    "checkout.session": CheckoutSession,
    "invoice": Invoice,
    "payout": Payout,
}
"""Type of object -> what it is recorded as."""

_FOLLOWED_AT_ONCE = 500
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Position:
    """Where the list was read to, and which recorded events were followed."""

    listed: str | None
    followed_seq: int

    @classmethod
    def parse(cls, text: str | None) -> _Position:
        if text is None:
            return cls(listed=None, followed_seq=0)
        found = orjson.loads(text)
        if found["listed"] is not None:
            Cursor.parse(found["listed"])
        return cls(listed=found["listed"], followed_seq=int(found["followed_seq"]))

    def joins(self, start_s: int) -> bool:
        """Whether listing on from here leaves nothing out since a start."""
        return self.listed is not None and Cursor.parse(self.listed).joins(start_s)

    def text(self) -> str:
        return orjson.dumps({"listed": self.listed, "followed_seq": self.followed_seq}).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """The newest news of one object."""

    object_id: str
    created_s: int
    object_created_s: int | None


def pull(reading: Reading, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
    """List new events, then read what they and the delivered ones say has changed.

    Raises:
        SourceError: the list or an object could not be read; what was yielded stays valid.
    """
    try:
        position = _Position.parse(cursor)
    except (ValueError, KeyError, TypeError) as error:
        raise SourceDataError(f"{reading.name}: the cursor of {STREAM} is not one of Stripe's") from error
    if not position.joins(reading.start_s):
        position, claimed = _begun(reading, position, now, reader)
        yield claimed
    for batch in _listed(reading, position, now, reader):
        position = replace(position, listed=batch.cursor)
        yield replace(batch, cursor=position.text())
    yield from _followed(reading, position, reader)
    # What lists showed has served its purpose: the next pull reads them anew.
    reading.seen.clear()


def _listed(reading: Reading, position: _Position, now: datetime, reader: StoreReader) -> Iterator[Batch]:
    return ListPull(reading, STREAMS[STREAM], position.listed, now, reader).batches()


def _begun(
    reading: Reading, before: _Position, now: datetime, reader: StoreReader
) -> tuple[_Position, Batch]:
    """Where the first reading of events begins, and the claim that nothing before it is missed.

    What changed before the lists were read, they showed. The same holds for whoever was away for longer
    than events are kept: all lists were read again.
    """
    began = [
        Cursor.parse(text).began_s
        for stream in STREAMS
        if stream != STREAM and (text := reader.cursor(reading.name, stream)) is not None
    ]
    now_s = seconds(now)
    from_s = max(min(began, default=now_s), now_s - EVENTS_KEPT_S, reading.start_s)
    listed = Cursor(since_s=reading.start_s, until_s=from_s, began_s=from_s, again_at_s=now_s).text()
    position = replace(before, listed=listed)
    windows = [reading.covered(STREAM, reading.start_s, from_s, now)] if from_s > reading.start_s else []
    return position, Batch(stream=STREAM, records={}, windows=windows, cursor=position.text())


def _followed(reading: Reading, position: _Position, reader: StoreReader) -> Iterator[Batch]:
    """Read the objects of the events recorded since the last pull, in the order of their recording."""
    import pyarrow.compute as pc

    while True:
        recorded = reader.changes(SourceEvent, after=position.followed_seq, limit=_FOLLOWED_AT_ONCE)
        if not recorded.num_rows:
            return
        # Events of other connectors are passed over, and not looked at again.
        position = replace(position, followed_seq=pc.max(recorded["change_seq"]).as_py())
        own = recorded.filter(pc.equal(recorded["connector"], reading.name))
        yield replace(_follow(reading, own, reader), cursor=position.text())


def _follow(reading: Reading, events: pa.Table, reader: StoreReader) -> Batch:
    """What the objects of some events look like now, in one step: a kill on the way follows them again."""
    parts: list[Batch] = []
    for object_type, changes in _newest(events).items():
        stream = reading.stream_of(object_type)
        if stream is None or object_type not in RECORDS:
            continue
        wanted = _news(reading, object_type, changes, reading.seen.get(stream.resource, ()), reader)
        parts += reading.fetched(stream, [change.object_id for change in wanted], STREAM, reader)
    return Batch(
        stream=STREAM,
        records=joined(part.records for part in parts),
        objects_read=sum(part.objects_read for part in parts),
        requests=sum(part.requests for part in parts),
        read_at=earliest(part.read_at for part in parts),
    )


def _newest(events: pa.Table) -> dict[str, list[_Change]]:
    """The newest event of each object, by type of object."""
    found: dict[str, dict[str, _Change]] = {}
    for row in events.select(["object_type", "object_id", "created_at", "object_created_at"]).to_pylist():
        change = _change(row)
        of_type = found.setdefault(row["object_type"], {})
        known = of_type.get(change.object_id)
        if change.object_id and (known is None or known.created_s < change.created_s):
            of_type[change.object_id] = change
    return {object_type: list(changes.values()) for object_type, changes in found.items()}


def _change(row: Mapping[str, Any]) -> _Change:
    made = row["object_created_at"]
    return _Change(
        object_id=row["object_id"],
        created_s=seconds(row["created_at"]),
        object_created_s=None if made is None else seconds(made),
    )


def _news(
    reading: Reading,
    object_type: str,
    changes: Sequence[_Change],
    seen: Sequence[Seen],
    reader: StoreReader,
) -> list[_Change]:
    """The changes that were not read after they happened, neither in this process nor before.

    An object that the store does not hold is news whatever was listed: a list may show it late.
    """
    record = RECORDS[object_type]
    stored = reader.lookup(record, reading.name, record.KEY[-1], [each.object_id for each in changes])
    rows = zip(stored[record.KEY[-1]].to_pylist(), stored["read_at"].to_pylist(), strict=True)
    read_at_s = {found_id: seconds(read_at) if read_at else 0 for found_id, read_at in rows}
    return [
        each
        for each in changes
        if each.object_id not in read_at_s
        or not (_is_past(each, read_at_s[each.object_id]) or any(_shown(known, each) for known in seen))
    ]


def _shown(seen: Seen, change: _Change) -> bool:
    made_s = change.object_created_s
    return made_s is not None and seen.lower_s <= made_s < seen.upper_s and _is_past(change, seen.read_at_s)


def _is_past(change: _Change, read_at_s: int) -> bool:
    """Whether a reading came after a change for sure: no two machines' clocks agree to the second."""
    return change.created_s < read_at_s - READ_SKEW.total_seconds()


def tell_unknown(name: str, unknown: Counter[str]) -> None:
    """Log the values of Stripe's open lists that this version does not know, and count anew."""
    if unknown:
        _log.warning("%s: values unknown to this version, kept as they are: %s", name, dict(unknown))
        unknown.clear()
