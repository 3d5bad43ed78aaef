"""The equation that must hold: what was paid in is credited, kept, waiting or broken (design 5.6).

What was paid and what was credited are added up from the rows as they came in; everything else from
the rows of the result. A row dropped, doubled or altered on the way makes the two sides differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InvariantError
from payhealth.matching.board import Board, Left, Pairs
from payhealth.matching.exact import Index, Ints, codes, sum_by, to_ints
from payhealth.matching.expectations import SIGNS, kinds_of
from payhealth.matching.inputs import MONEY, MatchInputs
from payhealth.matching.legs import Legs, Verdict
from payhealth.matching.output_breaks import BreakRows, OpenRows
from payhealth.matching.output_matches import MatchRows
from payhealth.matching.queries import Session
from payhealth.matching.rows import joined, mask_of

RAILS = ("card", "chain", "unassigned")
_UNASSIGNED = 2


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a run is about to return."""

    matches: MatchRows
    breaks: BreakRows
    open: OpenRows


@dataclass(frozen=True, slots=True)
class _Ledger:
    """Where each row and leg counts: the number of its (asset, rail)."""

    movement: Index
    entry: Index
    leg: Index
    group_rail: Index
    assets: list[str]

    @property
    def size(self) -> int:
        """How many (asset, rail) there are."""
        return len(self.assets) * len(RAILS)


def prove(
    inputs: MatchInputs,
    board: Board,
    pairs: Pairs,
    left: Left,
    legs: Legs,
    verdict: Verdict,
    outputs: Outputs,
    session: Session,
) -> list[dict[str, Any]]:
    """Add both sides up and return the statement.

    Returns:
        One row for each (asset, rail), amounts as decimal strings.

    Raises:
        InvariantError: the sides differ, or an id is lost, doubled or changed.
    """
    _conserve(inputs, outputs, session)
    ledger = _places(board, pairs, left, legs)
    paid_in, credited, any_row = _from_inputs(inputs, board, ledger)
    right = _from_outputs(board, ledger, legs, verdict, outputs)
    reasons = _breaks_by_reason(board, ledger, outputs)
    broken = sum(reasons.values(), board.units.zeros(ledger.size))
    off = paid_in - credited - broken - sum(right.values())
    for place in np.flatnonzero(off != 0).tolist():
        asset, rail = divmod(place, len(RAILS))
        raise InvariantError(
            f"the statement does not add up: {ledger.assets[asset]} by {RAILS[rail]} "
            f"is off by {board.units.text(off[place])}"
        )
    totals = {"paid_in": paid_in, "credited": credited, **right}
    explained = _explained(board, ledger, legs, verdict, pairs)
    return [
        _row(board, ledger, place, totals, reasons, explained) for place in np.flatnonzero(any_row).tolist()
    ]


def _conserve(inputs: MatchInputs, outputs: Outputs, session: Session) -> None:
    """Every id that came in goes out, once, unchanged."""
    tables = {"movements_in": inputs.movements.select(["id"]), "entries_in": inputs.entries.select(["id"])}
    for side, name in (("movement", "movements_out"), ("entry", "entries_out")):
        column = "movement_ids" if side == "movement" else "entry_ids"
        opened = outputs.open.table.filter(pc.equal(outputs.open.table["side"], side))["id"]
        listed = outputs.matches.table[column].chunks + outputs.breaks.table[column].chunks
        chunks = [chunk.flatten() for chunk in listed] + opened.chunks
        tables[name] = pa.table({"id": pa.chunked_array(chunks, pa.string())})
    ends: dict[tuple[str, str], tuple[int, str]] = {}
    for row in session.run("conservation", tables).to_pylist():
        ends[row["side"], row["place"]] = (row["ids"], row["digest"])
    for side in ("movements", "entries"):
        came, went = ends[side, "in"], ends[side, "out"]
        if came != went:
            raise InvariantError(f"{came[0]} ids of {side} came in, {went[0]} went out, or some were changed")


def _places(board: Board, pairs: Pairs, left: Left, legs: Legs) -> _Ledger:
    """A group's rows all count in the rail of its first movement, entries without one are unassigned."""
    (moved, entered), assets = codes([board.expectations.asset, board.entries.column("asset")])
    rail_of_group = np.full(left.groups, _UNASSIGNED, dtype=np.int64)
    movement_rows = left.movement_rows[::-1]
    rail_of_group[left.group[movement_rows]] = board.expectations.chain[left.number[movement_rows]]
    rail_m = np.full(len(moved), _UNASSIGNED, dtype=np.int64)
    rail_e = np.full(len(entered), _UNASSIGNED, dtype=np.int64)
    rail_m[pairs.movement] = rail_e[pairs.entry] = board.expectations.chain[pairs.movement]
    rail_m[left.number[~left.entry]] = rail_of_group[left.group[~left.entry]]
    rail_e[left.number[left.entry]] = rail_of_group[left.group[left.entry]]
    number = {asset: place for place, asset in enumerate(assets)}
    of_leg = np.array([number.get(asset, 0) for asset in legs.assets], dtype=np.int64)
    leg = of_leg[legs.asset] * len(RAILS) + rail_of_group[legs.group] if len(legs.asset) else legs.asset
    return _Ledger(moved * len(RAILS) + rail_m, entered * len(RAILS) + rail_e, leg, rail_of_group, assets)


