"""Near-misses: for a row that stands alone, the row of the other side that it might belong to.

Neighbours are found by sorting, not by joining, so that a hot account or a common amount costs no more
than any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.matching.board import Board, Left
from payhealth.matching.exact import Index, Ints, Mask, any_by
from payhealth.matching.legs import LeftRows, Legs
from payhealth.matching.policy import SECOND_US

NEAR_SHARE = 20
"""Amounts within one part in so many of each other are near."""


@dataclass(frozen=True, slots=True)
class NearMisses:
    """For each left row the place of its nearest row of the other side, -1 for none.

    Args:
        same_amount: equal asset and amount, nearest in time, on any account.
        close_amount: equal asset and account, nearest in amount.
        same_letters: a reference that differs in upper and lower case alone.
    """

    same_amount: Index
    close_amount: Index
    same_letters: Index


def near_misses(board: Board, left: Left, rows: LeftRows, legs: Legs) -> NearMisses:
    """Look for the near-misses of every row whose group has rows on one side only."""
    one_sided = ~(any_by(left.group, ~left.entry, left.groups) & any_by(left.group, left.entry, left.groups))
    rank = np.flatnonzero(one_sided[left.group])
    at_us = moments(board, left)
    value = np.where(left.entry, -rows.due, rows.due)
    asset, account = legs.asset[rows.leg], legs.account[rows.leg]
    values = np.unique(value[rank], return_inverse=True)[1] if rank.size else rank
    window_us = max(rule.window_s for rule in board.ruleset.rules) * SECOND_US
    empty = np.full(len(left.number), -1, dtype=np.int64)
    same, close, letters = empty.copy(), empty.copy(), empty.copy()
    place = asset[rank] * (int(values.max(initial=0)) + 1) + values
    same[rank] = _nearest(rank, place, at_us[rank], left.entry[rank], window_us)
    where = asset[rank] * (int(account.max(initial=0)) + 1) + account[rank]
    close[rank] = _nearest(rank, where, values, left.entry[rank], np.iinfo(np.int64).max)
    close[~_close_enough(value, close, at_us, window_us)] = -1
    lowered, named = _lowered(board, left)
    chosen = rank[named[rank]]
    letters[chosen] = _nearest(
        chosen, lowered[chosen], at_us[chosen], left.entry[chosen], np.iinfo(np.int64).max
    )
    return NearMisses(same, close, letters)


def moments(board: Board, left: Left) -> Index:
    """When each left row happened, microseconds."""
    moved, entered = left.number[~left.entry], left.number[left.entry]
    return np.concatenate([board.movements.at_us[moved], board.entries.at_us[entered]])


def _close_enough(value: Ints, found: Index, at_us: Index, window_us: int) -> Mask:
    other = value[found]
    gap = np.abs(value - other)
    larger = np.maximum(np.abs(value), np.abs(other))
    near = (found >= 0) & (gap != 0) & (gap <= larger // NEAR_SHARE)
    return np.asarray(near & (np.abs(at_us - at_us[found]) <= window_us), dtype=bool)


def _lowered(board: Board, left: Left) -> tuple[Index, Mask]:
    """The references in lower case, numbered, and which rows have one."""
    moved, entered = left.number[~left.entry], left.number[left.entry]
    keys = pa.concat_arrays([board.movements.keys(moved), board.entries.keys(entered)])
    numbers = pc.utf8_lower(keys).dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers, np.asarray(pc.not_equal(keys, "").to_numpy(zero_copy_only=False), dtype=bool)


def _nearest(rank: Index, bucket: Index, position: Index, entry: Mask, reach: int) -> Index:
    """For each row the nearest row of the other side in its bucket; of two at equal distance the earlier."""
    order = np.lexsort((rank, position, bucket))
    best = np.full(len(rank), -1, dtype=np.int64)
    gap = np.full(len(rank), reach, dtype=np.int64)
    for side in (False, True):
        candidate = entry[order] == side
        for nearest in (_last(candidate), _next(candidate)):
            seen = (nearest >= 0) & ~candidate
            here, there = order[seen], order[nearest[seen]]
            distance = np.abs(position[here] - position[there])
            better = (bucket[here] == bucket[there]) & (
                (distance < gap[here]) | ((distance == gap[here]) & (best[here] < 0))
            )
            best[here[better]] = rank[there[better]]
            gap[here[better]] = distance[better]
    return best


def _last(candidate: Mask) -> Index:
    """The place of the last candidate before each place, -1 for none."""
    return np.maximum.accumulate(np.where(candidate, np.arange(len(candidate)), -1))


def _next(candidate: Mask) -> Index:
    """The place of the next candidate behind each place, -1 for none."""
    size = len(candidate)
    following = np.minimum.accumulate(np.where(candidate, np.arange(size), size)[::-1])[::-1]
    return np.where(following == size, -1, following)
