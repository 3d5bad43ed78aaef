"""What comes back after a reorg: a transfer keeps its movement, wherever its transaction lands again.

The log index is part of a movement's id, and a transaction that lands in another block may log at another
index. It is the same payment: same transaction, asset, ends and amount, and the same place among those of
the transaction that are equal in all that. It then lives again under the id of its first sighting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from payhealth.connectors.evm.reading.book import Book
from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import movement_id, retraction_id, transaction_of, void
from payhealth.domain.chain_records import TransferObservation
from payhealth.domain.records import Movement, MovementStatus

Content = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """Which movement each row is, and what changes because some were lost before.

    Args:
        ids: a movement a row.
        observations: lost sightings whose block stands again.
        voided: retractions that no longer hold.
        renamed: movements that give up their id to the transfer that stands there by right.
    """

    ids: pa.StringArray
    observations: tuple[TransferObservation, ...] = ()
    voided: tuple[Movement, ...] = ()
    renamed: tuple[Movement, ...] = ()


def come_back(moves: Moves, book: Book, stored: Stored, *, after_reorgs: bool) -> Back:
    """Name the movements of transfers that stand in canonical blocks.

    Args:
        moves: each transfer once.
        after_reorgs: whether any block was ever lost; without that nothing has to be looked up.
    """
    ids = moves.natural_ids(book.chain)
    if not after_reorgs or not len(moves):
        return Back(ids=ids)
    lost = stored.lost_sightings([name for name in pc.unique(moves.transaction_hash).to_pylist() if name])
    if lost:
        ids = _named_again(moves, ids, lost)
    named = ids.to_pylist()
    standing = dict(zip(named, moves.block_hash.to_pylist(), strict=True))
    known = stored.movements([*named, *(retraction_id(name) for name in named)])
    places = dict(zip(named, moves.position.to_pylist(), strict=True))
    return Back(
        ids=ids,
        observations=tuple(
            replace(row, canonical=True)
            for row in lost
            if not row.canonical and standing.get(row.movement_id) == row.block_hash
        ),
        voided=tuple(
            void(known[undoing])
            for undoing in map(retraction_id, named)
            if undoing in known and known[undoing].status == MovementStatus.SUCCEEDED
        ),
        renamed=tuple(
            _by_its_place(known[name], book)
            for name in named
            if name in known and _stands_beside(known[name], standing[name], places[name])
        ),
    )


def _stands_beside(known: Movement, block: str, position: str) -> bool:
    """Whether a movement stands in a block at another place than the transfer that takes its id there.

    That happens where the two are read one after the other, because one of the addresses came later.
    """
    return known.status == MovementStatus.SEEN and known.block_hash == block and known.position != position


def _by_its_place(row: Movement, book: Book) -> Movement:
    name = movement_id(transaction_of(row.movement_id, book.chain), row.position or "", book)
    return replace(row, movement_id=name, payment_key=name)


def _named_again(moves: Moves, ids: pa.StringArray, lost: Sequence[TransferObservation]) -> pa.StringArray:
    before: dict[str, list[TransferObservation]] = defaultdict(list)
    for sighting in lost:
        before[sighting.transaction_hash].append(sighting)
    touched = pc.is_in(moves.transaction_hash, value_set=pa.array(list(before), pa.string()))
    places = [place for place, flag in enumerate(touched.to_pylist()) if flag]
    standing: dict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    for place, row in zip(places, moves.where(touched.to_numpy(zero_copy_only=False)).rows(), strict=True):
        standing[row["transaction_hash"]].append((place, row))
    named: list[str] = ids.to_pylist()
    for transaction, rows in standing.items():
        found = _same_transfers([row for _, row in rows], before[transaction])
        chosen = {place: name or named[place] for (place, _), name in zip(rows, found, strict=True)}
        # Where the transaction did something else this time ids may collide: each row keeps its own then.
        if len(set(chosen.values())) == len(chosen):
            for place, name in chosen.items():
                named[place] = name
    return pa.array(named, pa.string())


def _same_transfers(
    rows: Sequence[Mapping[str, Any]], lost: Sequence[TransferObservation]
) -> list[str | None]:
    """For each row the movement that a lost sighting of the same transfer has; None where it has none."""
    known: dict[Content, list[str]] = defaultdict(list)
    for sighting in sorted(lost, key=lambda one: _order(one.position)):
        content = _content(
            sighting.asset, sighting.sender, sighting.recipient, sighting.amount, sighting.position
        )
        if sighting.movement_id not in known[content]:
            known[content].append(sighting.movement_id)
    named: list[str | None] = [None] * len(rows)
    for at in sorted(range(len(rows)), key=lambda at: _order(rows[at]["position"])):
        row = rows[at]
        same = known[_content(row["asset"], row["sender"], row["recipient"], row["amount"], row["position"])]
        named[at] = same.pop(0) if same else None
    return named


def _content(asset: str, sender: str, recipient: str, amount: Decimal, position: str) -> Content:
    # Only among logs does a place change from block to block.
    return (asset, sender, recipient, amount, "" if position.isdecimal() else position)


def _order(position: str) -> tuple[int, str]:
    """Log indexes count as numbers."""
    return (int(position), "") if position.isdecimal() else (-1, position)
