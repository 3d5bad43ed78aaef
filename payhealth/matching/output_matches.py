"""The table of matches: direct pairs first, then gathered groups, each in the order of its first row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.breaks import BreakFlag
from payhealth.matching.board import Board, Left, Pairs
from payhealth.matching.cells import Cells, first_cells
from payhealth.matching.columns import chosen_texts, hashed, lists, one, tagged
from payhealth.matching.exact import Index, Ints, to_decimals
from payhealth.matching.flags import Flags, pair_flags
from payhealth.matching.inputs import MATCHES
from payhealth.matching.legs import Legs, Verdict
from payhealth.matching.policy import SECOND_US, PassName
from payhealth.matching.queries import Session

EXACT_CONFIDENCE = 1.0
TOLERATED_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class MatchRows:
    """The matches, and whose they are inside the run.

    Args:
        table: columns of ``MATCHES``.
        movement, entry: numbers of the rows in the matches; ``movement_owner`` and ``entry_owner`` say
            in which match each stands.
        group: number of the group of each match behind the pairs.
        residual: of each match, in units.
        pairs: how many of the matches are direct pairs; they come first.
    """

    table: pa.Table
    movement: Index
    movement_owner: Index
    entry: Index
    entry_owner: Index
    group: Index
    residual: Ints
    pairs: int


def matches_of(
    board: Board, pairs: Pairs, left: Left, legs: Legs, verdict: Verdict, flags: Flags, session: Session
) -> MatchRows:
    """Put the matches into a table."""
    groups, direct = np.flatnonzero(verdict.matched), len(pairs.movement)
    owner_of_group = np.full(left.groups, -1, dtype=np.int64)
    owner_of_group[groups] = direct + np.arange(len(groups))
    owner = owner_of_group[left.group]
    moved, entered = ~left.entry & (owner >= 0), left.entry & (owner >= 0)
    movement = np.concatenate([pairs.movement, left.number[moved]])
    entry = np.concatenate([pairs.entry, left.number[entered]])
    movement_owner = np.concatenate([np.arange(direct), owner[moved]])
    entry_owner = np.concatenate([np.arange(direct), owner[entered]])
    size = direct + len(groups)
    movement_ids = board.movements.take("id", movement)
    entry_ids = board.entries.take("id", entry)
    cells = first_cells(legs, left, of_breaks=False)
    residual = np.concatenate([board.units.zeros(direct), cells.residual[groups]])
    names = _names(movement_ids, movement_owner, entry_ids, entry_owner, direct, size)
    columns = {
        "match_id": hashed(names, "m", session),
        "rule": one(PassName.REFERENCE).take(pa.array(np.zeros(size, dtype=np.int64))),
        "state": one("confirmed").take(pa.array(np.zeros(size, dtype=np.int64))),
        "confidence": pa.array(np.where(residual == 0, EXACT_CONFIDENCE, TOLERATED_CONFIDENCE), pa.float64()),
        "movement_ids": lists(movement_ids, movement_owner, size),
        "entry_ids": lists(entry_ids, entry_owner, size),
        "residual": to_decimals(residual, board.units),
        "asset": pa.concat_arrays(
            [board.expectations.asset.take(pa.array(pairs.movement)), cells.asset_names(legs, groups)]
        ),
        "reasons": _reasons(board, pairs, cells, groups, verdict, flags),
    }
    table = pa.table(columns, schema=MATCHES)
    return MatchRows(table, movement, movement_owner, entry, entry_owner, groups, residual, direct)


def _names(
    movement_ids: pa.Array,
    movement_owner: Index,
    entry_ids: pa.Array,
    entry_owner: Index,
    direct: int,
    size: int,
) -> pa.Array:
    """The texts that name the matches: by their rows alone, so that a match keeps its name in later runs."""
    paid = _joined_ids(tagged(movement_ids), movement_owner, direct, size)
    entered = _joined_ids(tagged(entry_ids), entry_owner, direct, size)
    return pc.binary_join_element_wise(paid, entered, "|")


def _joined_ids(ids: pa.Array, owner: Index, direct: int, size: int) -> pa.Array:
    """The ids of each match in one text; pairs have one on each side."""
    grouped = lists(ids.slice(direct), owner[direct:] - direct, size - direct)
    return pa.concat_arrays([ids.slice(0, direct), pc.binary_join(grouped, ",")])


def _reasons(
    board: Board, pairs: Pairs, cells: Cells, groups: Index, verdict: Verdict, flags: Flags
) -> pa.ChunkedArray:
    return pa.chunked_array(
        [_pair_reasons(board, pairs), _group_reasons(board, cells, groups, verdict, flags)],
        pa.list_(pa.string()),
    )


def _pair_reasons(board: Board, pairs: Pairs) -> pa.Array:
    apart_us = np.abs(board.entries.at_us[pairs.entry] - board.movements.clock_us[pairs.movement])
    apart = pc.binary_join_element_wise(pc.cast(pa.array(apart_us // SECOND_US), pa.string()), "s apart", " ")
    every = np.arange(len(pairs.movement))
    flags = [(one(flag), mask) for flag, mask in pair_flags(board, pairs).of(every).items()]
    return chosen_texts([(one("reference equal"), None), (apart, None), *flags], len(every))


def _group_reasons(board: Board, cells: Cells, groups: Index, verdict: Verdict, flags: Flags) -> pa.Array:
    residual = cells.residual[groups]
    two_sided = verdict.two_sided[groups]
    said = {flag: mask for flag, mask in flags.of(groups).items() if flag is not BreakFlag.UNKNOWN_SENDER}
    return chosen_texts(
        [
            (one("reference equal"), two_sided),
            (one("its legs cancel, no counterpart is owed"), ~two_sided),
            (_amounts(board, cells, groups, residual), residual != 0),
            *((one(flag), mask) for flag, mask in said.items()),
        ],
        len(groups),
    )


def _amounts(board: Board, cells: Cells, groups: Index, residual: Ints) -> pa.Array:
    """``amount +0.02 USD``: what was entered beyond (+) or below (-) the expectation."""
    texts = [""] * len(groups)
    for place in np.flatnonzero(residual != 0).tolist():
        off = -int(residual[place])
        asset = cells.names[cells.asset[groups[place]]]
        texts[place] = f"amount {'+' if off > 0 else ''}{board.units.text(off)} {asset}"
    return pa.array(texts, pa.string())
