"""What a settled store says of a chain, held against the auditor: one sentence a difference."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from payhealth.domain.chain_records import (
    AddressBalance,
    Block,
    ChainMark,
    PaymentEvent,
    TransactionFee,
    TransferObservation,
)
from payhealth.domain.records import Link, Movement, Rejected
from tests.auditor import evm_facts as auditor
from tests.auditor.evm import identities
from tests.auditor.evm_node import Node
from tests.auditor.evm_witness import Payment, Verdict
from tests.simulation.evm_pull import NAME, Puller

_REASONS = {"unregistered token": "unregistered_token", "zero value": "zero_value", "dust": "dust"}
_EVENTS = {
    "coinbase_transferred": "Transferred",
    "authorization_used": "AuthorizationUsed",
    "escrow_authorized": "PaymentAuthorized",
    "escrow_charged": "PaymentCharged",
    "escrow_captured": "PaymentCaptured",
    "escrow_voided": "PaymentVoided",
    "escrow_reclaimed": "PaymentReclaimed",
    "escrow_refunded": "PaymentRefunded",
}
_EMPTY_STEPS = ("PaymentVoided", "PaymentReclaimed")
_IGNORED_EVENTS = {
    "unknown operator": "forged",
    "id used before": "forged",
    "no value moved": "valueless",
}


class Standing(NamedTuple):
    """A movement as it stands, whatever its id."""

    transaction: str
    position: str
    kind: str
    asset: str
    symbol: str
    block: int
    block_hash: str
    sender: str
    recipient: str
    amount: Decimal
    at: datetime


class Judge:
    """Holds a settled store against the truth.

    Args:
        each_block: whether the auditor's own identity is asked of every block.
    """

    def __init__(self, puller: Puller, *, each_block: bool = False) -> None:
        self._puller = puller
        self._audit = puller.witness.look()
        self._verdict: Verdict = puller.witness.verdict()
        self._chain = self._audit.business.caip2
        self._blocks = dict(self._audit.blocks)
        rows = puller.rows(Movement)
        self._movements = {row.movement_id: row for row in rows if row.kind != "retraction"}
        self._retractions = {row.movement_id: row for row in rows if row.kind == "retraction"}
        self._names: dict[str, str] = {}
        """Where a transfer stands now -> the id that the store has for it."""
        self._each_block = each_block

    def differences(self) -> list[str]:
        """Everything that is not as it must be."""
        parts: tuple[Callable[[], Iterator[str]], ...] = (
            self._truth_itself,
            self._live,
            self._lost,
            self._retracted,
            self._ignored,
            self._fees,
            self._events,
            self._links,
            self._blocks_lost,
            self._coverage,
            self._balances,
        )
        return [sentence for part in parts for sentence in part()]

    def _truth_itself(self) -> Iterator[str]:
        """The auditor's own proof that it saw everything: without it a difference means nothing."""
        found = identities(self._puller.life.url, self._audit, each_block=self._each_block)
        for one in found:
            if not one.holds:
                yield f"the auditor's own identity does not hold: {one}"
        for row in self._puller.rows(Rejected):
            yield f"rejected: {row.object_id}: {row.reason}"

    # Movements.

    def _transaction(self, movement_id: str) -> str:
        found = movement_id.removeprefix(f"{self._chain}:").partition(":")[0]
        return found if found.startswith("0x") else ""

    def _live(self) -> Iterator[str]:
        stands: dict[Standing, list[str]] = defaultdict(list)
        for row in self._movements.values():
            if row.status == "seen":
                stands[self._standing(row)].append(row.movement_id)
            elif not self._is_gone(row):
                yield f"{row.movement_id} has the status {row.status}"
        refunds = self._refunds()
        for payment, true in self._verdict.live.items():
            wanted = _wanted(true)._replace(kind="refund" if true.id in refunds else true.kind)
            ids = stands.pop(wanted, [])
            if len(ids) != 1:
                yield f"{wanted} stands {len(ids)} times"
                continue
            self._names[true.id] = ids[0]
            if ids[0] not in {seen.movement_id for seen in self._verdict.sightings[payment]}:
                yield f"{ids[0]} is no id that {payment} was ever seen under"
        for one, ids in stands.items():
            yield f"{ids} stands and is not true: {one}"
        for place, name in self._names.items():
            keys = [self._names.get(paid, paid) for paid in refunds.get(place, [place])]
            if self._movements[name].payment_key not in keys:
                yield f"{name} has the payment key {self._movements[name].payment_key}, not of {keys}"

    @staticmethod
    def _is_gone(row: Movement) -> bool:
        """A refund that did not happen has failed; everything else is retracted."""
        return row.status == ("failed" if row.kind == "refund" else "retracted")

    def _refunds(self) -> dict[str, list[str]]:
        """What we gave back by an escrow -> the transfers by which that payment was paid."""
        paid: dict[tuple[str, str], list[str]] = defaultdict(list)
        for one in self._audit.events:
            if one.name in ("PaymentCharged", "PaymentCaptured") and one.movement_id is not None:
                paid[one.contract, one.key].append(one.movement_id)
        outgoing = {move.id for move in self._audit.movements if move.kind == "outgoing"}
        return {
            one.movement_id: paid[one.contract, one.key]
            for one in self._audit.events
            if one.name == "PaymentRefunded" and one.movement_id in outgoing and paid[one.contract, one.key]
        }

    def _standing(self, row: Movement) -> Standing:
        assert row.block_number is not None
        return Standing(
            transaction=self._transaction(row.movement_id),
            position=str(row.position),
            kind=row.kind,
            asset=row.asset.lower(),
            symbol=row.symbol,
            block=row.block_number,
            block_hash=str(row.block_hash),
            sender=str(row.sender),
            recipient=str(row.recipient),
            amount=row.amount,
            at=row.effective_at,
        )

    def _lost(self) -> Iterator[str]:
        """What was seen and is gone is retracted, once, and nothing else is."""
        gone: Counter[tuple[Any, ...]] = Counter()
        for payment, last in self._verdict.gone.items():
            gone[_content(payment)] += 1
            if payment in self._puller.pulled and not self._is_lost(payment, last):
                yield f"{payment} was read, is gone, and no row of it is retracted"
        retracted: Counter[tuple[Any, ...]] = Counter()
        for row in self._movements.values():
            if self._is_gone(row):
                name = self._transaction(row.movement_id) or str(row.position)
                units = int(row.amount.scaleb(18 if row.symbol == "ETH" else 6))
                retracted[name, row.asset.lower(), row.sender, row.recipient, units] += 1
                if self._blocks.get(row.block_number or 0) == row.block_hash:
                    yield f"{row.movement_id} is retracted, and its block stands"
        for content, count in retracted.items():
            if count > gone[content]:
                yield f"{content} is retracted {count} times, and is gone {gone[content]} times"

    def _is_lost(self, payment: Payment, last: auditor.Movement) -> bool:
        rows = [self._movements.get(seen.movement_id) for seen in self._verdict.sightings[payment]]
        # An id may stand for another move now: a withdrawal's, or a call's that gave what was there.
        return any(row is not None and (self._is_gone(row) or row.position == last.position) for row in rows)

    def _retracted(self) -> Iterator[str]:
        for name, row in self._movements.items():
            undoing = self._retractions.pop(f"{name}:retraction", None)
            wanted = "succeeded" if row.status == "retracted" and row.kind == "transfer" else "failed"
            if undoing is None:
                if wanted == "succeeded":
                    yield f"{name} is retracted without a retraction"
            elif undoing.status != wanted:
                yield f"the retraction of {name} ({row.status}) has the status {undoing.status}"
            elif wanted == "succeeded" and (undoing.amount, undoing.asset) != (row.amount, row.asset):
                yield f"the retraction of {name} is of {undoing.amount}, not of {row.amount}"
            elif undoing.payment_key != row.payment_key:
                yield f"the retraction of {name} has another payment key"
        for name in self._retractions:
            yield f"{name} undoes nothing"

    # What stands beside the movements.

    def _ignored(self) -> Iterator[str]:
        seen: Counter[tuple[Any, ...]] = Counter()
        for row in self._puller.rows(TransferObservation):
            stands = self._blocks.get(row.block_number) == row.block_hash
            if row.canonical != stands:
                yield f"sighting {row.movement_id} in {row.block_number}: canonical {row.canonical}"
            if row.canonical and row.ignored_reason is not None:
                reason = next((name for words, name in _REASONS.items() if words in row.ignored_reason), "")
                if self._is_spoof(row.asset) and "look-alike of USDX" not in row.ignored_reason:
                    yield f"{row.movement_id} is of a look-alike, and is called {row.ignored_reason}"
                key = (row.transaction_hash, row.position, reason, row.block_hash, row.sender, row.recipient)
                seen[(*key, row.block_at)] += 1
        wanted = Counter(
            (
                one.place.transaction_hash,
                one.id.removeprefix(f"{self._chain}:{one.place.transaction_hash}:"),
                one.reason,
                one.place.block_hash,
                one.sender,
                one.recipient,
                one.place.at,
            )
            for one in self._audit.ignored
            if one.reason in _REASONS.values()
        )
        yield from _compared("ignored transfers", wanted, seen)

    def _is_spoof(self, asset: str) -> bool:
        return asset.lower().endswith(self._puller.life.cast.spoof.lower())

    def _fees(self) -> Iterator[str]:
        rows = self._puller.rows(TransactionFee)
        seen = Counter(
            (
                row.transaction_hash,
                row.payer,
                row.amount,
                row.asset,
                row.succeeded,
                row.block_hash,
                row.block_at,
            )
            for row in rows
            if row.canonical
        )
        native = self._audit.business.native
        assert native is not None
        wanted = Counter(
            (
                fee.place.transaction_hash,
                fee.sender,
                auditor.exact(fee.wei, 18),
                native[1],
                not fee.failed,
                fee.place.block_hash,
                fee.place.at,
            )
            for fee in self._audit.fees
        )
        yield from _compared("fees", wanted, seen)

    def _events(self) -> Iterator[str]:
        told = {event.id for event in self._audit.events}
        seen: Counter[tuple[Any, ...]] = Counter()
        for row in self._puller.rows(PaymentEvent):
            if row.canonical != (self._blocks.get(row.block_number) == row.block_hash):
                yield f"event {row.event_id} in block {row.block_number}: canonical {row.canonical}"
            if row.canonical:
                reason = _IGNORED_EVENTS.get(row.ignored_reason or "") if row.movement_id is None else None
                name = "Transferred" if reason else _EVENTS[row.kind]
                place = (row.event_id, row.block_hash, name, row.contract)
                if row.movement_id is None and name in _EMPTY_STEPS and row.event_id not in told:
                    # A void before its payment's authorisation, which a reorg put behind it: an empty step.
                    continue
                seen[(*place, row.movement_id, reason, row.block_at)] += 1
        yield from _compared("events", Counter(self._true_events()), seen)

    def _true_events(self) -> Iterator[tuple[Any, ...]]:
        ours = self._audit.business.addresses
        recipients = {move.id: move.recipient for move in self._audit.moved}
        for one in self._audit.events:
            # The connector tells of authorisations by which we are paid, not of those by which we pay.
            moved = one.name == "AuthorizationUsed" and one.movement_id is not None
            if not moved or recipients.get(str(one.movement_id)) in ours:
                # The auditor names the dust that an event belongs to; it is no movement.
                counts = one.movement_id in self._audit.by_id
                name = self._names.get(str(one.movement_id), one.movement_id) if counts else None
                yield one.id, one.place.block_hash, one.name, one.contract, name, None, one.place.at
        for gone in self._audit.ignored:
            if gone.reason in ("forged", "valueless"):
                place = gone.place
                traced = self._names.get(f"{self._chain}:{place.transaction_hash}:trace:0")
                known = gone.reason == "valueless" and traced is not None
                # The auditor pairs Coinbase's events with tokens alone; coins are seen by traces.
                name, reason = (traced, None) if known else (None, gone.reason)
                yield gone.id, place.block_hash, "Transferred", gone.contract, name, reason, place.at

    def _links(self) -> Iterator[str]:
        for link in self._puller.rows(Link):
            if link.payment_key not in self._movements:
                yield f"the link {link.alias} leads to {link.payment_key}, which is no payment"

    def _blocks_lost(self) -> Iterator[str]:
        for row in self._puller.rows(Block):
            if row.canonical != (self._blocks.get(row.block_number) == row.block_hash):
                yield f"block {row.block_number} {row.block_hash}: canonical {row.canonical}"

    def _coverage(self) -> Iterator[str]:
        head, start = self._audit.last, self._puller.start
        final = head - self._puller.life.final_depth
        (mark,) = self._puller.rows(ChainMark)
        if (mark.head, mark.final) != (head, final):
            yield f"the marks are {mark.head}, {mark.final} instead of {head}, {final}"
        for finality, wanted in ((None, ((start, head + 1),)), ("final", ((start, final + 1),))):
            if self._puller.covered(finality) != wanted:
                yield f"covered ({finality}) is {self._puller.covered(finality)}, not {wanted}"
        if hasattr(self._puller.books.reader, "save_run"):
            source = self._puller.source()
            (state,) = self._puller.books.reader.stream_states({NAME: source.streams()})
            if state.covered != ((start, head + 1),) or state.refuted:
                yield f"the store's coverage is {state.covered}, refuted {state.refuted}"

    def _balances(self) -> Iterator[str]:
        """Every pair that anything moved is proved, up to a final block, with the node's own balance."""
        rows = {(row.address, row.asset.lower()): row for row in self._puller.rows(AddressBalance)}
        final = self._audit.last - self._puller.life.final_depth
        for row in rows.values():
            if row.state != "proved" or row.difference is not None or not (row.proved_block or 0) <= final:
                yield f"balance not proved: {row}"
            elif row.proved_amount != self._held(row.address, row.asset.lower(), row.proved_block or 0):
                yield f"the node holds another balance: {row}"
        for (address, asset), block in self._last_moves().items():
            row_of = rows.get((address, asset))
            if row_of is None:
                yield f"nothing proves {asset} of {address}"
            elif (row_of.proved_block or 0) < block:
                yield f"{asset} of {address} moved at {block} and is proved up to {row_of.proved_block}"

    def _held(self, address: str, asset: str, block: int) -> Decimal:
        """What the node says that an address held after a block."""
        token = self._audit.business.assets()[asset]
        with Node(self._puller.life.url) as node:
            if token is None:
                return auditor.exact(int(node.ask("eth_getBalance", address, hex(block)), 16), 18)
            call = {"to": token, "data": "0x70a08231" + address[2:].rjust(64, "0")}
            return auditor.exact(int(node.ask("eth_call", call, hex(block)), 16), 6)

    def _last_moves(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for move in self._audit.moved:
            for end in {move.sender, move.recipient} & self._audit.business.addresses:
                found[end, move.asset] = max(found.get((end, move.asset), 0), move.place.block_number)
        assert self._audit.business.native is not None
        for fee in self._audit.fees:
            key = (fee.sender, self._audit.business.native[1])
            found[key] = max(found.get(key, 0), fee.place.block_number)
        return found


def _wanted(true: auditor.Movement) -> Standing:
    return Standing(
        transaction=true.place.transaction_hash or "",
        position=true.position,
        kind=true.kind,
        asset=true.asset,
        symbol=true.symbol,
        block=true.place.block_number,
        block_hash=true.place.block_hash,
        sender=true.sender,
        recipient=true.recipient,
        amount=true.amount,
        at=true.place.at,
    )


def _content(payment: Payment) -> tuple[Any, ...]:
    return payment[:5]


def _compared(what: str, wanted: Counter[Any], seen: Counter[Any]) -> Iterator[str]:
    for one in wanted - seen:
        yield f"{what}: missing {one}"
    for one in seen - wanted:
        yield f"{what}: too much {one}"
