"""What takes long: many demo seeds, a daemon over many ticks, webhooks, Stripe in every order, chains."""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import webhooks


def demo_seeds(count: int) -> int:
    """Run the demo over fresh seeds; returns how many did not agree with what was planted."""
    wrong = 0
    for seed in random.SystemRandom().sample(range(1, 10**6), count):
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "payhealth", "demo", "--seed", str(seed)],
            capture_output=True,
            text=True,
            check=False,
        )
        verdict = "agrees" if done.returncode == 0 else f"EXIT {done.returncode}"
        print(f"demo --seed {seed}: {verdict} in {time.monotonic() - started_s:.1f} s", flush=True)
        if done.returncode != 0:
            wrong += 1
            print(done.stdout[-4000:], done.stderr[-2000:])
    return wrong


def resident_mb(pid: int) -> float:
    """A process's resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


def daemon(seconds: float) -> int:
    """Run the daemon with one tick a second against a simulated business; returns 1 if it misbehaves."""
    from payhealth.demo import write_config
    from payhealth.sandbox.business.world import World

    with (
        TemporaryDirectory() as name,
        World(seed=1, days=7, end=datetime.now(UTC).replace(microsecond=0), folder=Path(name)) as world,
    ):
        world.run_until_before_reorg()
        world.run_to_end()
        config = write_config(world, Path(name))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        jobs = "".join(f"\n[daemon.jobs.{job}]\nevery_s = 1\n" for job in ("pull", "reconcile", "check"))
        with config.open("a", encoding="utf-8") as file:
            file.write(f'\n[daemon]\nbind = "127.0.0.1:{port}"\n{jobs}')
        return _watch(config, port, seconds)


def _watch(config: Path, port: int, seconds: float) -> int:
    command = [sys.executable, "-m", "payhealth", "--config", str(config), "daemon"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        time.sleep(20)
        first_mb = resident_mb(process.pid)
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and process.poll() is None:
            time.sleep(5)
        last_mb = resident_mb(process.pid)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        process.send_signal(signal.SIGTERM)
        started_s = time.monotonic()
        code = process.wait(timeout=30)
    runs = [line for line in lines if line.startswith("payhealth_job_runs_total")]
    print(f"daemon: {seconds:.0f} s, memory {first_mb:.0f} -> {last_mb:.0f} MB ({last_mb / first_mb:.2f} x)")
    print(f"daemon: stopped with {code} in {time.monotonic() - started_s:.1f} s", *runs, sep="\n  ")
    failed = any('result="failed"' in line for line in runs)
    return 1 if code != 0 or failed else 0


def stripe_simulation(name: str, count: int) -> int:
    """Live through many random orders or faults of a Stripe account; returns 1 if one ends wrong."""
    started_s = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", f"tests/simulation/test_stripe_{name}.py"]
    environment = {**os.environ, f"PAYHEALTH_{name.upper()}": str(count)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    last = done.stdout.strip().splitlines()[-1:] or ["no answer"]
    print(f"stripe {name}: {last[0]} ({time.monotonic() - started_s:.0f} s)", flush=True)
    if done.returncode:
        print(done.stdout[-8000:])
    return min(1, done.returncode)


def chains(seeds: int) -> int:
    """Live through random reorgs, kills and returns on real chains; returns 1 if one ends wrong."""
    command = [sys.executable, "-m", "benchmarks.soak_chains", "--seeds", str(seeds), "--kind", "both"]
    return min(1, subprocess.run(command, check=False).returncode)


def main() -> int:
    """Run all parts, however the ones before them ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--webhook-seconds", type=float, default=20, help="0 leaves them out")
    parser.add_argument("--webhooks-per-second", type=float, default=200)
    parser.add_argument("--orders", type=int, default=200, help="random accounts, 0 leaves them out")
    parser.add_argument("--faults", type=int, default=100, help="random mixes of faults, 0 leaves them out")
    parser.add_argument("--chains", type=int, default=30, help="lives of each kind, 0 leaves them out")
    chosen = parser.parse_args()
    ended = [min(1, demo_seeds(chosen.seeds)), daemon(chosen.seconds) if chosen.seconds else 0]
    if chosen.webhook_seconds:
        ended.append(webhooks.soak(chosen.webhook_seconds, chosen.webhooks_per_second))
    for name, count in (("orders", chosen.orders), ("faults", chosen.faults)):
        if count:
            ended.append(stripe_simulation(name, count))
    if chosen.chains:
        ended.append(chains(chosen.chains))
    return max(ended)


if __name__ == "__main__":
    sys.exit(main())
