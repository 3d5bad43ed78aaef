"""What else is true of a match or a break, besides why it does not add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.money import to_scaled
from payhealth.matching.board import Board, Left, Pairs
from payhealth.matching.exact import Index, Ints, Mask, any_by, max_by, min_by
from payhealth.matching.expectations import PAYING
from payhealth.matching.legs import LeftRows, Legs
from payhealth.matching.rows import IN_FLIGHT, mask_of

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class PairFlags:
    """Flags of direct pairs, one a pair."""

    late: Mask
    before_final: Mask
    over_refunded: Mask


@dataclass(frozen=True, slots=True)
class GroupFlags:
    """Flags of groups, one a group; ``dust_limit`` is what a residual must stay below to be dust."""

    late: Mask
    before_final: Mask
    over_refunded: Mask
    unknown_sender: Mask
    dust_limit: Ints


def pair_flags(board: Board, pairs: Pairs) -> PairFlags:
    """Flags of the pairs of the reference pass."""
    paid, entered = board.movements.clock_us[pairs.movement], board.entries.clock_us[pairs.entry]
    paid_by = paid + board.expectations.clear_us[pairs.movement]
    entered_by = entered + board.entry_clear_us[pairs.entry]
    return PairFlags(
        late=(entered > paid_by) | (paid > entered_by),
        before_final=_before_final(board)[pairs.entry],
        over_refunded=board.expectations.over_refunded[pairs.movement],
    )


def group_flags(board: Board, left: Left, rows: LeftRows, legs: Legs) -> GroupFlags:
    """Flags of the gathered groups."""
    over = np.zeros(len(left.number), dtype=bool)
    over[~left.entry] = board.expectations.over_refunded[left.number[~left.entry]]
    early = np.zeros(len(left.number), dtype=bool)
    early[left.entry] = _before_final(board)[left.number[left.entry]]
    paying = np.zeros(len(left.number), dtype=bool)
    paying[~left.entry] = PAYING[board.expectations.kind[left.number[~left.entry]]]
    nobody = paying & (legs.account[rows.leg] == 0)
    return GroupFlags(
        late=_late(board, left, rows),
        before_final=any_by(left.group, early, left.groups),
        over_refunded=any_by(left.group, over, left.groups),
        unknown_sender=any_by(left.group, nobody, left.groups),
        dust_limit=_dust_limits(board, left),
    )


def _before_final(board: Board) -> Mask:
    """Entries that stand against a transfer which may not be credited yet."""
    waiting = mask_of(pc.equal(board.movements.why.fill_null(""), IN_FLIGHT))
    if not waiting.any():
        return np.zeros(len(board.entered), dtype=bool)
    keys = board.movements.key.filter(pa.array(waiting)).unique()
    keys = keys.filter(pc.not_equal(keys, ""))
    return mask_of(pc.is_in(board.entries.key, value_set=keys))


def _late(board: Board, left: Left, rows: LeftRows) -> Mask:
    """Whether the last row of a direction came after all time to clear on the other side had passed.

    Payments are held against positive entries, what undoes them against negative ones, so that a refund
    months later makes nothing late.
    """
    clock, limit = np.empty(len(left.number), dtype=np.int64), np.empty(len(left.number), dtype=np.int64)
    moved, entered = ~left.entry, left.entry
    clock[moved] = board.movements.clock_us[left.number[moved]]
    clock[entered] = board.entries.clock_us[left.number[entered]]
    limit[moved] = clock[moved] + board.expectations.clear_us[left.number[moved]]
    limit[entered] = clock[entered] + board.entry_clear_us[left.number[entered]]
    late = np.zeros(left.groups, dtype=bool)
    for sign in (1, -1):
        paid = moved & (sign * rows.due > 0)
        credited = entered & (sign * rows.due < 0)
        late |= _overdue(left, clock, limit, paid, credited) | _overdue(left, clock, limit, credited, paid)
    return late


def _overdue(left: Left, clock: Index, limit: Index, first: Mask, second: Mask) -> Mask:
    """Groups whose last row of the second kind came after the last limit of the first."""
    last = max_by(left.group[second], clock[second], left.groups, _NEVER)
    until = max_by(left.group[first], limit[first], left.groups, _NEVER)
    return np.asarray((until != _NEVER) & (last > until), dtype=bool)


def _dust_limits(board: Board, left: Left) -> Ints:
    """The dust limit of each group's first movement's policy, else of its first entry's."""
    limits = [-(-to_scaled(policy.dust_below) // board.units.factor) for policy in board.ruleset.policies]
    if not any(limits):
        return board.units.zeros(left.groups)
    most = 2**62 if board.units.narrow else 10**60
    place = np.arange(len(left.number))
    first = min_by(left.group, place, left.groups, len(place))
    policy = np.empty(len(left.number), dtype=np.int64)
    policy[~left.entry] = board.expectations.policy[left.number[~left.entry]]
    policy[left.entry] = board.entry_policy[left.number[left.entry]]
    return board.units.array([min(limit, most) for limit in limits])[policy[first]]
