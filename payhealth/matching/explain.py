"""Breaks in words: which field differs, by how much, and what a lone row might belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from payhealth.domain.breaks import BreakReason
from payhealth.domain.records import MovementKind
from payhealth.matching.board import Board, Left
from payhealth.matching.cells import Cells
from payhealth.matching.exact import Index
from payhealth.matching.facts import Facts
from payhealth.matching.legs import LeftRows, Legs
from payhealth.matching.near import NearMisses, moments, near_misses
from payhealth.matching.policy import SECOND_US

MOST_LEGS = 4
MOST_TEXT = 80
_UNANSWERED = {
    MovementKind.REFUND: "refunded",
    MovementKind.DISPUTE: "disputed",
    MovementKind.RETRACTION: "lost to a reorg",
}
_AMOUNT_WORDS = {
    BreakReason.DUPLICATE_CREDIT: "amount differs: the excess equals one or more of several equal entries",
    BreakReason.DUPLICATE_PAYMENT: "amount differs: the lack equals one or more of several equal payments",
    BreakReason.REVERSAL_NOT_RECREDITED: "amount differs: won back or refund failed, and not credited again",
}


@dataclass(frozen=True, slots=True)
class _Book:
    """Everything a sentence may need, and where each group's parts begin."""

    board: Board
    left: Left
    rows: LeftRows
    legs: Legs
    cells: Cells
    facts: Facts
    near: NearMisses
    texts: Mapping[str, Mapping[int, str]]
    at_us: Index
    by_group: Index
    row_start: Index
    leg_start: Index
    cell_start: Index

    def money(self, amount: int, asset: int) -> str:
        """An amount with its asset."""
        return f"{self.board.units.text(amount)} {self.legs.assets[asset]}"

    def account(self, number: int) -> str:
        """An account in words."""
        return f"account {_short(self.legs.accounts[number])}" if number else "no account"

    def rows_of(self, group: int) -> list[int]:
        """Places of a group's rows."""
        return [int(row) for row in self.by_group[self.row_start[group] : self.row_start[group + 1]]]

    def row_id(self, place: int) -> str:
        """The id of a row."""
        return _short(self.texts["id"][place])


def explanations(
    board: Board,
    left: Left,
    rows: LeftRows,
    legs: Legs,
    cells: Cells,
    facts: Facts,
    groups: Index,
    primary: Sequence[str],
) -> list[str]:
    """One text a broken group.

    Args:
        groups: the broken groups, in the order of the texts.
        primary: the primary reason of each.
    """
    if not len(groups):
        return []
    starts = [np.searchsorted(column, np.arange(left.groups + 1)) for column in (legs.group, facts.group)]
    by_group = np.argsort(left.group, kind="stable")
    row_start = np.searchsorted(left.group[by_group], np.arange(left.groups + 1))
    near = near_misses(board, left, rows, legs)
    book = _Book(
        board, left, rows, legs, cells, facts, near, _texts(board, left, near, groups), moments(board, left),
        by_group, row_start, *starts,
    )  # fmt: skip
    return [_explain(book, int(group), reason) for group, reason in zip(groups, primary, strict=True)]


def _texts(board: Board, left: Left, near: NearMisses, groups: Index) -> dict[str, dict[int, str]]:
    """Ids, kinds and references of the rows of some groups and of their near-misses, by place."""
    broken = np.zeros(left.groups, dtype=bool)
    broken[groups] = True
    wanted = broken[left.group]
    for found in (near.same_amount, near.close_amount, near.same_letters):
        others = found[wanted]
        wanted[others[others >= 0]] = True
    texts: dict[str, dict[int, str]] = {"id": {}, "kind": {}, "reference": {}}
    for side, places in (
        (board.movements, np.flatnonzero(wanted & ~left.entry)),
        (board.entries, np.flatnonzero(wanted & left.entry)),
    ):
        numbers = left.number[places]
        columns = {
            "id": side.take("id", numbers),
            "kind": side.take("kind", numbers),
            "reference": side.references(numbers),
        }
        for name, column in columns.items():
            texts[name].update(zip(places.tolist(), column.to_pylist(), strict=True))
    return texts


def _explain(book: _Book, group: int, reason: str) -> str:
    rows = book.rows_of(group)
    parts = [_lead(book, group, rows, BreakReason(reason))]
    parts += _legs(book, group)
    if len(rows) == 1:
        parts += _near(book, rows[0])
    return "; ".join(part for part in parts if part)


def _lead(book: _Book, group: int, rows: Sequence[int], reason: BreakReason) -> str:
    if reason in (BreakReason.PAID_NOT_CREDITED, BreakReason.CREDITED_NOT_PAID):
        missing = "entry" if reason is BreakReason.PAID_NOT_CREDITED else "payment"
        return f"no {missing} answers {_named(book, rows)}{_reference(book, rows[0])}"
    if reason is BreakReason.WRONG_ACCOUNT:
        return _crossed(book, group)
    if reason is BreakReason.WRONG_ASSET:
        return _assets(book, group)
    unanswered = _unanswered(book, group)
    if unanswered:
        return f"amount differs: {' and '.join(unanswered)} without a negative entry"
    if reason is BreakReason.CLAWED_BACK_NOT_REFUNDED:
        return f"amount differs: taken back without a refund by {_named(book, rows)}"
    return _AMOUNT_WORDS.get(reason, "amount differs")


