"""Which asset of a group is shown for the whole of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from payhealth.matching.board import Left
from payhealth.matching.exact import Index, Ints, any_by, max_by, sum_by
from payhealth.matching.legs import Legs


@dataclass(frozen=True, slots=True)
class Cells:
    """One line a group: the asset that stands for it.

    Args:
        asset: number of the asset.
        residual: R of the group in this asset, over all accounts; ``broken`` likewise B.
        at_risk: the largest broken leg of the group, in any asset's units.
    """

    asset: Index
    residual: Ints
    broken: Ints
    at_risk: Ints
    names: list[str]

    def asset_names(self, legs: Legs, groups: Index) -> pa.Array:
        """The assets of some groups."""
        return pa.array(legs.assets, pa.string()).take(pa.array(self.asset[groups]))


def first_cells(legs: Legs, left: Left, *, of_breaks: bool) -> Cells:
    """Choose the asset of each group: a paid one first, then that of the largest leg, then by name.

    Args:
        of_breaks: measure legs by what is broken of them, else by their residual.
    """
    groups, cells = left.groups, legs.cells
    group, asset = np.zeros(cells, dtype=np.int64), np.zeros(cells, dtype=np.int64)
    group[legs.cell], asset[legs.cell] = legs.group, legs.asset
    off = legs.broken if of_breaks else legs.residual
    largest = max_by(legs.cell, np.abs(off), cells, 0)
    paid = any_by(legs.cell, legs.moved, cells)
    magnitude = np.unique(largest, return_inverse=True)[1]
    order = np.lexsort((asset, -magnitude, ~paid, group))
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0]) if cells else np.zeros(0, dtype=np.int64)
    chosen = order[starts]
    return Cells(
        asset=asset[chosen],
        residual=sum_by(legs.cell, legs.residual, cells)[chosen],
        broken=sum_by(legs.cell, legs.broken, cells)[chosen],
        at_risk=max_by(legs.group, np.abs(legs.broken), groups, 0),
        names=legs.assets,
    )
