"""Events of payment protocols into records, each with the transfer that it belongs to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from payhealth.connectors.evm.reading.book import Book, kind_of
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import movement_id
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.events import (
    AUTHORIZATION_USED,
    AuthorizationUsed,
    CoinbaseTransferred,
    EscrowEvent,
    EscrowStep,
    Event,
    PaymentInfo,
    event_of_log,
)
from payhealth.connectors.evm.wire.pairing import CoinbaseKey, Known, Pair, PaymentKey, pair_with_transfers
from payhealth.connectors.evm.wire.receipts import Receipt
from payhealth.connectors.evm.wire.values import TRANSFER, Transfer, WireError, transfer_of_log
from payhealth.domain import assets as asset_ids
from payhealth.domain.chain_records import PaymentEvent
from payhealth.domain.records import Link, MovementKind

COINBASE = "coinbase_transferred"
AUTHORIZATION = "authorization_used"
ESCROW = "escrow_"
SIGNED = "eip3009:"
_PAID = frozenset({f"{ESCROW}{EscrowStep.CHARGED}", f"{ESCROW}{EscrowStep.CAPTURED}"})


class PaymentEvents:
    """What payment protocols say of our transfers.

    Args:
        stored: for what earlier events established.
    """

    def __init__(self, settings: EvmSettings, book: Book, stored: Stored) -> None:
        self._book = book
        self._stored = stored
        self._signed = {token.address for token in settings.registered if token.eip3009}
        self._on = settings.payment_events
        self._known = Known(
            coinbase_contracts=frozenset(settings.info.coinbase_transfers),
            operators=frozenset(settings.coinbase_operators),
            escrows=frozenset(settings.info.escrows),
        )

    def ours(self, events: Sequence[Event]) -> list[Event]:
        """Those that name one of ours, or a payment that named one of ours before."""
        open_ids = [one.payment for one in events if isinstance(one, EscrowEvent) and one.info is None]
        before = {(row.contract, row.external_id) for row in self._stored.events_of(set(open_ids))}
        kept: list[Event] = []
        for event in sorted(events, key=lambda one: (one.block_number, one.log_index)):
            if isinstance(event, EscrowEvent) and event.info is not None:
                if event.info.receiver in self._book.ours:
                    before.add((event.contract, event.payment))
                    kept.append(event)
            elif isinstance(event, EscrowEvent):
                if (event.contract, event.payment) in before:
                    kept.append(event)
            elif isinstance(event, CoinbaseTransferred) and event.recipient in self._book.ours:
                kept.append(event)
        return kept

    def signed_transactions(self, reading: Reading) -> set[str]:
        """The transactions in which a token that can be moved by signature was paid to us."""
        if not self._on or not self._signed:
            return set()
        found: set[str] = set()
        for logs in reading.logs:
            rows = zip(
                logs.token.to_pylist(),
                logs.recipient.to_pylist(),
                logs.transaction_hash.to_pylist(),
                strict=True,
            )
            found.update(
                transaction
                for token, recipient, transaction in rows
                if token in self._signed and recipient in self._book.ours
            )
        return found

    def add(self, events: Sequence[Event], receipts: Mapping[str, Receipt], reading: Reading) -> None:
        """Pair events with transfers of their receipts, and put the records into the reading."""
        used_up = [
            event
            for receipt in receipts.values()
            for event in _authorizations(receipt, self._signed)
            if self._on
        ]
        every = [*events, *used_up]
        if not every:
            return
        wanted = {event.transaction_hash for event in every}
        transfers = [
            transfer
            for name in wanted
            if name in receipts
            for transfer in _token_transfers(receipts[name], self._book.assets)
        ]
        transfers += [one for one in reading.transfers if one.transaction_hash in wanted]
        pairs = pair_with_transfers(every, transfers, self._before(every))
        for pair in pairs:
            self._record(pair, reading)
        self._link_refunds(pairs, reading)

    def _link_refunds(self, pairs: Sequence[Pair], reading: Reading) -> None:
        """An outgoing transfer is a refund only where the escrow says of which payment."""
        refunds = {
            movement_id(
                pair.transfer.transaction_hash, pair.transfer.position, self._book
            ): pair.event.payment
            for pair in pairs
            if isinstance(pair.event, EscrowEvent)
            and pair.event.step is EscrowStep.REFUNDED
            and pair.transfer is not None
            and pair.transfer.sender in self._book.ours
            and pair.transfer.recipient not in self._book.ours
        }
        if not refunds:
            return
        paid = {
            row.external_id: row.movement_id
            for row in (*self._stored.events_of(set(refunds.values())), *reading.events)
            if row.kind in _PAID and row.movement_id is not None
        }
        reading.refunds.update({name: paid[key] for name, key in refunds.items() if key in paid})

    def _before(self, events: Sequence[Event]) -> Known:
        ids = {event.id for event in events if isinstance(event, CoinbaseTransferred)}
        payments = {event.payment for event in events if isinstance(event, EscrowEvent)}
        used: dict[CoinbaseKey, str] = {}
        terms: dict[PaymentKey, PaymentInfo] = {}
        for row in self._stored.events_of(ids | payments):
            if row.kind == COINBASE and row.movement_id is not None:
                used[row.contract, row.operator or "", row.external_id] = row.transaction_hash
            elif row.kind.startswith(ESCROW) and row.asset is not None:
                terms[row.contract, row.external_id] = _terms(row)
        return Known(
            coinbase_contracts=self._known.coinbase_contracts,
            operators=self._known.operators,
            escrows=self._known.escrows,
            used=used,
            payments=terms,
        )

    def _record(self, pair: Pair, reading: Reading) -> None:
        event, transfer = pair.event, pair.transfer
        if isinstance(event, AuthorizationUsed) and (transfer is None or not self._concerns(transfer)):
            return  # somebody else's authorisation in the same transaction
        chain = self._book.chain
        named = None
        if transfer is not None and self._concerns(transfer):
            named = movement_id(transfer.transaction_hash, transfer.position, self._book)
        reading.events.append(
            PaymentEvent(
                connector=self._book.connector,
                event_id=f"{chain}:{event.transaction_hash}:{event.log_index}",
                block_hash=event.block_hash,
                contract=event.contract,
                movement_id=named,
                block_number=event.block_number,
                transaction_hash=event.transaction_hash,
                block_at=reading.times[event.block_hash],
                canonical=True,
                ignored_reason=pair.reason,
                **_words(event, self._book.chain_id),
            )
        )
        if named is not None and transfer is not None and self._is_deposit(transfer):
            alias = _alias(event, _words(event, self._book.chain_id)["external_id"])
            reading.links.append(Link(connector=self._book.connector, alias=alias, payment_key=named))

    def _concerns(self, transfer: Transfer) -> bool:
        return transfer.sender in self._book.ours or transfer.recipient in self._book.ours

    def _is_deposit(self, transfer: Transfer) -> bool:
        kind = kind_of(transfer.sender, transfer.recipient, transfer.position, self._book)
        return kind is MovementKind.TRANSFER


def _alias(event: Event, external_id: str) -> str:
    """What a ledger entry may carry for it. A nonce is the payer's to choose: it never stands for itself."""
    return f"{SIGNED}{external_id}" if isinstance(event, AuthorizationUsed) else external_id


