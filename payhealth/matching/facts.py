"""What is known of each part of a broken group, for the reason rules to decide on.

A cell is the part of a group in one asset, over all accounts. Every column holds one value a cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from payhealth.domain.assets import chain_of, without_chain
from payhealth.domain.records import UNDOING, MovementKind
from payhealth.matching.board import Board, Left
from payhealth.matching.exact import Index, Ints, Mask, any_by, sum_by
from payhealth.matching.expectations import KINDS, PAYING, UNDOES
from payhealth.matching.legs import LeftRows, Legs
from payhealth.matching.undoing import Claim, Held, hold_against


@dataclass(frozen=True, slots=True)
class Facts:
    """The cells of the groups that are breaks.

    Args:
        group: number of the cell's group.
        broken: B, summed over the accounts.
        cancels: what is owed on one account stands on another.
        torn: what is broken cancels over the accounts of every asset of the group, each of them paid in.
        has_movements: the group has movements, in any asset; ``has_entries`` likewise.
        credited: its positive entries.
        undone: what its reversals take back.
        clawed: the magnitude of its negative entries.
        unanswered: reversals past their time to clear without their negative entry, by kind.
        again: what must be credited again and was not.
        unpaid_asset: entries in an asset in which the group has no movement.
        other_chain: and that asset differs from a paid one in its chain alone.
        equal_credits: -B is one or more of several equal positive entries.
        equal_payments: B is the expectation of one or more of several equal payments.
    """

    group: Index
    broken: Ints
    cancels: Mask
    torn: Mask
    has_movements: Mask
    has_entries: Mask
    has_payments: Mask
    credited: Ints
    undone: Ints
    clawed: Ints
    unanswered: Mapping[MovementKind, Ints]
    again: Ints
    unpaid_asset: Mask
    other_chain: Mask
    equal_credits: Mask
    equal_payments: Mask

    def where(self, chosen: Mask) -> Facts:
        """The facts of some cells."""
        parts: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Mapping):
                parts[each.name] = {kind: amounts[chosen] for kind, amounts in value.items()}
            else:
                parts[each.name] = value[chosen]
        return Facts(**parts)

    @property
    def all_unanswered(self) -> Ints:
        """What is unanswered of all kinds together."""
        kinds = list(self.unanswered.values())
        return sum(kinds[1:], kinds[0])


@dataclass(frozen=True, slots=True)
class _Rows:
    """The left rows by their cell."""

    board: Board
    left: Left
    rows: LeftRows
    cell: Index
    kind: Index
    cells: int

    def total(self, chosen: Mask) -> Ints:
        """The sum of what the chosen rows bring, by cell."""
        return sum_by(self.cell[chosen], self.rows.due[chosen], self.cells)

    @property
    def paying(self) -> Mask:
        """Payments."""
        return np.asarray(~self.left.entry & PAYING[self.kind], dtype=bool)

    @property
    def positive(self) -> Mask:
        """Entries that credit."""
        return self.left.entry & (self.rows.due < 0)

    @property
    def negative(self) -> Mask:
        """Entries that claw back."""
        return self.left.entry & (self.rows.due > 0)


def facts_of(board: Board, left: Left, rows: LeftRows, legs: Legs, broken: Mask) -> Facts:
    """Collect the facts of every cell of the groups marked as broken.

    Returns:
        Columns by cell number; cells of other groups hold facts that nobody asks for.
    """
    kind = np.zeros(len(left.number), dtype=np.int64)
    kind[~left.entry] = board.expectations.kind[left.number[~left.entry]]
    every = _Rows(board, left, rows, legs.cell[rows.leg], kind, legs.cells)
    group, asset = np.zeros(legs.cells, dtype=np.int64), np.zeros(legs.cells, dtype=np.int64)
    group[legs.cell], asset[legs.cell] = legs.group, legs.asset
    total = sum_by(legs.cell, legs.broken, legs.cells)
    unanswered, again = _reversals(every, broken[group])
    unpaid, other = _unpaid_assets(every, group, asset, legs.assets)
    return Facts(
        group=group,
        broken=total,
        cancels=_cancels(legs),
        torn=~any_by(group, (total != 0) | unpaid, left.groups)[group],
        has_movements=any_by(left.group, ~left.entry, left.groups)[group],
        has_entries=any_by(left.group, left.entry, left.groups)[group],
        has_payments=any_by(every.cell, every.paying, legs.cells),
        credited=-every.total(every.positive),
        undone=-every.total(~left.entry & UNDOES[kind]),
        clawed=every.total(every.negative),
        unanswered=unanswered,
        again=again,
        unpaid_asset=unpaid,
        other_chain=other,
        equal_credits=_several_equal(every, every.positive, -rows.due, -total),
        equal_payments=_several_equal(every, every.paying, rows.due, total),
    )


def _cancels(legs: Legs) -> Mask:
    """Residuals on several accounts whose sum is zero."""
    residual = sum_by(legs.cell, legs.residual, legs.cells)
    return np.asarray(any_by(legs.cell, legs.residual != 0, legs.cells) & (residual == 0), dtype=bool)


def _several_equal(every: _Rows, chosen: Mask, amounts: Ints, target: Ints) -> Mask:
    """Whether the target is one or more of several equal rows of the cell (all of them too)."""
    rows = np.flatnonzero(chosen & (amounts > 0) & (target[every.cell] > 0))
    found = np.zeros(every.cells, dtype=bool)
    if not rows.size:
        return found
    cell, amount, paid = every.cell[rows], amounts[rows], every.rows.paid[rows]
    order = np.lexsort((paid, amount, cell))
    cell, amount, paid = cell[order], amount[order], paid[order]
    changes = (cell[1:] != cell[:-1]) | (amount[1:] != amount[:-1]) | (paid[1:] != paid[:-1])
    starts = np.flatnonzero(np.r_[True, changes])
    counts = np.diff(np.r_[starts, len(cell)])
    cell, amount = cell[starts], amount[starts]
    times, rest = target[cell] // amount, target[cell] % amount
    several = (counts > 1) & (rest == 0) & (times <= counts)
    found[cell[several]] = True
    return found


def _unpaid_assets(every: _Rows, group: Index, asset: Index, names: list[str]) -> tuple[Mask, Mask]:
    """Cells with entries alone in groups that were paid in something else."""
    moved = any_by(every.cell, ~every.left.entry, every.cells)
    paid_group = any_by(group, moved, int(group.max(initial=-1)) + 1)
    unpaid = ~moved & paid_group[group]
    other = np.zeros(every.cells, dtype=bool)
    for cell in np.flatnonzero(unpaid).tolist():
        here = names[asset[cell]]
        low, high = np.searchsorted(group, [group[cell], group[cell] + 1])
        paid = [names[asset[place]] for place in range(low, high) if moved[place]]
        other[cell] = any(_differs_in_chain(here, there) for there in paid)
    return unpaid, other


def _differs_in_chain(here: str, there: str) -> bool:
    token = without_chain(here)
    return token is not None and token == without_chain(there) and chain_of(here) != chain_of(there)


def _reversals(every: _Rows, broken_cell: Mask) -> tuple[dict[MovementKind, Ints], Ints]:
    """Hold the movements of each broken cell that something was undone in against its entries."""
    units = every.board.units
    unanswered = {kind: units.zeros(every.cells) for kind in KINDS if kind in UNDOING}
    again = units.zeros(every.cells)
    reversing = ~every.left.entry & ~PAYING[every.kind]
    wanted = any_by(every.cell, reversing, every.cells) & broken_cell
    rows = np.flatnonzero(wanted[every.cell])
    rows = rows[np.argsort(every.cell[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(every.cell[rows])) + 1
    for part in np.split(rows, starts) if rows.size else []:
        held = _held(every, part)
        cell = every.cell[part[0]]
        again[cell] = held.again
        for kind, amount in held.unanswered.items():
            unanswered[kind][cell] = amount
    return unanswered, again


def _held(every: _Rows, part: Index) -> Held:
    """One cell's movements against its entries; rows of each side are in order of time."""
    claims: list[Claim] = []
    clawed: list[int] = []
    credited: list[int] = []
    for row in part.tolist():
        due = int(every.rows.due[row])
        if not every.left.entry[row]:
            claims.append(Claim(KINDS[every.kind[row]], abs(due), bool(every.rows.waits[row])))
        elif due > 0:
            clawed.append(due)
        else:
            credited.append(-due)
    return hold_against(claims, clawed, credited)
