"""Logs into columns: each once, only of the blocks that were asked for, only what concerns us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from payhealth.connectors.evm.reading.book import Book
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.moves import concerning
from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.translate import rejection
from payhealth.connectors.evm.registry.chains import is_pseudo_contract
from payhealth.connectors.evm.wire import columns
from payhealth.connectors.evm.wire.columns import LogColumns, log_columns
from payhealth.connectors.evm.wire.events import (
    ESCROW,
    LOG_TRANSFER,
    TRANSFERRED,
    Event,
    event_of_log,
    transfer_of_polygon_log,
)
from payhealth.connectors.evm.wire.values import TRANSFER, WireError, quantity
from payhealth.domain.times import from_us

_EVENTS = frozenset({TRANSFERRED, *ESCROW})


@dataclass(slots=True, kw_only=True)
class Logs:
    """The logs of a stretch, told apart by what they are."""

    reading: Reading
    events: list[Event] = field(default_factory=list)


def read_logs(
    raws: Sequence[Any], book: Book, watched: frozenset[str], belongs: Callable[[int, str], bool]
) -> Logs:
    """Read logs as a node gave them.

    Args:
        watched: the addresses that were asked for.
        belongs: whether a block (number, hash) is among those that were asked for.

    Raises:
        ChainMovedError: one was taken back while it was read, or two nodes tell of different blocks.
        WireError: one is of a block that was not asked for.
    """
    tokens, natives, events = _told_apart(raws)
    found = Logs(reading=Reading(raw_logs=len(raws)))
    told, refused = log_columns(tokens)
    if told.any_removed or any(raw.get("removed") is True for raw in (*natives, *events)):
        raise ChainMovedError("a log was taken back while it was being read")
    _must_belong(told, belongs)
    ours = concerning(_each_once(told), watched)
    if len(ours):
        found.reading.logs.append(ours)
    found.reading.rejected += _rejected(refused, book)
    _add_natives(found, natives, book, watched, belongs)
    _add_events(found, events, book, belongs)
    _add_times(found.reading, tokens, told, ours)
    return found


def strangers(reading: Reading, book: Book) -> set[str]:
    """The contracts among a reading's token transfers that nobody registered."""
    found = {token for logs in reading.logs for token in logs.token.unique().to_pylist()}
    return {token for token in found - _known(book) if not is_pseudo_contract(token)}


def _told_apart(raws: Sequence[Any]) -> tuple[Sequence[Any], list[Any], list[Any]]:
    """Token transfers, the chain's own coin, events of payment protocols; what is none is a bad transfer."""
    if _all_transfers(raws):
        return raws, [], []
    tokens: list[Any] = []
    natives: list[Any] = []
    events: list[Any] = []
    for raw in raws:
        topics = raw.get("topics") if isinstance(raw, dict) else None
        first = topics[0] if isinstance(topics, list) and topics else None
        if first == TRANSFER or not isinstance(first, str):
            tokens.append(raw)
        elif first == LOG_TRANSFER:
            natives.append(raw)
        elif first in _EVENTS:
            events.append(raw)
        else:
            tokens.append(raw)
    return tokens, natives, events


def _all_transfers(raws: Sequence[Any]) -> bool:
    """Whether there is nothing but token transfers, which is the usual case and worth a quick look."""
    try:
        return [raw["topics"][0] for raw in raws].count(TRANSFER) == len(raws)
    except (KeyError, IndexError, TypeError):
        return False


def _each_once(logs: LogColumns) -> LogColumns:
    """Without repetitions: both ends' filters tell of a transfer between our own addresses."""
    if len(logs) < 2:
        return logs
    order = np.lexsort((logs.log_index, logs.block_number))
    number, index = logs.block_number[order], logs.log_index[order]
    again = np.zeros(len(logs), dtype=np.bool_)
    again[1:] = (number[1:] == number[:-1]) & (index[1:] == index[:-1])
    if not again.any():
        return logs
    hashes = logs.block_hash.to_numpy(zero_copy_only=False)[order]
    if (hashes[1:][again[1:]] != hashes[:-1][again[1:]]).any():
        raise ChainMovedError("two blocks at one height among the logs of one answer")
    keep = np.ones(len(logs), dtype=np.bool_)
    keep[order[again]] = False
    return columns.selected(logs, keep)


def _must_belong(logs: LogColumns, belongs: Callable[[int, str], bool]) -> None:
    if not len(logs):
        return
    coded = logs.block_hash.dictionary_encode()
    _, first = np.unique(coded.indices.to_numpy(), return_index=True)
    for row in first.tolist():
        _check(int(logs.block_number[row]), logs.block_hash[row].as_py(), belongs)


def _check(number: int, block: str, belongs: Callable[[int, str], bool]) -> None:
    if not belongs(number, block):
        raise WireError(f"answered a log of block {number}, which is another block than was asked for")


def _rejected(refused: Sequence[tuple[Any, str]], book: Book) -> list[Any]:
    """Only what a registered contract logs is missed; strangers may log whatever they like."""
    return [
        rejection(book.connector, "log", raw, reason)
        for raw, reason in refused
        if not isinstance(raw, dict) or str(raw.get("address")).lower() in _known(book)
    ]


def _known(book: Book) -> set[str]:
    return {token for token in book.assets if token}


def _add_natives(
    found: Logs,
    raws: Sequence[Any],
    book: Book,
    watched: frozenset[str],
    belongs: Callable[[int, str], bool],
) -> None:
    once: dict[tuple[str, str], Any] = {}
    for raw in raws:
        try:
            transfer = transfer_of_polygon_log(raw)
        except WireError as error:
            found.reading.rejected.append(rejection(book.connector, "log", raw, str(error)))
            continue
        _check(transfer.block_number, transfer.block_hash, belongs)
        if transfer.units and (transfer.sender in watched or transfer.recipient in watched):
            once[transfer.block_hash, transfer.position] = transfer
    found.reading.transfers += once.values()


def _add_events(found: Logs, raws: Sequence[Any], book: Book, belongs: Callable[[int, str], bool]) -> None:
    for raw in raws:
        try:
            event = event_of_log(raw)
        except WireError as error:
            found.reading.rejected.append(rejection(book.connector, "event", raw, str(error)))
            continue
        _check(event.block_number, event.block_hash, belongs)
        found.events.append(event)


def _add_times(reading: Reading, raws: Sequence[Any], told: LogColumns, ours: LogColumns) -> None:
    """Newer nodes tell a block's time with each log; older ones are asked for the block."""
    if not len(ours) or len(told) != len(raws):
        return  # where a log was refused, rows and logs do not correspond
    coded = told.block_hash.dictionary_encode()
    _, first = np.unique(coded.indices.to_numpy(), return_index=True)
    for row in first.tolist():
        with suppress(WireError, OverflowError, ValueError):
            seconds = quantity(raws[row].get("blockTimestamp"), "blockTimestamp")
            reading.times[told.block_hash[row].as_py()] = from_us(seconds * 1_000_000)
