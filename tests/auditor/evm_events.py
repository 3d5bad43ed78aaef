"""Events that say what a transfer is for, each with the transfer that it belongs to.

The events are read over the whole walk in the chain's order, because an id's first use and the parties of an
escrow's payment may lie in earlier blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.auditor.evm_facts import (
    AUTHORIZATION_USED,
    COINBASE,
    ESCROW,
    TRANSFER,
    Business,
    Ignored,
    PaymentEvent,
    Place,
)
from tests.auditor.evm_moves import address_in, place_of, words
from tests.auditor.evm_node import Json, RawBlock, number

_BPS = 10_000


@dataclass(frozen=True, kw_only=True)
class _Log:
    """A Transfer of a registered token that moved value, wherever it went."""

    token: str
    sender: str
    recipient: str
    units: int
    log_index: int


@dataclass(frozen=True)
class _Info:
    """Who an escrow's payment is between."""

    operator: str
    payer: str
    receiver: str
    token: str


@dataclass
class _Receipt:
    """One receipt while its events are read; a Transfer answers one event of a family at most."""

    place: Place
    logs: list[Json]
    transfers: list[_Log]
    used: set[tuple[str, int]] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Events:
    """The payment events of a walk, and those that are no payment."""

    events: tuple[PaymentEvent, ...]
    ignored: tuple[Ignored, ...]


def read_events(blocks: Iterable[RawBlock], business: Business) -> Events:
    """All payment events of blocks in the chain's order."""
    reader = _Reader(business)
    for raw in blocks:
        for index, receipt in enumerate(raw.receipts):
            reader.read(place_of(raw, index), receipt)
    return Events(events=tuple(reader.events), ignored=tuple(reader.ignored))


