"""Reading stretches of a chain: ranges of final blocks, and single blocks near the head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from payhealth.connectors.evm.reading.asking import LogAsker
from payhealth.connectors.evm.reading.book import Book
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.internals import Internals
from payhealth.connectors.evm.reading.logs import Logs, read_logs, strangers
from payhealth.connectors.evm.reading.lookalikes import LookAlikes
from payhealth.connectors.evm.reading.natives import Open, close_natives, open_natives
from payhealth.connectors.evm.reading.payment_events import PaymentEvents
from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.rpc.collecting import uncollected
from payhealth.connectors.evm.rpc.node import Node, SeenBlock
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.receipts import Receipt, receipt_of
from payhealth.connectors.evm.wire.values import Header, WireError
from payhealth.domain.errors import SourceDataError

Belongs = Callable[[int, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A stretch of final blocks as the node gave it, read but not yet completed.

    Args:
        lower: the first block of it.
        upper: the last.
        provider: who gave it.
        requests: HTTP requests that another process made for it.
        doubts: whom that process caught at what, in words.
    """

    lower: int
    upper: int
    logs: Logs
    blocks: list[SeenBlock]
    provider: str
    requests: int = 0
    doubts: str = ""

    @property
    def last(self) -> Header | None:
        """The header of the last block, where whole blocks were read."""
        return self.blocks[-1].header if self.blocks else None


