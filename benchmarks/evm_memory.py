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
from benchmarks.evm_support import CONNECTOR, STREAM, burst_token, empty_store, settings
from payhealth.connectors.evm.source import EvmSource

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


def pull(logs: int, most_s: float, *, stored: bool) -> None:
    """Pull so many logs in this process, or what fits into the time.

    Prints the most memory before the pull and after it in MB, seconds on the clock and of the processor, and
    how many logs were read.
    """
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
        before_mb, objects = peak_mb(), 0
        started_s, used_s = time.perf_counter(), time.process_time()
        for batch in source.pull(STREAM, None, now, store):
            objects += batch.objects_read
            if stored:
                store.commit(CONNECTOR, batch)
            elif time.perf_counter() - started_s > most_s:
                break
        else:
            assert objects == logs, f"{objects} of {logs} logs were read"
        spent_s, spent_cpu_s, most_mb = (
            time.perf_counter() - started_s,
            time.process_time() - used_s,
            peak_mb(),
        )
        source.close()
        if stored:
            [row] = store.rows("select count(*) as n from movement_current")
            assert int(row["n"]) == logs, f"{row['n']} of {logs} logs are in the store"
        print(before_mb, most_mb, spent_s, spent_cpu_s, objects)


def peak_mb() -> float:
    """The most memory that this process ever held; getrusage would count what its parent held before it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def apart(logs: int, most_s: float, *, stored: bool) -> tuple[float, int]:
    """Pull in a process of its own and print what it took; the most memory in MB, and the logs read.

    pandas is no dependency of payhealth, but Arrow imports it wherever it is installed; here it is hidden.
    """
    command = [sys.executable, "-m", "benchmarks.evm_memory", "--pull", str(logs), "--seconds", str(most_s)]
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
    before_mb, most_mb, seconds, used_s, read = map(float, done.stdout.split())
    where = "into the store" if stored else "thrown away"
    short = "" if read == logs else f" (of {logs:,}: the time was up)"
    print(
        f"{read:>12,.0f} logs {where:15} at most {most_mb:5.0f} MB ({before_mb:.0f} MB before the pull),"
        f" {read / seconds:9,.0f} logs/s, {used_s * 1e6 / read:.0f} us of processor each{short}",
        flush=True,
    )
    return most_mb, int(read)


def main() -> int:
    """Measure; 1 where memory is not flat."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--logs", type=int, default=10_000_000, help="a multiple of 500")
    parser.add_argument("--few", type=int, default=1_000_000, help="what they are held against")
    parser.add_argument("--seconds", type=float, default=480, help="at most for those; what fits counts")
    parser.add_argument("--pull", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stored", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pull:
        pull(options.pull, options.seconds, stored=options.stored)
        return 0
    few_mb, few = apart(options.few, options.seconds, stored=False)
    apart(options.few, options.seconds, stored=True)
    many_mb, many = apart(options.logs, options.seconds, stored=False)
    print(f"{many_mb / few_mb:.2f} x the memory for {many / few:.1f} x the logs (target {FLAT})")
    return 0 if many_mb <= FLAT * few_mb else 1


if __name__ == "__main__":
    sys.exit(main())
