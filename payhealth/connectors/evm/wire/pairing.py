"""Which transfer an event speaks of, or why it counts for nothing. Pure.

An event is a claim of its contract's, a transfer is money. Nothing here makes a payment: a pair adds an
intent's id, a nonce or a payment's hash to a transfer that counts by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from payhealth.connectors.evm.wire.events import (
    AuthorizationUsed,
    CoinbaseTransferred,
    EscrowEvent,
    EscrowStep,
    Event,
    PaymentInfo,
)
from payhealth.connectors.evm.wire.values import Transfer

UNKNOWN_CONTRACT = "unknown contract"
UNKNOWN_OPERATOR = "unknown operator"
USED_BEFORE = "id used before"
NO_VALUE = "no value moved"
NO_TRANSFER = "no transfer follows"
UNKNOWN_PAYMENT = "its authorisation is not known"
ALL_FEE = "all of it is fee"
_BPS = 10_000

CoinbaseKey = tuple[str, str, str]
"""Contract, operator, id: what may be used once on a chain."""
PaymentKey = tuple[str, str]
"""Escrow contract, payment hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known beforehand of one chain; addresses in lower case.

    Args:
        coinbase_contracts: the Transfers contracts.
        operators: whose intents count.
        escrows: the escrow contracts.
        used: key of an intent that was paid -> the transaction that paid it, of canonical blocks only.
        payments: terms of payments that were authorised or charged earlier.
    """

    coinbase_contracts: Container[str] = frozenset()
    operators: Container[str] = frozenset()
    escrows: Container[str] = frozenset()
    used: Mapping[CoinbaseKey, str] = field(default_factory=dict)
    payments: Mapping[PaymentKey, PaymentInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An event with its transfer; without one, the reason why it is ignored."""

    event: Event
    transfer: Transfer | None
    reason: str | None


def coinbase_key(event: CoinbaseTransferred) -> CoinbaseKey:
    """What identifies an intent on its chain."""
    return event.contract, event.operator, event.id


def pair_with_transfers(
    events: Iterable[Event], transfers: Iterable[Transfer], known: Known
) -> tuple[Pair, ...]:
    """Find each event's transfer among those of its own transaction, in its own block.

    A Coinbase event belongs to a movement of value to its recipient; an authorisation to the next
    transfer of its token from its authorizer; an escrow event to the transfer that the step causes. A
    transfer belongs to one event of a kind at most.

    Args:
        events: of canonical blocks; one that is given twice counts once.
        transfers: of the same transactions: token transfers of registered tokens, and values that moved
            natively or internally.

    Returns:
        One pair an event, in the order of the chain.
    """
    distinct = {(event.block_hash, event.log_index): event for event in events}
    ordered = sorted(distinct.values(), key=lambda event: (event.block_number, event.log_index))
    by_receipt: dict[tuple[str, str], list[Transfer]] = defaultdict(list)
    for transfer in transfers:
        by_receipt[transfer.block_hash, transfer.transaction_hash].append(transfer)
    until = _next_steps(ordered)
    # What the events before this one established belongs to this call alone: copies, and lists of it.
    used, payments = dict(known.used), dict(known.payments)
    taken: set[tuple[type[Event], str, str, str]] = set()
    pairs: list[Pair] = []
    for event in ordered:
        free = [
            transfer
            for transfer in by_receipt[event.block_hash, event.transaction_hash]
            if (type(event), *_identity(transfer)) not in taken
        ]
        pair = _paired(event, free, until, known, used, payments)
        if pair.transfer is not None:
            taken.add((type(event), *_identity(pair.transfer)))
            if isinstance(event, CoinbaseTransferred):
                used[coinbase_key(event)] = event.transaction_hash
        pairs.append(pair)
    return tuple(pairs)


