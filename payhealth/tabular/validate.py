"""From chunks to rows: every row is checked, bad ones are listed, copies count once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.errors import InputError
from payhealth.tabular import checks, numbers
from payhealth.tabular.checks import Checked
from payhealth.tabular.schema import REJECTED, ROWS, Chunk, Place, Side, Source, TableIn, Where

MAX_THREADS = 4
MAX_NAMED = 10
HASHED_ROWS = 50_000
"""Below, counting ids costs less than opening DuckDB to hash them."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Valid:
    """A chunk's good rows, where they stand, and its bad ones."""

    rows: pa.Table
    ordinals: Array | None
    again: Where
    rejected: list[tuple[Place, str]]


def validate(source: Source, side: Side) -> TableIn:
    """Check every row of a side.

    Returns:
        Good rows, in several chunks, and rejected ones.

    Raises:
        InputError: rows contradict one another under one id.
    """
    parts = list(_checked(source.jobs, side))
    kept = _without_copies(parts, source.file)
    rows = pa.concat_tables([ROWS.empty_table(), *kept])
    listed = [bad for part in parts for bad in part.rejected]
    return TableIn(rows=rows, rejected=_rejected(listed, source.file))


def _checked(jobs: Iterable[Callable[[], Chunk]], side: Side) -> Iterator[Valid]:
    """Chunks in their order, several at a time: the kernels let go of Python's lock."""
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    running: deque[Future[Valid]] = deque()
    with ThreadPoolExecutor(threads, "payhealth-read") as pool:
        try:
            for job in jobs:
                running.append(pool.submit(_check, job, side))
                if len(running) > 2 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _check(job: Callable[[], Chunk], side: Side) -> Valid:
    """One chunk's rows, checked."""
    chunk = job()
    columns = {name: _column(chunk, name, side) for name in ROWS.names}
    faults: dict[int, list[str]] = {}
    for column in columns.values():
        for ordinal, fault in column.faults.items():
            faults.setdefault(ordinal, []).append(fault)
    rows = pa.table([columns[name].values for name in ROWS.names], schema=ROWS)
    if not faults:
        return Valid(rows, None, chunk.again, list(chunk.rejected))
    bad = sorted(faults)
    found = zip(chunk.where(bad), bad, strict=True)
    rejected = [*chunk.rejected, *((place, "; ".join(faults[ordinal])) for place, ordinal in found)]
    good = np.ones(chunk.count, bool)
    good[bad] = False
    return Valid(rows.filter(pa.array(good)), np.flatnonzero(good), chunk.again, rejected)


def _column(chunk: Chunk, name: str, side: Side) -> Checked:
    column = chunk.columns.get(name)
    if column is None:
        column = pa.nulls(chunk.count, pa.string())
    if name == "id":
        return checks.identifiers(column)
    if name == "kind":
        return checks.kinds(column, side)
    if name == "asset":
        return checks.assets(column)
    if name == "amount":
        return numbers.amounts(column, side)
    if name == "occurred_at":
        return numbers.moments(column)
    return checks.names(column, name)


def _without_copies(parts: Sequence[Valid], file: str) -> list[pa.Table]:
    """The good rows, of identical ones the first.

    Raises:
        InputError: two good rows share an id and are not identical.
    """
    repeated = _repeated(
        pa.chunked_array([chunk for part in parts for chunk in part.rows["id"].chunks], pa.string())
    )
    if repeated is None:
        return [part.rows for part in parts]
    seen: dict[str, str] = {}
    contradicting: dict[str, None] = {}
    kept = []
    for part in parts:
        again = np.flatnonzero(np.asarray(pc.is_in(part.rows["id"], repeated)))
        keep = np.ones(part.rows.num_rows, bool)
        ordinals = again if part.ordinals is None else part.ordinals[again]
        places = part.again(ordinals.tolist()) if len(again) else []
        ids = part.rows["id"].take(pa.array(again)).to_pylist()
        for row, identifier, place in zip(again.tolist(), ids, places, strict=True):
            if identifier not in seen:
                seen[identifier] = place.raw
                continue
            keep[row] = False
            if seen[identifier] != place.raw:
                contradicting[identifier] = None
        kept.append(part.rows.filter(pa.array(keep)))
    _refuse(list(contradicting), file)
    return kept


def _repeated(ids: pa.ChunkedArray) -> pa.Array | None:
    """Ids that occur more than once, None where there are none.

    Different hashes prove that there are none, for a third of what counting costs.
    """
    if len(ids) > HASHED_ROWS:
        hashes = np.sort(_hashes(ids))
        if not bool((hashes[1:] == hashes[:-1]).any()):
            return None
    counted = ids.value_counts()
    counts = counted.field("counts")
    if len(counts) == len(ids):
        return None
    return counted.field("values").filter(pc.greater(counts, 1))


def _hashes(ids: pa.ChunkedArray) -> Array:
    with duckdb.connect() as connection:
        hashed = connection.from_arrow(pa.table([ids], names=["id"])).project("hash(id) AS hash").fetchnumpy()
    return np.asarray(hashed["hash"])


def _refuse(contradicting: Sequence[str], file: str) -> None:
    if contradicting:
        named = ", ".join(identifier[:80] for identifier in contradicting[:MAX_NAMED])
        more = f" and {len(contradicting) - MAX_NAMED} more" if len(contradicting) > MAX_NAMED else ""
        raise InputError(
            f"{file}: rows that differ share an id: {named}{more}",
            hint="an id must be unique inside its file; identical rows count once",
        )


def _rejected(listed: Iterable[tuple[Place, str]], file: str) -> pa.Table:
    rows = [
        {"file": file, "line": place.line, "reason": reason, "row": place.raw}
        for place, reason in sorted(listed, key=lambda bad: bad[0].line)
    ]
    return pa.Table.from_pylist(rows, schema=REJECTED)
