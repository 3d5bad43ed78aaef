"""From transfers on the wire to records: which count, what they mean, what is ignored and why. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.connectors.evm.reading.book import STREAM, Book
from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.registry.chains import is_pseudo_contract
from payhealth.connectors.evm.wire import columns
from payhealth.connectors.evm.wire.columns import LogColumns
from payhealth.connectors.evm.wire.values import Header, Transfer
from payhealth.domain import assets as asset_ids
from payhealth.domain.chain_records import Block, TransferObservation
from payhealth.domain.money import from_units, plain
from payhealth.domain.records import Movement, MovementKind, MovementStatus, Rail, Rejected
from payhealth.domain.times import to_us

ZERO_VALUE = "zero value"
UNREGISTERED = "unregistered token"
DUST = "dust"
IGNORED = ":ignored"
NATIVE_LOG = "the log of a native move, which counts by itself"
_RAW_BYTES = 4096
_MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """Transfers told apart: those that count, those that do not, those that nobody can represent.

    Args:
        ignored: (row of ``moves``' shape as a dictionary, reason).
    """

    moves: Moves
    ignored: tuple[tuple[Mapping[str, Any], str], ...]
    rejected: tuple[Rejected, ...]


def sorted_out(
    logs: LogColumns, natives: Sequence[Transfer], book: Book, copies: Mapping[str, str] | None = None
) -> Sorted:
    """Tell apart what counts of some logs and single transfers that concern us.

    Args:
        copies: unregistered contract -> the registered symbol that it copies.
    """
    registered = np.asarray(pc.is_in(logs.token, value_set=book.token_column))
    others = columns.selected(logs, ~registered)
    strange = _strangers(others, book, copies or {}) if len(others) else []
    ours = logs if registered.all() else columns.selected(logs, registered)
    of_logs, bad_rows = Moves.of_logs(ours, book)
    of_natives, bad_natives = Moves.of_transfers(natives, book)
    moves = Moves.joined([of_logs, of_natives])
    zero = np.asarray(pc.equal(moves.amount, pa.scalar(0, columns.DECIMAL)))
    small = moves.dust(moves.kinds(book), book.dust) & ~zero if book.dust else np.zeros_like(zero)
    ignored = [*strange, *((row, ZERO_VALUE) for row in moves.where(zero).rows())]
    ignored += [(row, _dust_reason(row, book)) for row in moves.where(small).rows()]
    unfit = [(_transfer_at(ours, row), reason) for row, reason in bad_rows]
    return Sorted(
        moves=moves.where(~(zero | small)),
        ignored=tuple(ignored),
        rejected=tuple(_unrepresentable(one, reason, book) for one, reason in (*unfit, *bad_natives)),
    )


def _strangers(logs: LogColumns, book: Book, copies: Mapping[str, str]) -> list[tuple[dict[str, Any], str]]:
    """Nobody vouches for the decimals of a token that is not registered: its units are in the reason."""
    names = zip(
        *(getattr(logs, name).to_pylist() for name in ("token", "sender", "recipient", "transaction_hash")),
        logs.log_index.tolist(),
        logs.block_hash.to_pylist(),
        logs.block_number.tolist(),
        strict=True,
    )
    return [
        (
            {
                "asset": asset_ids.erc20(book.chain_id, token),
                "amount": from_units(0, 0),
                "sender": sender,
                "recipient": recipient,
                "transaction_hash": transaction,
                "position": str(index),
                "block_hash": block,
                "block_number": number,
            },
            _stranger_reason(token, columns.units_at(logs, row), copies),
        )
        for row, (token, sender, recipient, transaction, index, block, number) in enumerate(names)
    ]


def _stranger_reason(token: str, units: int, copies: Mapping[str, str]) -> str:
    if is_pseudo_contract(token):
        return NATIVE_LOG
    copied = f"look-alike of {copies[token]}: " if token in copies else ""
    return f"{copied}{UNREGISTERED}, {units} units"


def _dust_reason(row: Mapping[str, Any], book: Book) -> str:
    return f"{DUST}: below {plain(book.dust[row['asset']])} {row['symbol']}"


def movement_table(
    moves: Moves,
    ids: pa.StringArray,
    times: Mapping[str, datetime],
    book: Book,
    refunds: Mapping[str, str] | None = None,
) -> pa.Table:
    """The records of transfers that stand in canonical blocks, as one table.

    Args:
        ids: each row's movement.
        times: block hash -> the block's moment.
        refunds: movement -> the payment that it gives back, of those that an event links.
    """
    count = len(moves)
    kinds, payments = _with_refunds(moves.kinds(book), ids, refunds or {})
    # What attribution looks up is our own address: the recipient, or the sender of what goes out.
    outgoing = pc.is_in(kinds, value_set=pa.array([str(MovementKind.OUTGOING), str(MovementKind.REFUND)]))
    own_end = pc.if_else(outgoing, moves.sender, moves.recipient)
    text = {
        "connector": book.connector,
        "rail": Rail.CHAIN.value,
        "status": MovementStatus.SEEN.value,
        "account": "",
        "chain": book.chain,
        "finality": book.mark,
    }
    return pa.table(
        {
            "movement_id": ids,
            "kind": kinds,
            "handle": pc.binary_join_element_wise(pa.scalar(book.chain), own_end, ":"),
            "payment_key": payments,
            "amount": moves.amount,
            "asset": moves.asset,
            "symbol": moves.symbol,
            "effective_at": moments(moves.block_hash, times),
            "block_number": moves.block_number,
            "block_hash": moves.block_hash,
            "position": moves.position,
            "sender": moves.sender,
            "recipient": moves.recipient,
            "finality_s": pa.repeat(pa.scalar(book.finality_s, pa.int64()), count),
            **{name: pa.repeat(pa.scalar(value, pa.string()), count) for name, value in text.items()},
        }
    )


def _with_refunds(
    kinds: pa.StringArray, ids: pa.StringArray, refunds: Mapping[str, str]
) -> tuple[pa.StringArray, pa.StringArray]:
    """Kinds and payment keys, those of refunds in place of outgoing transfers."""
    if not refunds:
        return kinds, ids
    refunded = pc.is_in(ids, value_set=pa.array(list(refunds), pa.string()))
    payments = [refunds.get(name, name) for name in ids.to_pylist()]
    return pc.if_else(refunded, str(MovementKind.REFUND), kinds), pa.array(payments, pa.string())


def moments(blocks: pa.StringArray, times: Mapping[str, datetime]) -> pa.TimestampArray:
    """Each row's block's moment.

    Raises:
        KeyError: a block without one.
    """
    coded = blocks.dictionary_encode()
    known = [to_us(times[block]) for block in coded.dictionary.to_pylist()]
    return pa.array(known, pa.int64()).take(coded.indices).cast(_MOMENT)


def ignored_observations(
    ignored: Iterable[tuple[Mapping[str, Any], str]], times: Mapping[str, datetime], book: Book
) -> list[TransferObservation]:
    """The records of transfers that do not count, each once."""
    found: dict[tuple[str, str], TransferObservation] = {}
    for row, reason in ignored:
        # Never the id of a movement: one that a reorg moved keeps the log index of its first sighting.
        named = f"{movement_id(row['transaction_hash'], row['position'], book)}{IGNORED}"
        found[named, row["block_hash"]] = TransferObservation(
            connector=book.connector,
            movement_id=named,
            block_hash=row["block_hash"],
            block_number=row["block_number"],
            transaction_hash=row["transaction_hash"],
            position=row["position"],
            sender=row["sender"],
            recipient=row["recipient"],
            amount=row["amount"],
            asset=row["asset"],
            block_at=times[row["block_hash"]],
            canonical=True,
            ignored_reason=reason,
        )
    return list(found.values())


def movement_id(transaction: str, position: str, book: Book) -> str:
    """The id of a transfer where it was first seen; a withdrawal has no transaction."""
    return ":".join(part for part in (book.chain, transaction, position) if part)


def retraction_id(movement_id: str) -> str:
    """The id of the movement that undoes one lost to a reorg."""
    return f"{movement_id}:retraction"


def lost_sighting(movement: Movement) -> TransferObservation:
    """What a block that is no longer canonical held of a movement."""
    return TransferObservation(
        connector=movement.connector,
        movement_id=movement.movement_id,
        block_hash=movement.block_hash or "",
        block_number=movement.block_number or 0,
        transaction_hash=transaction_of(movement.movement_id, movement.chain or ""),
        position=movement.position or "",
        sender=movement.sender or "",
        recipient=movement.recipient or "",
        amount=movement.amount,
        asset=movement.asset,
        block_at=movement.effective_at,
        canonical=False,
    )


def transaction_of(movement_id: str, chain: str) -> str:
    """The transaction in a transfer's id; empty for a withdrawal."""
    found = movement_id.removeprefix(f"{chain}:").partition(":")[0]
    return found if found.startswith("0x") else ""


def retracted(movement: Movement, standing: Header) -> list[Movement]:
    """A movement that no canonical block holds any more, and for a payment the movement that undoes it.

    Sweeps, gas and payments out expect no credit, so that nothing has to be undone for them: a
    retraction of theirs would be a break that nobody can close.

    Args:
        standing: the block that now stands at the lost block's height, or a lower new head: the
            retraction happened with it.
    """
    # A refund that did not happen undoes nothing; a payment that did not is undone by its retraction.
    refund = movement.kind == MovementKind.REFUND
    lost = replace(movement, status=(MovementStatus.FAILED if refund else MovementStatus.RETRACTED).value)
    if movement.kind != MovementKind.TRANSFER:
        return [lost]
    undoing = replace(
        movement,
        movement_id=retraction_id(movement.movement_id),
        kind=MovementKind.RETRACTION.value,
        status=MovementStatus.SUCCEEDED.value,
        effective_at=standing.at,
        block_number=standing.number,
    )
    return [lost, undoing]


def void(retraction: Movement) -> Movement:
    """The retraction of a movement that lives again."""
    return replace(retraction, status=MovementStatus.FAILED.value)


def block_record(connector: str, header: Header, *, canonical: bool) -> Block:
    """The record of a block that a reorg removed, or brought back."""
    return Block(
        connector=connector,
        block_number=header.number,
        block_hash=header.hash,
        parent_hash=header.parent,
        block_at=header.at,
        canonical=canonical,
    )


def rejection(connector: str, noun: str, raw: Any, reason: str) -> Rejected:
    """Keep what could not be read, cut to a few kilobytes."""
    text = json.dumps(raw, sort_keys=True, separators=(",", ":"), default=str)
    content = text.encode("utf-8", "replace")
    return Rejected(
        connector=connector,
        stream=STREAM,
        object_id=f"{noun}:{hashlib.sha256(content).hexdigest()[:32]}",
        reason=reason,
        raw=content[:_RAW_BYTES].decode("utf-8", "replace"),
    )


def _unrepresentable(transfer: Transfer, reason: str, book: Book) -> Rejected:
    fields = {**asdict(transfer), "units": str(transfer.units)}
    named = movement_id(transfer.transaction_hash, transfer.position, book)
    return replace(rejection(book.connector, "transfer", fields, reason), object_id=named)


def _transfer_at(logs: LogColumns, row: int) -> Transfer:
    return Transfer(
        transaction_hash=logs.transaction_hash[row].as_py(),
        position=str(logs.log_index[row]),
        block_number=int(logs.block_number[row]),
        block_hash=logs.block_hash[row].as_py(),
        token=logs.token[row].as_py(),
        sender=logs.sender[row].as_py(),
        recipient=logs.recipient[row].as_py(),
        units=columns.units_at(logs, row),
    )
