"""Pulls of a living chain in every way: small steps, kills, restarts, and a chain that moves meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.coverage import CoverageWindow, merge
from payhealth.domain.errors import SourceError
from payhealth.domain.record import Record
from payhealth.ports import Batch, StoreReader
from payhealth.store import SqlStore, open_store, upgrade
from payhealth.testing import FixedClock
from tests.auditor.evm_facts import Movement
from tests.auditor.evm_witness import Payment, Witness, payments
from tests.simulation.evm_life import Life
from tests.simulation.test_evm_shelf import Shelf

NAME, STREAM = "chain", "transfers"
Row = TypeVar("Row", bound=Record)


class Books(Protocol):
    """A store of either kind."""

    reader: Any

    def commit(self, batch: Batch) -> int:
        """Take a step in; gives how many versions it added."""

    def restart(self) -> None:
        """As when the process begins anew."""


class ShelfBooks:
    """The least store, in memory."""

    def __init__(self) -> None:
        self.reader: Any = Shelf()

    def commit(self, batch: Batch) -> int:
        """Balances count, too, though the shelf leaves them out."""
        before = {kind: dict(rows) for kind, rows in self.reader.current.items()}
        self.reader.commit(batch)
        return sum(
            before.get(kind, {}).get(key) != row
            for kind, rows in self.reader.current.items()
            for key, row in rows.items()
        )

    def restart(self) -> None:
        """Memory stays."""


class SqlBooks:
    """The store that ships, on SQLite."""

    def __init__(self, path: Path, clock: FixedClock) -> None:
        self._url, self._clock = f"sqlite:///{path}", clock
        upgrade(self._url)
        self.reader: SqlStore = open_store(self._url, clock=clock)

    def commit(self, batch: Batch) -> int:
        """Counted by the store itself."""
        counts = self.reader.commit(NAME, batch)
        return counts.new + counts.changed + counts.rejected

    def restart(self) -> None:
        """The file is closed and opened again."""
        self.reader.close()
        self.reader = open_store(self._url, clock=self._clock)


class _Watched(httpx.BaseTransport):
    """Lets something happen just before a request goes out."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before, self._inner = before, httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Forward it."""
        self._before()
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Let go of the connections."""
        self._inner.close()


class Puller:
    """Pulls a life into books, and remembers what a store must know because of it.

    Args:
        by_tag: final as the node's tag says, not by depth; both come to the same depth.
        start: the first block read.
    """

    def __init__(self, life: Life, books: Books, *, seed: int, by_tag: bool = False, start: int = 0) -> None:
        self.life, self.books, self.start = life, books, start
        self.chance = random.Random(f"pull {seed}")
        self.witness = Witness(life.url, life.business(), start)
        self.windows: list[CoverageWindow] = []
        self.pulled: dict[Payment, Movement] = {}
        """What was live at a pull that ran to its end while the chain stood still."""
        self.kills = self.moves = self.failures = 0
        self._brisk = False
        finality = "finalized" if by_tag else {"depth": self.life.final_depth}
        self._fixed = {**life.settings(), "finality": finality, "start_block": start}
        if self.chance.random() < 0.5:
            self._fixed["chain"] = {**self._fixed["chain"], "multicall3": life.cast.multicall}

    def rows(self, kind: type[Row]) -> list[Row]:
        """The current records of a class."""
        names = [field.name for field in fields(kind)]
        return [kind(**row) for row in self.books.reader.records(kind).select(names).to_pylist()]

    def settings(self) -> EvmSettings:
        """The configuration, read in a way that chance picks."""
        pick = self.chance.choice
        if self._brisk:
            return EvmSettings.model_validate({**self._fixed, "addresses_per_filter": pick([1, 500])})
        return EvmSettings.model_validate(
            {
                **self._fixed,
                "step_blocks": pick([1, 3, 7, 200]),
                "max_block_range": pick([1, 2, 5, 1000]),
                "batch_calls": pick([2, 5, 100]),
                "full_blocks_per_batch": pick([1, 3, 10]),
                "overlap_blocks": pick([0, 3, 16]),
                "addresses_per_filter": pick([1, 2, 500]),
                "most_filters": 1000,
            }
        )

    def source(self, transport: httpx.BaseTransport | None = None) -> EvmSource:
        """A new source, as of a new process."""
        return EvmSource(NAME, self.settings(), transport=transport, sleep=lambda _: None)

    def now(self) -> datetime:
        """The moment of a pull."""
        return self.life.at

    def step(self) -> None:
        """A pull, whole or killed, perhaps while the chain moves; perhaps after a restart."""
        roll = self.chance.random()
        if self.chance.random() < 0.3:
            self.books.restart()
        if roll < 0.3:
            self.pull(most_batches=self.chance.choice([0, 1, 1, 2, 3, 5]))
        elif roll < 0.45:
            self.pull(moves_at=self.chance.randrange(1, 9))
        else:
            self.pull()

    def pull(self, *, most_batches: int | None = None, moves_at: int | None = None) -> int:
        """Pull once.

        Args:
            most_batches: killed after so many commits.
            moves_at: something happens on the chain before this request, counted from 1.

        Returns:
            How many versions were added.
        """
        self.witness.look()
        transport = self._moving(moves_at) if moves_at is not None else None
        moved_before, source, added = self.moves, self.source(transport), 0
        reader: StoreReader = self.books.reader
        batches = source.pull(STREAM, reader.cursor(NAME, STREAM), self.now(), reader)
        killed = False
        try:
            for number, batch in enumerate(batches):
                if number == most_batches:
                    killed = True
                    break
                added += self.books.commit(batch)
                self.windows += batch.windows
        except SourceError:
            self.failures += 1
            if self.moves == moved_before:
                raise
        source.close()
        self.kills += killed
        if self.moves > moved_before:
            self.witness.look()
        elif not killed:
            assert self.witness.last is not None
            self.pulled |= payments(self.witness.last.movements)
        return added

    def _moving(self, moves_at: int) -> httpx.BaseTransport:
        requests = iter(range(1, 10**9))

        def before() -> None:
            if next(requests) == moves_at:
                self.life.step()
                self.witness.look()
                self.moves += 1

        return _Watched(before)

    def settle(self) -> None:
        """Let everything become final, the balances' readings too, and pull until nothing changes."""
        self._brisk = True
        for _ in range(2):  # what moved while a reading waited is read anew, and waits once more
            self.life.quiet(self.life.final_depth + 2)
            self.pull()
        for _ in range(8):
            if not self.pull():
                return
        raise AssertionError("pulls of a chain that stands still go on adding versions")

    def covered(self, finality: str | None = None) -> tuple[tuple[int, int], ...]:
        """The blocks that were read, merged; only those of a finality where it is given."""
        chosen: Iterator[CoverageWindow] = (
            window for window in self.windows if finality is None or window.finality == finality
        )
        return merge((window.lower, window.upper) for window in chosen)

    def close(self) -> None:
        """Let go of the connections."""
        self.witness.close()
