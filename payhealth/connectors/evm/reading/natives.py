"""The chain's own coin and what transactions cost: from full blocks, receipts and traces."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from payhealth.connectors.evm.reading.book import MINT, NATIVE_DECIMALS, WITHDRAWAL, Book
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.translate import rejection
from payhealth.connectors.evm.rpc.node import SeenBlock
from payhealth.connectors.evm.wire.natives import (
    NativeCandidate,
    NativeCredit,
    Withdrawal,
    native_transfer,
    natives_of_block,
)
from payhealth.connectors.evm.wire.receipts import Receipt
from payhealth.connectors.evm.wire.traces import InternalTransfer
from payhealth.connectors.evm.wire.values import Header, Transfer, WireError
from payhealth.domain.chain_records import TransactionFee
from payhealth.domain.errors import AmountError
from payhealth.domain.money import from_units

_NOBODY = "0x" + "0" * 40


@dataclass(slots=True, kw_only=True)
class Open:
    """What a stretch of full blocks holds that only receipts decide.

    Args:
        sent: transaction -> its block, of the transactions that one of ours sent.
    """

    candidates: list[NativeCandidate] = field(default_factory=list)
    credits: list[tuple[Header, NativeCredit]] = field(default_factory=list)
    sent: dict[str, Header] = field(default_factory=dict)

    def wanted(self) -> set[str]:
        """The transactions whose receipts are needed."""
        given = {credit.transaction_hash for _, credit in self.credits if credit.if_succeeded}
        return {candidate.transaction_hash for candidate in self.candidates} | given | self.sent.keys()


def open_natives(
    blocks: Iterable[SeenBlock], watched: Container[str], book: Book, into: Reading, *, by_logs: bool
) -> Open:
    """Look through full blocks; withdrawals go into the reading at once.

    Args:
        watched: the addresses that were asked for.
        by_logs: the chain logs every move of its coin, so that values are not taken from transactions.
    """
    found = Open()
    for block in blocks:
        natives = natives_of_block(block.raw, watched, ignored_types=book.ignored_types)
        if not by_logs:
            found.candidates += natives.candidates
            found.credits += ((block.header, credit) for credit in natives.credits)
        found.sent.update((transaction, block.header) for transaction in natives.sent)
        into.transfers += (_withdrawn(one, block.header) for one in natives.withdrawals)
        into.rejected += (
            rejection(book.connector, "transaction", raw, reason) for raw, reason in natives.refused
        )
        into.times[block.header.hash] = block.header.at
    return found


def close_natives(found: Open, receipts: Mapping[str, Receipt], book: Book, into: Reading) -> None:
    """Decide by the receipts: what succeeded moved value, and everything that we sent cost a fee."""
    for candidate in found.candidates:
        try:
            transfer = native_transfer(candidate, receipts[candidate.transaction_hash])
        except WireError as error:
            raw = {"hash": candidate.transaction_hash, "block": candidate.block.hash}
            into.rejected.append(rejection(book.connector, "transaction", raw, str(error)))
            continue
        if transfer is not None:
            into.transfers.append(transfer)
    for block, credit in found.credits:
        if not credit.if_succeeded or receipts[credit.transaction_hash].succeeded:
            into.transfers.append(_minted(credit, block))
    for transaction, block in found.sent.items():
        _add_fee(receipts[transaction], block, book, into)


def _add_fee(receipt: Receipt, block: Header, book: Book, into: Reading) -> None:
    raw = {"transactionHash": receipt.transaction_hash, "blockHash": receipt.block_hash}
    if receipt.fee_wei is None:
        into.rejected.append(rejection(book.connector, "fee", raw, receipt.fee_unknown))
        return
    if receipt.fee_wei == 0:
        return
    try:
        amount = from_units(receipt.fee_wei, NATIVE_DECIMALS)
    except AmountError as error:
        into.rejected.append(rejection(book.connector, "fee", raw, str(error)))
        return
    into.fees.append(
        TransactionFee(
            connector=book.connector,
            transaction_hash=receipt.transaction_hash,
            payer=receipt.sender,
            amount=amount,
            asset=book.assets[None].caip19,
            succeeded=receipt.succeeded,
            block_number=block.number,
            block_hash=block.hash,
            block_at=block.at,
            canonical=True,
        )
    )


def internal_transfers(
    found: Sequence[InternalTransfer], block: Header, watched: Container[str]
) -> list[Transfer]:
    """Value that contracts moved to or from ours."""
    return [
        Transfer(
            transaction_hash=one.transaction_hash,
            position=f"trace:{one.path}",
            block_number=block.number,
            block_hash=block.hash,
            token=None,
            sender=one.sender,
            recipient=one.recipient,
            units=one.units,
        )
        for one in found
        if one.sender in watched or one.recipient in watched
    ]


def transactions_of(block: SeenBlock) -> list[str]:
    """The hashes of a full block's transactions, in order, lower case."""
    listed: Sequence[Any] = block.raw.get("transactions") or ()
    return [str(one["hash"] if isinstance(one, Mapping) else one).lower() for one in listed]


def _withdrawn(withdrawal: Withdrawal, block: Header) -> Transfer:
    return Transfer(
        transaction_hash="",
        position=f"{WITHDRAWAL}{withdrawal.index}",
        block_number=block.number,
        block_hash=block.hash,
        token=None,
        sender=_NOBODY,
        recipient=withdrawal.recipient,
        units=withdrawal.units,
    )


def _minted(credit: NativeCredit, block: Header) -> Transfer:
    return Transfer(
        transaction_hash=credit.transaction_hash,
        position=MINT,
        block_number=block.number,
        block_hash=block.hash,
        token=None,
        sender=_NOBODY,
        recipient=credit.recipient,
        units=credit.units,
    )
