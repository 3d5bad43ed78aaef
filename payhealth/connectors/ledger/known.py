"""What the store holds of a ledger, held against what the ledger still has."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.records import Entry, Handle

if TYPE_CHECKING:
    from payhealth.ports import StoreReader


class ReadIds:
    """The ids that a reading met, kept as Arrow arrays: some twenty bytes each."""

    def __init__(self) -> None:
        self._chunks: list[pa.Array] = []

    def add(self, ids: list[str]) -> None:
        """Remember the ids of one chunk."""
        self._chunks.append(pa.array(ids, type=pa.string()))

    def all(self) -> pa.ChunkedArray:
        """Every id, in the order of reading."""
        return pa.chunked_array(self._chunks, type=pa.string())

    def repeated(self, *, at_most: int) -> list[str]:
        """Ids that were met more than once, some of them."""
        ids = self.all()
        if len(ids) == pc.count_distinct(ids).as_py():
            return []
        counts = pc.value_counts(ids)
        often = counts.filter(pc.greater(counts.field("counts"), 1))
        return sorted(often.field("values").to_pylist())[:at_most]


def disappeared(
    reader: StoreReader, connector: str, ids: pa.ChunkedArray, *, start: datetime | None
) -> list[Entry]:
    """Entries that the store holds and the ledger no longer has, as versions that say so.

    Args:
        ids: what the ledger has now, rejected rows included: a row that became unreadable is not gone.
        start: entries before it were not looked for.
    """
    table = reader.records(Entry)
    gone = pc.and_(
        pc.equal(table["connector"], connector),
        pc.and_(pc.invert(table["deleted"]), pc.invert(pc.is_in(table["entry_id"], value_set=ids))),
    )
    rows = table.filter(gone).select([field.name for field in fields(Entry)]).to_pylist()
    return [
        Entry(**{**row, "deleted": True}) for row in rows if start is None or row["effective_at"] >= start
    ]


def withdrawn(reader: StoreReader, connector: str, present: set[tuple[Any, ...]]) -> list[Handle]:
    """Handles that the table no longer has, as versions that never held.

    Args:
        present: (handle, account, valid_from) of what the table has now.
    """
    table = reader.records(Handle)
    rows = table.filter(pc.equal(table["connector"], connector)).to_pylist()
    return [
        Handle(
            connector=connector,
            handle=row["handle"],
            account=row["account"],
            valid_from=row["valid_from"],
            valid_to=row["valid_from"],
        )
        for row in rows
        if (row["handle"], row["account"], row["valid_from"]) not in present
        and row["valid_to"] != row["valid_from"]
    ]
