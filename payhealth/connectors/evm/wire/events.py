"""Events that say more of a payment than its transfer does, decoded by their fixed-width words. Pure.

Sources: coinbase/commerce-onchain-payment-protocol, contracts/interfaces/ITransfers.sol; EIP-3009;
base/commerce-payments, src/AuthCaptureEscrow.sol; the system contract 0x…1010 of Polygon's bor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from payhealth.connectors.evm.wire.values import (
    Transfer,
    WireError,
    address_of,
    hash_of,
    mapping_of,
    quantity,
)

TRANSFERRED = "0xb7ee4fafa10d16ee883a136a3dcc9179d8e6041ba71cc29c2b0bce4f7bdd6e86"
"""``Transferred(address,bytes16,address,address,uint256,address)``, the operator indexed."""
AUTHORIZATION_USED = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5"
"""``AuthorizationUsed(address,bytes32)``, both indexed."""
LOG_TRANSFER = "0xe6497e3ee548a3372136af2fcb0696db31fc6cf20260707645068bd3fe97f3c4"
"""``LogTransfer(address,address,address,uint256,uint256,uint256,uint256,uint256)``, the addresses indexed."""
PAYMENT_INFO = "(address,address,address,address,uint120,uint48,uint48,uint48,uint16,uint16,address,uint256)"
"""The tuple of a payment's terms; every part of it is static, so that it stands in the data as 12 words."""
POLYGON_COIN = "0x0000000000000000000000000000000000001010"

_WORD_CHARS = 64
_PADDING = "0" * 24
_INFO_WORDS = 12
_HEX = frozenset("0123456789abcdef")


class EscrowStep(StrEnum):
    """What happened to a payment in escrow."""

    AUTHORIZED = "authorized"
    CHARGED = "charged"
    CAPTURED = "captured"
    VOIDED = "voided"
    RECLAIMED = "reclaimed"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logged:
    """Where an event stands; addresses and hashes in lower case."""

    contract: str
    transaction_hash: str
    block_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinbaseTransferred(_Logged):
    """Coinbase's Transfers contract says that an intent was paid. Anyone may emit one: see pairing.

    Args:
        id: the intent's, 16 bytes; used once by an operator of a contract.
        recipient: whom the event names; only a transfer proves that it got anything.
        spent_units: what the payer spent, not what the recipient got.
        spent_currency: the contract, or the zero address for the chain's coin.
    """

    operator: str
    id: str
    recipient: str
    sender: str
    spent_units: int
    spent_currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationUsed(_Logged):
    """A token (the contract) used up a signed authorisation to transfer, as x402 does."""

    authorizer: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentInfo:
    """The terms that a payer agreed to.

    Args:
        max_units: the most that can be authorised, in the token's smallest unit.
        pre_approval_expiry: seconds since 1970; authorization_expiry and refund_expiry likewise.
        min_fee_bps: in 1/10 000; max_fee_bps likewise.
        fee_receiver: the zero address where the operator chooses at capture.
    """

    operator: str
    payer: str
    receiver: str
    token: str
    max_units: int
    pre_approval_expiry: int
    authorization_expiry: int
    refund_expiry: int
    min_fee_bps: int
    max_fee_bps: int
    fee_receiver: str
    salt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowEvent(_Logged):
    """A step of a payment in commerce-payments' escrow (the contract).

    Args:
        payment: the hash of the payment's terms, of this contract on this chain.
        units: in the token's smallest unit, the fee included.
        info: the terms; told when authorised or charged, None in later steps.
        fee_bps: the fee in 1/10 000 of the units, where the step takes one.
        collector: the contract that fetched the tokens, where the step does.
    """

    step: EscrowStep
    payment: str
    units: int
    info: PaymentInfo | None
    fee_bps: int | None
    fee_receiver: str | None
    collector: str | None


Event = CoinbaseTransferred | AuthorizationUsed | EscrowEvent


