"""What every pass looks at: both sides in order, their expectations, and the moment of judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from payhealth.matching.exact import Index, Ints, Mask, Units
from payhealth.matching.expectations import Expectations
from payhealth.matching.policy import Rule, Ruleset
from payhealth.matching.queries import Session
from payhealth.matching.rows import Side


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of a run and what is known of each.

    Args:
        entered: signed amounts of the entries.
        entry_policy: number of each entry's policy.
        entry_clear_us: how long each entry may wait for its payment.
    """

    movements: Side
    entries: Side
    expectations: Expectations
    entered: Ints
    entry_policy: Index
    entry_clear_us: Index
    ruleset: Ruleset
    units: Units
    as_of_us: int

    @property
    def movement_waits(self) -> Mask:
        """Movements not yet past their time to clear."""
        return self.movements.clock_us + self.expectations.clear_us > self.as_of_us

    @property
    def entry_waits(self) -> Mask:
        """Entries not yet past their time to clear."""
        return self.entries.clock_us + self.entry_clear_us > self.as_of_us


@dataclass(frozen=True, slots=True)
class Pairs:
    """Movements and entries that answer each other without a residual, k-th with k-th."""

    movement: Index
    entry: Index


@dataclass(frozen=True, slots=True)
class Left:
    """The judged rows that no pair took, both sides together, movements first, each side in order.

    Args:
        entry: whether a row is an entry.
        number: the row's number on its side.
        group: the number of its group, dense, in the order of the groups' first rows.
        groups: how many groups there are.
    """

    entry: Mask
    number: Index
    group: Index
    groups: int

    @property
    def movement_rows(self) -> Index:
        """Places of the movements."""
        return np.flatnonzero(~self.entry)

    @property
    def entry_rows(self) -> Index:
        """Places of the entries."""
        return np.flatnonzero(self.entry)


Pass = Callable[[Board, Left, Rule, Session], tuple[Pairs, Left]]
"""The shape of the passes behind the reference pass: rows of one-sided groups in, pairs and the rest out."""
