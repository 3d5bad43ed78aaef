"""The rows of a run in their total order, what is judged of them, and what stays open from the start."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.domain.records import RECONCILED
from payhealth.matching.exact import Index, Ints, Mask, Units, codes, to_ints
from payhealth.matching.inputs import ENTRIES, MOVEMENTS, MatchInputs
from payhealth.matching.policy import Rule
from payhealth.matching.queries import Session

AFTER_AS_OF: Final = "after_as_of"
IGNORED: Final = "ignored"
UNPRICED: Final = "unpriced"
IN_FLIGHT: Final = "in_flight"


@dataclass(frozen=True, slots=True)
class Side:
    """The rows of one side, numbered by (time, id).

    The table keeps the order in which its rows came; texts are taken out of it only where they are
    needed, because moving all of them costs more than the matching itself.

    Args:
        table: columns of ``MOVEMENTS`` or ``ENTRIES``, as they came.
        order: the place in the table of each row, by its number.
        at_us: when each happened, microseconds since 1970, by number, as are all the following.
        clock_us: when its time to clear started.
        why: why it is not judged, null where it is.
        came_key: what each is gathered by, empty where it stands alone; in the order of the table.
        came_reference: its payment key or reference, empty where it has none; in the order of the table.
        cache: columns that were put in order already.
    """

    table: pa.Table
    order: Index
    at_us: Index
    clock_us: Index
    why: pa.Array
    came_key: pa.Array
    came_reference: pa.Array
    cache: dict[str, pa.Array] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.order)

    @property
    def visible(self) -> Mask:
        """Rows that had happened at the moment of judgement."""
        return mask_of(pc.not_equal(self.why.fill_null(""), AFTER_AS_OF))

    @property
    def judged(self) -> Mask:
        """Rows that take part in matching."""
        return mask_of(self.why.is_null())

    def came(self, rows: Mask) -> tuple[Index, pa.Array]:
        """The numbers of the marked rows in the order in which they came, and a mask over the table."""
        number = np.empty(self.size, dtype=np.int64)
        number[self.order] = np.arange(self.size)
        marked = rows[number]
        return number[marked], pa.array(marked)

    def column(self, name: str) -> pa.Array:
        """One column, in order."""
        if name not in self.cache:
            self.cache[name] = joined(self.table[name]).take(pa.array(self.order))
        return self.cache[name]

    def take(self, name: str, numbers: Index) -> pa.Array:
        """One column of some rows."""
        return joined(self.table[name]).take(pa.array(self.order[numbers]))

    def keys(self, numbers: Index) -> pa.Array:
        """What some rows are gathered by."""
        return self.came_key.take(pa.array(self.order[numbers]))

    def references(self, numbers: Index) -> pa.Array:
        """The payment keys or references of some rows."""
        return self.came_reference.take(pa.array(self.order[numbers]))

    def amounts(self, units: Units) -> Ints:
        """The amounts, in order."""
        return to_ints(self.table["amount"], units)[self.order]


def joined(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; nothing is copied where it is one already."""
    if column.num_chunks == 1:
        return column.chunk(0)
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
    entries = replace(entries, why=pc.if_else(ignored, IGNORED, entries.why))
    shared = _shared(movements, rule, session)
    if shared:
        movements, entries = _unshare(movements, shared), _unshare(entries, shared)
    return movements, entries, shared


def _side(table: pa.Table, schema: pa.Schema, as_of_us: int) -> Side:
    for name in schema.names:
        if name not in table.column_names:
            raise InputError(f"the engine was handed rows without the column {name}")
    table = table.select(schema.names).cast(schema).combine_chunks()
    order = time_order(table["occurred_at"], table["id"])
    at_us = microseconds(table["occurred_at"])[order]
    clock_us = microseconds(table["clock_at"])[order] if "clock_at" in schema.names else at_us
    reference = joined(table["reference"]).fill_null("")
    group_key = joined(table["group_key"]).fill_null("")
    key = pc.if_else(pc.equal(group_key, ""), reference, group_key)
    preset = joined(table["open_why"])
    if preset.null_count < len(preset):
        preset = preset.take(pa.array(order))
    why = pc.if_else(pa.array(at_us > as_of_us), AFTER_AS_OF, preset)
    return Side(table, order, at_us, clock_us, why, key, reference)


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
    if movements.size <= rule.max_reference_share:
        return {}
    plain = pc.equal(joined(movements.table["group_key"]).fill_null(""), "")
    _, visible = movements.came(movements.visible)
    table = pa.table({"ref": movements.came_reference.filter(pc.and_(plain, visible))})
    found = session.run("shared", {"movement_rows": table}, most=rule.max_reference_share)
    return dict(zip(found["ref"].to_pylist(), found["movements"].to_pylist(), strict=True))


def _unshare(side: Side, shared: dict[str, int]) -> Side:
    names = pa.array(sorted(shared), pa.string())
    key = pc.if_else(pc.is_in(side.came_key, value_set=names), "", side.came_key)
    reference = pc.if_else(pc.is_in(side.came_reference, value_set=names), "", side.came_reference)
    return replace(side, came_key=key, came_reference=reference)


def mark_unpriced(movements: Side, unpriced: Mask) -> Side:
    """Movements that were to be judged but have no price stay open."""
    if not unpriced.any():
        return movements
    why = pc.if_else(pc.and_(pa.array(unpriced), pc.is_null(movements.why)), UNPRICED, movements.why)
    return replace(movements, why=why)


def code_both(left: pa.Array, right: pa.Array) -> tuple[Index, Index, list[str]]:
    """Number the texts of a movements' and an entries' column in the order of the texts."""
    (lefts, rights), names = codes([left, right])
    return lefts, rights, names
