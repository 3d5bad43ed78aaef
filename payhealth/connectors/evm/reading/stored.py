"""What the store already knows of one chain, read back into records by key or by block."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from payhealth.domain.chain_records import (
    Block,
    ChainMark,
    PaymentEvent,
    ProviderScore,
    TransactionFee,
    TransferObservation,
)
from payhealth.domain.record import Record
from payhealth.domain.records import Movement, MovementKind, MovementStatus

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.ports import StoreReader

Row = TypeVar("Row", bound=Record)


class Stored:
    """Reads of one connector's records; each is bounded by what it is asked for.

    Args:
        reader: the store; None where nothing is looked up.
        connector: whose records.
    """

    def __init__(self, reader: StoreReader | None, connector: str) -> None:
        self._given = reader
        self.connector = connector

    @property
    def _reader(self) -> StoreReader:
        if self._given is None:
            raise RuntimeError("there is no store to look anything up in")
        return self._given

    def mark(self, chain: str) -> ChainMark | None:
        """The chain's marks at the last pull."""
        found = self._by(ChainMark, "chain", [chain])
        return found[0] if found else None

    def movements_in(self, lower: int, upper: int, hashes: Collection[str]) -> list[Movement]:
        """The transfers that stand in the given blocks, whose heights are ``[lower, upper)``."""
        return [
            row
            for row in self._between(Movement, lower, upper)
            if row.block_hash in hashes
            and row.kind != MovementKind.RETRACTION
            and row.status == MovementStatus.SEEN
        ]

    def observations_in(self, lower: int, upper: int, hashes: Collection[str]) -> list[TransferObservation]:
        """The ignored transfers that stand in the given blocks."""
        rows = self._between(TransferObservation, lower, upper)
        return [row for row in rows if row.block_hash in hashes and row.canonical and row.ignored_reason]

    def fees_in(self, lower: int, upper: int, hashes: Collection[str]) -> list[TransactionFee]:
        """The fees paid in the given blocks."""
        rows = self._between(TransactionFee, lower, upper)
        return [row for row in rows if row.block_hash in hashes and row.canonical]

    def events_in(self, lower: int, upper: int, hashes: Collection[str]) -> list[PaymentEvent]:
        """The payment events in the given blocks."""
        rows = self._between(PaymentEvent, lower, upper)
        return [row for row in rows if row.block_hash in hashes and row.canonical]

    def movements(self, movement_ids: Collection[str]) -> dict[str, Movement]:
        """Movements by id."""
        return {row.movement_id: row for row in self._by(Movement, "movement_id", movement_ids)}

    def observations(self, movement_ids: Collection[str]) -> list[TransferObservation]:
        """Sightings by id: ignored or lost ones."""
        return self._by(TransferObservation, "movement_id", movement_ids)

    def lost_sightings(self, transactions: Collection[str]) -> list[TransferObservation]:
        """What reorgs took of some transactions' transfers that counted."""
        rows = self._by(TransferObservation, "transaction_hash", transactions)
        return [row for row in rows if row.ignored_reason is None]

    def blocks(self, hashes: Collection[str]) -> list[Block]:
        """Blocks that were lost once, by hash."""
        return self._by(Block, "block_hash", hashes)

    def events_of(self, external_ids: Collection[str]) -> list[PaymentEvent]:
        """The canonical payment events of some protocol ids."""
        rows = self._by(PaymentEvent, "external_id", external_ids)
        return [row for row in rows if row.canonical]

    def scores(self) -> Mapping[str, ProviderScore]:
        """What is remembered of each provider."""
        table = self._reader.records(ProviderScore)
        rows = _records(ProviderScore, table)
        return {row.provider: row for row in rows if row.connector == self.connector}

    def _by(self, record_type: type[Row], column: str, values: Collection[str]) -> list[Row]:
        if not values:
            return []
        return _records(record_type, self._reader.lookup(record_type, self.connector, column, values))

    def _between(self, record_type: type[Row], lower: int, upper: int) -> list[Row]:
        return _records(
            record_type, self._reader.between(record_type, self.connector, "block_number", lower, upper)
        )


def _records(record_type: type[Row], table: pa.Table) -> list[Row]:
    names = [field.name for field in fields(record_type)]
    rows: list[dict[str, Any]] = table.select(names).to_pylist()
    return [record_type(**row) for row in rows]
