"""How fast charges come out of Stripe, beside the official SDK reading the same pages in the same run.

    python -m benchmarks.stripe_pull [--charges N] [--memory N]

The server is another process without latency, so that the readers are what is measured; a second run holds
every answer back for 80 ms and shows how near the rate limit the connector comes. The last part pulls many
charges into a store in a process of its own and prints the most memory that it held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.stripe_server import START_S
from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.parallel import as_they_come
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import StripeSource
from payhealth.store import open_store

START = datetime.fromtimestamp(START_S, UTC)
PARSED_TARGET, STORED_TARGET, MEMORY_TARGET_MB = 15, 8, 300
_SDK_CHARGES = 3_000
_KEY = "PAYHEALTH_BENCH_KEY"


@contextmanager
def server(charges: int, delay_ms: float = 0) -> Iterator[str]:
    """The address of a server with so many charges."""
    arguments = [sys.executable, "-m", "benchmarks.stripe_server", str(charges), "--delay-ms", str(delay_ms)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def settings(url: str, *, per_s: float = 10_000) -> StripeSettings:
    """A connector without limits of its own, unless told."""
    os.environ[_KEY] = "sk_test_bench"
    return StripeSettings(
        api_key=f"env:{_KEY}",
        api_base=url,
        start=START,
        rate_limit_per_s=per_s,
        per_endpoint_rate_limit_per_s=per_s,
    )


def by_sdk(url: str, charges: int) -> float:
    """Charges a second of the SDK's own paging."""
    import stripe  # here, so that the memory part does without it

    client = stripe.StripeClient("sk_test_bench", base_addresses={"api": url})
    created = {"gte": START_S, "lt": START_S + charges}
    started_s = time.perf_counter()
    listed = client.v1.charges.list({"limit": 100, "created": created})
    count = sum(1 for _ in listed.auto_paging_iter())
    assert count == charges
    return count / (time.perf_counter() - started_s)


def as_bytes(url: str, charges: int) -> float:
    """The floor: charges a second of fetching the same pages' bytes and looking into none of them."""
    with httpx.Client(base_url=url) as client:
        started_s = time.perf_counter()
        for upper in range(charges, 0, -100):
            created = {"created[gte]": START_S + upper - 100, "created[lt]": START_S + upper}
            client.get("/v1/charges", params={"limit": 100, **created}).read()
        return charges / (time.perf_counter() - started_s)


def parsed(url: str, charges: int, *, per_s: float = 10_000, windows: int = 4) -> float:
    """Charges a second from HTTP to parsed pages, windows read in parallel."""
    client = StripeClient("cards", settings(url, per_s=per_s))
    edges = [START_S + charges * number // windows for number in range(windows + 1)]
    started_s = time.perf_counter()

    cut = pairwise(edges)

    def read(window: tuple[int, int]) -> Iterator[int]:
        pages = client.pages("charges", created_from_s=window[0], created_to_s=window[1])
        return (len(page.objects) for page in pages)

    count = sum(objects or 0 for _, objects in as_they_come(lambda: next(cut, None), read, workers=windows))
    assert count == charges
    client.close()
    return count / (time.perf_counter() - started_s)


def stored(url: str, charges: int, after_batch: Callable[[], None] = lambda: None) -> float:
    """Charges a second from HTTP to rows in the store's tables."""
    source = StripeSource("cards", settings(url))
    with TemporaryDirectory() as folder, closing(open_store(f"sqlite:///{Path(folder)}/store.db")) as store:
        started_s = time.perf_counter()
        for batch in source.pull("charges", None, START + timedelta(seconds=charges), store):
            store.commit("cards", batch)
            after_batch()
        rate = charges / (time.perf_counter() - started_s)
        kept = store.rows("select count(*) as n from v_charges")[0]["n"]
        assert kept == charges, f"{kept} of {charges} charges are in the store"
        source.close()
    return rate


def compare(charges: int) -> bool:
    """Print the rates and their ratios; whether the targets are met."""
    with server(charges) as url:
        sdk = by_sdk(url, _SDK_CHARGES)
        bytes_alone = as_bytes(url, charges)
        pages, rows = parsed(url, charges), stored(url, charges)
        sdk = (sdk + by_sdk(url, _SDK_CHARGES)) / 2
    print(f"SDK, auto paging          {sdk:10,.0f} charges/s")
    print(f"bytes alone (the floor)   {bytes_alone:10,.0f} charges/s   {bytes_alone / sdk:5.1f} x the SDK")
    print(f"HTTP to parsed pages      {pages:10,.0f} charges/s   {pages / sdk:5.1f} x the SDK (target 15)")
    print(f"HTTP to rows in the store {rows:10,.0f} charges/s   {rows / sdk:5.1f} x the SDK (target 8)")
    return pages >= PARSED_TARGET * sdk and rows >= STORED_TARGET * sdk


def held_back(charges: int, per_s: float = 25) -> None:
    """Print how near the rate limit pages come when each takes 80 ms."""
    with server(charges, delay_ms=80) as url:
        rate = parsed(url, charges, per_s=per_s) / 100
    print(f"80 ms a page, limit {per_s:.0f}/s   {rate:6.1f} pages/s = {rate / per_s:.0%} of the limit")


def memory(charges: int) -> int:
    """Pull so many charges in this process and print the most memory that it and its child held, in MB."""
    peaks_mb: dict[str, float] = {}
    with server(charges) as url:
        rate = stored(url, charges, after_batch=lambda: note_children(peaks_mb))
    own_mb, ahead_mb = peak_mb("self"), peaks_mb.get("payhealth.connectors.stripe.ahead_child", 0.0)
    print(
        f"{charges:,} charges into the store: {rate:,.0f}/s, at most {own_mb:.0f} MB,"
        f" and {ahead_mb:.0f} MB of the process that reads ahead (target 300)"
    )
    return 0 if max(own_mb, ahead_mb) <= MEMORY_TARGET_MB else 1


def note_children(peaks_mb: dict[str, float]) -> None:
    """Keep the most memory of each child so far, by the module that it runs."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text(encoding="ascii").split():
            # A child may end at any moment, or has ended and holds nothing; what it held before was noted.
            with suppress(OSError, IndexError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                name = next((part for part in command if part.startswith(("payhealth.", "benchmarks."))), "")
                peaks_mb[name] = max(peaks_mb.get(name, 0.0), peak_mb(pid))


def peak_mb(pid: str) -> float:
    """The most memory that a process ever held; getrusage would count what its parent held before it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> int:
    """Run all parts; 1 where a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--charges", type=int, default=100_000)
    parser.add_argument(
        "--memory", type=int, default=1_000_000, help="charges of the memory part, 0 for none"
    )
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_only:
        return memory(options.memory)
    good = compare(options.charges)
    held_back(min(options.charges, 20_000))
    if options.memory:
        good &= memory_apart(options.memory)
    return 0 if good else 1


def memory_apart(charges: int) -> bool:
    """Run the memory part in a process of its own: the other parts' memory is not this one's.

    pandas is no dependency of payhealth, but Arrow imports it wherever it is installed; here it is hidden.
    """
    with TemporaryDirectory() as folder:
        Path(folder, "pandas.py").write_text("raise ImportError\n", encoding="ascii")
        again = [sys.executable, "-m", "benchmarks.stripe_pull", "--memory-only", "--memory", str(charges)]
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        done = subprocess.run(again, check=False, env={**os.environ, "PYTHONPATH": path})
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
