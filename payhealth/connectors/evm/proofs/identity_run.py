"""One step of the completeness identity: settle what is final, then read balances at the head."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payhealth.connectors.evm.proofs import identity_rows as rows_of
from payhealth.connectors.evm.proofs.balances import Ask, Balances, Question, Readings, Universe
from payhealth.connectors.evm.proofs.balances_moved import Moved
from payhealth.connectors.evm.proofs.identity_judge import Canonical, Judge, Rows, Stands
from payhealth.connectors.evm.proofs.identity_rows import MISMATCH, PROVED, WAITING, Opening
from payhealth.connectors.evm.proofs.identity_state import MOST_SAMPLES, Sample, State
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import AddressBalance
from payhealth.domain.coverage import CoverageUnit, CoverageWindow

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

STREAM = "transfers"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityStep:
    """What one step found: to be committed whole, together with ``state``.

    Args:
        balances: the rows that changed, by address and asset.
        windows: what is proved of the stream as a whole, and what is refuted.
        state: for the next step; JSON.
        notes: what could not be read, in words.
    """

    balances: list[AddressBalance]
    windows: list[CoverageWindow]
    state: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What stays the same from step to step; see ``Identity``."""

    connector: str
    universe: Universe
    start: int
    multicall3: str | None
    ask: Ask
    reader: StoreReader
    provider: str
    sample: int
    most: int
    moved: Moved

    @property
    def opening(self) -> int:
        """The block whose state comes before everything that is read; genesis moves nothing."""
        return max(0, self.start - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What a step is given."""

    head: Header
    final: int
    canonical: Canonical
    now: datetime


class Run:
    """One step, while it is under way.

    Args:
        touched: pairs that are looked at whatever the store says.
    """

    def __init__(self, setup: Setup, state: State, moment: Moment, touched: set[int]) -> None:
        self._setup = setup
        self._universe = setup.universe
        self._state = state
        self._head = moment.head
        self._final = moment.final
        self._now = moment.now
        self._touched = touched
        self._stands = Stands(setup.ask, moment.canonical)
        self._balances = Balances(self._universe, setup.ask, setup.multicall3, there=state.multicall)
        self._judge = Judge(setup.moved, self._balances, moment.now)
        self._rows: Rows = {}
        """The rows of everything outstanding, and of what is looked at in this step."""
        self._stored: Rows = {}
        self._recovered: set[int] = set()
        self._notes: list[str] = []

    def step(self) -> IdentityStep:
        """Settle, read, and say what changed."""
        scanned = self._setup.opening if self._state.scanned is None else self._state.scanned
        last = self._setup.moved.last_touched((scanned, self._head.number))
        self._load("state", (WAITING, MISMATCH))
        self._stands.learn(self._final_blocks())
        self._settle()
        self._state = self._state.settled(
            self._final, self._stands, size=self._universe.size, opening=self._setup.opening
        )
        self._load("address", {self._universe.address(pair) for pair in (*last, *self._touched)})
        self._read(self._wanted(last))
        if self._head.number <= self._final:
            self._settle(at_head=True)
        self._state = replace(self._state, scanned=self._scanned(), multicall=self._balances.there)
        changed = [row for pair, row in self._rows.items() if row != self._stored.get(pair)]
        return IdentityStep(
            balances=sorted(changed, key=lambda row: (row.address, row.asset)),
            windows=self._windows(),
            state=self._state.kept(),
            notes=tuple(self._notes),
        )

    def _scanned(self) -> int:
        """Up to where movements need not be looked at again; what came after a waiting reading must be."""
        waiting = (row.pending_block for row in self._rows.values() if row.state == WAITING)
        return min([self._final, *(block for block in waiting if block is not None)])

    def _load(self, column: str, values: Collection[str]) -> None:
        if not values:
            return
        table = self._setup.reader.lookup(AddressBalance, self._setup.connector, column, values)
        for raw in table.to_pylist():
            pair = self._universe.pair(raw["address"], raw["asset"])
            if pair is None or pair in self._stored:
                continue
            row = rows_of.row_of(raw)
            self._stored[pair] = self._rows[pair] = row
            if row.proved_from is not None:
                self._state = self._state.with_row_opened(row.proved_from)

    def _final_blocks(self) -> set[tuple[int, str]]:
        waiting = [
            (row.pending_block, row.pending_hash)
            for row in self._rows.values()
            if row.state == WAITING and row.pending_block is not None and row.pending_hash is not None
        ]
        samples = [(sample.block, sample.hash) for sample in self._state.samples]
        return {(number, block) for number, block in (*waiting, *samples) if number <= self._final}

    def _settle(self, *, at_head: bool = False) -> None:
        """Hold every reading whose block is final against what was read up to there."""
        due: Rows = {}
        for pair, row in self._rows.items():
            if row.pending_block is None or row.pending_hash is None:
                continue
            if at_head and row.pending_hash != self._head.hash:
                continue
            if row.state == MISMATCH:
                due[pair] = row
                continue
            there = at_head or self._stands(row.pending_block, row.pending_hash)
            if there is False:
                self._rows[pair] = rows_of.without_reading(row)
            elif there and row.pending_block <= self._final:
                due[pair] = row
        for pair, row in self._judge.judged(due).items():
            if due[pair].state == MISMATCH and row.state == PROVED:
                self._recovered.add(pair)
            self._keep(pair, row)

    def _keep(self, pair: int, row: AddressBalance) -> None:
        if row.proved_from is not None:
            self._state = self._state.with_row_opened(row.proved_from)
        self._rows[pair] = row

    def _wanted(self, last: dict[int, int]) -> list[int]:
        """The pairs to read now, those first that have waited longest; each has a waiting row then."""
        waiting = {
            pair for pair, row in self._rows.items() if row.state == WAITING and row.pending_block is None
        }
        quiet_to = self._state.quiet_to
        fresh: set[int] = set()
        for pair in {*last, *self._touched, *self._recovered}:
            row = self._rows.get(pair)
            if row is not None and row.state != PROVED:
                continue
            proved = max(-1 if row is None else row.proved_block or 0, -1 if quiet_to is None else quiet_to)
            if last.get(pair, -1) > proved or pair in self._touched or pair in self._recovered:
                self._keep(pair, self._outstanding(pair))
                fresh.add(pair)
        return [*sorted(waiting), *sorted(fresh - waiting)]

    def _outstanding(self, pair: int) -> AddressBalance:
        """The row of a pair that is quiet no more."""
        row, state = self._rows.get(pair), self._state
        if row is None:
            known = state.quiet_to is not None and state.quiet_from is not None
            opening = (
                Opening(since=state.quiet_from or 0, block=state.quiet_to or 0, amount=0) if known else None
            )
            return self._blank(pair, opening)
        # A mismatch that ended was no part of the rotation: it is proved up to its own reading alone.
        return rows_of.outstanding(row, None if pair in self._recovered else state.quiet_to)

    def _blank(self, pair: int, opening: Opening | None) -> AddressBalance:
        universe = self._universe
        return rows_of.blank(self._setup.connector, universe.address(pair), universe.asset(pair), opening)

    def _read(self, wanted: Sequence[int]) -> None:
        chosen = wanted[: self._setup.most]
        sampled = self._next_sample(self._setup.most - len(chosen))
        self._load("address", {self._universe.address(pair) for pair in sampled})
        quiet = [pair for pair in sampled if pair not in self._rows or self._rows[pair].state == PROVED]
        pairs = [*chosen, *quiet]
        unopened = self._unopened(chosen, quiet)
        at_head, at_opening = self._balances.read(
            [
                Question(pairs=pairs, where={"blockHash": self._head.hash}),
                Question(pairs=unopened, where=hex(self._setup.opening), absent_is_zero=True),
            ]
        )
        if at_head.gone:
            self._notes.append(f"the node gives no balances at block {self._head.number}: none were read")
            return
        amounts = dict(zip(pairs, at_head.amounts, strict=True))
        openings = self._openings(unopened, at_opening)
        for pair in chosen:
            self._take(pair, amounts[pair], openings.get(pair))
        for pair in quiet:
            if not self._is_quiet(pair, amounts[pair], openings.get(pair)):
                self._keep(pair, self._outstanding(pair))
                self._take(pair, amounts[pair], openings.get(pair))
        if sampled:
            self._sampled(sampled, opened=all(pair in self._rows or pair in openings for pair in quiet))

    def _next_sample(self, room: int) -> range:
        samples, start = self._state.samples, self._state.position
        if len(samples) >= MOST_SAMPLES or (samples and samples[-1].hash == self._head.hash):
            return range(0)
        return range(start, start + min(self._setup.sample, room, self._universe.size - start))

    def _unopened(self, chosen: Sequence[int], quiet: Sequence[int]) -> list[int]:
        """The pairs of which it is not known what they held before ``start_block``, and may be found out."""
        if self._state.archive is False:
            return []
        pairs = [pair for pair in chosen if self._rows[pair].proved_block is None]
        if self._state.quiet_from is None:
            pairs += [pair for pair in quiet if pair not in self._rows]
        return pairs

    def _openings(self, pairs: Sequence[int], readings: Readings) -> dict[int, int]:
        """What pairs held before ``start_block``, where the node still has it."""
        if not pairs:
            return {}
        self._state = replace(self._state, archive=not readings.gone)
        if readings.gone:
            self._notes.append(
                f"the node has no state of block {self._setup.opening}: older ranges stay unproved"
            )
        amounts = zip(pairs, readings.amounts, strict=True)
        return {pair: amount for pair, amount in amounts if amount is not None}

    def _is_quiet(self, pair: int, amount: int | None, opening: int | None) -> bool:
        row = self._rows.get(pair)
        if row is not None:
            return amount == rows_of.scaled(row.proved_amount)
        return amount == 0 and not opening

    def _take(self, pair: int, amount: int | None, opening: int | None) -> None:
        """Put a reading, and what it is held against at first, into a waiting row."""
        row = self._rows[pair]
        if row.proved_block is None and opening is not None:
            since = self._setup.opening
            row = self._blank(pair, Opening(since=since, block=since, amount=opening))
        self._keep(pair, rows_of.with_reading(row, self._head, amount))

    def _sampled(self, sampled: range, *, opened: bool) -> None:
        pending = [
            row.pending_block
            for row in (self._rows.get(pair) for pair in sampled)
            if row is not None and row.state == WAITING and row.pending_block is not None
        ]
        sample = Sample(
            start=sampled.start,
            count=len(sampled),
            block=self._head.number,
            hash=self._head.hash,
            floor=min([self._head.number, *pending]),
            opened=opened,
        )
        self._state = self._state.with_sample(sample, self._universe.size)

    def _windows(self) -> list[CoverageWindow]:
        gaps = {
            (row.gap_lower, row.gap_upper + 1)
            for row in self._rows.values()
            if row.state == MISMATCH and row.gap_lower is not None and row.gap_upper is not None
        }
        windows = [self._window(lower, upper, refuted=True) for lower, upper in sorted(gaps)]
        whole = self._proved()
        return windows if whole is None else [self._window(*whole), *windows]

    def _proved(self) -> tuple[int, int] | None:
        """The stretch ``[lower, upper)`` that every pair is proved over."""
        state = self._state
        if state.quiet_to is None or state.quiet_from is None:
            return None
        upper = state.quiet_to
        for row in self._rows.values():
            if row.state != PROVED:
                if row.proved_block is None:
                    return None
                upper = min(upper, row.proved_block)
        since = max(state.quiet_from, state.opened_to or 0)
        lower = self._setup.start if since <= self._setup.opening else since + 1
        return (lower, upper + 1) if since < upper else None

    def _window(self, lower: int, upper: int, *, refuted: bool = False) -> CoverageWindow:
        return CoverageWindow(
            connector=self._setup.connector,
            stream=STREAM,
            unit=CoverageUnit.BLOCK,
            lower=lower,
            upper=upper,
            provider=self._setup.provider,
            objects=0,
            read_at=self._now,
            unproved=refuted,
            refuted=refuted,
            finality="final",
        )
