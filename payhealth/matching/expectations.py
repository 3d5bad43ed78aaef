"""What each movement should become in the ledger: policy, value, fee, and what was undone of it.

Fees run on the distinct amounts of a policy, in exact whole numbers, and are joined back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.domain.money import to_scaled
from payhealth.domain.records import EXPECTING, REDOING, UNDOING, MovementKind
from payhealth.matching.exact import Index, Ints, Mask, Units
from payhealth.matching.fees import crediting, round_to
from payhealth.matching.policies import policies_of, times_to_clear_us
from payhealth.matching.policy import Policy, Rounding, Ruleset
from payhealth.matching.queries import Session
from payhealth.matching.rates import value_of
from payhealth.matching.rows import Side, joined, mask_of

KINDS: Final = tuple(kind for kind in MovementKind if kind in EXPECTING)
"""Movement kinds by their number."""
PAYING: Final = np.array([kind not in UNDOING and kind not in REDOING for kind in KINDS])
UNDOES: Final = np.array([kind in UNDOING for kind in KINDS])
SIGNS: Final = np.array([-1 if kind in UNDOING else 1 for kind in KINDS], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Expectations:
    """One line for each movement, by its number.

    Args:
        kind: number in ``KINDS``.
        policy: number of its policy.
        asset: what its credit is counted in.
        paid: signed, before fees, in that asset.
        expected: the signed entry that it should cause.
        chain: whether it counts in the rail ``chain``.
        clear_us: its time to clear.
        unpriced: it could not be valued.
        over_refunded: more was undone of its payment than was paid.
    """

    kind: Index
    policy: Index
    asset: pa.Array
    paid: Ints
    expected: Ints
    chain: Mask
    clear_us: Index
    unpriced: Mask
    over_refunded: Mask


@dataclass(frozen=True, slots=True)
class _Valued:
    """Unsigned amounts, what they are worth in the policy's asset, and the credit for them."""

    amount: Ints
    value: Ints
    credit: Ints
    unpriced: Mask


@dataclass(frozen=True, slots=True)
class _Undone:
    """The columns that reversals are written into."""

    kind: Index
    paid: Ints
    expected: Ints
    unpriced: Mask
    over_refunded: Mask


def expect(
    movements: Side, ruleset: Ruleset, rates: pa.Table | None, units: Units, session: Session
) -> Expectations:
    """Work out the expectation of every movement.

    Raises:
        OverflowError: an expectation does not fit into narrow units.
    """
    kind = kinds_of(movements.column("kind"))
    policy = policies_of(movements, ruleset, entries=False)
    chain = mask_of(pc.equal(movements.column("rail"), "chain"))
    cells = _reversal_cells(movements, kind, session)
    unpriced = np.zeros(len(kind), dtype=bool)
    if cells:
        unpriced = _unpriced(movements, policy, ruleset, rates, units)
    for rows in cells:
        paying = rows[PAYING[kind[rows]]]
        if paying.size:
            first = (paying[~unpriced[paying]] if not unpriced[paying].all() else paying)[0]
            undoing = rows[~PAYING[kind[rows]]]
            policy[undoing], chain[undoing] = policy[first], chain[first]
    asset = _assets(movements, policy, ruleset)
    valued = _value(movements, policy, asset, ruleset, rates, units)
    paid, expected = SIGNS[kind] * valued.value, SIGNS[kind] * valued.credit
    over, unpriced = np.zeros(len(kind), dtype=bool), valued.unpriced.copy()
    codes = _numbers(asset) if cells else policy
    for rows in cells:
        _undo(rows, codes, valued, _Undone(kind, paid, expected, unpriced, over), ruleset, policy, units)
    _refuse_overflow(units, paid, expected)
    clear_us = times_to_clear_us(policy, ruleset)
    return Expectations(kind, policy, asset, paid, expected, chain, clear_us, unpriced, over)


def kinds_of(column: pa.Array) -> Index:
    """The number of each movement's kind.

    Raises:
        InputError: a kind that expects no entry.
    """
    encoded = column.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    known = {str(kind): number for number, kind in enumerate(KINDS)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"not a kind of movement that can be reconciled: {unknown[0]!r}")
    numbers = np.array([known[name] for name in names], dtype=np.int64)
    return (
        numbers[encoded.indices.to_numpy(zero_copy_only=False)] if len(names) else np.zeros(0, dtype=np.int64)
    )


