"""The chain's own coin in a full block: what it moved for a set of addresses. Pure.

Values at top level, beacon withdrawals, and coins that a chain gives without a transfer (deposits from
L1). Value that contracts move is elsewhere: in traces.

Sources: ethereum/execution-apis (schemas of block, transaction and withdrawal); EIP-4895; the OP Stack
specification, protocol/deposits; OffchainLabs/nitro, arbos/tx_processor.go.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from payhealth.connectors.evm.wire.receipts import DEPOSIT, Receipt
from payhealth.connectors.evm.wire.values import (
    Header,
    Transfer,
    WireError,
    address_of,
    hash_of,
    header_of,
    mapping_of,
    quantity,
)

WEI_PER_GWEI = 10**9
_ADDRESS_CHARS = 42
_ARBITRUM_DEPOSIT = 0x64
_ARBITRUM_RETRY = 0x68
_NOTHING = ("0x0", "0x", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeCandidate:
    """A transaction whose value concerns us, if its receipt says that it succeeded.

    Args:
        index: its position in the block.
        recipient: None where only the receipt tells which contract a deposit created.
        units: wei, above zero.
        type: as EIP-2718 numbers it.
    """

    transaction_hash: str
    block: Header
    index: int
    type: int
    sender: str
    recipient: str | None
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeCredit:
    """Coins that the chain gave to the sender of one of its own transactions, before its value moved.

    Args:
        units: wei, above zero.
        if_succeeded: whether a failed transaction takes them back: so it is where an Arbitrum
            retryable's value comes out of escrow; a mint stays.
    """

    transaction_hash: str
    index: int
    recipient: str
    units: int
    if_succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What the beacon chain paid out to an address, at the end of a block; it uses no transaction.

    Args:
        index: the withdrawal's own number, one for all blocks.
        units: wei; the block has it in Gwei.
    """

    index: int
    recipient: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNatives:
    """What a block's transactions and withdrawals hold for us.

    Args:
        sent: the hashes of the transactions that one of ours sent, whatever they moved: each costs a fee.
        refused: transactions and withdrawals that cannot be read, each with its reason.
    """

    block: Header
    candidates: tuple[NativeCandidate, ...]
    credits: tuple[NativeCredit, ...]
    withdrawals: tuple[Withdrawal, ...]
    sent: tuple[str, ...]
    refused: tuple[tuple[Any, str], ...]


def natives_of_block(
    raw: Any, ours: Container[str], *, ignored_types: Container[int] = frozenset()
) -> BlockNatives:
    """Read a full block in one pass.

    A transaction between strangers is looked at no further than it takes to see that.

    Args:
        raw: a block object with its transactions, not with their hashes alone.
        ours: addresses, lower case.
        ignored_types: transaction types that never move a customer's value (Arbitrum's 0x6a).

    Raises:
        WireError: the block cannot be placed in its chain, or came without its transactions.
    """
    block = header_of(raw)
    transactions = raw.get("transactions")
    if not isinstance(transactions, list):
        raise WireError("transactions is not a list")
    candidates: list[NativeCandidate] = []
    given: list[NativeCredit] = []
    sent: list[str] = []
    refused: list[tuple[Any, str]] = []
    for index, transaction in enumerate(transactions):
        if isinstance(transaction, str):
            raise WireError("the block holds the hashes of its transactions, not the transactions")
        try:
            if not _concerns(transaction, ours):
                continue
            candidate = _candidate(transaction, block, index)
            if candidate.sender in ours:
                sent.append(candidate.transaction_hash)
            if candidate.type in ignored_types:
                continue
            given += _credits(transaction, candidate, ours)
            if candidate.units and _moves_for(candidate, ours):
                candidates.append(candidate)
        except WireError as error:
            refused.append((transaction, str(error)))
    withdrawals, bad = _withdrawals(raw.get("withdrawals"), ours)
    return BlockNatives(
        block=block,
        candidates=tuple(candidates),
        credits=tuple(given),
        withdrawals=tuple(withdrawals),
        sent=tuple(sent),
        refused=tuple(refused + bad),
    )