def _words(event: Event, chain_id: int) -> dict[str, Any]:
    """What an event says, in the words of the record."""
    if isinstance(event, CoinbaseTransferred):
        return {
            "kind": COINBASE,
            "external_id": event.id,
            "operator": event.operator,
            "payer": event.sender,
            "recipient": event.recipient,
            "asset": None,
        }
    if isinstance(event, AuthorizationUsed):
        return {
            "kind": AUTHORIZATION,
            "external_id": event.nonce,
            "operator": None,
            "payer": event.authorizer,
            "recipient": None,
            "asset": asset_ids.erc20(chain_id, event.contract),
        }
    info = event.info
    return {
        "kind": f"{ESCROW}{event.step}",
        "external_id": event.payment,
        "operator": info.operator if info else None,
        "payer": info.payer if info else None,
        "recipient": info.receiver if info else None,
        "asset": asset_ids.erc20(chain_id, info.token) if info else None,
    }


def _terms(row: PaymentEvent) -> PaymentInfo:
    """What later steps of a payment are held against; the rest of its terms is not kept."""
    return PaymentInfo(
        operator=row.operator or "",
        payer=row.payer or "",
        receiver=row.recipient or "",
        token=(row.asset or "").rpartition(":")[2],
        max_units=0,
        pre_approval_expiry=0,
        authorization_expiry=0,
        refund_expiry=0,
        min_fee_bps=0,
        max_fee_bps=0,
        fee_receiver="",
        salt=0,
    )


def _authorizations(receipt: Receipt, signed: Container[str]) -> Iterable[AuthorizationUsed]:
    for raw in receipt.logs:
        if not isinstance(raw, dict) or (raw.get("topics") or [None])[0] != AUTHORIZATION_USED:
            continue
        if str(raw.get("address")).lower() not in signed:
            continue
        try:
            event = event_of_log(raw)
        except WireError:
            continue  # of no consequence: the transfer itself counts without it
        if isinstance(event, AuthorizationUsed):
            yield event


def _token_transfers(receipt: Receipt, assets: Container[str | None]) -> list[Transfer]:
    found: list[Transfer] = []
    for raw in receipt.logs:
        if not isinstance(raw, dict) or (raw.get("topics") or [None])[0] != TRANSFER:
            continue
        try:
            transfer = transfer_of_log(raw)
        except WireError:
            continue
        if transfer.token in assets:
            found.append(transfer)
    return found