def _reversal_cells(movements: Side, kind: Index, session: Session) -> list[Index]:
    """The visible movements of each (reference, asset) that something was undone on, in total order."""
    undoing = ~PAYING[kind]
    if not undoing.any():
        return []
    numbers, visible = movements.came(movements.visible)
    table = pa.table(
        {
            "row_no": numbers,
            "ref": movements.came_reference.filter(visible),
            "asset": joined(movements.table["asset"]).filter(visible),
            "undoes": undoing[numbers],
        }
    )
    found = session.run("reversals", {"movement_rows": table})
    cells = found["cell_no"].to_numpy()
    starts = np.flatnonzero(cells[1:] != cells[:-1]) + 1
    return np.split(found["row_no"].to_numpy(), starts) if len(cells) else []


def _unpriced(movements: Side, policy: Index, ruleset: Ruleset, rates: pa.Table | None, units: Units) -> Mask:
    """Movements without a price under their own policy."""
    asset = _assets(movements, policy, ruleset)
    if not mask_of(pc.not_equal(movements.column("asset"), asset)).any():
        return np.zeros(len(policy), dtype=bool)
    return value_of(movements, asset, rates, units)[1]


def _numbers(column: pa.Array) -> Index:
    return np.asarray(column.dictionary_encode().indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _assets(movements: Side, policy: Index, ruleset: Ruleset) -> pa.Array:
    own = movements.column("asset")
    if all(each.asset is None for each in ruleset.policies):
        return own
    wanted = pa.array([each.asset for each in ruleset.policies], pa.string()).take(pa.array(policy))
    return pc.coalesce(wanted, own)


def _value(
    movements: Side, policy: Index, asset: pa.Array, ruleset: Ruleset, rates: pa.Table | None, units: Units
) -> _Valued:
    amount = movements.amounts(units)
    own = movements.column("asset")
    foreign = mask_of(pc.not_equal(own, asset))
    value, unpriced = amount, np.zeros(len(amount), dtype=bool)
    if foreign.any():
        value, unpriced = value_of(movements, asset, rates, units)
    credited = value.copy()
    for number, each in enumerate(ruleset.policies):
        rows = np.flatnonzero(policy == number)
        if rows.size and not each.identity:
            credited[rows] = _credits(value[rows], each, units)
    return _Valued(amount, value, credited, unpriced)


def _credits(values: Ints, policy: Policy, units: Units) -> Ints:
    distinct, where = np.unique(values, return_inverse=True)
    credit, factor = crediting(policy), units.factor
    return units.array([units.whole(credit(value * factor)) for value in distinct.tolist()])[where]


def _undo(
    rows: Index, assets: Index, valued: _Valued, out: _Undone, ruleset: Ruleset, policy: Index, units: Units
) -> None:
    """What the reversals of one payment expect, cumulative, in total order.

    Several payments of one reference and asset count together, those with a price alone.
    """
    paying = rows[PAYING[out.kind[rows]]]
    undoing = rows[~PAYING[out.kind[rows]]]
    if not paying.size:
        return
    paying = paying[~valued.unpriced[paying] & (assets[paying] == assets[undoing[0]])]
    if not paying.size:
        out.unpriced[undoing] = True
        return
    gross = sum(valued.amount[paying].tolist())
    undone = np.cumsum(valued.amount[undoing] * -SIGNS[out.kind[undoing]])
    out.over_refunded[undoing] = bool((undone > gross).any())
    if not gross:
        return
    out.unpriced[undoing] = False
    value, credited = sum(valued.value[paying].tolist()), sum(valued.credit[paying].tolist())
    first = ruleset.policies[policy[undoing[0]]]
    value_before = credit_before = cumulative = 0
    for row in undoing.tolist():
        cumulative -= int(SIGNS[out.kind[row]]) * int(valued.amount[row])
        value_now = _share(value, cumulative, gross, (1, Rounding.HALF_EVEN), units)
        credit_now = _share(credited, cumulative, gross, (to_scaled(first.quantum), first.rounding), units)
        out.paid[row], out.expected[row] = value_before - value_now, credit_before - credit_now
        value_before, credit_before = value_now, credit_now


def _share(whole: int, cumulative: int, gross: int, step: tuple[int, Rounding], units: Units) -> int:
    """``whole * cumulative / gross``, rounded to a quantum; undoing all of it gives back exactly all."""
    if cumulative == gross:
        return whole
    return units.whole(round_to(whole * units.factor * cumulative, gross, *step))


def _refuse_overflow(units: Units, *columns: Ints) -> None:
    """Narrow columns must leave room for the sum of all their rows."""
    if units.narrow:
        for column in columns:
            largest = max(int(column.max(initial=0)), -int(column.min(initial=0)))
            if largest * (len(column) + 1) * 4 > 2**63:
                raise OverflowError