def _named(book: _Book, rows: Sequence[int]) -> str:
    """The rows in words: one by its kind and id, several by their number and the first id."""
    place = rows[0]
    if len(rows) > 1:
        return f"{len(rows)} rows ({book.row_id(place)} the first)"
    kind = book.texts["kind"][place]
    return f"{'entry' if book.left.entry[place] else kind} {book.row_id(place)}"


def _reference(book: _Book, place: int) -> str:
    reference = book.texts["reference"][place]
    return f" (reference {_short(reference)})" if reference else " (it carries no reference)"


def _legs(book: _Book, group: int) -> list[str]:
    legs, units = book.legs, book.board.units
    broken = [leg for leg in range(book.leg_start[group], book.leg_start[group + 1]) if legs.broken[leg] != 0]
    parts = []
    for leg in broken[:MOST_LEGS]:
        asset, off = int(legs.asset[leg]), int(legs.broken[leg])
        fee = f" after fees on {units.text(legs.paid[leg])}" if legs.paid[leg] != legs.expected[leg] else ""
        waiting = int(legs.in_flight[leg])
        later = f", {book.money(abs(waiting), asset)} more may still clear" if waiting else ""
        parts.append(
            f"{book.account(int(legs.account[leg]))}: expected {book.money(legs.expected[leg], asset)}{fee}, "
            f"entered {book.money(legs.entered[leg], asset)}, "
            f"{book.money(abs(off), asset)} too {'little' if off > 0 else 'much'}{later}"
        )
    if len(broken) > MOST_LEGS:
        parts.append(f"and {len(broken) - MOST_LEGS} more legs")
    return parts


def _crossed(book: _Book, group: int) -> str:
    legs = book.legs
    span = range(book.leg_start[group], book.leg_start[group + 1])
    short = [book.account(int(legs.account[leg])) for leg in span if legs.residual[leg] > 0]
    over = [book.account(int(legs.account[leg])) for leg in span if legs.residual[leg] < 0]
    return f"account differs: expected on {', '.join(short[:3])}, entered on {', '.join(over[:3])}"


def _assets(book: _Book, group: int) -> str:
    legs = book.legs
    span = range(book.leg_start[group], book.leg_start[group + 1])
    paid = sorted({legs.assets[legs.asset[leg]] for leg in span if legs.moved[leg]})
    entered = sorted({legs.assets[legs.asset[leg]] for leg in span if not legs.moved[leg]} - set(paid))
    return f"asset differs: paid in {', '.join(paid[:3])}, entered in {', '.join(entered[:3])}"


def _unanswered(book: _Book, group: int) -> list[str]:
    parts = []
    for cell in range(book.cell_start[group], book.cell_start[group + 1]):
        asset = int(book.legs.asset[np.searchsorted(book.legs.cell, cell)])
        if book.facts.broken[cell] < 0:
            for kind, word in _UNANSWERED.items():
                amount = int(book.facts.unanswered[kind][cell])
                if amount:
                    parts.append(f"{book.money(amount, asset)} {word}")
    return parts


def _near(book: _Book, place: int) -> list[str]:
    """What a lone row might belong to."""
    parts = []
    other = int(book.near.same_letters[place])
    if other >= 0:
        parts.append(f"{_other(book, other)} carries the reference in other upper and lower case")
    other = int(book.near.same_amount[place])
    if other >= 0:
        where = _place_in_words(book, place, other)
        parts.append(
            f"{_other(book, other)} of the same amount exists on {where}, {_apart(book, place, other)}"
        )
        return parts
    other = int(book.near.close_amount[place])
    if other >= 0:
        gap = abs(_value(book, place) - _value(book, other))
        asset = int(book.legs.asset[book.rows.leg[place]])
        where = f"{_other(book, other)}, {_apart(book, place, other)}"
        parts.append(f"{where}, would match under tolerance {book.money(gap, asset)}")
    return parts


def _value(book: _Book, place: int) -> int:
    due = int(book.rows.due[place])
    return -due if book.left.entry[place] else due


def _other(book: _Book, place: int) -> str:
    return f"{'an entry' if book.left.entry[place] else 'a payment'} ({book.row_id(place)})"


def _place_in_words(book: _Book, place: int, other: int) -> str:
    here, there = (int(book.legs.account[book.rows.leg[row]]) for row in (place, other))
    return "the same account" if here == there else book.account(there)


def _apart(book: _Book, place: int, other: int) -> str:
    gap_us = int(book.at_us[other] - book.at_us[place])
    return f"{abs(gap_us) // SECOND_US} s {'later' if gap_us >= 0 else 'earlier'}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
