"""Groups cut into legs, and what each leg owes: residual, in flight, broken (design 5.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from payhealth.domain.money import UNIT, to_scaled
from payhealth.matching.board import Board, Left
from payhealth.matching.exact import Index, Ints, Mask, all_by, any_by, max_by, min_by, sum_by
from payhealth.matching.policy import Rule
from payhealth.matching.rows import code_both


@dataclass(frozen=True, slots=True)
class LeftRows:
    """The left rows with what they bring to their legs; every column by the row's place.

    Args:
        due: what the row adds to its leg's residual: the expectation of a movement, minus an entry's amount.
        paid: a movement's signed amount before fees, 0 for an entry.
        waits: not yet past its time to clear.
        leg: number of its leg.
        own_account: number of the account it carries, 0 for none.
    """

    due: Ints
    paid: Ints
    waits: Mask
    leg: Index
    own_account: Index


@dataclass(frozen=True, slots=True)
class Legs:
    """The parts of groups on one account and asset, ordered by (group, asset, account).

    Args:
        residual: expected less entered (R).
        in_flight: the part of it that may still clear.
        broken: what is left (B).
        moved: whether a movement stands on it.
        cell: number of its (group, asset).
    """

    group: Index
    asset: Index
    account: Index
    paid: Ints
    expected: Ints
    entered: Ints
    residual: Ints
    in_flight: Ints
    broken: Ints
    moved: Mask
    cell: Index
    cells: int
    assets: list[str]
    accounts: list[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of each group: exactly one of the three is true."""

    matched: Mask
    in_flight: Mask
    broken: Mask
    two_sided: Mask


def cut(board: Board, left: Left) -> tuple[LeftRows, Legs]:
    """Cut the groups into legs by (account, asset) and add each leg up."""
    movement, entry = left.number[~left.entry], left.number[left.entry]
    expectations = board.expectations
    expected, amount = expectations.expected[movement], board.entered[entry]
    due = np.concatenate([expected, -amount])
    paid = np.concatenate([expectations.paid[movement], board.units.zeros(len(entry))])
    waits = np.concatenate([board.movement_waits[movement], board.entry_waits[entry]])
    asset, assets = _codes(expectations.asset.take(pa.array(movement)), board.entries.take("asset", entry))
    own, accounts = _codes(board.movements.take("account", movement), board.entries.take("account", entry))
    account = _joined_accounts(left, own)
    place = (left.group * max(len(assets), 1) + asset) * max(len(accounts), 1) + account
    distinct, leg = np.unique(place, return_inverse=True)
    rows = LeftRows(due, paid, waits, leg.astype(np.int64), own)
    return rows, _add_up(rows, left, distinct, assets, accounts)


def _codes(left: pa.Array, right: pa.Array) -> tuple[Index, list[str]]:
    """Number the texts of both sides' rows; the empty text is always number 0."""
    lefts, rights, names = code_both(pa.concat_arrays([pa.array([""]), left]), right)
    return np.concatenate([lefts[1:], rights]), names


def _joined_accounts(left: Left, own: Index) -> Index:
    """An empty account joins the group's only account."""
    named = own != 0
    lowest = min_by(left.group[named], own[named], left.groups, np.iinfo(np.int64).max)
    highest = max_by(left.group[named], own[named], left.groups, 0)
    only = np.where(lowest == highest, highest, 0)
    return np.where(named, own, only[left.group])


def _add_up(rows: LeftRows, left: Left, place: Index, assets: list[str], accounts: list[str]) -> Legs:
    size = len(place)
    rest, account = np.divmod(place, max(len(accounts), 1))
    group, asset = np.divmod(rest, max(len(assets), 1))
    moved = np.flatnonzero(~left.entry)
    entered_rows = np.flatnonzero(left.entry)
    expected = sum_by(rows.leg[moved], rows.due[moved], size)
    entered = -sum_by(rows.leg[entered_rows], rows.due[entered_rows], size)
    residual = expected - entered
    waiting = sum_by(rows.leg[rows.waits], rows.due[rows.waits], size)
    in_flight = _in_flight(residual, waiting)
    _, cell = np.unique(rest, return_inverse=True)
    return Legs(
        group=group,
        asset=asset,
        account=account,
        paid=sum_by(rows.leg[moved], rows.paid[moved], size),
        expected=expected,
        entered=entered,
        residual=residual,
        in_flight=in_flight,
        broken=residual - in_flight,
        moved=any_by(rows.leg, ~left.entry, size),
        cell=cell.astype(np.int64),
        cells=int(cell.max(initial=-1)) + 1,
        assets=assets,
        accounts=accounts,
    )


def _in_flight(residual: Ints, waiting: Ints) -> Ints:
    """``sign(R) * min(|R|, |N|)`` where R and N have the same sign, else 0."""
    both_up = (residual > 0) & (waiting > 0)
    both_down = (residual < 0) & (waiting < 0)
    nothing = np.zeros(len(residual), dtype=residual.dtype)
    upward = np.where(both_up, np.minimum(residual, waiting), nothing)
    return np.where(both_down, np.maximum(residual, waiting), upward)


def judge(board: Board, left: Left, legs: Legs, rule: Rule) -> Verdict:
    """Decide each group: a match, waiting, or a break.

    Tolerance is for the whole residual of groups with rows on both sides: on one side nothing stands
    against the rows, and a part that is broken while another is in flight is a break however small.
    """
    has_movement = any_by(left.group, ~left.entry, left.groups)
    two_sided = has_movement & any_by(left.group, left.entry, left.groups)
    limit = _limits(board, legs, rule)
    limit[~two_sided[legs.group]] = 0
    matched = all_by(legs.group, np.abs(legs.residual) <= limit, left.groups)
    quiet = all_by(legs.group, legs.broken == 0, left.groups)
    return Verdict(matched, quiet & ~matched, ~quiet & ~matched, two_sided)


def _limits(board: Board, legs: Legs, rule: Rule) -> Ints:
    """What the rule tolerates on each leg: the wider of its two bounds, inclusive."""
    most = 2**62 if board.units.narrow else 10**60
    absolute = min(board.units.floor(rule.absolute), most)
    limit = np.full(len(legs.group), absolute, dtype=legs.residual.dtype)
    if not rule.relative:
        return limit
    larger = np.maximum(np.abs(legs.expected), np.abs(legs.entered)).tolist()
    scaled = to_scaled(rule.relative)
    return board.units.array([min(most, max(absolute, scaled * amount // UNIT)) for amount in larger])
