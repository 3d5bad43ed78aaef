"""What gathers rows into groups: vendor-owned ids, metadata references, and ledger references.

Ids are nodes, links between an id and a payment key are edges; what hangs together is one group. Two
payments that a shared reference gathers keep their own payment keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from payhealth.domain.assets import normalise_hex


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
        max_share: an id that leads to more movements than this is no reference.
    """
    keys = _normal(movements["payment_key"])
    references = _normal(movements["reference"])
    named = pc.not_equal(references, "")
    aliases = pa.concat_arrays([_normal(links["alias"]), references.filter(named)])
    targets = pa.concat_arrays([_normal(links["payment_key"]), keys.filter(named)])
    shared = _shared(aliases, targets, keys, max_share)
    kept = pc.invert(pc.is_in(aliases, pa.array(list(shared), pa.string())))
    group_of = _components(aliases.filter(kept), targets.filter(kept), keys)
    entered = _normal(entries["reference"])
    entered = pc.if_else(pc.is_in(entered, pa.array(list(shared), pa.string())), "", entered)
    return Gathering(
        of_movements=_looked_up(keys, group_of),
        of_entries=_looked_up(entered, group_of),
        entry_references=entered,
        shared=shared,
    )


def _normal(column: pa.ChunkedArray) -> pa.Array:
    """One array, trimmed, hexadecimal parts in lower case."""
    array = pc.utf8_trim_whitespace(pc.fill_null(column.combine_chunks(), ""))
    if not pc.any(pc.match_substring_regex(array, "0[xX][0-9a-fA-F]*[A-F]|0X")).as_py():
        return array
    return pa.array([normalise_hex(text) for text in array.to_pylist()], pa.string())


def _shared(aliases: pa.Array, targets: pa.Array, keys: pa.Array, max_share: int) -> dict[str, int]:
    """Ids that lead to more movements than allowed; a payment key is the vendor's own and always holds."""
    movements_of = {row["values"]: row["counts"] for row in keys.value_counts().to_pylist()}
    suspicious: Counter[str] = Counter()
    pairs = pa.table({"alias": aliases, "target": targets}).group_by(["alias", "target"]).aggregate([])
    for alias, target in zip(pairs["alias"].to_pylist(), pairs["target"].to_pylist(), strict=True):
        if alias != target:
            suspicious[alias] += movements_of.get(target, 0)
    return {alias: count for alias, count in sorted(suspicious.items()) if count > max_share}


def _components(aliases: pa.Array, targets: pa.Array, keys: pa.Array) -> dict[str, str]:
    """Every id's group, called by the smallest payment key in it."""
    coded = pa.concat_arrays([aliases, targets, keys]).dictionary_encode()
    names = coded.dictionary.to_pylist()
    codes = np.asarray(coded.indices)
    left, right = codes[: len(aliases)], codes[len(aliases) : 2 * len(aliases)]
    edges = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(len(names), len(names)))
    _, component = connected_components(edges, directed=False)
    heads: dict[int, str] = {}
    for code in np.unique(codes[len(aliases) :]).tolist():
        here = int(component[code])
        heads[here] = min(heads.get(here, names[code]), names[code])
    return {name: heads[int(component[code])] for code, name in enumerate(names) if name}


def _looked_up(texts: pa.Array, group_of: Mapping[str, Any]) -> pa.Array:
    coded = texts.dictionary_encode()
    groups = pa.array([group_of.get(name, "") for name in coded.dictionary.to_pylist()], pa.string())
    return groups.take(coded.indices) if len(coded) else pa.array([], pa.string())
