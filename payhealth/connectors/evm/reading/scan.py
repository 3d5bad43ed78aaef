"""Reading stretches of a chain: ranges of final blocks, and single blocks near the head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.translate import (
    Book,
    Candidate,
    candidates_of_block,
    rejection,
    transfer_of_candidate,
    transfers_of_logs,
)
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.rpc.ranges import RangePlanner
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header, Transfer, WireError, hash_of
from payhealth.domain.errors import SourceDataError
from payhealth.domain.records import Rejected


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a stretch of blocks holds.

    Args:
        headers: the blocks that were read one by one, oldest first; empty for ranges.
        times: block hash -> moment, of every block that holds a transfer.
    """

    transfers: list[Transfer] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    times: dict[str, datetime] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many vendor objects were read."""
        return len(self.transfers) + len(self.rejected)

    def add(self, other: Reading) -> None:
        """Take in what another stretch holds; its headers stay its own."""
        self.transfers += other.transfers
        self.rejected += other.rejected
        self.times.update(other.times)


class Scanner:
    """Reads stretches through a node, exact or not at all."""

    def __init__(self, node: Node, settings: EvmSettings, book: Book) -> None:
        self._node = node
        self._book = book
        self._native = settings.native
        self._logs = bool(settings.registered)
        self._step_blocks = settings.step_blocks
        self._planner = RangePlanner(settings.max_block_range)

    def final_stretch(self, lower: int, last: int) -> tuple[int, Reading]:
        """Read from ``lower`` as far as one range goes, at most to ``last``, which must be final.

        Returns:
            The last block read, and what was found.
        """
        upper = min(last, lower + self._step_blocks - 1) if self._native else last
        raws: list[Any] = []
        if self._logs:
            upper, raws = self._range(lower, upper)
        reading = self._reading(raws)
        _must_lie_within(reading.transfers, lower, upper, self._node.client.provider)
        if self._native:
            self._add_native(reading, range(lower, upper + 1))
        self._add_times(reading)
        return upper, reading

    def blocks(self, numbers: Sequence[int], parent: Header) -> Reading:
        """Read blocks one by one by their hashes; they must link to one another and to ``parent``.

        Raises:
            ChainMovedError: they do not, or the node no longer knows one of them.
        """
        reading = Reading()
        if self._native:
            candidates = self._candidates(reading, numbers)
        else:
            candidates = []
            reading.headers = self._node.headers(numbers)
        for header in reading.headers:
            if header.parent != parent.hash:
                raise ChainMovedError(f"block {header.number} does not link to block {parent.number}")
            parent = header
        reading.times = {header.hash: header.at for header in reading.headers}
        if self._logs:
            hashes = [header.hash for header in reading.headers]
            for block, raws in zip(hashes, self._node.logs_of_blocks(hashes), strict=True):
                self._merge(reading, self._reading(raws), {block})
        self._add_confirmed(reading, candidates)
        return reading

    def again(self, lower: int, upper: int, known: Mapping[int, Header]) -> tuple[int, Reading]:
        """Read the logs of known blocks once more, by range: what a node had not indexed yet is there now.

        Native transfers are not read again: a block's transactions come with the block or not at all.

        Args:
            known: the canonical blocks, by number, every one of the range among them.

        Raises:
            ChainMovedError: the node tells of other blocks at these heights.
        """
        upper, raws = self._range(lower, upper)
        reading = self._reading(raws)
        for transfer in reading.transfers:
            header = known.get(transfer.block_number)
            if header is None or header.hash != transfer.block_hash:
                raise ChainMovedError(f"block {transfer.block_number} is another than a moment ago")
            reading.times[header.hash] = header.at
        return upper, reading

    def _range(self, lower: int, last: int) -> tuple[int, list[Any]]:
        while True:
            upper = self._planner.upper(lower, last)
            try:
                raws = self._node.logs_of_range(lower, upper)
            except RpcFault as fault:
                if self._planner.refused(upper - lower + 1, fault):
                    continue
                if fault.kind is not FaultKind.RESULT_LIMIT:
                    raise
                # One block holds more than the node gives by range: by hash, its receipts stand in.
                return upper, self._node.logs_of_blocks([self._node.headers([lower])[0].hash])[0]
            self._planner.accepted(upper - lower + 1)
            return upper, raws

    def _reading(self, raws: Iterable[Any]) -> Reading:
        kept = []
        for raw in raws:
            if isinstance(raw, dict) and raw.get("removed") is True:
                raise ChainMovedError("a log was taken back while it was being read")
            kept.append(raw)
        transfers, rejected = transfers_of_logs(kept, self._book)
        return Reading(transfers=transfers, rejected=rejected)

    def _merge(self, into: Reading, part: Reading, hashes: set[str]) -> None:
        for transfer in part.transfers:
            if transfer.block_hash not in hashes:
                raise SourceDataError(
                    f"{self._node.client.provider}: answered a log of another block than was asked for"
                )
        into.add(part)

    def _candidates(self, reading: Reading, numbers: Sequence[int]) -> list[Candidate]:
        candidates: list[Candidate] = []
        for header, transactions in self._node.full_blocks(numbers):
            found, rejected = candidates_of_block(header, transactions, self._book)
            candidates += found
            reading.rejected += rejected
            reading.headers.append(header)
        return candidates

    def _add_native(self, reading: Reading, numbers: Sequence[int]) -> None:
        part = Reading()
        candidates = self._candidates(part, numbers)
        reading.rejected += part.rejected
        reading.times.update((header.hash, header.at) for header in part.headers)
        self._add_confirmed(reading, candidates)

    def _add_confirmed(self, reading: Reading, candidates: Sequence[Candidate]) -> None:
        """Ask for receipts of the few transactions that concern us: only a success moves value."""
        readable: list[tuple[Candidate, str]] = []
        for candidate in candidates:
            try:
                readable.append((candidate, hash_of(candidate.raw.get("hash"), "hash")))
            except WireError as error:
                reading.rejected.append(
                    rejection(self._book.connector, "transaction", candidate.raw, str(error))
                )
        receipts = self._node.receipts([name for _, name in readable])
        for (candidate, name), receipt in zip(readable, receipts, strict=True):
            if str(receipt.get("blockHash")).lower() != candidate.block.hash:
                raise ChainMovedError(f"the transaction {name} stands in another block than a moment ago")
            found = transfer_of_candidate(candidate, receipt, self._book)
            if isinstance(found, Transfer):
                reading.transfers.append(found)
            elif found is not None:
                reading.rejected.append(found)

    def _add_times(self, reading: Reading) -> None:
        wanted = {
            t.block_number: t.block_hash for t in reading.transfers if t.block_hash not in reading.times
        }
        for header in self._node.headers(sorted(wanted)):
            reading.times[header.hash] = header.at
        for transfer in reading.transfers:
            if transfer.block_hash not in reading.times:
                raise ChainMovedError(f"two nodes tell of different blocks at height {transfer.block_number}")


def _must_lie_within(transfers: Iterable[Transfer], lower: int, upper: int, provider: str) -> None:
    for transfer in transfers:
        if not lower <= transfer.block_number <= upper:
            raise SourceDataError(
                f"{provider}: answered a log of block {transfer.block_number} "
                f"when asked for {lower} to {upper}"
            )
