"""What the tests of the EVM connector's reading side share: logs and transfers as a node tells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from payhealth.connectors.evm.reading.book import Book
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.logs import read_logs
from payhealth.connectors.evm.wire.values import TRANSFER, Transfer, padded

STRANGER = "0x" + "d1" * 20
OTHER_STRANGER = "0x" + "d2" * 20
USDC = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
BLOCK = "0x" + "bb" * 32
TRANSACTION = "0x" + "ee" * 32
AT = datetime(2026, 1, 2, tzinfo=UTC)


def word(number: int) -> str:
    """Thirty-two bytes of a log's data."""
    return f"0x{number:064x}"


def hash_of(number: int) -> str:
    """A hash that no other number has."""
    return f"0x{number:064x}"


def log(sender: str, recipient: str, units: int = 5, *, index: int = 0, **changed: Any) -> dict[str, Any]:
    """A transfer of USDC as a node tells it."""
    raw = {
        "address": USDC,
        "topics": [TRANSFER, padded(sender), padded(recipient)],
        "data": word(units),
        "blockNumber": "0x7",
        "blockHash": BLOCK,
        "transactionHash": TRANSACTION,
        "logIndex": hex(index),
        "removed": False,
    }
    return {**raw, **changed}


def moved(sender: str, recipient: str, units: int = 5, *, position: str = "0", **changed: Any) -> Transfer:
    """A transfer of USDC as it is read."""
    given: dict[str, Any] = {
        "transaction_hash": TRANSACTION,
        "position": position,
        "block_number": 7,
        "block_hash": BLOCK,
        "token": USDC,
        "sender": sender,
        "recipient": recipient,
        "units": units,
    }
    return Transfer(**(given | changed))


def reading_of(raws: Sequence[Any], book: Book, watched: Iterable[str] | None = None) -> Reading:
    """What logs hold for us, whatever blocks they are of."""
    ours = book.ours if watched is None else frozenset(watched)
    reading = read_logs(raws, book, ours, lambda _number, _hash: True).reading
    for logs in reading.logs:
        reading.times.update(dict.fromkeys(logs.block_hash.to_pylist(), AT))
    return reading