class Scanner:
    """Reads stretches through a node for a set of addresses, exact or not at all.

    Args:
        watched: whose transfers are looked for; all of ours but when addresses are caught up on.
        planners: how many blocks to ask for at once, learned.

    Attributes:
        logs: asks for the logs of these addresses.
    """

    def __init__(
        self,
        node: Node,
        settings: EvmSettings,
        book: Book,
        stored: Stored,
        planners: RangePlanners,
        watched: Iterable[str],
    ) -> None:
        self._node = node
        self._settings = settings
        self._book = book
        self._watched = frozenset(watched)
        self.logs = LogAsker(node, settings, planners, self._watched)
        self._events = PaymentEvents(settings, book, stored)
        self._by_logs = settings.info.native_logs is not None
        self._internals = Internals(node) if settings.native and settings.traces else None
        self._native = settings.native
        self._copies = LookAlikes(node, settings)
        self._seen: dict[int, SeenBlock] = {}
        self._headers: dict[int, Header] = {}

    def know(self, blocks: Iterable[SeenBlock]) -> None:
        """Blocks that were given already, so that nobody asks for them again."""
        self._seen = {block.header.number: block for block in blocks}
        self._headers = {number: block.header for number, block in self._seen.items()}

    def headers_known(self, lower: int, upper: int) -> list[Header]:
        """The headers of a stretch, where all of them were given already; otherwise none."""
        found = [
            self._headers.get(number) for number in range(lower, min(upper, lower + len(self._headers)) + 1)
        ]
        return [header for header in found if header is not None] if None not in found else []

    def blocks_of(self, lower: int, upper: int) -> list[SeenBlock]:
        """The blocks of a stretch: those that are known, then the rest."""
        known: list[SeenBlock] = []
        while lower + len(known) <= upper and (block := self._seen.pop(lower + len(known), None)):
            known.append(block)
        return known + list(self._node.blocks(range(lower + len(known), upper + 1)))

    def header_of(self, number: int) -> Header:
        """The header of a block that the node must have."""
        return self._headers.get(number) or self._node.headers([number])[0]

    def final_stretch(self, lower: int, last: int) -> tuple[int, Reading]:
        """Read from ``lower`` as far as one range goes, at most to ``last``, which must be final.

        Returns:
            The last block read, and what was found.
        """
        fetched = self.fetch(lower, last)
        return fetched.upper, self.completed(fetched)

    def fetch(self, lower: int, last: int) -> Fetched:
        """The first half of :meth:`final_stretch`: what takes long and does not depend on the store."""
        upper = min(last, lower + self._settings.step_blocks - 1) if self._native else last
        logs = Logs(reading=Reading())
        if self.logs.any:
            with uncollected():
                upper, raws = self.logs.of_range(lower, upper, final=True)
                logs = self._read(raws, lambda number, _: lower <= number <= upper)
                del raws  # before the collector may look through all of it
        known = (header for number, header in self._headers.items() if lower <= number <= upper)
        logs.reading.times.update((header.hash, header.at) for header in known)
        blocks = self.blocks_of(lower, upper) if self._native else []
        provider = self._node.client.provider
        return Fetched(lower=lower, upper=upper, logs=logs, blocks=blocks, provider=provider)

    def completed(self, fetched: Fetched) -> Reading:
        """The second half: receipts and traces, held against what earlier blocks brought into the store."""
        return self._completed(fetched.logs, fetched.blocks)

    def again(self, lower: int, upper: int, known: Mapping[int, Header], *, final: bool) -> Reading:
        """Read the logs of known blocks once more, by range: what a node had not indexed yet is there now.

        Native transfers are not read again: a block's transactions come with the block or not at all.

        Args:
            known: the canonical blocks, by number, every one of the range among them.
            final: whether the range is final, so that a second provider has to agree where that is wanted.

        Raises:
            ChainMovedError: the node tells of other blocks at these heights.
        """
        found = Reading()
        while lower <= upper and self.logs.any:
            reached, raws = self.logs.of_range(lower, upper, final=final)
            found.add(self._completed(self._read(raws, _among(known)), [], known))
            lower = reached + 1
        return found

    def blocks(self, blocks: Sequence[SeenBlock], parent: Header) -> Reading:
        """Read the logs of single blocks by their hashes; they must link to one another and to ``parent``.

        Raises:
            ChainMovedError: they do not, or the node no longer knows one of them.
        """
        for block in blocks:
            if block.header.parent != parent.hash:
                raise ChainMovedError(f"block {block.header.number} does not link to block {parent.number}")
            parent = block.header
        known = {block.header.number: block.header for block in blocks}
        raws = self.logs.of_blocks(blocks) if self.logs.any else []
        reading = self._completed(self._read(raws, _among(known)), blocks if self._native else [], known)
        reading.headers = [block.header for block in blocks]
        return reading

    def _read(self, raws: Sequence[object], belongs: Belongs) -> Logs:
        try:
            return read_logs(raws, self._book, self._watched, belongs)
        except WireError as error:
            self._node.client.blame(Lie.OTHER_BLOCKS, str(error))
            raise SourceDataError(f"{self._node.client.provider}: {error}") from None

    def _completed(
        self, logs: Logs, blocks: Sequence[SeenBlock], known: Mapping[int, Header] | None = None
    ) -> Reading:
        """Add what only blocks, traces and receipts tell, and the time of each block that holds something."""
        reading = logs.reading
        reading.times.update((header.hash, header.at) for header in (known or {}).values())
        native = Open()
        try:
            if blocks:
                native = open_natives(blocks, self._watched, self._book, reading, by_logs=self._by_logs)
                if self._internals is not None and not self._by_logs:
                    reading.transfers += self._internals.of(blocks, self._watched)
        except WireError as error:
            raise SourceDataError(f"{self._node.client.provider}: {error}") from None
        reading.copies = self._copies.of(strangers(reading, self._book))
        events = self._events.ours(logs.events)
        self._add_times(reading, [(event.block_number, event.block_hash) for event in events])
        told = {event.transaction_hash: event.block_hash for event in events}
        signed = self._events.signed_transactions(reading)
        receipts = self._receipts(native.wanted() | signed | told.keys())
        self._must_stand(receipts, native, told, reading)
        close_natives(native, receipts, self._book, reading)
        self._events.add(events, receipts, reading)
        return reading

    def _receipts(self, transactions: set[str]) -> dict[str, Receipt]:
        if not transactions:
            return {}
        ordered = sorted(transactions)
        op_stack = self._settings.info.l1_fees
        try:
            read = [receipt_of(raw, op_stack=op_stack) for raw in self._node.receipts(ordered)]
        except WireError as error:
            raise SourceDataError(f"{self._node.client.provider}: a receipt is malformed: {error}") from None
        return dict(zip(ordered, read, strict=True))

    def _must_stand(
        self, receipts: Mapping[str, Receipt], native: Open, told: Mapping[str, str], reading: Reading
    ) -> None:
        """Each receipt must be of the block in which its transaction was seen."""
        blocks = {one.transaction_hash: one.block.hash for one in native.candidates}
        blocks |= {name: header.hash for name, header in native.sent.items()} | dict(told)
        for logs in reading.logs:
            blocks.update(
                zip(logs.transaction_hash.to_pylist(), logs.block_hash.to_pylist(), strict=True)
                if receipts
                else ()
            )
        for name, receipt in receipts.items():
            if name in blocks and receipt.block_hash != blocks[name]:
                raise ChainMovedError(f"the transaction {name} stands in another block than a moment ago")

    def _add_times(self, reading: Reading, more: Sequence[tuple[int, str]]) -> None:
        wanted = dict.fromkeys(more)
        for logs in reading.logs:
            blocks = logs.block_hash.dictionary_encode()
            _, first = np.unique(blocks.indices.to_numpy(), return_index=True)
            names = blocks.dictionary.to_pylist()
            wanted.update(dict.fromkeys(zip(logs.block_number[first].tolist(), names, strict=True)))
        wanted.update(dict.fromkeys((one.block_number, one.block_hash) for one in reading.transfers))
        missing = sorted((number, block) for number, block in wanted if block not in reading.times)
        for header in self._node.headers(sorted({number for number, _ in missing})):
            reading.times[header.hash] = header.at
        for number, block in missing:
            if block not in reading.times:
                raise ChainMovedError(f"two nodes tell of different blocks at height {number}")


def _among(known: Mapping[int, Header]) -> Belongs:
    def belongs(number: int, block: str) -> bool:
        header = known.get(number)
        if header is not None and header.hash != block:
            raise ChainMovedError(f"block {number} is another than a moment ago")
        return header is not None

    return belongs