class _Reader:
    def __init__(self, business: Business) -> None:
        self._business = business
        self._used_ids: set[tuple[str, str, str]] = set()
        self._infos: dict[tuple[str, str], _Info] = {}
        self.events: list[PaymentEvent] = []
        self.ignored: list[Ignored] = []

    def read(self, place: Place, receipt: Json) -> None:
        logs = sorted(receipt["logs"], key=lambda log: number(log["logIndex"]))
        transfers = [read for log in logs if (read := self._as_transfer(log)) is not None]
        self._pair(_Receipt(place, logs, transfers))

    def _as_transfer(self, log: Json) -> _Log | None:
        if log["address"].lower() not in self._business.tokens | dict.fromkeys(self._business.eip3009_tokens):
            return None
        if len(log["topics"]) != 3 or log["topics"][0].lower() != TRANSFER or len(words(log)) != 1:
            return None
        return _Log(
            token=log["address"].lower(),
            sender=address_in(log["topics"][1]),
            recipient=address_in(log["topics"][2]),
            units=int(words(log)[0], 16),
            log_index=number(log["logIndex"]),
        )

    def _pair(self, receipt: _Receipt) -> None:
        for log in receipt.logs:
            contract = log["address"].lower()
            first = log["topics"][0].lower() if log["topics"] else None
            if first == COINBASE and contract in self._business.coinbase_contracts:
                self._coinbase(receipt, log)
            elif first == AUTHORIZATION_USED and contract in self._business.eip3009_tokens:
                self._authorization(receipt, log)
            elif first in ESCROW and contract in self._business.escrows:
                self._escrow(receipt, log, ESCROW[first])

    def _id(self, receipt: _Receipt, log_index: int) -> str:
        return f"{self._business.caip2}:{receipt.place.transaction_hash}:{log_index}"

    def _coinbase(self, receipt: _Receipt, log: Json) -> None:
        data = words(log)
        contract, operator = log["address"].lower(), address_in(log["topics"][1])
        key, recipient, sender = "0x" + data[0][:32].lower(), address_in(data[1]), address_in(data[2])
        used = (contract, operator, key)
        replayed = used in self._used_ids
        self._used_ids.add(used)
        if not self._business.touches(recipient):
            return
        fitting = self._fitting(receipt, lambda move: move.recipient == recipient and move.units > 0)
        free = [move for move in fitting if ("coinbase", move.log_index) not in receipt.used]
        problem = None
        if operator not in self._business.coinbase_operators:
            problem = "forged", "the operator is not known"
        elif replayed:
            problem = "forged", "the operator has used this id before"
        elif not free:
            problem = "valueless", "no transfer of a registered token to its recipient is left in the receipt"
        if problem is not None:
            self._ignore(receipt, log, *problem, sender, recipient)
            return
        # The contract moves the money first and logs then: the nearest before, else the first after.
        before = [move for move in free if move.log_index < number(log["logIndex"])]
        chosen = before[-1] if before else free[0]
        self._add(receipt, log, "Transferred", key, operator, int(data[3], 16), chosen, free, "coinbase")

    def _authorization(self, receipt: _Receipt, log: Json) -> None:
        if len(log["topics"]) != 3:
            return
        token, authorizer, nonce = log["address"].lower(), address_in(log["topics"][1]), log["topics"][2]
        at = number(log["logIndex"])
        next_moves = [
            move
            for move in receipt.transfers
            if move.token == token and move.sender == authorizer and move.log_index > at
            and ("eip3009", move.log_index) not in receipt.used
        ][:1]  # fmt: skip
        # A transfer answers one authorisation, another's or a worthless one too.
        receipt.used.update(("eip3009", move.log_index) for move in next_moves)
        ours = [move for move in next_moves if self._business.touches(move.sender, move.recipient)]
        if not ours and not self._business.touches(authorizer):
            return
        some = [move for move in ours if move.units > 0 and token in self._business.tokens]
        chosen = some[0] if some else None
        self._add(receipt, log, "AuthorizationUsed", nonce.lower(), authorizer, None, chosen, some, "eip3009")

    def _escrow(self, receipt: _Receipt, log: Json, name: str) -> None:
        rest, contract, key = words(log), log["address"].lower(), log["topics"][1].lower()
        if name in ("PaymentAuthorized", "PaymentCharged"):
            parties = (address_in(word) for word in rest[:4])
            self._infos[contract, key] = _Info(*parties)
            rest = rest[12:]
        info = self._infos.get((contract, key))
        amount = int(rest[0], 16)
        fee_at = {"PaymentCharged": 2, "PaymentCaptured": 1}.get(name)
        net = amount if fee_at is None else amount - amount * int(rest[fee_at], 16) // _BPS
        fitting = self._fitting(receipt, lambda move: self._escrow_fits(name, info, move, net, amount))
        known = info is not None and self._business.touches(info.payer, info.receiver)
        if not fitting and not known:
            return
        free = [move for move in fitting if ("escrow", move.log_index) not in receipt.used]
        # The escrow logs first and moves the money then.
        after = [move for move in free if move.log_index > number(log["logIndex"])]
        chosen = (after or free or [None])[0]
        party = None if info is None else info.operator
        self._add(receipt, log, name, key, party, amount, chosen, free, "escrow")

    def _escrow_fits(self, name: str, info: _Info | None, move: _Log, net: int, amount: int) -> bool:
        if move.units == 0 or not self._business.touches(move.sender, move.recipient):
            return False
        if info is None:
            return move.units == net
        senders, recipients, units = self._escrow_wants(name, info, net, amount)
        return (
            move.token == info.token
            and move.units == units
            and (not senders or move.sender in senders)
            and (not recipients or move.recipient in recipients)
        )

    def _escrow_wants(self, name: str, info: _Info, net: int, amount: int) -> tuple[set[str], set[str], int]:
        """Who sends, who receives (anybody where empty) and how much, seen from our side."""
        ours = self._business.touches
        if name == "PaymentCaptured" or (name == "PaymentCharged" and ours(info.receiver)):
            return set(), {info.receiver}, net
        if name in ("PaymentAuthorized", "PaymentCharged"):
            return {info.payer}, set(), amount
        if name == "PaymentRefunded" and not ours(info.payer):
            return {info.receiver, info.operator}, set(), amount
        return set(), {info.payer}, amount

    def _fitting(self, receipt: _Receipt, fits: Callable[[_Log], bool]) -> list[_Log]:
        return [move for move in receipt.transfers if move.token in self._business.tokens and fits(move)]

    def _add(
        self, receipt: _Receipt, log: Json, name: str, key: str, party: str | None, amount: int | None,
        chosen: _Log | None, candidates: list[_Log], family: str,
    ) -> None:  # fmt: skip
        if chosen is not None:
            receipt.used.add((family, chosen.log_index))
        at = number(log["logIndex"])
        made = PaymentEvent(
            id=self._id(receipt, at),
            name=name,
            contract=log["address"].lower(),
            key=key,
            party=party,
            place=receipt.place,
            log_index=at,
            amount_units=amount,
            movement_id=None if chosen is None else self._id(receipt, chosen.log_index),
            candidates=tuple(self._id(receipt, move.log_index) for move in candidates),
        )
        self.events.append(made)

    def _ignore(
        self, receipt: _Receipt, log: Json, reason: str, why: str, sender: str, recipient: str
    ) -> None:
        made = Ignored(
            id=self._id(receipt, number(log["logIndex"])),
            reason=reason,
            why=why,
            place=receipt.place,
            contract=log["address"].lower(),
            sender=sender,
            recipient=recipient,
            units=0,
        )
        self.ignored.append(made)
