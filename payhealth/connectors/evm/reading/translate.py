"""From transfers on the wire to records: whose they are, what they mean, which do not count. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import (
    Header,
    Transfer,
    WireError,
    address_of,
    mapping_of,
    quantity,
    transfer_of_log,
    transfer_of_transaction,
)
from payhealth.domain import assets as asset_ids
from payhealth.domain.errors import AmountError
from payhealth.domain.finality import Finality
from payhealth.domain.money import from_units
from payhealth.domain.records import (
    Block,
    Link,
    Movement,
    MovementKind,
    MovementStatus,
    Rail,
    Rejected,
    TransferObservation,
)

STREAM = "transfers"
NATIVE_DECIMALS = 18
ZERO_VALUE = "zero value"
UNREGISTERED = "unregistered token"
_RAW_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A registered asset: its CAIP-19 id, the name to show, the digits of its unit."""

    caip19: str
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What decides the meaning of a transfer.

    Args:
        ours: our addresses, lower case.
        assets: contract (None for the native coin) -> asset.
        mark: ``safe`` or ``final``: when a transfer becomes creditable.
        finality_s: how long that usually takes, in seconds.
    """

    connector: str
    chain_id: int
    ours: frozenset[str]
    operators: frozenset[str]
    assets: Mapping[str | None, Asset]
    mark: str
    finality_s: int
    ignored_types: frozenset[int]

    @property
    def chain(self) -> str:
        """The chain's CAIP-2 id."""
        return f"eip155:{self.chain_id}"

    def concerns(self, transfer: Transfer) -> bool:
        """Whether one end of a transfer is ours."""
        return transfer.sender in self.ours or transfer.recipient in self.ours


