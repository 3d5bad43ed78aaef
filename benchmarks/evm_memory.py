"""How much memory a backfill takes, at a million logs and at ten, from a node that costs next to nothing.

    python -m benchmarks.evm_memory [--logs N] [--few N]

Every log is a payment to one of ours. Each figure is the most that a process of its own ever held; the
batches are thrown away, and of the smaller number also committed to a store.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.evm_server import CHAIN_ID, LOGS_PER_BLOCK, LOWEST, TOKEN, moment_s, recipients
from benchmarks.evm_support import CONNECTOR, STREAM, burst_token, empty_store, pulled, settings
from payhealth.connectors.evm.source import EvmSource
from payhealth.store import SqlStore

RANGE_BLOCKS = 10_000 // LOGS_PER_BLOCK
FLAT = 1.2
"""Ten times the logs may take so much of the memory: allocators keep what they were once given."""


@contextmanager
def server(blocks: int) -> Iterator[str]:
    """The address of a node with so many blocks."""
    arguments = [sys.executable, "-m", "benchmarks.evm_server", str(blocks)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def pull(logs: int, *, stored: bool) -> None:
    """Pull so many logs in this process and print its most memory in MB, the seconds and the logs read."""
    blocks = logs // LOGS_PER_BLOCK
    with server(blocks) as url, TemporaryDirectory() as folder, empty_store() as store:
        configured = settings(
            url,
            recipients(),
            Path(folder),
            chain_id=CHAIN_ID,
            tokens=[burst_token(TOKEN)],
            start_block=LOWEST,
            max_block_range=RANGE_BLOCKS,
            balances=False,
        )
        now = datetime.fromtimestamp(moment_s(LOWEST + blocks), UTC)
        source = EvmSource(CONNECTOR, configured)
        before_mb, started_s = peak_mb(), time.perf_counter()
        if stored:
            objects = pulled(source, store, now)
            [row] = store.rows("select count(*) as n from v_movements")
            assert int(row["n"]) == logs, f"{row['n']} of {logs} logs are in the store"
        else:
            objects = _thrown_away(source, store, now)
        source.close()
        assert objects == logs, f"{objects} of {logs} logs were read"
        print(before_mb, peak_mb(), time.perf_counter() - started_s)


def _thrown_away(source: EvmSource, store: SqlStore, now: datetime) -> int:
    return sum(batch.objects_read for batch in source.pull(STREAM, None, now, store))


def peak_mb() -> float:
    """The most memory that this process ever held; getrusage would count what its parent held before it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def apart(logs: int, *, stored: bool) -> float:
    """Pull in a process of its own and print what it took; the most memory in MB.

    pandas is no dependency of payhealth, but Arrow imports it wherever it is installed; here it is hidden.
    """
    command = [sys.executable, "-m", "benchmarks.evm_memory", "--pull", str(logs)]
    with TemporaryDirectory() as folder:
        Path(folder, "pandas.py").write_text("raise ImportError\n", encoding="ascii")
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(
            [*command, *(["--stored"] if stored else [])],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    before_mb, most_mb, seconds = map(float, done.stdout.split())
    where = "into the store" if stored else "thrown away"
    print(
        f"{logs:>12,} logs {where:15} at most {most_mb:5.0f} MB ({before_mb:.0f} MB before the pull),"
        f" {logs / seconds:9,.0f} logs/s",
        flush=True,
    )
    return most_mb


def main() -> int:
    """Measure; 1 where memory is not flat."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=int, default=10_000_000, help="a multiple of 500")
    parser.add_argument("--few", type=int, default=1_000_000, help="what they are held against")
    parser.add_argument("--pull", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stored", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pull:
        pull(options.pull, stored=options.stored)
        return 0
    few = apart(options.few, stored=False)
    apart(options.few, stored=True)
    many = apart(options.logs, stored=False)
    print(f"{many / few:.2f} x the memory for {options.logs / options.few:.0f} x the logs (target {FLAT})")
    return 0 if many <= FLAT * few else 1


if __name__ == "__main__":
    sys.exit(main())
