"""One pull of one chain: validate the recent window, roll back what was lost, read on to the head, prove."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from payhealth.connectors.evm.reading.book import STREAM, Book, book_of
from payhealth.connectors.evm.reading.cursor import Cursor
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.marks import Marks, marks_of
from payhealth.connectors.evm.reading.providers import Providers
from payhealth.connectors.evm.reading.recent import ChainMovedError, Recent
from payhealth.connectors.evm.reading.rollback import Rollback, confirmed_elsewhere, fork_height
from payhealth.connectors.evm.reading.scan import Scanner
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.writing import Found, records_of
from payhealth.connectors.evm.rpc.node import Node, Place, SeenBlock, Top
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import AssetPrice, ChainMark, ProviderScore
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.ports import Batch, StreamProgress

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.connectors.evm.proofs.closing import Proofs
    from payhealth.domain.record import Record
    from payhealth.ports import StoreReader

FINAL, SEEN = "final", "seen"
_FIRST_HOPE = 8
"""Blocks that the first request of a pull asks for beyond the last one read, where nothing is known yet."""


class Session:
    """The steps of one pull; what was yielded is taken as committed when the generator goes on.

    Args:
        cursor: where the last pull ended, None before the first.
        now: the moment of the pull, for coverage.
    """

    def __init__(
        self,
        *,
        node: Node,
        settings: EvmSettings,
        connector: str,
        reader: StoreReader,
        cursor: str | None,
        now: datetime,
        proofs: Proofs,
        providers: Providers,
    ) -> None:
        self._node = node
        self._settings = settings
        self._connector = connector
        self._stored = Stored(reader, connector)
        self._proofs = proofs
        self._providers = providers
        self._now = now
        self._counted = node.client.requests
        self._cursor = Cursor.parse(cursor, settings)
        self._planners = RangePlanners(settings.max_block_range)
        self._planners.restore(self._cursor.planner)
        self._recent = Recent.restored(self._cursor.window)
        self._places: dict[str, int] = {}
        self._book = self._book_now()
        self._scanner = self._scanner_for(self._book.ours)
        mark = self._stored.mark(self._book.chain)
        self._final = mark.final if mark else None
        self._read_before = self._cursor.block
        self._touched: set[tuple[str, str]] = set()

    def steps(self) -> Iterator[Batch]:
        """Every step of the pull; may be begun again after a ChainMovedError.

        Raises:
            ChainMovedError: the chain changed under the reading.
            SourceError: the chain cannot be read on.
        """
        tip = self._recent.tip
        top, marks = self._top(tip)
        ahead = top.ahead
        if tip is not None and (top.at_tip is None or top.at_tip.hash != tip.hash):
            if self._merely_behind(tip, marks.head):
                return
            fork, ahead = self._fork(tip, marks.head), ()
            if fork < tip.number:
                yield self._roll_back(fork, marks)
        yield from self._caught_up(marks)
        yield from self._gaps_again(marks)
        self._ask_ahead(marks, ahead)
        yield from self._settle(marks)
        yield from self._read_final(marks)
        yield from self._read_recent(marks, ahead)
        yield from self._caught_up(marks)
        self._recent.forget_below(marks.final)
        yield from self._closing(marks)

    def _top(self, tip: Header | None) -> tuple[Top, Marks]:
        """The chain's top, from a provider that is not behind what was final before."""
        client = self._node.client
        for attempt in range(len(client.providers)):
            top = self._node.top(tip.number if tip else None, self._hope(tip))
            try:
                return top, marks_of(top, self._settings, self._final, client.provider)
            except SourceUnavailableError as behind:
                client.blame(Lie.STALE_HEAD, behind.message)
                if attempt + 1 == len(client.providers):
                    raise
                client.fail_over()
        raise SourceUnavailableError(f"{client.provider}: does not tell its head")

    def _hope(self, tip: Header | None) -> int:
        """How many blocks to ask for unseen: about as many as came since the last pull, by the clock."""
        if tip is None:
            return 0
        elapsed_ms = max(0.0, (self._now - tip.at).total_seconds() * 1000)
        return _FIRST_HOPE + int(elapsed_ms / max(1, self._settings.info.block_ms))

    # What may have changed since the last pull.

    def _merely_behind(self, tip: Header, head: Header) -> bool:
        """Whether the node is on our branch and has less of it: there is nothing to read from it yet."""
        known = self._recent.get(head.number)
        return head.number < tip.number and known is not None and known.hash == head.hash

    def _fork(self, tip: Header, head: Header) -> int:
        oldest = self._recent.numbers()[-1]
        last_final = min(tip.number, oldest if self._final is None else max(oldest, self._final))
        fork = fork_height(self._node, self._recent, head.number)
        if fork is None or fork < last_final:
            raise SourceDataError(
                f"{self._node.client.provider}: the chain was rolled back past block {last_final}, "
                "which was final",
                hint="is the RPC endpoint on the right branch? Otherwise set a deeper finality and read anew",
            )
        confirmed_elsewhere(self._node, self._recent, fork)
        return fork

    def _roll_back(self, fork: int, marks: Marks) -> Batch:
        rollback = Rollback(fork=fork, lost=tuple(self._recent.above(fork)), head=marks.head)
        records = rollback.records(self._node, self._stored, self._connector)
        # Only now, when nothing can fail any more: a step begun again must find the same lost blocks.
        self._recent.cut(fork)
        self._cursor = replace(
            self._cursor,
            block=min(self._cursor.block, fork),
            settled=min(self._cursor.settled, fork),
            reorgs=self._cursor.reorgs + len(rollback.lost),
        )
        self._read_before = min(self._read_before, fork)
        return self._wrap(marks, records, (), objects=len(rollback.lost))

    # Addresses that derive from an extended public key.

    def _book_now(self) -> Book:
        derived = self._settings.derived
        more = derived.first(self._cursor.derived) if derived is not None else ()
        self._places = {address: place for place, address in enumerate(more)}
        return book_of(self._connector, self._settings, self._settings.ours | set(more))

    def _caught_up(self, marks: Marks) -> Iterator[Batch]:
        """Watch as many unused derived addresses as the gap limit asks for, and read what they missed."""
        derived = self._settings.derived
        while derived is not None:
            wanted = self._cursor.used + 1 + self._settings.gap_limit
            if wanted <= self._cursor.derived:
                return
            known = self._cursor.derived
            self._cursor = replace(self._cursor, derived=wanted)
            self._book = self._book_now()
            new = list(self._places)[known:]
            self._scanner = self._scanner_for(self._book.ours)
            yield from self._missed(marks, self._scanner_for(new))

    def _missed(self, marks: Marks, scanner: Scanner) -> Iterator[Batch]:
        """What blocks that were read before hold of new addresses; committed whole with the new count."""
        found = Reading()
        lower, last = self._settings.start_block, min(marks.final, self._cursor.block)
        while lower <= last:
            upper, part = scanner.final_stretch(lower, last)
            found.add(part)
            lower = upper + 1
        recent = list(self._node.blocks(range(lower, self._cursor.block + 1)))
        if recent:
            parent = self._recent.get(lower - 1)
            if parent is None or any(self._recent.get(one.header.number) != one.header for one in recent):
                raise ChainMovedError("the recent blocks are others than a moment ago")
            found.add(scanner.blocks(recent, parent))
        if found.objects:
            yield self._batch(marks, found, [])

    def _scanner_for(self, watched: Sequence[str] | frozenset[str]) -> Scanner:
        return Scanner(self._node, self._settings, self._book, self._stored, self._planners, watched)

    # Reading on.

    def _ask_ahead(self, marks: Marks, ahead: Sequence[SeenBlock]) -> None:
        """At the tip of the chain everything that is to be read fits into one request."""
        if not ahead or ahead[0].header.number != self._cursor.block + 1:
            return
        whole = ahead[-1].header.number == marks.head.number
        if not whole or self._cursor.block < marks.final or len(ahead) > self._settings.step_blocks:
            return
        ranges = [(self._cursor.settled + 1, min(marks.final, self._read_before))]
        ranges.append(self._overlapping(max(self._cursor.settled, ranges[0][1])))
        places = [
            Place(lower=lower, upper=upper)
            for lower, upper in ranges
            if 0 < upper - lower + 1 <= self._scanner.range_blocks
        ]
        self._scanner.ask_ahead([*places, *(Place(block=block.header.hash) for block in ahead)])

    def _settle(self, marks: Marks) -> Iterator[Batch]:
        """Read once more what was read near the head and has become final since."""
        upper = min(marks.final, self._read_before)
        lower = self._cursor.settled + 1
        known = {header.number: header for header in self._recent.above(-1)}
        if lower > upper:
            return
        if lower not in known:
            # Without the blocks that were read there is nothing to hold logs against: all is read anew.
            self._cursor = replace(self._cursor, block=self._cursor.settled)
            return
        reading = self._scanner.again(lower, upper, known, final=True)
        self._cursor = replace(self._cursor, settled=upper)
        yield self._batch(marks, reading, [self._window(lower, upper, reading, FINAL)])

    def _gaps_again(self, marks: Marks) -> Iterator[Batch]:
        """Read once more where a balance moved by something unseen: a node with traces may show it now."""
        for lower, upper in self._proofs.gaps(self._cursor.proofs):
            if self._settings.start_block <= lower <= upper <= min(marks.final, self._cursor.settled):
                reached, reading = self._scanner.final_stretch(lower, upper)
                if reading.objects and reached >= lower:
                    yield self._batch(marks, reading, [])

    def _read_final(self, marks: Marks) -> Iterator[Batch]:
        first = self._cursor.block + 1
        while self._cursor.block < marks.final:
            lower = self._cursor.block + 1
            upper, reading = self._scanner.final_stretch(lower, marks.final)
            if upper == marks.final:
                # The last final block is the anchor that later blocks must link to.
                self._recent.put(self._node.headers([upper])[0])
            self._cursor = replace(self._cursor, block=upper, settled=upper)
            batch = self._batch(marks, reading, [self._window(lower, upper, reading, FINAL)])
            yield replace(batch, progress=self._progress(first, upper, marks))

    def _read_recent(self, marks: Marks, ahead: Sequence[SeenBlock]) -> Iterator[Batch]:
        """The newest blocks, each by its hash; before them what was newest at the last pull, once more."""
        overlap = self._overlap()
        following = iter(ahead) if ahead and ahead[0].header.number == self._cursor.block + 1 else iter(())
        while self._cursor.block < marks.head.number:
            lower = self._cursor.block + 1
            upper = min(marks.head.number, lower + self._settings.step_blocks - 1)
            blocks = list(itertools.islice(following, upper - lower + 1))
            blocks += self._node.blocks(range(lower + len(blocks), upper + 1))
            parent = self._recent.get(lower - 1) or self._node.headers([lower - 1])[0]
            self._recent.put(parent)
            reading = self._scanner.blocks(blocks, parent)
            for header in reading.headers:
                self._recent.put(header)
            reading.add(overlap)
            overlap = Reading()
            self._cursor = replace(self._cursor, block=upper)
            yield self._batch(marks, reading, [self._window(lower, upper, reading, SEEN)])

    def _overlap(self) -> Reading:
        lower, upper = self._overlapping(self._cursor.settled)
        if lower > upper:
            return Reading()
        known = {header.number: header for header in self._recent.above(-1)}
        return self._scanner.again(lower, upper, known, final=False)

    def _overlapping(self, settled: int) -> tuple[int, int]:
        """The newest blocks of earlier pulls that are not settled; an empty range where there are none."""
        numbers = self._recent.numbers()
        if not numbers:
            return 0, -1
        upper = min(self._read_before, numbers[0])
        return max(numbers[-1], settled + 1, upper - self._settings.overlap_blocks + 1), upper

    def _progress(self, first: int, upper: int, marks: Marks) -> StreamProgress:
        total = marks.head.number - first + 1
        return StreamProgress(
            done=upper - first + 1,
            total=total,
            windows=0,
            detail=f"block {upper} of {marks.head.number}, {self._scanner.range_blocks} blocks a request",
        )

    # What goes out.

    def _closing(self, marks: Marks) -> Iterator[Batch]:
        """Prices, balances and what became known of the providers; the last batch carries the marks."""
        step = self._proofs.step(
            marks=marks,
            recent=self._recent,
            touched=self._touched,
            addresses=sorted(self._book.ours),
            state=self._cursor.proofs,
        )
        self._cursor = replace(self._cursor, proofs=step.state)
        records = {**step.records, ProviderScore: self._providers.records(self._stored)}
        yield self._wrap(marks, records, step.windows, objects=0)

    def farewell(self) -> Batch | None:
        """What became known of the providers, where the pull could not be ended; None where nothing did."""
        scores = self._providers.records(self._stored)
        return Batch(stream=STREAM, records={ProviderScore: scores}) if scores else None

    def _window(self, lower: int, upper: int, reading: Reading, finality: str) -> CoverageWindow:
        return CoverageWindow(
            connector=self._connector,
            stream=STREAM,
            unit=CoverageUnit.BLOCK,
            lower=lower,
            upper=upper + 1,
            provider=self._node.client.provider,
            objects=reading.objects,
            read_at=self._now,
            finality=finality,
            doubts=", ".join(self._node.client.liars()),
        )

    def _batch(self, marks: Marks, reading: Reading, windows: Sequence[CoverageWindow]) -> Batch:
        found = records_of(
            reading,
            self._book,
            self._stored,
            after_reorgs=self._cursor.reorgs > 0,
            priced=self._proofs.priced,
        )
        self._note(found)
        records = {**found.records, AssetPrice: self._proofs.prices(found.deposits)}
        return self._wrap(marks, records, windows, objects=reading.objects)

    def _note(self, found: Found) -> None:
        """What the proofs have to look at, and how far the derived addresses are used."""
        self._touched |= found.touched
        used = max((self._places.get(address, -1) for address, _ in found.touched), default=-1)
        self._cursor = replace(self._cursor, used=max(self._cursor.used, used))

    def _wrap(
        self,
        marks: Marks,
        records: Mapping[type[Record], Sequence[Record] | pa.Table],
        windows: Sequence[CoverageWindow],
        *,
        objects: int,
    ) -> Batch:
        self._final = marks.final
        self._cursor = replace(
            self._cursor, window=self._recent.state(), planner=self._planners.state(), starts_anew=False
        )
        requests, self._counted = self._node.client.requests - self._counted, self._node.client.requests
        every = {**records, ChainMark: [marks.record(self._connector, self._book.chain)]}
        return Batch(
            stream=STREAM,
            records={kind: rows for kind, rows in every.items() if len(rows)},
            windows=windows,
            cursor=self._cursor.text(),
            objects_read=objects,
            requests=requests,
        )
