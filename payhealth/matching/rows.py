"""The rows of a run in their total order, what is judged of them, and what stays open from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.domain.records import RECONCILED
from payhealth.matching.exact import Index, Mask, codes
from payhealth.matching.inputs import ENTRIES, MOVEMENTS, MatchInputs
from payhealth.matching.policy import Rule
from payhealth.matching.queries import Session

AFTER_AS_OF: Final = "after_as_of"
IGNORED: Final = "ignored"
UNPRICED: Final = "unpriced"
IN_FLIGHT: Final = "in_flight"


@dataclass(frozen=True, slots=True)
class Side:
    """The rows of one side, ordered by (time, id): a row's number is its place in that order.

    Args:
        table: columns of ``MOVEMENTS`` or ``ENTRIES``.
        at_us: when each happened, microseconds since 1970.
        clock_us: when its time to clear started.
        key: what it is gathered by, empty where it stands alone.
        reference: its payment key or reference, empty where it has none.
        why: why it is not judged, null where it is.
    """

    table: pa.Table
    at_us: Index
    clock_us: Index
    key: pa.Array
    reference: pa.Array
    why: pa.Array

    @property
    def visible(self) -> Mask:
        """Rows that had happened at the moment of judgement."""
        return mask_of(pc.not_equal(self.why.fill_null(""), AFTER_AS_OF))

    @property
    def judged(self) -> Mask:
        """Rows that take part in matching."""
        return mask_of(self.why.is_null())

    def column(self, name: str) -> pa.Array:
        """One column without chunks."""
        return joined(self.table[name])


def joined(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    array = column.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def mask_of(array: pa.Array) -> Mask:
    """A boolean column without nulls as a mask."""
    return np.asarray(array.to_numpy(zero_copy_only=False), dtype=bool)


def arrange(
    inputs: MatchInputs, rule: Rule, session: Session, *, as_of_us: int
) -> tuple[Side, Side, dict[str, int]]:
    """Order both sides, decide which rows are judged, and drop references that too many movements share.

    Returns:
        Movements, entries, and the dropped references with how many movements share each.
    """
    movements = _side(inputs.movements, MOVEMENTS, as_of_us)
    entries = _side(inputs.entries, ENTRIES, as_of_us)
    reconciled = pc.is_in(entries.column("kind"), value_set=pa.array(sorted(map(str, RECONCILED))))
    ignored = pc.and_(pc.is_null(entries.why), pc.invert(reconciled))
    entries = _with_why(entries, pc.if_else(ignored, IGNORED, entries.why))
    shared = _shared(movements, rule, session)
    if shared:
        movements, entries = _unshare(movements, shared), _unshare(entries, shared)
    return movements, entries, shared


def _side(table: pa.Table, schema: pa.Schema, as_of_us: int) -> Side:
    for name in schema.names:
        if name not in table.column_names:
            raise InputError(f"the engine was handed rows without the column {name}")
    table = table.select(schema.names).cast(schema)
    order = time_order(table["occurred_at"], table["id"])
    if not bool((np.diff(order) == 1).all()):
        table = table.take(pa.array(order))
    table = table.combine_chunks()
    at_us = microseconds(table["occurred_at"])
    clock_us = microseconds(table["clock_at"]) if "clock_at" in schema.names else at_us
    reference = joined(table["reference"]).fill_null("")
    group_key = joined(table["group_key"]).fill_null("")
    key = pc.if_else(pc.equal(group_key, ""), reference, group_key)
    why = pc.if_else(pa.array(at_us > as_of_us), AFTER_AS_OF, joined(table["open_why"]))
    return Side(table, at_us, clock_us, key, reference, why)


def time_order(moments: pa.ChunkedArray, ids: pa.ChunkedArray) -> Index:
    """The order by (time, id); ids are looked at only where moments are equal."""
    at_us = microseconds(moments)
    order = np.argsort(at_us, kind="stable")
    ordered = at_us[order]
    equal = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.r_[False, equal] | np.r_[equal, False])
    if tied.size:
        rows = order[tied]
        among = pa.table({"at": at_us[rows], "id": ids.take(pa.array(rows))})
        by_id = pc.sort_indices(among, [("at", "ascending"), ("id", "ascending")]).to_numpy()
        order[tied] = rows[by_id]
    return order


def microseconds(moments: pa.ChunkedArray) -> Index:
    """Moments as microseconds since 1970."""
    return np.asarray(joined(moments.cast(pa.int64())).to_numpy(zero_copy_only=False), dtype=np.int64)


def _shared(movements: Side, rule: Rule, session: Session) -> dict[str, int]:
    """References of more movements than one reference may have; resolved groups are not counted again."""
    plain = mask_of(pc.equal(joined(movements.table["group_key"]).fill_null(""), ""))
    rows = np.flatnonzero(plain & movements.visible)
    if not rows.size:
        return {}
    table = pa.table({"ref": movements.reference.take(pa.array(rows))})
    found = session.run("shared", {"movement_rows": table}, most=rule.max_reference_share)
    return dict(zip(found["ref"].to_pylist(), found["movements"].to_pylist(), strict=True))


def _unshare(side: Side, shared: dict[str, int]) -> Side:
    names = pa.array(sorted(shared), pa.string())
    key = pc.if_else(pc.is_in(side.key, value_set=names), "", side.key)
    reference = pc.if_else(pc.is_in(side.reference, value_set=names), "", side.reference)
    return Side(side.table, side.at_us, side.clock_us, key, reference, side.why)


def _with_why(side: Side, why: pa.Array) -> Side:
    return Side(side.table, side.at_us, side.clock_us, side.key, side.reference, why)


def mark_unpriced(movements: Side, unpriced: Mask) -> Side:
    """Movements that were to be judged but have no price stay open."""
    if not unpriced.any():
        return movements
    why = pc.if_else(pc.and_(pa.array(unpriced), pc.is_null(movements.why)), UNPRICED, movements.why)
    return _with_why(movements, why)


def code_both(left: pa.Array, right: pa.Array) -> tuple[Index, Index, list[str]]:
    """Number the texts of a movements' and an entries' column in the order of the texts."""
    (lefts, rights), names = codes([left, right])
    return lefts, rights, names