def book_of(connector: str, settings: EvmSettings) -> Book:
    """The book that a configuration asks for."""
    chain_id, info = settings.chain_id, settings.info
    assets: dict[str | None, Asset] = {
        token.address: Asset(
            caip19=asset_ids.erc20(chain_id, token.address), symbol=token.symbol, decimals=token.decimals
        )
        for token in settings.registered
    }
    if settings.native:
        coin = asset_ids.native(chain_id, info.slip44)
        assets[None] = Asset(caip19=coin, symbol=info.native_symbol, decimals=NATIVE_DECIMALS)
    return Book(
        connector=connector,
        chain_id=chain_id,
        ours=settings.ours,
        operators=frozenset(settings.operators),
        assets=assets,
        mark=Finality.SAFE.value if settings.finality_rule.tag == "safe" else Finality.FINAL.value,
        finality_s=settings.finality_s,
        ignored_types=info.ignored_native_types,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A transaction whose native value concerns us, if its receipt says that it succeeded."""

    raw: Mapping[str, Any]
    block: Header


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """The records of some transfers; a transfer and its observation stand at most once in them."""

    observations: tuple[TransferObservation, ...]
    movements: tuple[Movement, ...]
    links: tuple[Link, ...]
    rejected: tuple[Rejected, ...]


def transfers_of_logs(raws: Iterable[Any], book: Book) -> tuple[list[Transfer], list[Rejected]]:
    """Read logs; what cannot be read is rejected with its reason, what is not ours is left out."""
    transfers: list[Transfer] = []
    rejected: list[Rejected] = []
    for raw in raws:
        try:
            transfer = transfer_of_log(raw)
        except WireError as error:
            rejected.append(rejection(book.connector, "log", raw, str(error)))
            continue
        if book.concerns(transfer):
            transfers.append(transfer)
    return transfers, rejected


def candidates_of_block(
    block: Header, transactions: Sequence[Any], book: Book
) -> tuple[list[Candidate], list[Rejected]]:
    """The transactions of a block whose native value goes to or from ours; their receipts decide."""
    candidates: list[Candidate] = []
    rejected: list[Rejected] = []
    for raw in transactions:
        try:
            if _native_concerns(mapping_of(raw, "transaction"), book):
                candidates.append(Candidate(raw=raw, block=block))
        except WireError as error:
            rejected.append(rejection(book.connector, "transaction", raw, str(error)))
    return candidates, rejected


def transfer_of_candidate(
    candidate: Candidate, receipt: Mapping[str, Any], book: Book
) -> Transfer | Rejected | None:
    """The native transfer of a transaction, None where it failed and moved nothing."""
    try:
        if quantity(receipt.get("status"), "status") == 0:
            return None
        return transfer_of_transaction(candidate.raw, candidate.block, receipt.get("contractAddress"))
    except WireError as error:
        return rejection(book.connector, "transaction", candidate.raw, str(error))


def translate(transfers: Iterable[Transfer], times: Mapping[str, datetime], book: Book) -> Translated:
    """Make the records of transfers that stand in canonical blocks.

    Args:
        times: block hash -> the block's moment.
    """
    observations: dict[tuple[str, str], TransferObservation] = {}
    movements: dict[str, Movement] = {}
    links: dict[tuple[str, str], Link] = {}
    rejected: list[Rejected] = []
    for transfer in transfers:
        movement_id = f"{book.chain}:{transfer.transaction_hash}:{transfer.position}"
        reason = _ignored_reason(transfer, book)
        try:
            seen = _observation(transfer, movement_id, times[transfer.block_hash], book, reason)
        except AmountError as error:
            rejected.append(_unrepresentable(transfer, movement_id, str(error), book))
            continue
        observations[movement_id, seen.block_hash] = seen
        if reason is None:
            movement = _movement(transfer, seen, book)
            movements[movement_id] = movement
            links.update(((link.alias, link.payment_key), link) for link in _links(transfer, movement))
    return Translated(
        observations=tuple(observations.values()),
        movements=tuple(movements.values()),
        links=tuple(links.values()),
        rejected=tuple(rejected),
    )


def retraction_id(movement_id: str) -> str:
    """The id of the movement that undoes one lost to a reorg."""
    return f"{movement_id}:retraction"


def retracted(movement: Movement, standing: Header) -> list[Movement]:
    """A movement that no canonical block holds any more, and for a payment the movement that undoes it.

    Sweeps, gas and payments out expect no credit, so that nothing has to be undone for them: a
    retraction of theirs would be a break that nobody can close.

    Args:
        standing: the block that now stands at the lost block's height, or a lower new head: the
            retraction happened with it.
    """
    lost = replace(movement, status=MovementStatus.RETRACTED.value)
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


def block_record(connector: str, header: Header, *, canonical: bool = True) -> Block:
    """The record of a block of the recent window."""
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


def _native_concerns(raw: Mapping[str, Any], book: Book) -> bool:
    sender = address_of(raw.get("from"), "from")
    recipient = raw.get("to")
    to_ours = recipient is not None and address_of(recipient, "to") in book.ours
    if not to_ours and sender not in book.ours:
        return False
    if quantity(raw.get("value"), "value") == 0:
        return False
    kind = raw.get("type")
    return kind is None or quantity(kind, "type") not in book.ignored_types


def _ignored_reason(transfer: Transfer, book: Book) -> str | None:
    if transfer.token not in book.assets:
        return f"{UNREGISTERED}, {transfer.units} units"
    return ZERO_VALUE if transfer.units == 0 else None


def kind_of(transfer: Transfer, book: Book) -> MovementKind:
    """Whose the two ends are decides what a transfer is."""
    if transfer.sender in book.ours:
        return MovementKind.INTERNAL if transfer.recipient in book.ours else MovementKind.OUTGOING
    return MovementKind.FUNDING if transfer.sender in book.operators else MovementKind.TRANSFER


def _observation(
    transfer: Transfer, movement_id: str, at: datetime, book: Book, reason: str | None
) -> TransferObservation:
    asset = book.assets.get(transfer.token)
    # A stranger's token has no decimals that anyone vouches for: its units stand in the reason.
    amount = from_units(transfer.units, asset.decimals) if asset else from_units(0, 0)
    return TransferObservation(
        connector=book.connector,
        movement_id=movement_id,
        block_hash=transfer.block_hash,
        block_number=transfer.block_number,
        transaction_hash=transfer.transaction_hash,
        position=transfer.position,
        sender=transfer.sender,
        recipient=transfer.recipient,
        amount=amount,
        asset=asset.caip19 if asset else asset_ids.erc20(book.chain_id, transfer.token or ""),
        block_at=at,
        canonical=True,
        ignored_reason=reason,
    )


def _movement(transfer: Transfer, seen: TransferObservation, book: Book) -> Movement:
    kind = kind_of(transfer, book)
    # What attribution looks up is our own address: the recipient, or the sender of what goes out.
    own_end = transfer.sender if kind is MovementKind.OUTGOING else transfer.recipient
    return Movement(
        connector=book.connector,
        movement_id=seen.movement_id,
        rail=Rail.CHAIN.value,
        kind=kind.value,
        status=MovementStatus.SEEN.value,
        account="",
        handle=asset_ids.account_id(book.chain_id, own_end),
        payment_key=seen.movement_id,
        amount=seen.amount,
        asset=seen.asset,
        symbol=book.assets[transfer.token].symbol,
        effective_at=seen.block_at,
        chain=book.chain,
        block_number=seen.block_number,
        finality_s=book.finality_s,
        finality=book.mark,
    )


def _links(transfer: Transfer, movement: Movement) -> list[Link]:
    # A bare hash stands for what a customer paid; sweeps in the same transaction must not share it.
    bare = [transfer.transaction_hash] if movement.kind == MovementKind.TRANSFER else []
    aliases = [*bare, f"{transfer.transaction_hash}:{transfer.position}", movement.movement_id]
    return [
        Link(connector=movement.connector, alias=alias, payment_key=movement.payment_key) for alias in aliases
    ]


def _unrepresentable(transfer: Transfer, movement_id: str, reason: str, book: Book) -> Rejected:
    fields = {**asdict(transfer), "units": str(transfer.units)}
    return replace(rejection(book.connector, "transfer", fields, reason), object_id=movement_id)
