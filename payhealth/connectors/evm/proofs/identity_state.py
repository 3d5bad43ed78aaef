"""What the completeness identity remembers beside the rows of balances: how far the rotation has come; pure.

All pairs are read in turn, a sample at a time. A pair that holds what it should costs no row: its sample
waits until its block is final, and a whole round of samples proves every quiet pair up to the round's
*floor*. A pair that is not quiet has a row that speaks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

MOST_SAMPLES = 128
"""Samples that may wait for their blocks to become final; the rotation pauses beyond them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Pairs ``[start, start + count)`` that were read, the quiet ones without a row.

    Args:
        block: of the head at which they were read, with its hash.
        floor: that block, or the lowest at which one of these pairs has a reading that still waits.
        opened: whether each of them was held against its balance before ``start_block``.
    """

    start: int
    count: int
    block: int
    hash: str
    floor: int
    opened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What the final samples of the round under way come to; ``floor`` is None before its first."""

    floor: int | None = None
    top: int = 0
    opened: bool = True

    def with_sample(self, sample: Sample) -> Round:
        """The same round with one sample more."""
        return Round(
            floor=sample.floor if self.floor is None else min(self.floor, sample.floor),
            top=max(self.top, sample.block),
            opened=self.opened and sample.opened,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that is kept between two steps.

    Args:
        universe: a hash of the addresses and assets: a position means nothing for others.
        scanned: up to which block movements were looked at and final, None before the first step.
        multicall: whether Multicall3 is there, None before anyone looked.
        archive: whether the node has the state before ``start_block``, None before anyone asked.
        position: the next pair of the rotation.
        quiet_from: the block from which on quiet pairs are held against, None before the first round.
        quiet_to: up to which block they are proved.
        opened_to: the latest block at which a row was opened.
    """

    universe: str
    scanned: int | None = None
    multicall: bool | None = None
    archive: bool | None = None
    position: int = 0
    samples: tuple[Sample, ...] = ()
    round: Round = Round()
    quiet_from: int | None = None
    quiet_to: int | None = None
    opened_to: int | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None, universe: str) -> State:
        """What :meth:`kept` gave; for another universe the rotation and the scan begin anew."""
        if raw is None:
            return cls(universe=universe)
        if raw["universe"] != universe:
            return cls(universe=universe, multicall=raw["multicall"], opened_to=raw["opened_to"])
        samples = tuple(Sample(**sample) for sample in raw["samples"])
        return cls(**{**raw, "samples": samples, "round": Round(**raw["round"])})

    def kept(self) -> dict[str, Any]:
        """The same in words of JSON."""
        return {**asdict(self), "samples": [asdict(sample) for sample in self.samples]}

    def with_row_opened(self, block: int) -> State:
        """A row was opened at a block: what is older is not proved as a whole."""
        return replace(self, opened_to=max(block, self.opened_to or 0))

    def with_sample(self, sample: Sample, size: int) -> State:
        """The same after one more sample of the rotation."""
        position = (sample.start + sample.count) % size
        return replace(self, position=position, samples=(*self.samples, sample))

    def settled(
        self, final: int, stands: Callable[[int, str], bool | None], *, size: int, opening: int
    ) -> State:
        """The same after the samples whose block is final have been counted.

        A sample whose block was lost is read again, and so is what was read after it.

        Args:
            stands: whether a block's hash is canonical, None where that cannot be told now.
            size: how many pairs there are.
            opening: the block before ``start_block``.
        """
        state = self
        while state.samples and state.samples[0].block <= final:
            sample = state.samples[0]
            there = stands(sample.block, sample.hash)
            if there is None:
                break
            if not there:
                return replace(state, samples=(), position=sample.start)
            state = state._counted(sample, size, opening)
        return state

    def _counted(self, sample: Sample, size: int, opening: int) -> State:
        done = self.round.with_sample(sample)
        state = replace(self, samples=self.samples[1:], round=done)
        if sample.start + sample.count < size or done.floor is None:
            return state
        opened = opening if done.opened else done.top
        return replace(
            state,
            round=Round(),
            quiet_from=opened if self.quiet_from is None else self.quiet_from,
            quiet_to=max(done.floor, self.quiet_to or 0),
        )
