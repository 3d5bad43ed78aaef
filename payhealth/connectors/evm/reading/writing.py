"""From a reading to the records of one batch, and what has to be looked at because of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.connectors.evm.reading.book import Book
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.reading.reconsider import Otherwise, judged_otherwise
from payhealth.connectors.evm.reading.returns import Back, come_back
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import (
    block_record,
    ignored_observations,
    movement_table,
    sorted_out,
)
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import Block, PaymentEvent, TransactionFee, TransferObservation
from payhealth.domain.records import Link, Movement, MovementKind, Rejected

if TYPE_CHECKING:
    from payhealth.domain.record import Record


TRANSFER_IGNORED = "its transfer does not count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The records of a batch.

    Args:
        touched: which of our addresses something moved to or from.
        deposits: asset -> the blocks in which customers paid it, for those that need a price.
    """

    records: dict[type[Record], Sequence[Record] | pa.Table]
    touched: frozenset[str]
    deposits: dict[str, dict[str, Header]]


def records_of(
    reading: Reading,
    book: Book,
    stored: Stored,
    *,
    after_reorgs: bool,
    read_before: bool = False,
    priced: Collection[str] = (),
    touched: bool = True,
) -> Found:
    """Make the records of what a stretch of canonical blocks holds.

    Args:
        after_reorgs: whether any block was ever lost.
        read_before: the blocks were read before with another configuration, which may have counted otherwise.
        priced: assets that need a price at the payment's block.
        touched: whether it is asked which addresses something moved to or from.
    """
    sorted_ = sorted_out(reading.all_logs(), reading.transfers, book, reading.copies)
    moves = sorted_.moves
    back = come_back(moves, book, stored, after_reorgs=after_reorgs)
    names = _names(reading, moves, back, book, stored)
    refunds = {names[place]: names.get(key, key) for place, key in reading.refunds.items() if place in names}
    table = movement_table(moves, back.ids, reading.times, book, refunds)
    ignored = ignored_observations(sorted_.ignored, reading.times, book)
    other = judged_otherwise(moves, back.ids, ignored, stored) if read_before else Otherwise()
    records: dict[type[Record], Sequence[Record] | pa.Table] = {
        Movement: _with(table, [*back.renamed, *back.voided, *other.movements]),
        TransferObservation: [*ignored, *back.observations, *other.observations],
        TransactionFee: list(dict.fromkeys(reading.fees)),
        PaymentEvent: _renamed(reading.events, names),
        Link: _renamed_links(reading.links, names),
        Rejected: _once(reading.rejected, sorted_.rejected),
        Block: _standing_again(reading.headers, stored) if after_reorgs else [],
    }
    return Found(
        records=records,
        touched=_touched(moves, book) if touched else frozenset(),
        deposits=_deposits(moves, table["kind"].combine_chunks(), reading.times, priced),
    )


def _with(table: pa.Table, voided: Sequence[Movement]) -> pa.Table | list[Movement]:
    """A table, or records where some stand beside it: only after reorgs, and then few."""
    if not voided:
        return table
    return [*(Movement(**row) for row in table.to_pylist()), *voided]


def _once(*parts: Sequence[Rejected]) -> list[Rejected]:
    """Each rejected object once: more than one filter may tell of it."""
    return list({(row.object_id, row.reason): row for part in parts for row in part}.values())


def _standing_again(headers: Sequence[Header], stored: Stored) -> list[Block]:
    known = {
        row.block_hash for row in stored.blocks([header.hash for header in headers]) if not row.canonical
    }
    connector = stored.connector
    return [block_record(connector, one, canonical=True) for one in headers if one.hash in known]


def _renamed(events: Sequence[PaymentEvent], names: Mapping[str, str]) -> list[PaymentEvent]:
    """Events under the movements that their transfers are; one of a transfer that does not count has none."""
    once = {(event.event_id, event.block_hash): event for event in events}
    return [_with_movement(event, names) for event in once.values()]


def _with_movement(event: PaymentEvent, names: Mapping[str, str]) -> PaymentEvent:
    if event.movement_id is None:
        return event
    named = names.get(event.movement_id)
    reason = TRANSFER_IGNORED if named is None else event.ignored_reason
    return replace(event, movement_id=named, ignored_reason=reason)


def _renamed_links(links: Sequence[Link], names: Mapping[str, str]) -> list[Link]:
    """References of payments; a transfer that does not count answers to none."""
    kept = (link for link in links if link.payment_key in names)
    return list(dict.fromkeys(replace(link, payment_key=names[link.payment_key]) for link in kept))


def _names(reading: Reading, moves: Moves, back: Back, book: Book, stored: Stored) -> dict[str, str]:
    """Where a transfer stands now -> the movement that it is; only looked at where an event speaks of one."""
    if not reading.events and not reading.refunds:
        return {}
    natural = moves.natural_ids(book.chain).to_pylist()
    names = dict(zip(natural, back.ids.to_pylist(), strict=True))
    # What is not read just now, because its address was caught up on before, is in the store.
    others = {event.movement_id: event.block_hash for event in reading.events if event.movement_id}
    known = stored.movements([place for place in others if place not in names])
    standing = {
        place: place
        for place, row in known.items()
        if row.block_hash == others[place] and place.endswith(f":{row.position}")
    }
    return {**standing, **names}


def _touched(moves: Moves, book: Book) -> frozenset[str]:
    ends = (*moves.sender.to_pylist(), *moves.recipient.to_pylist())
    return book.ours.intersection(ends)


def _deposits(
    moves: Moves, kinds: pa.StringArray, times: Mapping[str, datetime], priced: Collection[str]
) -> dict[str, dict[str, Header]]:
    found: dict[str, dict[str, Header]] = {}
    if not priced:
        return found
    wanted = pc.and_(
        pc.equal(kinds, str(MovementKind.TRANSFER)),
        pc.is_in(moves.asset, value_set=pa.array(list(priced), pa.string())),
    )
    few = moves.where(np.asarray(wanted))
    rows = zip(few.asset.to_pylist(), few.block_hash.to_pylist(), few.block_number.to_pylist(), strict=True)
    for asset, block, number in rows:
        blocks = found.setdefault(asset, {})
        if block not in blocks:
            blocks[block] = Header(number=number, hash=block, parent="", at=times[block])
    return found