@dataclass(frozen=True, slots=True)
class _Shape:
    """An escrow event's data: the words of each part, in order, after an optional tuple of terms."""

    step: EscrowStep
    with_info: bool = False
    with_fee: bool = False
    with_collector: bool = False

    @property
    def words(self) -> int:
        return _INFO_WORDS * self.with_info + 1 + self.with_collector + 2 * self.with_fee


ESCROW: Mapping[str, EscrowStep] = {
    "0x1c81fb2e3bab27f6bb09bee9a0dddf61600b7cbaf2c12683e4864e0cbdb9d284": EscrowStep.AUTHORIZED,
    "0x943ae4341dd799d7aeedc501f616cd26b134639e0bc2ec059581ba3ebbf1e7d0": EscrowStep.CHARGED,
    "0xe749f7bbd01b49bb05abf26ca492cb4dfdea6bedeada8a40fdccd478c73a74e2": EscrowStep.CAPTURED,
    "0xcadce8c3acb008e3e1c64ca7f60d22a3c87069183182b7dbb9e4d8cfb3a15842": EscrowStep.VOIDED,
    "0x78e1d723d17e13b7f40eeab9bf6dd9148a630bafde4203ab7bb5fca983516d17": EscrowStep.RECLAIMED,
    "0x1bf415371b303ca6b8bbb4ce479b177cba5ad15dbe0c9a7750a588aa6bcd25b2": EscrowStep.REFUNDED,
}
"""The first topic of each of the escrow's events."""

_SHAPES: Mapping[EscrowStep, _Shape] = {
    shape.step: shape
    for shape in (
        _Shape(EscrowStep.AUTHORIZED, with_info=True, with_collector=True),
        _Shape(EscrowStep.CHARGED, with_info=True, with_collector=True, with_fee=True),
        _Shape(EscrowStep.CAPTURED, with_fee=True),
        _Shape(EscrowStep.VOIDED),
        _Shape(EscrowStep.RECLAIMED),
        _Shape(EscrowStep.REFUNDED, with_collector=True),
    )
}


def event_of_log(raw: Any) -> Event:
    """Read a log by its first topic.

    Raises:
        WireError: it is none of these events, it is malformed, or a reorg removed it.
    """
    log = mapping_of(raw, "log")
    topics = log.get("topics")
    topic = topics[0] if isinstance(topics, list) and topics else None
    reader = _READERS.get(topic) if isinstance(topic, str) else None
    if reader is None:
        raise WireError("not an event that is known")
    return reader(log)


def transfer_of_polygon_log(raw: Any) -> Transfer:
    """Read Polygon's ``LogTransfer``: the chain logs every movement of its own coin, internal ones too.

    Returns:
        A transfer of the chain's coin whose position is its log index.

    Raises:
        WireError: it is not such a log, or not of the contract that stands for the coin.
    """
    log = mapping_of(raw, "log")
    place, topics, words = _parts(log, LOG_TRANSFER, "LogTransfer", topics=4, words=5)
    if place["contract"] != POLYGON_COIN or _address(topics[0], "topic 1") != POLYGON_COIN:
        raise WireError("a LogTransfer of another contract than the chain's coin")
    return Transfer(
        transaction_hash=place["transaction_hash"],
        position=str(place["log_index"]),
        block_number=place["block_number"],
        block_hash=place["block_hash"],
        token=None,
        sender=_address(topics[1], "topic 2"),
        recipient=_address(topics[2], "topic 3"),
        units=int(words[0], 16),
    )


def _transferred(log: Mapping[str, Any]) -> CoinbaseTransferred:
    place, topics, words = _parts(log, TRANSFERRED, "Transferred", topics=2, words=5)
    if words[0][32:] != "0" * 32:
        raise WireError("id is not 16 bytes")
    return CoinbaseTransferred(
        **place,
        operator=_address(topics[0], "operator"),
        id="0x" + words[0][:32],
        recipient=_address(words[1], "recipient"),
        sender=_address(words[2], "sender"),
        spent_units=int(words[3], 16),
        spent_currency=_address(words[4], "spentCurrency"),
    )


