"""What the connector of a chain reports beside movements: sightings, fees, events, prices, balances."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from payhealth.domain.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferObservation(Record):
    """A sighting of a chain transfer that does not stand as a movement; the key holds the block hash.

    Either a reorg took its block (``canonical`` is False), or it does not count (``ignored_reason`` says
    why). The sighting that stands is in the movement's own row, which names its block.
    """

    KEY: ClassVar[tuple[str, ...]] = ("connector", "movement_id", "block_hash")
    movement_id: str
    """The movement that it was, or the transfer's place with ``:ignored`` behind it."""
    block_hash: str
    block_number: int
    transaction_hash: str
    position: str
    """``<log index>``, ``native``, ``mint`` or ``trace:<path>``; empty for a withdrawal."""
    sender: str
    recipient: str
    amount: Decimal
    """0 for an asset whose decimals nobody vouches for: its units stand in the reason."""
    asset: str
    block_at: datetime
    canonical: bool
    ignored_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionFee(Record):
    """What one of our addresses paid for a transaction, failed ones included; in the chain's own coin."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "transaction_hash")
    transaction_hash: str
    payer: str
    amount: Decimal
    asset: str
    succeeded: bool
    block_number: int
    block_hash: str
    block_at: datetime
    canonical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent(Record):
    """What a payment protocol says of a transfer: Coinbase, EIP-3009 (x402), commerce-payments escrow."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "event_id", "block_hash")
    event_id: str
    """``<caip-2>:<transaction hash>:<log index>`` of the event's own log."""
    block_hash: str
    kind: str
    """``coinbase_transferred``, ``authorization_used``, ``escrow_charged`` and the like."""
    contract: str
    external_id: str
    """The protocol's own id: a Coinbase id, an authorisation's nonce, a payment info's hash."""
    operator: str | None
    payer: str | None
    recipient: str | None
    asset: str | None
    """What it speaks of; None where it does not say."""
    movement_id: str | None
    """The transfer that it belongs to; None where it moved nothing of ours."""
    block_number: int
    transaction_hash: str
    block_at: datetime
    canonical: bool
    ignored_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetPrice(Record):
    """What one unit of an asset was worth at a payment's block, or why nobody says."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "asset", "quote", "block_hash")
    asset: str
    quote: str
    block_hash: str
    block_number: int
    block_at: datetime
    price: Decimal | None
    reason: str | None
    """Why there is no price, or what is odd about it; None for an ordinary one."""
    feed: str | None = None
    round_id: str | None = None
    round_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressBalance(Record):
    """What an address of ours holds of an asset, held against what was read: in, out and fees.

    A version only where something about it changes. The balance is read at the head, by block hash, and
    waits (``pending_…``) until that block is final.
    """

    KEY: ClassVar[tuple[str, ...]] = ("connector", "address", "asset")
    address: str
    asset: str
    state: str
    """``proved``, ``waiting`` or ``mismatch``; see ``ProofState``."""
    proved_from: int | None
    """The block of the first reading: what is older is not proved."""
    proved_block: int | None
    """Up to which block the balance moved by what was read."""
    proved_amount: Decimal | None
    pending_block: int | None = None
    pending_hash: str | None = None
    pending_amount: Decimal | None = None
    difference: Decimal | None = None
    """The balance's movement less what was read; None where nothing differs."""
    gap_lower: int | None = None
    """The first block in which the difference may have arisen."""
    gap_upper: int | None = None
    """The last such block; equal to ``gap_lower`` where it was found."""
    since: datetime | None = None
    """When the difference was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderScore(Record):
    """How one RPC provider has behaved; a version only where it failed or lied anew."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "provider")
    provider: str
    """A host name, never a URL."""
    failures: int
    lies: str
    """In words, such as ``missing logs x2``; empty where it was never caught."""
    last_fault: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Record):
    """A block that a reorg removed from the recent window, or that came back (``canonical``)."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "block_number", "block_hash")
    block_number: int
    block_hash: str
    parent_hash: str
    block_at: datetime
    canonical: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainMark(Record):
    """Up to which block a chain is safe and final, as it said at a pull."""

    KEY: ClassVar[tuple[str, ...]] = ("connector", "chain")
    chain: str
    head: int
    safe: int
    final: int
    head_at: datetime
