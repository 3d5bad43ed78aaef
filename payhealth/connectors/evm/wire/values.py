"""JSON-RPC values as a node sends them, and nothing else: quantities, hashes, block headers, logs.

Source: ethereum/execution-apis (schemas of base types, block, receipt).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.domain.times import from_us

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak-256 of ``Transfer(address,address,uint256)``."""

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_PADDING = "0x" + "0" * 24
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999: later timestamps are not moments."""


class WireError(ValueError):
    """A value that is not what the specification says; the message is the reason, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What links a block into its chain; hashes in lower case."""

    number: int
    hash: str
    parent: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer as one block holds it, before anyone asks whose it is.

    Args:
        position: ``<log index>`` or ``native``.
        token: the contract, lower case; None for the chain's own coin.
        units: in the asset's smallest unit.
    """

    transaction_hash: str
    position: str
    block_number: int
    block_hash: str
    token: str | None
    sender: str
    recipient: str
    units: int


def quantity(value: Any, field: str) -> int:
    """A hexadecimal quantity; leading zeros, which some nodes send, are let pass."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise WireError(f"{field} is not a hexadecimal quantity")
    return int(value, 16)


def hash_of(value: Any, field: str) -> str:
    """Thirty-two bytes, in lower case."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise WireError(f"{field} is not a 32-byte hash")
    return value.lower()


def address_of(value: Any, field: str) -> str:
    """Twenty bytes, in lower case."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise WireError(f"{field} is not an address")
    return value.lower()


def mapping_of(value: Any, field: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise WireError(f"{field} is not an object")
    return value


def padded(address: str) -> str:
    """An address as a log's topic holds it."""
    return _PADDING + address[2:]


def header_of(raw: Any) -> Header:
    """The header of a block object.

    Raises:
        WireError: a field is missing or malformed; such a block cannot be placed in its chain.
    """
    block = mapping_of(raw, "block")
    seconds = quantity(block.get("timestamp"), "timestamp")
    if seconds > _LAST_SECOND:
        raise WireError("timestamp lies beyond the year 9999")
    return Header(
        number=quantity(block.get("number"), "number"),
        hash=hash_of(block.get("hash"), "hash"),
        parent=hash_of(block.get("parentHash"), "parentHash"),
        at=from_us(seconds * 1_000_000),
    )


def transfer_of_log(raw: Any) -> Transfer:
    """Read an ERC-20 ``Transfer`` log by its fixed-width words.

    Raises:
        WireError: it is not one; an ERC-721 transfer, with four topics, is not either.
    """
    log = mapping_of(raw, "log")
    topics = log.get("topics")
    if not isinstance(topics, list) or not topics or topics[0] != TRANSFER:
        raise WireError("not a Transfer event")
    if len(topics) != 3:
        raise WireError(f"a Transfer event with {len(topics)} topics instead of 3")
    return Transfer(
        transaction_hash=hash_of(log.get("transactionHash"), "transactionHash"),
        position=str(quantity(log.get("logIndex"), "logIndex")),
        block_number=quantity(log.get("blockNumber"), "blockNumber"),
        block_hash=hash_of(log.get("blockHash"), "blockHash"),
        token=address_of(log.get("address"), "address"),
        sender=_unpadded(topics[1], "topic 1"),
        recipient=_unpadded(topics[2], "topic 2"),
        units=_word(log.get("data")),
    )


def _unpadded(topic: Any, field: str) -> str:
    word = hash_of(topic, field)
    if not word.startswith(_PADDING):
        raise WireError(f"{field} is not a padded address")
    return "0x" + word[26:]


def _word(data: Any) -> int:
    if not isinstance(data, str) or not _HASH.fullmatch(data):
        raise WireError("data is not one 32-byte word")
    return int(data, 16)