def _from_inputs(inputs: MatchInputs, board: Board, ledger: _Ledger) -> tuple[Ints, Ints, Index]:
    """What was paid in and what was credited, from the rows as they came in."""
    moved, entered = board.movements.judged, board.entries.judged
    order = board.movements.order
    sign = SIGNS[kinds_of(joined(inputs.movements["kind"]))]
    paid = (sign * to_ints(inputs.movements["amount"].cast(MONEY), board.units))[order]
    foreign = mask_of(pc.not_equal(board.movements.column("asset"), board.expectations.asset))
    paid = np.where(foreign, board.expectations.paid, paid)
    entries = to_ints(inputs.entries["amount"].cast(MONEY), board.units)[board.entries.order]
    any_row = np.zeros(ledger.size, dtype=np.int64)
    any_row[ledger.movement[moved]] = any_row[ledger.entry[entered]] = 1
    return (
        sum_by(ledger.movement[moved], paid[moved], ledger.size),
        sum_by(ledger.entry[entered], entries[entered], ledger.size),
        any_row,
    )


def _from_outputs(
    board: Board, ledger: _Ledger, legs: Legs, verdict: Verdict, outputs: Outputs
) -> dict[str, Ints]:
    """Fees, tolerated residuals and what is in flight, from the rows of the result."""
    size, matches = ledger.size, outputs.matches
    placed = np.concatenate([matches.movement, outputs.breaks.movement, outputs.open.movement])
    fees = board.expectations.paid[placed] - board.expectations.expected[placed]
    tolerated = verdict.in_flight[legs.group]
    shown = (
        to_ints(matches.table["residual"], board.units) if matches.table.num_rows else board.units.zeros(0)
    )
    rail = np.concatenate([np.zeros(matches.pairs, dtype=np.int64), ledger.group_rail[matches.group]])
    number = {asset: place for place, asset in enumerate(ledger.assets)}
    asked = np.flatnonzero(shown != 0)
    asset = [number[name] for name in matches.table["asset"].take(pa.array(asked)).to_pylist()]
    at = np.array(asset, dtype=np.int64) * len(RAILS) + rail[asked]
    within = sum_by(at, shown[asked], size)
    within += sum_by(ledger.leg[tolerated], legs.broken[tolerated], size)
    within += _other_assets(ledger, legs, verdict, matches)
    flying = ~verdict.matched[legs.group]
    return {
        "fees_kept": sum_by(ledger.movement[placed], fees, size),
        "within_tolerance": within,
        "in_flight": sum_by(ledger.leg[flying], legs.in_flight[flying], size),
        "written_off": board.units.zeros(size),
    }


def _other_assets(ledger: _Ledger, legs: Legs, verdict: Verdict, matches: MatchRows) -> Ints:
    """Residuals of matches in assets other than the one that the match shows."""
    shown = np.full(len(verdict.matched), -1, dtype=np.int64)
    names = {asset: number for number, asset in enumerate(legs.assets)}
    behind = matches.table["asset"].slice(matches.pairs).to_pylist()
    shown[matches.group] = [names[name] for name in behind]
    other = verdict.matched[legs.group] & (legs.asset != shown[legs.group])
    return sum_by(ledger.leg[other], legs.residual[other], ledger.size)


def _breaks_by_reason(board: Board, ledger: _Ledger, outputs: Outputs) -> dict[str, Ints]:
    """The legs of the breaks as the result shows them, each once, by primary reason."""
    table = outputs.breaks.table
    if not table.num_rows:
        return {}
    legs = table["legs"].combine_chunks()
    owner = np.repeat(np.arange(table.num_rows), np.diff(legs.offsets.to_numpy()))
    parts = legs.flatten()
    amounts = to_ints(parts.field("residual"), board.units)
    number = {asset: place for place, asset in enumerate(ledger.assets)}
    encoded = parts.field("asset").dictionary_encode()
    asset = np.array([number[name] for name in encoded.dictionary.to_pylist()])[encoded.indices.to_numpy()]
    at = asset * len(RAILS) + ledger.group_rail[outputs.breaks.group[owner]]
    primary = table["primary_reason"].combine_chunks().dictionary_encode()
    reason = primary.indices.to_numpy()[owner]
    return {
        name: sum_by(at[reason == place], amounts[reason == place], ledger.size)
        for place, name in enumerate(primary.dictionary.to_pylist())
    }


def _explained(
    board: Board, ledger: _Ledger, legs: Legs, verdict: Verdict, pairs: Pairs
) -> list[tuple[int, int]]:
    """For each (asset, rail) the magnitudes of the break legs and of the paid-in legs."""
    broken = np.flatnonzero(verdict.broken[legs.group])
    gaps = sum_by(ledger.leg[broken], np.abs(legs.broken[broken]), ledger.size)
    paid = sum_by(ledger.leg, np.abs(legs.paid), ledger.size)
    direct = np.abs(board.expectations.paid[pairs.movement])
    paid += sum_by(ledger.movement[pairs.movement], direct, ledger.size)
    return list(zip(gaps.tolist(), paid.tolist(), strict=True))


def _row(
    board: Board,
    ledger: _Ledger,
    place: int,
    totals: Mapping[str, Ints],
    reasons: Mapping[str, Ints],
    explained: list[tuple[int, int]],
) -> dict[str, Any]:
    asset, rail = divmod(place, len(RAILS))
    amounts = {name: board.units.text(column[place]) for name, column in totals.items()}
    breaks = {
        name: board.units.text(column[place]) for name, column in sorted(reasons.items()) if column[place]
    }
    return {
        "asset": ledger.assets[asset],
        "rail": RAILS[rail],
        **amounts,
        "breaks": breaks,
        "explained": share(*explained[place]),
    }


def share(gaps: int, paid: int) -> float | None:
    """``1 - gaps / paid``, cut after twelve places, never rounded up to a whole that it is not."""
    if not paid:
        return None
    with localcontext(prec=80):
        ratio = 1 - Decimal(gaps) / Decimal(paid)
        if gaps and ratio == 1:
            ratio = Decimal("0.999999999999")
        return float(ratio.quantize(Decimal("1e-12"), ROUND_FLOOR))
