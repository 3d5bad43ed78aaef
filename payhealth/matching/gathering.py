"""What gathers rows into groups: vendor-owned ids, metadata references, and ledger references.

Ids are nodes, links between an id and a payment key are edges; what hangs together is one group. Two
payments that a shared reference gathers keep their own payment keys. An alias (another id of a payment)
holds payments together only where a row names it: the deposits of one transaction are one group when an
entry carries the bare transaction, and groups of their own when each is named by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from payhealth.matching.exact import Index, Mask, codes, sum_by
from payhealth.matching.normalise import normalised
from payhealth.matching.rows import joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Group keys by row, and references that too many movements share.

    Args:
        of_movements: each movement's group, never empty where it has a payment key.
        of_entries: each entry's group, empty where its reference names no known payment.
        entry_references: normalised; empty where the reference is shared by too many.
        shared: reference -> how many movements share it.
    """

    of_movements: pa.Array
    of_entries: pa.Array
    entry_references: pa.Array
    shared: Mapping[str, int]


def gather(movements: pa.Table, entries: pa.Table, links: pa.Table, max_share: int) -> Gathering:
    """Find the group of every movement and entry.

    Args:
        movements: with ``payment_key`` and ``reference``.
        entries: with ``reference``.
        links: with ``alias`` and ``payment_key``.
        max_share: an id that leads to more movements than this is no reference; a payment key always is.
    """
    texts = (
        *(movements[name] for name in ("payment_key", "reference")),
        *(links[name] for name in ("alias", "payment_key")),
        entries["reference"],
    )
    columns, names = codes([pa.array([""]), *(normalised(joined(column)) for column in texts)])
    _, keys, references, aliases, targets, entered = columns
    is_key = _marked(len(names), keys)
    named = _marked(len(names), references, entered)
    linked = named[aliases] & (targets != 0)
    ids, owners = _distinct(
        np.concatenate([references, aliases[linked]]), np.concatenate([keys, targets[linked]]), len(names)
    )
    count = np.bincount(keys, minlength=len(names))
    shares = sum_by(ids, count[owners], len(names))
    shared = (shares > max_share) & ~is_key
    held = ~shared[ids]
    group = _components(ids[held], owners[held], is_key)
    entered = np.where(shared[entered], 0, entered)
    every = pa.array(names, pa.string())
    return Gathering(
        of_movements=every.take(pa.array(group[keys])),
        of_entries=every.take(pa.array(group[entered])),
        entry_references=every.take(pa.array(entered)),
        shared={names[number]: int(shares[number]) for number in np.flatnonzero(shared).tolist()},
    )


def _marked(size: int, *numbers: Index) -> Mask:
    """Which texts occur in the columns; the empty text never does."""
    marked = np.zeros(size, dtype=bool)
    for column in numbers:
        marked[column] = True
    marked[0] = False
    return marked


def _distinct(ids: Index, owners: Index, size: int) -> tuple[Index, Index]:
    """The distinct pairs of an id and another text that owns it, without empty ones."""
    real = (ids != 0) & (owners != 0) & (ids != owners)
    pairs = np.unique(ids[real] * size + owners[real])
    return pairs // size, pairs % size


def _components(left: Index, right: Index, is_key: Mask) -> Index:
    """For each text the smallest payment key that it hangs together with, 0 (the empty text) for none."""
    size = len(is_key)
    links = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    count, label = connected_components(links, directed=False)
    head = np.full(count, size, dtype=np.int64)
    keys = np.flatnonzero(is_key)
    np.minimum.at(head, label[keys], keys)
    head[head == size] = 0
    return np.asarray(head[label], dtype=np.int64)
