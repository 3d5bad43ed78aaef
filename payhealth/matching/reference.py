"""The reference pass: rows of both sides that carry the same payment key or reference.

A key with one row on each side that agree in every field is a match at once, on whole columns. All
other rows are gathered into groups (n:m), which :mod:`payhealth.matching.legs` judges.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.matching.board import Board, Left, Pairs
from payhealth.matching.exact import Index, Mask
from payhealth.matching.queries import Session
from payhealth.matching.rows import Side, mask_of


def pair(board: Board, session: Session) -> Pairs:
    """Find the keys with one row on each side that agree in account, asset and amount."""
    found = session.run(
        "pairs", {"movement_rows": _keyed(board.movements), "entry_rows": _keyed(board.entries)}
    )
    movement, entry = found["movement"].to_numpy(), found["entry"].to_numpy()
    order = np.argsort(movement, kind="stable")
    movement, entry = movement[order], entry[order]
    agree = board.expectations.expected[movement] == board.entered[entry]
    movement, entry = movement[agree], entry[agree]
    same = _same_place(board, movement, entry)
    return Pairs(movement[same], entry[same])


def gather(board: Board, pairs: Pairs, session: Session) -> Left:
    """Gather what no pair took by reference; a row without one stands alone."""
    movement = _unpaired(board.movements, pairs.movement)
    entry = _unpaired(board.entries, pairs.entry)
    place = np.concatenate([2 * movement, 2 * entry + 1])
    ref = pa.concat_arrays([board.movements.keys(movement), board.entries.keys(entry)])
    group = place.copy()
    if len(place):
        found = session.run("gather", {"left_rows": pa.table({"row_no": place, "ref": ref})})
        by_place = np.argsort(place, kind="stable")
        at = by_place[np.searchsorted(place, found["row_no"].to_numpy(), sorter=by_place)]
        group[at] = found["group_no"].to_numpy()
    distinct, dense = np.unique(group, return_inverse=True)
    is_entry = np.repeat([False, True], [len(movement), len(entry)])
    return Left(is_entry, np.concatenate([movement, entry]), dense.astype(np.int64), len(distinct))


def _keyed(side: Side) -> pa.Table:
    numbers, judged = side.came(side.judged)
    return pa.table({"row_no": numbers, "ref": side.came_key.filter(judged)})


def _unpaired(side: Side, taken: Index) -> Index:
    free = side.judged
    free[taken] = False
    return np.flatnonzero(free)


def _same_place(board: Board, movement: Index, entry: Index) -> Mask:
    """Equal asset, and equal account unless one of them has none: it joins the other's."""
    asset = pc.equal(board.expectations.asset.take(pa.array(movement)), board.entries.take("asset", entry))
    paid, entered = board.movements.take("account", movement), board.entries.take("account", entry)
    alone = pc.or_(pc.equal(paid, ""), pc.equal(entered, ""))
    return mask_of(pc.and_(asset, pc.or_(pc.equal(paid, entered), alone)))
