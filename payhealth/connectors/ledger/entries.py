"""What all ledger sources do alike: entries in batches, then what disappeared, then the claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.connectors.ledger.known import ReadIds, disappeared
from payhealth.connectors.ledger.translate import HASHED, EntryRules, UnmappedKindError, entry, entry_kind
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.errors import SourceDataError
from payhealth.domain.record import Record
from payhealth.domain.records import Entry, EntryKind, Rejected
from payhealth.domain.times import iso, to_us
from payhealth.ports import Batch, StoreReader, StreamPlan

STREAM = "entries"
SHOWN_MAX = 10
"""How many ids or kinds an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One pull of a ledger: who, from where to when, and the cursor it found."""

    rules: EntryRules
    provider: str
    cursor: str | None
    now: datetime


def plan(start: datetime | None) -> StreamPlan:
    """The one stream of a ledger; without a start everything since 1970 must be covered."""
    return StreamPlan(stream=STREAM, unit=CoverageUnit.TIME_US, required_lower=to_us(start) if start else 0)


def batches(
    chunks: Iterable[Sequence[Mapping[str, Any]]], reading: Reading, reader: StoreReader
) -> Iterator[Batch]:
    """Rows as batches; only the last, with what disappeared, claims coverage and moves the cursor.

    Raises:
        SourceDataError: an amount that is a float, a kind that is not mapped, an id that stands twice.
    """
    ids = ReadIds()
    objects = 0
    for rows in chunks:
        records = _translated(rows, reading.rules)
        named = [row_id for row_id in map(_id_of, records) if row_id is not None]
        refuse_repeated(reading.rules.connector, _twice(named))
        ids.add(named)
        objects += len(rows)
        yield Batch(stream=STREAM, records=_by_type(records), cursor=reading.cursor, objects_read=len(rows))
    refuse_repeated(reading.rules.connector, ids.repeated(at_most=SHOWN_MAX))
    yield last_batch(
        reading, disappeared(reader, reading.rules.connector, ids.all(), start=reading.rules.start), objects
    )


def last_batch(reading: Reading, gone: list[Entry], objects: int) -> Batch:
    """The end of a whole reading: what disappeared, and the claim."""
    window = CoverageWindow(
        connector=reading.rules.connector,
        stream=STREAM,
        unit=CoverageUnit.TIME_US,
        lower=to_us(reading.rules.start) if reading.rules.start else 0,
        upper=to_us(reading.now),
        provider=reading.provider,
        objects=objects,
        read_at=reading.now,
    )
    return Batch(
        stream=STREAM,
        records={Entry: gone} if gone else {},
        windows=(window,),
        cursor=iso(reading.now),
        requests=1,
    )


def _translated(rows: Sequence[Mapping[str, Any]], rules: EntryRules) -> list[Entry | Rejected]:
    try:
        found = [entry(row, rules) for row in rows]
    except UnmappedKindError:
        refuse_unmapped(rules.connector, Counter(row.get("kind") for row in rows), rules.kinds)
        raise
    return [record for record in found if record is not None]


def _twice(ids: list[str]) -> list[str]:
    """Ids that stand twice in one chunk; over chunks they are found at the end."""
    if len(ids) == len(set(ids)):
        return []
    return [row_id for row_id, count in Counter(ids).most_common(SHOWN_MAX) if count > 1]


def _id_of(record: Entry | Rejected) -> str | None:
    """The row's id; a rejected row without one goes by a hash, which two rows may share."""
    if isinstance(record, Entry):
        return record.entry_id
    return None if record.object_id.startswith(HASHED) else record.object_id


def _by_type(records: list[Entry | Rejected]) -> dict[type[Record], list[Record]]:
    entries: list[Record] = [record for record in records if isinstance(record, Entry)]
    rejected: dict[tuple[str, str], Record] = {
        (record.object_id, record.reason): record for record in records if isinstance(record, Rejected)
    }
    return {Entry: entries, Rejected: list(rejected.values())}


def refuse_unmapped(connector: str, seen: Mapping[Any, int], kinds: Mapping[str, EntryKind]) -> None:
    """Raise where a kind is not mapped, listing those with how many rows have them.

    Raises:
        SourceDataError: with the kinds and their counts.
    """
    unmapped: Counter[str] = Counter()
    for value, count in seen.items():
        try:
            entry_kind(value, kinds)
        except UnmappedKindError as error:
            unmapped[error.kind] += count
    if unmapped:
        listed = ", ".join(f"{kind[:40]!r} ({count} rows)" for kind, count in unmapped.most_common(SHOWN_MAX))
        raise SourceDataError(
            f"{connector}: kinds that are not mapped: {listed}",
            hint=f"map each under kinds to one of {', '.join(EntryKind)}",
        )


def refuse_repeated(connector: str, repeated: list[Any]) -> None:
    """Raise where ids stand in more than one row: which of them is the entry would be a guess.

    Raises:
        SourceDataError: with some of the ids.
    """
    if repeated:
        listed = ", ".join(str(value)[:80] for value in repeated)
        raise SourceDataError(f"{connector}: ids that stand in more than one row: {listed}")
