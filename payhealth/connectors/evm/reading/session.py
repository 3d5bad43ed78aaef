"""One pull of one chain: validate the recent window, roll back what was lost, read on to the head, prove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from payhealth.connectors.evm.reading.ahead import Ahead
from payhealth.connectors.evm.reading.ahead_process import AheadProcess, is_possible
from payhealth.connectors.evm.reading.book import STREAM
from payhealth.connectors.evm.reading.cursor import Cursor
from payhealth.connectors.evm.reading.found import Reading
from payhealth.connectors.evm.reading.marks import Marks
from payhealth.connectors.evm.reading.providers import Providers
from payhealth.connectors.evm.reading.recent import ChainMovedError, Recent
from payhealth.connectors.evm.reading.rollback import Rollback
from payhealth.connectors.evm.reading.scan import Fetched, Scanner
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.tip import fork_below, merely_behind, top_of
from payhealth.connectors.evm.reading.watched import Watched
from payhealth.connectors.evm.reading.writing import Found, records_of
from payhealth.connectors.evm.rpc.node import Node, Place, SeenBlock
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import AssetPrice, ChainMark, ProviderScore
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.ports import Batch, StreamProgress

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.connectors.evm.proofs.closing import Proofs
    from payhealth.domain.record import Record
    from payhealth.ports import StoreReader

FINAL, SEEN = "final", "seen"
_MOST_GAP_BLOCKS = 1000
"""Of a stretch whose balance moved by something unseen so many blocks are read once more at each pull."""


class Session:
    """The steps of one pull; what was yielded is taken as committed when the generator goes on.

    Args:
        cursor: where the last pull ended, None before the first.
        now: the moment of the pull, for coverage.
        may_start: whether a process of its own may read a long backfill.
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
        may_start: bool = False,
    ) -> None:
        self._node = node
        self._settings = settings
        self._connector = connector
        self._stored = Stored(reader, connector)
        self._proofs = proofs
        self._providers = providers
        self._may_start = may_start
        self._now = now
        self._counted = node.client.requests
        self._cursor = Cursor.parse(cursor, settings)
        self._planners = RangePlanners(settings.max_block_range)
        self._planners.restore(self._cursor.planner)
        self._recent = Recent.restored(self._cursor.window)
        self._watched = Watched(
            node=node,
            settings=settings,
            stored=self._stored,
            planners=self._planners,
            derived=self._cursor.derived,
        )
        mark = self._stored.mark(self._watched.book.chain)
        self._final = mark.final if mark else None
        self._read_before = self._cursor.block
        self._logs_read = 0

    def steps(self) -> Iterator[Batch]:
        """Every step of the pull; may be begun again after a ChainMovedError.

        Raises:
            ChainMovedError: the chain changed under the reading.
            SourceError: the chain cannot be read on.
        """
        tip = self._recent.tip
        top, marks = top_of(self._node, self._settings, tip, self._final, self._now)
        ahead = top.ahead
        if tip is not None and (top.at_tip is None or top.at_tip.hash != tip.hash):
            if merely_behind(self._recent, marks.head):
                return
            fork, ahead = fork_below(self._node, self._recent, marks.head, self._final), ()
            if fork < tip.number:
                yield self._roll_back(fork, marks)
        yield from self._caught_up(marks)
        yield from self._gaps_again(marks)
        self._ask_ahead(marks, ahead)
        yield from self._settle(marks)
        yield from self._read_final(marks)
        yield from self._read_recent(marks)
        yield from self._caught_up(marks)
        yield from self._closing(marks)

    # What may have changed since the last pull.

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

    def _caught_up(self, marks: Marks) -> Iterator[Batch]:
        """Watch as many unused derived addresses as the gap limit asks for, and read what they missed."""
        while wanted := self._watched.missing(self._cursor.used):
            scanner = self._watched.grow(wanted)
            self._cursor = replace(self._cursor, derived=wanted)
            yield from self._missed(marks, scanner)

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

    # Reading on.

    def _ask_ahead(self, marks: Marks, ahead: Sequence[SeenBlock]) -> None:
        """At the tip of the chain everything that is to be read fits into one request."""
        scanner, block = self._watched.scanner, self._cursor.block
        if not ahead or ahead[0].header.number != block + 1:
            return
        scanner.know(ahead)
        if ahead[-1].header.number != marks.head.number or len(ahead) > self._settings.step_blocks:
            return
        settling = (self._cursor.settled + 1, min(marks.final, self._read_before))
        overlap = self._overlapping(max(self._cursor.settled, settling[1]))
        ranges = [settling, overlap, (block + 1, marks.final)]
        places = [
            Place(lower=lower, upper=upper)
            for lower, upper in ranges
            if 0 < upper - lower + 1 <= scanner.logs.range_blocks
        ]
        recent = (one.header for one in ahead if one.header.number > marks.final)
        scanner.logs.ask_ahead([*places, *(Place(block=header.hash) for header in recent)])

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
        reading = self._watched.scanner.again(lower, upper, known, final=True)
        self._cursor = replace(self._cursor, settled=upper)
        yield self._batch(marks, reading, [self._window(lower, upper, reading, FINAL)])

    def _gaps_again(self, marks: Marks) -> Iterator[Batch]:
        """Read once more where a balance moved by something unseen: a node with traces may show it now."""
        for lower, upper in self._proofs.gaps(self._cursor.proofs):
            last = min(upper, lower + _MOST_GAP_BLOCKS - 1, marks.final, self._cursor.settled)
            while self._settings.start_block <= lower <= last:
                reached, reading = self._watched.scanner.final_stretch(lower, last)
                lower = reached + 1  # noqa: PLW2901 - one stretch after the other
                if reading.objects:
                    yield self._batch(marks, reading, [])

    def _read_final(self, marks: Marks) -> Iterator[Batch]:
        first = self._cursor.block + 1
        if first > marks.final:
            return
        ahead = self._ahead()
        fetched = self._watched.scanner.fetch(first, marks.final)
        try:
            while True:
                batch = self._final_batch(fetched, marks)
                batch = replace(batch, progress=self._progress(first, fetched.upper, marks))
                if fetched.upper < marks.final:
                    ahead.start(fetched, marks.final)
                yield batch
                if fetched.upper >= marks.final:
                    return
                fetched = ahead.take()
        finally:
            ahead.close()

    def _ahead(self) -> Ahead:
        def process() -> AheadProcess:
            return AheadProcess(
                self._settings,
                self._connector,
                derived=self._cursor.derived,
                planner=self._planners.state(),
            )

        helped = self._may_start and is_possible(self._settings)
        return Ahead(self._watched.scanner.fetch, process if helped else None)

    def _final_batch(self, fetched: Fetched, marks: Marks) -> Batch:
        lower, upper = self._cursor.block + 1, fetched.upper
        reading = self._watched.scanner.completed(fetched)
        for header in self._watched.scanner.headers_known(lower, upper):
            self._recent.put(header)
        if upper == marks.final:
            # The last final block is the anchor that later blocks must link to.
            self._recent.put(fetched.last or self._watched.scanner.header_of(upper))
        self._cursor = replace(self._cursor, block=upper, settled=upper)
        window = self._window(lower, upper, reading, FINAL, fetched.provider)
        if fetched.doubts:
            window = replace(window, doubts=", ".join(filter(None, (window.doubts, fetched.doubts))))
        batch = self._batch(marks, reading, [window])
        return replace(batch, requests=batch.requests + fetched.requests)

    def _read_recent(self, marks: Marks) -> Iterator[Batch]:
        """The newest blocks, each by its hash; before them what was newest at the last pull, once more."""
        overlap = self._overlap()
        while self._cursor.block < marks.head.number:
            lower = self._cursor.block + 1
            upper = min(marks.head.number, lower + self._settings.step_blocks - 1)
            blocks = self._watched.scanner.blocks_of(lower, upper)
            parent = self._recent.get(lower - 1) or self._node.headers([lower - 1])[0]
            self._recent.put(parent)
            reading = self._watched.scanner.blocks(blocks, parent)
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
        return self._watched.scanner.again(lower, upper, known, final=False)

    def _overlapping(self, settled: int) -> tuple[int, int]:
        """The newest blocks of earlier pulls that are not settled; an empty range where there are none."""
        numbers = self._recent.numbers()
        if not numbers:
            return 0, -1
        upper = min(self._read_before, numbers[0])
        return max(numbers[-1], settled + 1, upper - self._settings.overlap_blocks + 1), upper

    def _progress(self, first: int, upper: int, marks: Marks) -> StreamProgress:
        done, total = upper - first + 1, marks.head.number - first + 1
        size = self._watched.scanner.logs.range_blocks
        detail = f"{done:,} of {total:,} blocks, {self._logs_read:,} logs, {size:,} blocks a range"
        return StreamProgress(done=done, total=total, windows=0, detail=detail)

    # What goes out.

    def _closing(self, marks: Marks) -> Iterator[Batch]:
        """Prices, balances and what became known of the providers; the last batch carries the marks."""
        addresses = sorted(self._watched.book.ours) if self._settings.balances else []
        for head in self._proving_at(marks):
            step = self._proofs.step(
                head=head,
                final=marks.final,
                recent=self._recent,
                addresses=addresses,
                state=self._cursor.proofs,
            )
            self._cursor = replace(self._cursor, proofs=step.state)
            if head is marks.head:
                # Only now: which of the readings of earlier pulls still stand is told by these blocks.
                self._recent.forget_below(marks.final)
            records = {**step.records, ProviderScore: self._providers.records(self._stored)}
            yield replace(self._wrap(marks, records, step.windows, objects=0), rejudged=True)

    def _proving_at(self, marks: Marks) -> list[Header]:
        """Balances are read at the head; at first also where they can be judged at once, if the node may.

        A single pull then proves what is final, instead of waiting for the next one.
        """
        final = self._recent.get(marks.final)
        first = "identity" not in self._cursor.proofs and final is not None and final != marks.head
        return [final, marks.head] if first and final is not None else [marks.head]

    def farewell(self) -> Batch | None:
        """What became known of the providers, where the pull could not be ended; None where nothing did."""
        scores = self._providers.records(self._stored)
        return Batch(stream=STREAM, records={ProviderScore: scores}) if scores else None

    def _window(
        self, lower: int, upper: int, reading: Reading, finality: str, provider: str | None = None
    ) -> CoverageWindow:
        return CoverageWindow(
            connector=self._connector,
            stream=STREAM,
            unit=CoverageUnit.BLOCK,
            lower=lower,
            upper=upper + 1,
            provider=provider or self._node.client.provider,
            objects=reading.objects,
            read_at=self._now,
            finality=finality,
            doubts=", ".join(self._node.client.liars()),
        )

    def _batch(self, marks: Marks, reading: Reading, windows: Sequence[CoverageWindow]) -> Batch:
        again = self._cursor.block <= self._cursor.again_to
        found = records_of(
            reading,
            self._watched.book,
            self._stored,
            after_reorgs=self._cursor.reorgs > 0,
            read_before=again,
            priced=self._proofs.priced,
            touched=self._settings.xpub is not None,
        )
        self._note(found)
        self._logs_read += reading.raw_logs
        records = {**found.records, AssetPrice: self._proofs.prices(found.deposits, again=again)}
        return self._wrap(marks, records, windows, objects=reading.objects)

    def _note(self, found: Found) -> None:
        """How far the derived addresses are used."""
        used = self._watched.highest(found.touched)
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
        anew = self._cursor.starts_anew
        self._cursor = replace(
            self._cursor, window=self._recent.state(), planner=self._planners.state(), starts_anew=False
        )
        requests, self._counted = self._node.client.requests - self._counted, self._node.client.requests
        every = {**records, ChainMark: [marks.record(self._connector, self._watched.book.chain)]}
        return Batch(
            stream=STREAM,
            records={kind: rows for kind, rows in every.items() if len(rows)},
            windows=windows,
            cursor=self._cursor.text(),
            objects_read=objects,
            requests=requests,
            anew=anew,
        )
