"""What else is true of a match or a break, besides why it does not add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from payhealth.domain.breaks import BreakFlag
from payhealth.domain.money import to_scaled
from payhealth.matching.board import Board, Left, Pairs
from payhealth.matching.exact import Index, Ints, Mask, all_by, any_by
from payhealth.matching.expectations import PAYING
from payhealth.matching.lateness import late_rows
from payhealth.matching.legs import LeftRows, Legs
from payhealth.matching.rows import IN_FLIGHT, mask_of


@dataclass(frozen=True, slots=True)
class Flags:
    """What else is true, one value a pair or group."""

    late: Mask
    before_final: Mask
    dust: Mask
    unknown_sender: Mask
    over_refunded: Mask

    def of(self, rows: Index) -> dict[BreakFlag, Mask]:
        """The flags of some pairs or groups, in the order in which they are shown."""
        return {
            BreakFlag.LATE: self.late[rows],
            BreakFlag.CREDITED_BEFORE_FINAL: self.before_final[rows],
            BreakFlag.DUST: self.dust[rows],
            BreakFlag.UNKNOWN_SENDER: self.unknown_sender[rows],
            BreakFlag.OVER_REFUNDED: self.over_refunded[rows],
        }


def pair_flags(board: Board, pairs: Pairs) -> Flags:
    """Flags of the pairs of the reference pass."""
    paid, entered = board.movements.clock_us[pairs.movement], board.entries.clock_us[pairs.entry]
    paid_by = paid + board.expectations.clear_us[pairs.movement]
    entered_by = entered + board.entry_clear_us[pairs.entry]
    something = board.entered[pairs.entry] != 0
    return Flags(
        late=something
        & (((entered > paid) & (entered >= paid_by)) | ((paid > entered) & (paid >= entered_by))),
        before_final=_before_final(board)[pairs.entry],
        dust=_small_movements(board)[pairs.movement] & _small_entries(board)[pairs.entry],
        unknown_sender=np.zeros(len(pairs.movement), dtype=bool),
        over_refunded=board.expectations.over_refunded[pairs.movement],
    )


def group_flags(board: Board, left: Left, rows: LeftRows, legs: Legs) -> Flags:
    """Flags of the gathered groups."""
    moved, entered = ~left.entry, left.entry
    movement, entry = left.number[moved], left.number[entered]
    over = _spread(moved, board.expectations.over_refunded[movement])
    early = _spread(entered, _before_final(board)[entry])
    nobody = _spread(moved, PAYING[board.expectations.kind[movement]]) & (legs.account[rows.leg] == 0)
    small = _spread(moved, _small_movements(board)[movement]) | _spread(entered, _small_entries(board)[entry])
    has_movement = any_by(left.group, moved, left.groups)
    return Flags(
        late=any_by(left.group, late_rows(board, left, rows), left.groups),
        before_final=any_by(left.group, early, left.groups),
        dust=has_movement & all_by(left.group, small, left.groups),
        unknown_sender=any_by(left.group, nobody, left.groups),
        over_refunded=any_by(left.group, over, left.groups),
    )


def _spread(chosen: Mask, values: Mask) -> Mask:
    """One side's values among the rows of both sides."""
    out = np.zeros(len(chosen), dtype=bool)
    out[chosen] = values
    return out


def _before_final(board: Board) -> Mask:
    """Entries that stand against a transfer which may not be credited yet."""
    waiting = mask_of(pc.equal(board.movements.why.fill_null(""), IN_FLIGHT))
    if not waiting.any():
        return np.zeros(len(board.entered), dtype=bool)
    keys = board.movements.keys(np.flatnonzero(waiting)).unique()
    keys = keys.filter(pc.not_equal(keys, ""))
    return mask_of(pc.is_in(board.entries.came_key, value_set=keys))[board.entries.order]


def _small_movements(board: Board) -> Mask:
    """Movements below the dust limit of their policy."""
    return np.asarray(
        np.abs(board.expectations.paid) < _dust_limits(board)[board.expectations.policy], dtype=bool
    )


def _small_entries(board: Board) -> Mask:
    """Entries below the dust limit of their policy."""
    return np.asarray(np.abs(board.entered) < _dust_limits(board)[board.entry_policy], dtype=bool)


def _dust_limits(board: Board) -> Ints:
    most = 2**62 if board.units.narrow else 10**60
    factor = board.units.factor
    limits = [-(-to_scaled(policy.dust_below) // factor) for policy in board.ruleset.policies]
    return board.units.array([min(limit, most) for limit in limits])
