"""Every move of value in one block, and what it cost, read from transactions, receipts, logs and traces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.auditor.evm_facts import (
    BLOB,
    DEPOSITED,
    LOG_TRANSFER,
    NATIVE_LOGGER,
    TRANSFER,
    ZERO,
    AuditError,
    Business,
    Fee,
    Ignored,
    Movement,
    Place,
    exact,
)
from tests.auditor.evm_node import Json, RawBlock, number

_NATIVE_DECIMALS = 18
_WEI_OF_GWEI = 10**9
_MINTED, _NATIVE, _TRACED, _LOGGED = range(4)
_MOVING = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
"""Calls that take value along; a DELEGATECALL only repeats its caller's, CALLCODE moves none."""


@dataclass(kw_only=True)
class BlockMoves:
    """What one block did to us; ``moved`` holds the dust too, ``counted`` does not."""

    counted: list[Movement] = field(default_factory=list)
    moved: list[Movement] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    fees: list[Fee] = field(default_factory=list)


def read_block(raw: RawBlock, business: Business) -> BlockMoves:
    """All moves of one block."""
    return _Reader(raw, business).read()


def place_of(raw: RawBlock, index: int) -> Place:
    """Where the transaction of an index lies."""
    transaction_hash = raw.fields["transactions"][index]["hash"].lower() if index >= 0 else None
    return Place(
        block_number=raw.number,
        block_hash=raw.hash,
        at=datetime.fromtimestamp(number(raw.fields["timestamp"]), UTC),
        transaction_hash=transaction_hash,
        transaction_index=index if index >= 0 else len(raw.receipts),
    )


def address_in(word: str) -> str:
    """The address in a word of 32 bytes."""
    return "0x" + word[-40:].lower()


def words(log: Json) -> list[str]:
    """The data of a log, cut into words of 32 bytes without 0x."""
    payload = log["data"].removeprefix("0x")
    return [payload[at : at + 64] for at in range(0, len(payload), 64)]


