"""Building list columns of Arrow tables from arrays, without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.matching.exact import Index, Mask
from payhealth.matching.queries import Session


def lists(values: pa.Array, owner: Index, owners: int) -> pa.Array:
    """Lists of values, where ``owner`` says whose each value is; order within a list is kept."""
    order = np.argsort(owner, kind="stable")
    if not bool((order == np.arange(len(order))).all()):
        values = values.take(pa.array(order))
    ends = np.cumsum(np.bincount(owner, minlength=owners)) if owners else np.zeros(0, dtype=np.int64)
    return pa.ListArray.from_arrays(pa.array(np.r_[0, ends].astype(np.int32)), values)


def chosen_texts(columns: Sequence[tuple[pa.Array, Mask | None]], rows: int) -> pa.Array:
    """Lists of texts: for each row those columns, in order, whose mask is set.

    Args:
        columns: texts (one a row, or a single one for all rows) and the rows that have them, None for all.
    """
    masks = [np.ones(rows, dtype=bool) if mask is None else mask for _, mask in columns]
    counts = np.sum(masks, axis=0, dtype=np.int64) if masks else np.zeros(rows, dtype=np.int64)
    offsets = np.r_[0, np.cumsum(counts)]
    places = np.empty(int(offsets[-1]), dtype=np.int64)
    position, base = offsets[:-1].copy(), 0
    for (texts, _), mask in zip(columns, masks, strict=True):
        at = np.flatnonzero(mask)
        places[position[at]] = base + (at if len(texts) == rows and rows != 1 else 0)
        position[at] += 1
        base += len(texts)
    every = pa.concat_arrays([texts.cast(pa.string()) for texts, _ in columns])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), every.take(pa.array(places)))


def one(text: str) -> pa.Array:
    """A column of a single text."""
    return pa.array([text], pa.string())


def tagged(ids: pa.Array) -> pa.Array:
    """Ids with their length before them, so that joining several stays unambiguous."""
    length = pc.cast(pc.binary_length(ids), pa.string())
    return pc.binary_join_element_wise(length, ids, ":")


def hashed(texts: pa.Array, prefix: str, session: Session) -> pa.Array:
    """A short id for each text."""
    if not len(texts):
        return texts
    rows = pa.table(
        {
            "row_no": np.arange(len(texts)),
            "text": texts,
            "prefix": one(prefix).take(pa.array(np.zeros(len(texts), int))),
        }
    )
    return pa.concat_arrays(session.run("names", {"texts": rows})["name"].chunks)
