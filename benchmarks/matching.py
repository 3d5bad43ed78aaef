"""How fast the reference pass reconciles two Parquet files, beside a floor measured in the same run.

    python -m benchmarks.matching [--rows N] [--rounds R]

The floor reads the same columns, joins them once on the reference and writes the pairs: what any engine
must do. Ours also values, groups, judges, explains and proves. Rates count the rows of both sides. The
output of the measured run is held against what was planted: the figures are printed together or not at all.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from payhealth.domain.times import from_us
from payhealth.matching.engine import reconcile
from payhealth.matching.inputs import MatchOutcome
from payhealth.matching.model import parse_rules
from payhealth.matching.prepare import from_tables

START_US = 1_767_225_600_000_000
PRICE_POINTS = (5, 10, 20, 25, 50, 75, 100, 150, 200, 500)
SHARES = {"paid_not_credited": 0.004, "duplicate_credit": 0.003, "amount_under": 0.003}
"""Planted faults, as shares of the payments."""


@dataclass(frozen=True)
class Planted:
    """Two files and what a reconciliation of them must find."""

    payments: Path
    ledger: Path
    faults: dict[str, int]
    as_of_us: int


def plant(folder: Path, rows: int, seed: int) -> Planted:
    """Write payments and a ledger with known faults; half the amounts are price points."""
    random = np.random.default_rng(seed)
    number = np.arange(rows)
    cents = np.where(
        random.random(rows) < 0.5,
        random.choice(PRICE_POINTS, rows) * 100,
        random.integers(100, 100_000, rows),
    )
    account = (random.pareto(1.2, rows) * 50).astype(np.int64) % 100_000
    at_us = START_US + np.sort(random.integers(0, 86_400_000_000 * 30, rows))
    payments = _table("ch", number, number, account, cents, at_us)
    fault = random.random(rows)
    lost, double, short = (share * rows for share in SHARES.values())
    chosen = np.searchsorted(np.cumsum([lost, double, short]) / rows, fault, side="right")
    entered = np.r_[number[chosen != 0], number[chosen == 1]]
    amount = np.where(chosen == 2, cents - 1, cents)[entered]
    delay_us = random.integers(0, 60_000_000, len(entered))
    order = random.permutation(len(entered))
    ledger = _table(
        "le", np.arange(len(entered))[order], entered[order], account[entered][order],
        amount[order], (at_us[entered] + delay_us)[order],
    )  # fmt: skip
    shuffled = payments.take(pa.array(random.permutation(rows)))
    pq.write_table(shuffled, folder / "payments.parquet")
    pq.write_table(ledger, folder / "ledger.parquet")
    faults = {name: int((chosen == place).sum()) for place, name in enumerate(SHARES)}
    return Planted(folder / "payments.parquet", folder / "ledger.parquet", faults, int(at_us[-1]))


def _table(
    prefix: str,
    ids: np.ndarray,
    references: np.ndarray,
    accounts: np.ndarray,
    cents: np.ndarray,
    at_us: np.ndarray,
) -> pa.Table:
    def named(text: str, numbers: np.ndarray, width: int) -> pa.Array:
        return pc.binary_join_element_wise(
            text, pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, "0"), "_"
        )

    kind = "charge" if prefix == "ch" else "purchase"
    amounts = pa.Array.from_buffers(
        pa.decimal64(18, 2), len(cents), [None, pa.py_buffer(np.ascontiguousarray(cents, dtype=np.int64))]
    )
    return pa.table(
        {
            "id": named(prefix, ids, 14),
            "kind": pa.array([kind]).take(pa.array(np.zeros(len(ids), dtype=np.int64))),
            "account": named("acct", accounts, 6),
            "reference": named("pi", references * 2_654_435_761 % 10**16, 18),
            "amount": pc.cast(amounts, pa.decimal128(38, 18)),
            "asset": pa.array(["USD"]).take(pa.array(np.zeros(len(ids), dtype=np.int64))),
            "occurred_at": pa.array(at_us, pa.int64()).cast(pa.timestamp("us", "UTC")),
        }
    )


def floor(planted: Planted, out: Path) -> None:
    """Read, join once, write."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"copy (select p.id as paid, l.id as entered, p.amount - l.amount as off, p.account, "
            f"l.account as credited, p.asset, p.occurred_at, l.occurred_at as credited_at "
            f"from read_parquet('{planted.payments}') p join read_parquet('{planted.ledger}') l "
            f"on p.reference = l.reference) to '{out / 'floor.parquet'}' (format parquet)"
        )


def ours(planted: Planted, out: Path) -> MatchOutcome:
    """Read, reconcile, write."""
    inputs = from_tables(pq.read_table(planted.payments), pq.read_table(planted.ledger))
    outcome = reconcile(inputs, parse_rules({}), as_of=from_us(planted.as_of_us) + timedelta(days=2))
    for name, table in (("matches", outcome.matches), ("breaks", outcome.breaks), ("open", outcome.open)):
        pq.write_table(table, out / f"{name}.parquet", use_dictionary=["rule", "state", "asset", "reasons"])
    return outcome


def best_of(rounds: int, action: Callable[[], object]) -> float:
    """Seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> int:
    """Measure and print; the exit code is 1 where a planted fault was not found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows of each side")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        planted = plant(folder, options.rows, options.seed)
        floor_s = best_of(options.rounds, lambda: floor(planted, folder))
        outcomes: list[MatchOutcome] = []
        ours_s = best_of(options.rounds, lambda: outcomes.append(ours(planted, folder)))
    found = outcomes[-1].summary["counts"]["breaks_by_reason"]
    if found != {name: count for name, count in planted.faults.items() if count}:
        print(f"planted {planted.faults}, found {found}: no figures", file=sys.stderr)
        return 1
    both = 2 * options.rows
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.rows} rows a side, seed {options.seed}: planted = found {found}")
    print(f"floor   {floor_s:6.2f} s {both / floor_s:12,.0f} rows/s")
    times = ours_s / floor_s
    print(
        f"ours    {ours_s:6.2f} s {both / ours_s:12,.0f} rows/s   {times:.1f} x the floor, {peak_mb:,.0f} MB"
    )
    print("stages ", {stage: round(seconds, 2) for stage, seconds in outcomes[-1].summary["seconds"].items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
