"""One pull of one chain: validate the recent window, roll back what was lost, read on to the head."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from payhealth.connectors.evm.reading.cursor import Cursor
from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.reading.rollback import Rollback, fork_height
from payhealth.connectors.evm.reading.scan import Reading, Scanner
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import (
    STREAM,
    Book,
    block_record,
    retraction_id,
    translate,
    void,
)
from payhealth.connectors.evm.rpc.node import Heads, Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.domain.records import (
    Block,
    ChainMark,
    Link,
    Movement,
    MovementKind,
    Record,
    Rejected,
    TransferObservation,
)
from payhealth.ports import Batch

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

RETRACTION = MovementKind.RETRACTION.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The chain's top as this pull sees it: final <= safe <= head."""

    head: Header
    safe: int
    final: int


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
        book: Book,
        reader: StoreReader,
        cursor: str | None,
        now: datetime,
    ) -> None:
        self._node = node
        self._settings = settings
        self._book = book
        self._scanner = Scanner(node, settings, book)
        self._stored = Stored(reader, book.connector)
        self._now = now
        self._counted = node.client.requests
        mark = self._stored.mark(book.chain)
        self._final = mark.final if mark else None
        self._unsettled = mark.final + 1 if mark else 0
        self._recent = Recent(self._stored.canonical_headers())
        self._cursor = Cursor.parse(cursor, settings)
        self._retractions: dict[str, Movement] | None = None
        self._again = Reading()

    def steps(self) -> Iterator[Batch]:
        """Every step of the pull; may be begun again after a ChainMovedError.

        Raises:
            ChainMovedError: the chain changed under the reading.
            SourceError: the chain cannot be read on.
        """
        tip = self._recent.tip
        heads = self._node.heads(tip.number if tip else None)
        marks = self._marks(heads)
        if self._settings.start_block > marks.head.number:
            raise SourceDataError(
                f"{self._node.client.provider}: start_block = {self._settings.start_block} lies beyond "
                f"the chain's head {marks.head.number}"
            )
        if tip is not None and (heads.at_tip is None or heads.at_tip.hash != tip.hash):
            if self._merely_behind(tip, marks.head):
                return
            fork = self._fork(tip, marks.head)
            if fork < tip.number:
                yield self._roll_back(fork, marks)
        yield from self._read(marks)

    def _read(self, marks: Marks) -> Iterator[Batch]:
        self._read_again()
        told = False
        for batch in itertools.chain(self._read_final(marks), self._read_recent(marks)):
            told = True
            yield batch
        self._recent.forget_below(marks.final)
        if not told:
            # Nothing new to read, but the marks may have moved.
            yield self._batch(marks, Reading(), [])

    def _marks(self, heads: Heads) -> Marks:
        rule, head = self._settings.finality_rule, heads.head
        depth = self._settings.info.fallback_depth if rule.depth is None else rule.depth
        counted = max(0, head.number - depth)
        final = counted if heads.final is None else heads.final
        safe = final if heads.safe is None else heads.safe
        if self._final is not None and head.number < self._final:
            raise SourceUnavailableError(
                f"{self._node.client.provider}: is behind: its head {head.number} lies below "
                f"block {self._final}, which was final before"
            )
        # A node that lags tells of older marks than were known: what was final stays so.
        final = min(max(final, self._final or 0), head.number)
        return Marks(head=head, safe=min(max(safe, final), head.number), final=final)

    def _merely_behind(self, tip: Header, head: Header) -> bool:
        """Whether the node is on our branch and has less of it: there is nothing to read from it yet."""
        known = self._recent.get(head.number)
        return head.number < tip.number and known is not None and known.hash == head.hash

    def _fork(self, tip: Header, head: Header) -> int:
        oldest = self._recent.numbers()[-1]
        last_final = min(tip.number, oldest if self._final is None else self._final)
        fork = fork_height(self._node, self._recent, head.number)
        if fork is None or fork < last_final:
            raise SourceDataError(
                f"{self._node.client.provider}: the chain was rolled back past block {last_final}, "
                "which was final",
                hint="is the RPC endpoint on the right branch? Otherwise set a deeper finality and read anew",
            )
        return fork

    def _roll_back(self, fork: int, marks: Marks) -> Batch:
        rollback = Rollback(fork=fork, lost=tuple(self._recent.above(fork)), head=marks.head)
        records = rollback.records(self._node, self._stored, self._book.connector)
        # Only now, when nothing can fail any more: a step begun again must find the same lost blocks.
        self._recent.cut(fork)
        self._cursor = self._cursor.moved(min(self._cursor.block, fork))
        undoing = [row for row in records[Movement] if isinstance(row, Movement) and row.kind == RETRACTION]
        self._standing_retractions().update((row.movement_id, row) for row in undoing)
        return self._wrap(marks, records, (), objects=len(rollback.lost))

    def _read_again(self) -> None:
        """Read what was not final at the last pull once more; what is already known changes nothing.

        What is found goes out with the next step, so that every step moves the cursor on.
        """
        numbers = self._recent.numbers()
        self._again = Reading()
        if self._cursor.starts_anew or not numbers or not self._settings.registered:
            return
        known = {header.number: header for header in self._recent.above(-1)}
        lower, upper = max(self._unsettled, numbers[-1]), min(self._cursor.block, numbers[0])
        while lower <= upper:
            last, reading = self._scanner.again(lower, upper, known)
            self._again.add(reading)
            lower = last + 1

    def _read_final(self, marks: Marks) -> Iterator[Batch]:
        while self._cursor.block < marks.final:
            lower = self._cursor.block + 1
            upper, reading = self._scanner.final_stretch(lower, marks.final)
            if upper == marks.final:
                # The last final block is the anchor that later blocks must link to.
                anchor = self._node.headers([upper])[0]
                self._recent.put(anchor)
                reading.headers.append(anchor)
            self._cursor = self._cursor.moved(upper)
            yield self._batch(marks, reading, [self._window(lower, upper, reading)])

    def _read_recent(self, marks: Marks) -> Iterator[Batch]:
        while self._cursor.block < marks.head.number:
            lower = self._cursor.block + 1
            upper = min(marks.head.number, lower + self._settings.step_blocks - 1)
            parent = self._recent.get(lower - 1) or self._node.headers([lower - 1])[0]
            self._recent.put(parent)
            reading = self._scanner.blocks(range(lower, upper + 1), parent)
            for header in reading.headers:
                self._recent.put(header)
            reading.headers.insert(0, parent)
            self._cursor = self._cursor.moved(upper)
            yield self._batch(marks, reading, [self._window(lower, upper, reading)])

    def _window(self, lower: int, upper: int, reading: Reading) -> CoverageWindow:
        return CoverageWindow(
            connector=self._book.connector,
            stream=STREAM,
            unit=CoverageUnit.BLOCK,
            lower=lower,
            upper=upper + 1,
            provider=self._node.client.provider,
            objects=reading.objects,
            read_at=self._now,
        )

    def _batch(self, marks: Marks, reading: Reading, windows: Sequence[CoverageWindow]) -> Batch:
        reading.add(self._again)
        self._again = Reading()
        found = translate(reading.transfers, reading.times, self._book)
        records: dict[type[Record], Sequence[Record]] = {
            Block: [block_record(self._book.connector, header) for header in reading.headers],
            TransferObservation: found.observations,
            Movement: [*found.movements, *self._voided(found.movements)],
            Link: found.links,
            Rejected: _once(reading.rejected, found.rejected),
        }
        return self._wrap(marks, records, windows, objects=reading.objects)

    def _voided(self, movements: Sequence[Movement]) -> list[Movement]:
        """The retractions of movements that are seen again: void from now on."""
        if not movements:
            return []
        known = self._standing_retractions()
        back = [known.pop(retraction_id(movement.movement_id), None) for movement in movements]
        return [void(retraction) for retraction in back if retraction is not None]

    def _standing_retractions(self) -> dict[str, Movement]:
        if self._retractions is None:
            lost = self._stored.any_block_was_lost()
            self._retractions = self._stored.standing_retractions() if lost else {}
        return self._retractions

    def _wrap(
        self,
        marks: Marks,
        records: dict[type[Record], Sequence[Record]],
        windows: Sequence[CoverageWindow],
        *,
        objects: int,
    ) -> Batch:
        mark = ChainMark(
            connector=self._book.connector,
            chain=self._book.chain,
            head=marks.head.number,
            safe=marks.safe,
            final=marks.final,
            head_at=marks.head.at,
        )
        self._final = marks.final
        requests, self._counted = self._node.client.requests - self._counted, self._node.client.requests
        return Batch(
            stream=STREAM,
            records={kind: rows for kind, rows in {**records, ChainMark: [mark]}.items() if rows},
            windows=windows,
            cursor=self._cursor.text(),
            objects_read=objects,
            requests=requests,
        )


def _once(*parts: Sequence[Rejected]) -> list[Rejected]:
    """Each rejected object once: both filters tell of a transfer between our own addresses."""
    return list({(row.object_id, row.reason): row for part in parts for row in part}.values())
