"""Which rows met their counterpart only after its time to clear.

In a leg the expectations of one sign are laid end to end in order of time, and beside them the entries of
that sign. Two rows that share a part of the amount meet; the later one is late where the earlier one's
time to clear was over by then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from payhealth.matching.board import Board, Left
from payhealth.matching.exact import Index, Ints, Mask
from payhealth.matching.legs import LeftRows


@dataclass(frozen=True, slots=True)
class _Lane:
    """The rows of one side laid end to end, by (lane, order): where each begins and ends in its lane."""

    place: Index
    lane: Index
    start: Ints
    end: Ints


def late_rows(board: Board, left: Left, rows: LeftRows) -> Mask:
    """Mark the rows that met their counterpart late."""
    clock, until = _times(board, left)
    upward = np.where(left.entry, -rows.due, rows.due)
    lane = 2 * rows.leg + (upward > 0)
    live = upward != 0
    paid = _lay(np.flatnonzero(live & ~left.entry), lane, upward)
    entered = _lay(np.flatnonzero(live & left.entry), lane, upward)
    late = np.zeros(len(left.number), dtype=bool)
    for one, other in _meetings(paid, entered):
        later = np.where(clock[one] <= clock[other], other, one)
        earlier = np.where(clock[one] <= clock[other], one, other)
        over = (clock[earlier] < clock[later]) & (clock[later] >= until[earlier])
        late[later[over]] = True
    return late


def _times(board: Board, left: Left) -> tuple[Index, Index]:
    """When each row's time to clear starts and ends."""
    moved, entered = left.number[~left.entry], left.number[left.entry]
    clock = np.concatenate([board.movements.clock_us[moved], board.entries.clock_us[entered]])
    clear = np.concatenate([board.expectations.clear_us[moved], board.entry_clear_us[entered]])
    return clock, clock + clear


def _lay(place: Index, lane: Index, amount: Ints) -> _Lane:
    place = place[np.argsort(lane[place], kind="stable")]
    lanes, size = lane[place], np.abs(amount[place])
    total = np.cumsum(size)
    begins = np.r_[True, lanes[1:] != lanes[:-1]][: len(place)]
    before = (total - size)[begins][np.cumsum(begins) - 1]
    return _Lane(place, lanes, total - size - before, total - before)


def _meetings(paid: _Lane, entered: _Lane) -> list[tuple[Index, Index]]:
    """Pairs of rows that share a part: one of them begins where the other one is."""
    if not len(paid.place) or not len(entered.place):
        return []
    meetings = []
    for here, there in ((paid, entered), (entered, paid)):
        at = _covering(here, there)
        met = at >= 0
        meetings.append((here.place[met], there.place[at[met]]))
    return meetings


def _covering(here: _Lane, there: _Lane) -> Index:
    """For each row here the row there that covers its beginning, -1 for none."""
    lane = np.concatenate([there.lane, here.lane])
    start = np.unique(np.concatenate([there.start, here.start]), return_inverse=True)[1]
    asks = np.repeat([False, True], [len(there.lane), len(here.lane)])
    order = np.lexsort((asks, start, lane))
    last = np.maximum.accumulate(np.where(asks[order], -1, np.arange(len(order))))
    asking = asks[order] & (last >= 0)
    row, other = order[asking] - len(there.lane), order[last[asking]]
    covers = (there.lane[other] == here.lane[row]) & (there.end[other] > here.start[row])
    found = np.full(len(here.lane), -1, dtype=np.int64)
    found[row[covers]] = other[covers]
    return found