def native_transfer(candidate: NativeCandidate, receipt: Receipt) -> Transfer | None:
    """The transfer of a transaction's value; None where it failed and moved nothing.

    Where only the receipt tells the recipient, it may turn out to be a stranger's.

    Raises:
        WireError: the receipt is another transaction's or another block's, or names no contract where
            the transaction created one.
    """
    if receipt.transaction_hash != candidate.transaction_hash:
        raise WireError("the receipt is another transaction's")
    if receipt.block_hash != candidate.block.hash:
        raise WireError("the receipt stands in another block")
    if not receipt.succeeded:
        return None
    recipient = candidate.recipient or receipt.created
    if recipient is None:
        raise WireError("contractAddress is not an address")
    return Transfer(
        transaction_hash=candidate.transaction_hash,
        position="native",
        block_number=candidate.block.number,
        block_hash=candidate.block.hash,
        token=None,
        sender=candidate.sender,
        recipient=recipient,
        units=candidate.units,
    )


def created_address(sender: str, nonce: int) -> str:
    """The contract that a transaction without recipient creates.

    Args:
        sender: lower case.
        nonce: the transaction's.

    Source: Ethereum yellow paper, section 7: the last 20 bytes of keccak(rlp([sender, nonce])).
    """
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    encoded = number if len(number) == 1 and nonce < 0x80 else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + bytes.fromhex(sender[2:]) + encoded
    return "0x" + keccak(bytes([0xC0 + len(payload)]) + payload)[12:].hex()


def _concerns(transaction: Any, ours: Container[str]) -> bool:
    """Whether a transaction is worth reading: an end is ours, or it creates a contract with a value."""
    fields = mapping_of(transaction, "transaction")
    sender, recipient = fields.get("from"), fields.get("to")
    if not isinstance(sender, str) or len(sender) != _ADDRESS_CHARS:
        raise WireError("from is not an address")
    if recipient is None:
        return sender.lower() in ours or fields.get("value") not in _NOTHING
    if not isinstance(recipient, str) or len(recipient) != _ADDRESS_CHARS:
        raise WireError("to is not an address")
    return recipient.lower() in ours or sender.lower() in ours


def _candidate(transaction: Mapping[str, Any], block: Header, index: int) -> NativeCandidate:
    kind = transaction.get("type")
    number = 0 if kind is None else quantity(kind, "type")
    sender = address_of(transaction.get("from"), "from")
    recipient = transaction.get("to")
    if recipient is not None:
        recipient = address_of(recipient, "to")
    elif number != DEPOSIT:
        # A deposit's nonce is not in the transaction, so that what it created stands in its receipt only.
        recipient = created_address(sender, quantity(transaction.get("nonce"), "nonce"))
    return NativeCandidate(
        transaction_hash=hash_of(transaction.get("hash"), "hash"),
        block=block,
        index=index,
        type=number,
        sender=sender,
        recipient=recipient,
        units=quantity(transaction.get("value"), "value"),
    )


def _moves_for(candidate: NativeCandidate, ours: Container[str]) -> bool:
    return candidate.recipient is None or candidate.recipient in ours or candidate.sender in ours


def _credits(
    transaction: Mapping[str, Any], candidate: NativeCandidate, ours: Container[str]
) -> Iterator[NativeCredit]:
    if candidate.sender not in ours:
        return
    units = 0
    if candidate.type == DEPOSIT and transaction.get("mint") is not None:
        units = quantity(transaction["mint"], "mint")
    elif candidate.type in (_ARBITRUM_DEPOSIT, _ARBITRUM_RETRY):
        units = candidate.units
    if units:
        yield NativeCredit(
            transaction_hash=candidate.transaction_hash,
            index=candidate.index,
            recipient=candidate.sender,
            units=units,
            if_succeeded=candidate.type == _ARBITRUM_RETRY,
        )


def _withdrawals(raws: Any, ours: Container[str]) -> tuple[list[Withdrawal], list[tuple[Any, str]]]:
    found: list[Withdrawal] = []
    refused: list[tuple[Any, str]] = []
    if raws is None:
        return found, refused
    if not isinstance(raws, list):
        raise WireError("withdrawals is not a list")
    for raw in raws:
        try:
            recipient = address_of(mapping_of(raw, "withdrawal").get("address"), "address")
            if recipient in ours:
                index, gwei = quantity(raw.get("index"), "index"), quantity(raw.get("amount"), "amount")
                found.append(Withdrawal(index=index, recipient=recipient, units=gwei * WEI_PER_GWEI))
        except WireError as error:
            refused.append((raw, str(error)))
    return found, refused
