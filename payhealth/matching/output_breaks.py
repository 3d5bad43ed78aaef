"""The table of breaks, and the open rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.breaks import BreakFlag, BreakReason
from payhealth.matching.board import Board, Left
from payhealth.matching.cells import first_cells
from payhealth.matching.columns import chosen_texts, hashed, lists, one
from payhealth.matching.exact import Index, Mask, any_by, max_by, min_by, to_decimals
from payhealth.matching.explain import explanations
from payhealth.matching.facts import Facts, facts_of
from payhealth.matching.flags import Flags
from payhealth.matching.inputs import BREAKS, LEG, MOMENT, OPEN
from payhealth.matching.legs import LeftRows, Legs, Verdict
from payhealth.matching.queries import Session
from payhealth.matching.reasons import Named, ReasonRule, name_groups
from payhealth.matching.rows import IN_FLIGHT, Side


@dataclass(frozen=True, slots=True)
class BreakRows:
    """The breaks, and whose they are inside the run.

    Args:
        table: columns of ``BREAKS``, by (effective_at, break_id).
        group: number of the group of each break.
        movement, entry: numbers of the rows that stand in breaks.
    """

    table: pa.Table
    group: Index
    movement: Index
    entry: Index


def breaks_of(
    board: Board,
    left: Left,
    rows: LeftRows,
    legs: Legs,
    verdict: Verdict,
    flags: Flags,
    rules: Sequence[ReasonRule],
    session: Session,
) -> BreakRows:
    """Name the broken groups, explain them and put them into a table."""
    facts = facts_of(board, left, rows, legs, verdict.broken)
    named = name_groups(_only(facts, verdict.broken), left.groups, rules)
    cells = first_cells(legs, left, of_breaks=True)
    groups = np.flatnonzero(verdict.broken)
    ids = hashed(_break_texts(board, left, groups), "b", session)
    at_us = max_by(left.group, _moments(board, left), left.groups, np.iinfo(np.int64).min)[groups]
    order = pc.sort_indices(
        pa.table({"at": at_us, "id": ids}), [("at", "ascending"), ("id", "ascending")]
    ).to_numpy()
    groups = groups[order]
    primary = pa.array([str(rule.reason) for rule in rules], pa.string()).take(
        pa.array(named.primary[groups])
    )
    movement_ids, entry_ids, movement, entry = _ids(board, left, groups)
    texts = explanations(board, left, rows, legs, cells, facts, groups, primary.to_pylist())
    columns = {
        "break_id": ids.take(pa.array(order)),
        "primary_reason": primary,
        "reasons": _reasons(named, rules, facts, flags, groups, primary),
        "movement_ids": movement_ids,
        "entry_ids": entry_ids,
        "amount": to_decimals(cells.broken[groups], board.units),
        "at_risk": to_decimals(cells.at_risk[groups], board.units),
        "asset": cells.asset_names(legs, groups),
        "legs": _legs(board, legs, groups, left.groups),
        "effective_at": pa.array(at_us[order], pa.int64()).cast(MOMENT),
        "explanation": pa.array(texts, pa.string()),
    }
    return BreakRows(pa.table(columns, schema=BREAKS), groups, movement, entry)


def _only(facts: Facts, broken: Mask) -> Facts:
    """The facts of the cells of broken groups."""
    return facts.where(broken[facts.group])


def _moments(board: Board, left: Left) -> Index:
    moved = left.number[~left.entry]
    return np.concatenate([board.movements.at_us[moved], board.entries.at_us[left.number[left.entry]]])


def _break_texts(board: Board, left: Left, groups: Index) -> pa.Array:
    """What a break is named by: the payment key of its group, or the id of a row that stands alone."""
    place = np.arange(len(left.number))
    first_entry = min_by(left.group[left.entry], place[left.entry], left.groups, -1)[groups]
    first_movement = min_by(left.group[~left.entry], place[~left.entry], left.groups, -1)[groups]
    has_movement = first_movement >= 0
    side_row = np.where(has_movement, left.number[first_movement], left.number[first_entry])
    texts = pa.array([""] * len(groups), pa.string())
    for side, chosen, name in (
        (board.movements, has_movement, "movement"),
        (board.entries, ~has_movement, "entry"),
    ):
        rows = np.where(chosen, side_row, 0)
        if not chosen.any():
            continue
        key, reference = side.keys(rows), side.references(rows)
        named = pc.if_else(pc.equal(reference, ""), key, reference)
        by_key = pc.binary_join_element_wise("key", named, ":")
        by_id = pc.binary_join_element_wise(name, side.take("id", rows), ":")
        text = pc.if_else(pc.equal(key, ""), by_id, by_key)
        texts = pc.if_else(pa.array(chosen), text, texts)
    return texts


def _ids(board: Board, left: Left, groups: Index) -> tuple[pa.Array, pa.Array, Index, Index]:
    owner = np.full(left.groups, -1, dtype=np.int64)
    owner[groups] = np.arange(len(groups))
    of_row = owner[left.group]
    moved, entered = ~left.entry & (of_row >= 0), left.entry & (of_row >= 0)
    movement, entry = left.number[moved], left.number[entered]
    movement_ids = lists(board.movements.take("id", movement), of_row[moved], len(groups))
    entry_ids = lists(board.entries.take("id", entry), of_row[entered], len(groups))
    return movement_ids, entry_ids, movement, entry


def _reasons(
    named: Named,
    rules: Sequence[ReasonRule],
    facts: Facts,
    flags: Flags,
    groups: Index,
    primary: pa.Array,
) -> pa.Array:
    said = flags.of(groups)
    uncredited = [
        named.applies[number]
        for number, rule in enumerate(rules)
        if rule.reason is BreakReason.PAID_NOT_CREDITED
    ]
    said[BreakFlag.UNKNOWN_SENDER] &= np.any([mask[groups] for mask in uncredited], axis=0)
    other_chain = any_by(facts.group, facts.other_chain, len(flags.late))[groups]
    columns: list[tuple[pa.Array, Mask | None]] = [(primary, None)]
    for number, rule in enumerate(rules):
        columns.append((one(rule.reason), (named.applies[number] & (named.primary != number))[groups]))
    columns += [(one(flag), mask) for flag, mask in {BreakFlag.WRONG_CHAIN: other_chain, **said}.items()]
    return chosen_texts(columns, len(groups))


def _legs(board: Board, legs: Legs, groups: Index, size: int) -> pa.Array:
    owner = np.full(size, -1, dtype=np.int64)
    owner[groups] = np.arange(len(groups))
    of_leg = owner[legs.group]
    chosen = np.flatnonzero(of_leg >= 0)
    accounts, assets = pa.array(legs.accounts, pa.string()), pa.array(legs.assets, pa.string())
    parts = pa.StructArray.from_arrays(
        [
            accounts.take(pa.array(legs.account[chosen])),
            assets.take(pa.array(legs.asset[chosen])),
            to_decimals(legs.broken[chosen], board.units),
        ],
        fields=list(LEG),
    )
    return lists(parts, of_leg[chosen], len(groups))


@dataclass(frozen=True, slots=True)
class OpenRows:
    """The open rows (columns of ``OPEN``), and the numbers of those that may still clear."""

    table: pa.Table
    movement: Index
    entry: Index


def open_of(board: Board, left: Left, verdict: Verdict) -> OpenRows:
    """Rows that are not judged, or whose time to clear is not over."""
    waiting = verdict.in_flight[left.group]
    movement, entry = left.number[waiting & ~left.entry], left.number[waiting & left.entry]
    table = pa.concat_tables(
        [_open(board.movements, movement, "movement"), _open(board.entries, entry, "entry")]
    ).combine_chunks()
    return OpenRows(table, movement, entry)


def _open(side: Side, waiting: Index, name: str) -> pa.Table:
    still = np.zeros(side.size, dtype=bool)
    still[waiting] = True
    why = pc.if_else(pa.array(still), IN_FLIGHT, side.why)
    rows = np.flatnonzero(~side.judged | still)
    names = one(name).take(pa.array(np.zeros(len(rows), dtype=np.int64)))
    return pa.table(
        {"id": side.take("id", rows), "side": names, "why": why.take(pa.array(rows))}, schema=OPEN
    )