def _authorization_used(log: Mapping[str, Any]) -> AuthorizationUsed:
    place, topics, _ = _parts(log, AUTHORIZATION_USED, "AuthorizationUsed", topics=3, words=0)
    return AuthorizationUsed(**place, authorizer=_address(topics[0], "authorizer"), nonce="0x" + topics[1])


def _escrow_event(log: Mapping[str, Any]) -> EscrowEvent:
    topic = log["topics"][0]
    shape = _SHAPES[ESCROW[topic]]
    place, topics, words = _parts(log, topic, f"payment {shape.step}", topics=2, words=shape.words)
    rest = words[_INFO_WORDS:] if shape.with_info else words
    after = rest[1 + shape.with_collector :]
    return EscrowEvent(
        **place,
        step=shape.step,
        payment="0x" + topics[0],
        units=int(rest[0], 16),
        info=_info(words) if shape.with_info else None,
        collector=_address(rest[1], "tokenCollector") if shape.with_collector else None,
        fee_bps=_number(after[0], 16, "feeBps") if shape.with_fee else None,
        fee_receiver=_address(after[1], "feeReceiver") if shape.with_fee else None,
    )


def _info(words: Sequence[str]) -> PaymentInfo:
    return PaymentInfo(
        operator=_address(words[0], "operator"),
        payer=_address(words[1], "payer"),
        receiver=_address(words[2], "receiver"),
        token=_address(words[3], "token"),
        max_units=_number(words[4], 120, "maxAmount"),
        pre_approval_expiry=_number(words[5], 48, "preApprovalExpiry"),
        authorization_expiry=_number(words[6], 48, "authorizationExpiry"),
        refund_expiry=_number(words[7], 48, "refundExpiry"),
        min_fee_bps=_number(words[8], 16, "minFeeBps"),
        max_fee_bps=_number(words[9], 16, "maxFeeBps"),
        fee_receiver=_address(words[10], "feeReceiver"),
        salt=int(words[11], 16),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    TRANSFERRED: _transferred,
    AUTHORIZATION_USED: _authorization_used,
    **dict.fromkeys(ESCROW, _escrow_event),
}


def _parts(
    log: Mapping[str, Any], topic: str, name: str, *, topics: int, words: int
) -> tuple[dict[str, Any], list[str], list[str]]:
    """A log's place, its topics after the first, and the words of its data, each of 64 characters."""
    found = log.get("topics")
    if not isinstance(found, list) or not found or found[0] != topic:
        raise WireError(f"not a {name} event")
    if len(found) != topics:
        raise WireError(f"a {name} event with {len(found)} topics instead of {topics}")
    if log.get("removed") not in (None, False):
        raise WireError("the log was removed by a reorg")
    place = {
        "contract": address_of(log.get("address"), "address"),
        "transaction_hash": hash_of(log.get("transactionHash"), "transactionHash"),
        "block_hash": hash_of(log.get("blockHash"), "blockHash"),
        "block_number": quantity(log.get("blockNumber"), "blockNumber"),
        "log_index": quantity(log.get("logIndex"), "logIndex"),
    }
    indexed = [hash_of(word, f"topic {at}")[2:] for at, word in enumerate(found[1:], 1)]
    return place, indexed, _words(log.get("data"), words)


def _words(data: Any, count: int) -> list[str]:
    if not isinstance(data, str) or not data.startswith("0x") or len(data) != 2 + count * _WORD_CHARS:
        raise WireError(f"data is not {count} words of 32 bytes")
    digits = data[2:].lower()
    if not _HEX.issuperset(digits):
        raise WireError("data is not hexadecimal")
    return [digits[at : at + _WORD_CHARS] for at in range(0, len(digits), _WORD_CHARS)]


def _address(word: str, field: str) -> str:
    if not word.startswith(_PADDING):
        raise WireError(f"{field} is not a padded address")
    return "0x" + word[len(_PADDING) :]


def _number(word: str, bits: int, field: str) -> int:
    number = int(word, 16)
    if number >> bits:
        raise WireError(f"{field} exceeds {bits} bits")
    return number