def _paired(
    event: Event,
    free: Sequence[Transfer],
    until: Mapping[tuple[str, int], int],
    known: Known,
    used: Mapping[CoinbaseKey, str],
    payments: dict[PaymentKey, PaymentInfo],
) -> Pair:
    match event:
        case CoinbaseTransferred():
            found = _of_coinbase(event, free, known, used)
        case AuthorizationUsed():
            found = _first(
                transfer
                for transfer in _after(free, event)
                if (transfer.token, transfer.sender) == (event.contract, event.authorizer)
            )
        case EscrowEvent():
            if event.contract not in known.escrows:
                found = UNKNOWN_CONTRACT
            else:
                if event.info is not None:
                    payments[event.contract, event.payment] = event.info
                terms = payments.get((event.contract, event.payment))
                found = UNKNOWN_PAYMENT if terms is None else _of_escrow(event, terms, free, until)
        case _:
            assert_never(event)
    if isinstance(found, str):
        return Pair(event=event, transfer=None, reason=found)
    return Pair(event=event, transfer=found, reason=None)


def _of_coinbase(
    event: CoinbaseTransferred, free: Sequence[Transfer], known: Known, used: Mapping[CoinbaseKey, str]
) -> Transfer | str:
    if event.contract not in known.coinbase_contracts:
        return UNKNOWN_CONTRACT
    if event.operator not in known.operators:
        return UNKNOWN_OPERATOR
    if used.get(coinbase_key(event), event.transaction_hash) != event.transaction_hash:
        return USED_BEFORE
    moved = [transfer for transfer in free if transfer.recipient == event.recipient and transfer.units > 0]
    # The contract sends first and tells afterwards: the last log before the event, else a native value.
    before = [transfer for transfer in moved if -1 < _log_index(transfer) < event.log_index]
    native = [transfer for transfer in moved if transfer.token is None and _log_index(transfer) < 0]
    if before:
        return max(before, key=_log_index)
    return native[0] if native else NO_VALUE


def _of_escrow(
    event: EscrowEvent,
    terms: PaymentInfo,
    free: Sequence[Transfer],
    until: Mapping[tuple[str, int], int],
) -> Transfer | str:
    """The escrow tells first and sends afterwards, before it tells of its next step."""
    upper = until.get((event.block_hash, event.log_index))
    caused = [
        transfer
        for transfer in _after(free, event)
        if transfer.token == terms.token and (upper is None or _log_index(transfer) < upper)
    ]
    net = event.units - event.units * (event.fee_bps or 0) // _BPS
    if event.step in (EscrowStep.CHARGED, EscrowStep.CAPTURED):
        if net == 0:
            return ALL_FEE
        return _first(
            transfer for transfer in caused if (transfer.recipient, transfer.units) == (terms.receiver, net)
        )
    if event.step is EscrowStep.AUTHORIZED:
        # A collector may fetch the most that was approved and give the rest back: what goes into the
        # store is the last transfer of the amount.
        return _first(
            transfer
            for transfer in reversed(caused)
            if transfer.units == event.units and transfer.recipient != terms.payer
        )
    return _first(
        transfer for transfer in caused if (transfer.recipient, transfer.units) == (terms.payer, event.units)
    )


def _next_steps(ordered: Iterable[Event]) -> dict[tuple[str, int], int]:
    """For each escrow event, by block and log index, where the same contract's next one was logged."""
    last: dict[tuple[str, str], int] = {}
    found: dict[tuple[str, int], int] = {}
    for event in ordered:
        if isinstance(event, EscrowEvent):
            where = event.block_hash, event.contract
            if where in last:
                found[event.block_hash, last[where]] = event.log_index
            last[where] = event.log_index
    return found


def _after(free: Iterable[Transfer], event: Event) -> list[Transfer]:
    """The token transfers that were logged after an event, in order."""
    return sorted((transfer for transfer in free if _log_index(transfer) > event.log_index), key=_log_index)


def _first(found: Iterable[Transfer]) -> Transfer | str:
    return next(iter(found), NO_TRANSFER)


def _log_index(transfer: Transfer) -> int:
    """Where a transfer was logged; -1 for one that was not."""
    return int(transfer.position) if transfer.position.isdecimal() else -1


def _identity(transfer: Transfer) -> tuple[str, str, str]:
    return transfer.block_hash, transfer.transaction_hash, transfer.position
