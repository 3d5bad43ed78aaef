"""What the store already knows of one chain, read back into records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.records import (
    Block,
    ChainMark,
    Movement,
    MovementKind,
    MovementStatus,
    Record,
    TransferObservation,
)

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

Row = TypeVar("Row", bound=Record)


class Stored:
    """Reads of one connector's records.

    Args:
        reader: the store.
        connector: whose records.
    """

    def __init__(self, reader: StoreReader, connector: str) -> None:
        self._reader = reader
        self._connector = connector

    def mark(self, chain: str) -> ChainMark | None:
        """The chain's marks at the last pull."""
        found = self._rows(ChainMark, chain=[chain])
        return found[0] if found else None

    def canonical_headers(self) -> list[Header]:
        """The blocks that were canonical at the last pull."""
        return [
            Header(number=row.block_number, hash=row.block_hash, parent=row.parent_hash, at=row.block_at)
            for row in self._rows(Block, canonical=[True])
        ]

    def any_block_was_lost(self) -> bool:
        """Whether there ever was a reorg; without one there is no retraction to look for."""
        return bool(self._rows(Block, canonical=[False]))

    def observations_in(self, hashes: Collection[str]) -> list[TransferObservation]:
        """The canonical observations that stand in the given blocks."""
        return self._rows(TransferObservation, canonical=[True], block_hash=hashes)

    def live_elsewhere(self, movement_ids: Collection[str], hashes: Collection[str]) -> set[str]:
        """Which of the movements a canonical block holds that is not among the given ones."""
        rows = self._rows(TransferObservation, canonical=[True], movement_id=movement_ids)
        return {row.movement_id for row in rows if row.block_hash not in hashes}

    def movements(self, movement_ids: Collection[str]) -> list[Movement]:
        """Movements by id."""
        return self._rows(Movement, movement_id=movement_ids)

    def standing_retractions(self) -> dict[str, Movement]:
        """The retractions that are not void, by their id."""
        rows = self._rows(
            Movement, kind=[MovementKind.RETRACTION.value], status=[MovementStatus.SUCCEEDED.value]
        )
        return {row.movement_id: row for row in rows}

    def _rows(self, record_type: type[Row], **wanted: Collection[Any]) -> list[Row]:
        # Imported here: Arrow is only needed once something is read.
        import pyarrow as pa
        import pyarrow.compute as pc

        if any(not values for values in wanted.values()):
            return []
        table = self._reader.records(record_type)
        keep = pc.equal(table["connector"], self._connector)
        for column, values in wanted.items():
            kind = table.schema.field(column).type
            keep = pc.and_(keep, pc.is_in(table[column], value_set=pa.array(list(values), type=kind)))
        names = [field.name for field in fields(record_type)]
        return [record_type(**row) for row in table.filter(keep).select(names).to_pylist()]
