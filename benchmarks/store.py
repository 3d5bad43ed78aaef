"""How fast the store writes and reads movements, beside a floor measured in the same run.

    python benchmarks/store.py [--rows N] [--url postgresql+psycopg://…]

The floor is what the driver needs to put the same values into two plain tables and nothing else: no Arrow,
no hash, no comparison. Rates are rows a second of processor time, so that a busy machine does not blur them
(PostgreSQL works in another process: there it is the clock on the wall), the best of ``--rounds``.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from payhealth.domain.records import Movement
from payhealth.ports import Batch
from payhealth.store import open_store, upgrade
from payhealth.store.arrow import content_table
from payhealth.store.bulk import _for_sqlite
from payhealth.store.engine import _set_up_sqlite
from payhealth.store.spec import RECORD_SPECS
from payhealth.store.sqlstore import CHUNK_ROWS

SPEC = RECORD_SPECS[Movement]


def movements(count: int, status: str = "succeeded") -> pa.Table:
    """Charges as a connector gives them: one Arrow table."""
    start = 1_767_225_600_000_000
    numbers = range(count)
    table = pa.table(
        {
            "connector": ["cards"] * count,
            "movement_id": [f"ch_3Qa{number * 2654435761 % 2**32:08x}{number:08d}" for number in numbers],
            "rail": ["card"] * count,
            "kind": ["charge"] * count,
            "status": [status] * count,
            "account": [f"acct_{number % 5000}" for number in numbers],
            "handle": [f"cus_{number % 5000:014d}" for number in numbers],
            "payment_key": [f"pi_3Qa{number:018d}" for number in numbers],
            "reference": [f"order_{number}" for number in numbers],
            "amount": pa.array(
                [Decimal(number % 100_000).scaleb(-2) for number in numbers], pa.decimal128(38, 18)
            ),
            "asset": ["USD"] * count,
            "symbol": ["USD"] * count,
            "effective_at": pa.array(
                [start + number * 1_000_000 for number in numbers], pa.timestamp("us", "UTC")
            ),
        }
    )
    return content_table(SPEC, table)


def rate(count: int, action: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Rows a second of one action over ``count`` rows."""
    started = clock()
    action()
    return count / (clock() - started)


def floor(folder: Path, table: pa.Table) -> dict[str, float]:
    """sqlite3 alone with our settings: the same values into two plain tables, one indexed as ours is."""
    lists = [_for_sqlite(column, table.column(column.name)).to_pylist() for column in SPEC.columns]
    # As wide as ours: a hash, two moments, two numbers, and the moment of reading, which is not told here.
    beside = ("0" * 32, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z", 0, None, None)
    rows = [(*row, *beside) for row in zip(*lists, strict=True)]
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    _set_up_sqlite(connection, None)
    names = ", ".join(column.name for column in SPEC.stored)
    connection.execute(f"CREATE TABLE history ({names})")
    connection.execute(f"CREATE TABLE floor ({names}, PRIMARY KEY (connector, movement_id))")
    connection.execute("CREATE INDEX floor_block_number ON floor (connector, block_number)")
    connection.execute("CREATE INDEX floor_effective_at ON floor (effective_at)")
    marks = ", ".join("?" * len(SPEC.stored))

    def write(*tables: str) -> None:
        for start in range(0, len(rows), CHUNK_ROWS):
            connection.execute("BEGIN IMMEDIATE")
            for name in tables:
                part = rows[start : start + CHUNK_ROWS]
                connection.executemany(f"INSERT INTO {name} VALUES ({marks})", part)
            connection.execute("COMMIT")

    found = {
        "floor: sqlite3 executemany, both tables": rate(len(rows), lambda: write("history", "floor")),
        "floor: sqlite3 fetchall": rate(len(rows), connection.execute("SELECT * FROM floor").fetchall),
    }
    connection.execute("DELETE FROM floor")
    found["floor: sqlite3 executemany, the indexed table alone"] = rate(len(rows), lambda: write("floor"))
    connection.close()
    return found


def ours(url: str, table: pa.Table, other: pa.Table) -> dict[str, float]:
    """The store's own path: commits of Arrow tables, and reading them back."""
    count = table.num_rows
    store = open_store(url)

    def commit(rows: pa.Table) -> object:
        return store.commit("cards", Batch(stream="charges", records={Movement: rows}, cursor="1"))

    def as_of() -> object:
        return store.records(Movement, as_of=datetime.now(UTC))

    clock = time.process_time if url.startswith("sqlite") else time.perf_counter
    found = {
        "write, all new (history and projection)": rate(count, lambda: commit(table), clock),
        "write, nothing changed": rate(count, lambda: commit(table), clock),
        "write, all changed": rate(count, lambda: commit(other), clock),
        "read current as Arrow": rate(count, lambda: store.records(Movement), clock),
        "read as of now as Arrow": rate(count, as_of, clock),
    }
    assert store.records(Movement).num_rows == count
    store.close()
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--url", help="an empty PostgreSQL database, in place of SQLite; one round")
    options = parser.parse_args()
    table, other = movements(options.rows), movements(options.rows, status="refunded")
    best: dict[str, float] = {}
    for _ in range(1 if options.url else options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            url = options.url or f"sqlite:///{folder}/store.db"
            upgrade(url)
            for name, value in (floor(Path(folder), table) | ours(url, table, other)).items():
                best[name] = max(value, best.get(name, 0))
    print(f"{options.rows:,} movements, rows a second")
    for name, value in best.items():
        print(f"{value:>12,.0f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
