"""How many webhooks a second are taken while a pull writes into the same store, and how long each waits.

    python -m benchmarks.webhooks [--seconds S] [--per-second N]

The receiver is what the daemon is: one process with the endpoint on uvicorn, an SQLite store, and a thread
that commits pages of movements without a pause. The sender is a process of its own and keeps its pace
whatever is answered: each delivery's time counts from the moment at which it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from benchmarks.store import movements
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.webhooks import webhook_app
from payhealth.daemon.service import SWITCH_S
from payhealth.domain.records import Movement, SourceEvent
from payhealth.ports import Batch
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.webhooks import signature
from payhealth.secrets import Secret
from payhealth.store import SqlStore, open_store

SECRET = "whsec_benchmark0123456789"  # noqa: S105 - of nobody
CONNECTIONS = 256
PATIENCE_MS = 5_000
"""A pace is held where everything is answered and nothing waits longer than this."""

BULK_ROWS = 20_000


def event(number: int) -> bytes:
    """An event about a charge, of the size that Stripe's have."""
    found = {"id": f"ch_{number:024d}", "object": "charge", "amount": number, "currency": "usd"}
    found |= {"created": 1_780_000_000, "livemode": False, "description": "x" * 3_000}
    return orjson.dumps(
        {
            "id": f"evt_{number:024d}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": 1_780_000_000,
            "data": {"object": found},
            "livemode": False,
            "type": "charge.updated",
        }
    )


async def send(port: int, seconds: float, per_s: float) -> tuple[list[float], Counter[str], float]:
    """Deliver at a pace: milliseconds of each delivery, answers by status, and seconds in all."""
    took_ms: list[float] = []
    answers: Counter[str] = Counter()
    start_s = time.perf_counter()

    async def deliver(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, round(seconds * per_s), CONNECTIONS):
            due_s = start_s + number / per_s
            await asyncio.sleep(due_s - time.perf_counter())
            writer.write(request(event(number)))
            head = await reader.readuntil(b"\r\n\r\n")
            [length] = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length.partition(b":")[2]))
            answers[head[9:12].decode()] += 1
            took_ms.append((time.perf_counter() - due_s) * 1000)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for first in range(CONNECTIONS):
            tasks.create_task(deliver(first))
    return took_ms, answers, time.perf_counter() - start_s


def request(payload: bytes) -> bytes:
    """One signed delivery as it goes over the wire; a client library would cost more than the receiver."""
    header = signature(payload, secret=SECRET, sent_at_s=int(time.time()))
    lines = (
        "POST / HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(payload)}",
        f"Stripe-Signature: {header}",
    )
    return "\r\n".join((*lines, "", "")).encode() + payload


@contextmanager
def busy(store: SqlStore) -> Iterator[Counter[str]]:
    """A thread that commits one page of changed movements after the other; how many rows it wrote."""
    written: Counter[str] = Counter()
    stopping = threading.Event()

    def write() -> None:
        while not stopping.is_set():
            page = movements(BULK_ROWS, status=f"state {written['pages']}")
            counts = store.commit("cards", Batch(stream="charges", records={Movement: page}))
            written.update(pages=1, rows=counts.new + counts.changed)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stopping.set()
        thread.join()


def receive(folder: Path, seconds: float, per_s: float) -> int:
    """Take deliveries while a pull writes; returns 1 where one was lost, doubled, refused or late."""
    sys.setswitchinterval(SWITCH_S)  # as the daemon does
    store = open_store(f"sqlite:///{folder}/store.db")
    app = webhook_app("cards", _settings(), store)
    command = [sys.executable, "-m", "benchmarks.webhooks", "--seconds", str(seconds)]
    with LoopbackServer(app, stop_timeout_s=30) as server, busy(store) as written:
        sender = [*command, "--per-second", str(per_s), "--to", str(server.port)]
        sent = json.loads(subprocess.run(sender, capture_output=True, text=True, check=True).stdout)
    app.close()
    stored, versions = (Counter(table["event_id"].to_pylist()) for table in _tables(store))
    store.close()
    wanted = {f"evt_{number:024d}" for number in range(round(seconds * per_s))}
    once = set(stored) == wanted and set(stored.values()) == set(versions.values()) == {1}
    accepted_per_s = sent["answers"].get("200", 0) / sent["seconds"]
    print(
        f"webhooks: {accepted_per_s:.0f} accepted a second of {per_s:.0f}, for {sent['seconds']:.1f} s;"
        f" a delivery takes {sent['p50_ms']:.0f} ms (p50), {sent['p99_ms']:.0f} ms (p99),"
        f" {sent['max_ms']:.0f} ms at most"
    )
    others = {status: count for status, count in sent["answers"].items() if status != "200"}
    print(
        f"webhooks: {len(stored)} events stored, each exactly once: {once}; other answers: {others or 'none'}"
    )
    print(f"webhooks: {written['rows'] / sent['seconds']:.0f} other rows a second were written meanwhile")
    held = not others and once and sent["max_ms"] < PATIENCE_MS
    print(f"webhooks: {per_s:.0f} a second are {'held' if held else 'NOT HELD'}", flush=True)
    return 0 if held else 1


def _tables(store: SqlStore) -> tuple[object, object]:
    return store.records(SourceEvent), store.changes(SourceEvent, after=0)


def _settings() -> StripeSettings:
    return StripeSettings.model_validate(
        {
            "api_key": Secret("rk_test_benchmark", "env:STRIPE_API_KEY"),
            "start": "2026-01-01",
            "webhook_secrets": (Secret(SECRET, "env:WEBHOOK_SECRET"),),
        }
    )


def soak(seconds: float, per_s: float) -> int:
    """Run it in a folder of its own; returns 1 where the pace was not held."""
    with TemporaryDirectory() as name:
        return receive(Path(name), seconds, per_s)


def _report(port: int, seconds: float, per_s: float) -> None:
    """What the sending process tells."""
    took_ms, answers, all_s = asyncio.run(send(port, seconds, per_s))
    ordered = sorted(took_ms)
    found = {f"p{share}_ms": ordered[len(ordered) * share // 100] for share in (50, 99)}
    print(json.dumps({**found, "max_ms": ordered[-1], "seconds": all_s, "answers": answers}))


def main() -> int:
    """Measure, or be the sender of a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--per-second", type=float, default=200)
    parser.add_argument("--to", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.to:
        _report(chosen.to, chosen.seconds, chosen.per_second)
        return 0
    return soak(chosen.seconds, chosen.per_second)


if __name__ == "__main__":
    sys.exit(main())