def fee_wei(transaction: Json, receipt: Json, *, jovian: bool | None = None) -> int:
    """What a transaction costs its sender beside its value, in wei.

    Args:
        transaction: as the block shows it.
        receipt: its receipt.
        jovian: which operator fee holds; None: Jovian's where the receipt has a DA footprint's scalar.
    """
    kind = number(receipt.get("type", transaction.get("type")))
    if kind == DEPOSITED:
        return 0
    gas = number(receipt["gasUsed"])
    price = receipt.get("effectiveGasPrice") or transaction["gasPrice"]
    total = gas * number(price) + number(receipt.get("l1Fee"))
    if kind == BLOB:
        # Jovian receipts show a DA footprint as blobGasUsed of any transaction: nobody pays for that.
        total += number(receipt["blobGasUsed"]) * number(receipt["blobGasPrice"])
    scalar, constant = number(receipt.get("operatorFeeScalar")), number(receipt.get("operatorFeeConstant"))
    if jovian is None:
        jovian = receipt.get("daFootprintGasScalar") is not None
    return total + constant + (gas * scalar * 100 if jovian else gas * scalar // 10**6)


class _Reader:
    def __init__(self, raw: RawBlock, business: Business) -> None:
        self._raw = raw
        self._business = business
        self._made = BlockMoves()

    def read(self) -> BlockMoves:
        for index, (transaction, receipt) in enumerate(
            zip(self._raw.fields["transactions"], self._raw.receipts, strict=True)
        ):
            place = place_of(self._raw, index)
            self._fee(transaction, receipt, place)
            if self._business.native is not None:
                self._native(transaction, receipt, place)
                self._internal(index, place)
            self._logs(transaction, receipt, place)
        if self._business.native is not None:
            self._withdrawals()
        return self._made

    def _fee(self, transaction: Json, receipt: Json, place: Place) -> None:
        sender = transaction["from"].lower()
        if not self._business.touches(sender) or number(transaction.get("type")) == DEPOSITED:
            return
        wei = fee_wei(transaction, receipt, jovian=self._business.jovian)
        failed = number(receipt["status"]) == 0
        self._made.fees.append(Fee(place=place, sender=sender, wei=wei, failed=failed))

    def _native(self, transaction: Json, receipt: Json, place: Place) -> None:
        kind = number(transaction.get("type"))
        if kind in self._business.ignored_types:
            return
        sender = transaction["from"].lower()
        if kind == DEPOSITED and self._business.touches(sender):
            minted = number(transaction.get("mint"))
            self._coin(minted, ZERO, sender, place, "mint", (_MINTED,), kind="funding")
        if number(receipt["status"]) == 1:
            recipient = _recipient(transaction, receipt)
            self._coin(number(transaction["value"]), sender, recipient, place, "native", (_NATIVE,))

    def _internal(self, index: int, place: Place) -> None:
        if self._raw.traces is None or self._business.log_transfer_contract is not None:
            return
        for path, call in _live_calls(self._raw.traces[index]):
            if call["type"].upper() in _MOVING:
                position = "trace:" + "_".join(map(str, path))
                sender, recipient = call["from"].lower(), (call.get("to") or ZERO).lower()
                value = number(call.get("value"))
                self._coin(value, sender, recipient, place, position, (_TRACED, *path))

    def _withdrawals(self) -> None:
        place = place_of(self._raw, -1)
        for paid in self._raw.fields.get("withdrawals") or []:
            index = number(paid["index"])
            wei = number(paid["amount"]) * _WEI_OF_GWEI
            to = paid["address"].lower()
            self._coin(wei, ZERO, to, place, f"withdrawal:{index}", (index,), kind="funding")

    def _coin(
        self, wei: int, sender: str, recipient: str, place: Place, position: str, order: tuple[int, ...],
        *, kind: str | None = None,
    ) -> None:  # fmt: skip
        native = self._business.native
        if native is None or wei == 0 or not self._business.touches(sender, recipient):
            return
        symbol, asset = native
        self._add(wei, _NATIVE_DECIMALS, symbol, asset, sender, recipient, place, position, order, kind)

    def _add(
        self, units: int, decimals: int, symbol: str, asset: str, sender: str, recipient: str, place: Place,
        position: str, order: tuple[int, ...], kind: str | None = None,
    ) -> None:  # fmt: skip
        movement = Movement(
            id=self._id(place, position),
            kind=kind or self._business.kind(sender, recipient),
            asset=asset,
            symbol=symbol,
            place=place,
            position=position,
            sender=sender,
            recipient=recipient,
            amount=exact(units, decimals),
            units=units,
            order=order,
        )
        self._made.moved.append(movement)
        threshold = self._business.dust.get(asset)
        if movement.kind == "transfer" and threshold is not None and movement.amount < threshold:
            contract = self._business.assets()[asset] or "native"
            why = f"below {threshold}"
            self._ignore(place, position, "dust", why, contract, sender, recipient, units, movement)
        else:
            self._made.counted.append(movement)

    def _ignore(
        self, place: Place, position: str, reason: str, why: str, contract: str, sender: str, recipient: str,
        units: int, movement: Movement | None = None,
    ) -> None:  # fmt: skip
        made = Ignored(
            id=self._id(place, position),
            reason=reason,
            why=why,
            place=place,
            contract=contract,
            sender=sender,
            recipient=recipient,
            units=units,
            movement=movement,
        )
        self._made.ignored.append(made)

    def _id(self, place: Place, position: str) -> str:
        parts = (self._business.caip2, place.transaction_hash, position)
        return ":".join(part for part in parts if part is not None)

    def _logs(self, transaction: Json, receipt: Json, place: Place) -> None:
        # Polygon logs the value of the transaction itself too: that one is `native` already.
        sent = (transaction["from"].lower(), _recipient(transaction, receipt), number(transaction["value"]))
        seen_native = sent[2] == 0 or number(transaction.get("type")) in self._business.ignored_types
        for log in receipt["logs"]:
            first = log["topics"][0].lower() if log["topics"] else None
            if first == TRANSFER:
                self._transfer(log, place)
            elif first == LOG_TRANSFER and log["address"].lower() == self._business.log_transfer_contract:
                move = (address_in(log["topics"][2]), address_in(log["topics"][3]), int(words(log)[0], 16))
                if move == sent and not seen_native:
                    seen_native = True
                    continue
                at = number(log["logIndex"])
                self._coin(move[2], move[0], move[1], place, str(at), (_LOGGED, at))

    def _transfer(self, log: Json, place: Place) -> None:
        token, at = log["address"].lower(), number(log["logIndex"])
        registered = self._business.tokens.get(token)
        parties = [address_in(word) for word in (*log["topics"][1:], *words(log))]
        if not self._business.touches(*parties):
            return
        if len(log["topics"]) != 3 or len(words(log)) != 1:
            reason = "malformed" if registered else "unregistered_token"
            sender, recipient = [*parties, ZERO, ZERO][:2]
            self._ignore(place, str(at), reason, "no ERC-20 Transfer", token, sender, recipient, 0)
            return
        sender, recipient, units = parties[0], parties[1], int(words(log)[0], 16)
        if not self._business.touches(sender, recipient):
            return
        ignored = self._why_not(token, units)
        if ignored is not None:
            self._ignore(place, str(at), *ignored, token, sender, recipient, units)
            return
        symbol, decimals = self._business.tokens[token]
        asset = self._business.asset(token)
        self._add(units, decimals, symbol, asset, sender, recipient, place, str(at), (_LOGGED, at))

    def _why_not(self, token: str, units: int) -> tuple[str, str] | None:
        if token not in self._business.tokens:
            if token in (NATIVE_LOGGER, self._business.log_transfer_contract):
                return "native_log", "a native move, counted as such"
            return "unregistered_token", "the token is not registered"
        return ("zero_value", "no value was moved") if units == 0 else None


def _recipient(transaction: Json, receipt: Json) -> str:
    to = transaction.get("to") or receipt.get("contractAddress")
    if to is None:
        if number(receipt["status"]) == 1:
            raise AuditError(f"transaction {transaction['hash']} created a contract without an address")
        return ZERO
    return str(to).lower()


def _live_calls(frame: Any, above: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Json]]:
    """Calls below a frame whose whole ancestry, and they themselves, did not revert."""
    if frame.get("error") is not None:
        return
    for at, call in enumerate(frame.get("calls") or []):
        if call.get("error") is None:
            yield (*above, at), call
            yield from _live_calls(call, (*above, at))
