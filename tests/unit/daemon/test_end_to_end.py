"""The daemon as a process of its own: it pulls, reconciles and judges real files, and stops when told."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from payhealth.domain.breaks import BreakReason

STARTS_WITHIN_S = 60
STOPS_WITHIN_S = 10
SECRET = "s3cr3t-t0ken-0123456789"


def free_port() -> int:
    """A port that nobody holds just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """A running ``payhealth daemon`` with its log in a file."""

    def __init__(self, folder: Path, *, every_s: float = 30) -> None:
        self.port = free_port()
        self._folder = folder
        self._every_s = every_s
        self._log = folder / "log"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        (self._folder / "entries.csv").write_text(
            "id,account,reference,amount,asset,occurred_at\ne1,acct_1,ch_1,10.00,USD,2026-01-01T00:00:00Z\n",
            encoding="utf-8",
        )
        schedule = "".join(
            f"[daemon.jobs.{name}]\nevery_s = {self._every_s}\n" for name in ("pull", "reconcile", "check")
        )
        (self._folder / "payhealth.toml").write_text(
            "[store]\nurl = 'sqlite:///store.db'\n"
            "[connectors.credits]\nkind = 'ledger.files'\npaths = ['entries.csv']\n"
            "[alerts]\ntargets = ['env:ALERT_TARGET']\n"
            f"[daemon]\nbind = '127.0.0.1:{self.port}'\n{schedule}",
            encoding="utf-8",
        )
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "payhealth", "daemon"],
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "ALERT_TARGET": f"json://127.0.0.1:9/{SECRET}"},
                stdout=log,
                stderr=log,
            )

    @property
    def lines(self) -> list[str]:
        """What it wrote."""
        return self._log.read_text(encoding="utf-8").splitlines()

    def get(self, path: str) -> httpx.Response:
        """A page, as soon as the door is open."""
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5)
            except httpx.TransportError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    pytest.fail("the daemon does not answer:\n" + "\n".join(self.lines))
                time.sleep(0.05)

    def wait_for(self, sample: str) -> str:
        """The metrics, once they hold a sample."""
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            text = self.get("/metrics").text
            if sample in text:
                return text
            if time.monotonic() > deadline:
                pytest.fail(f"no {sample} in the metrics:\n{text}\n" + "\n".join(self.lines))
            time.sleep(0.1)

    def stop(self, number: signal.Signals) -> int:
        """Tell it to stop, and how it ended."""
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN_S)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is gone afterwards."""
    running = Daemon(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait(10)


def test_it_works_tells_and_stops(daemon: Daemon) -> None:
    """A credit without its payment is pulled, found and shown; SIGTERM ends it with 0; every line is JSON."""
    assert daemon.get("/healthz").json() == {"status": "ok"}
    assert daemon.get("/readyz").status_code == 200
    metrics = daemon.wait_for('payhealth_check_outcome{check="credited_not_paid",outcome="warn"} 1.0')
    assert 'payhealth_breaks{reason="credited_not_paid"} 1.0' in metrics
    assert "payhealth_coverage_holes 0.0" in metrics
    assert all(f'payhealth_breaks{{reason="{reason}"}}' in metrics for reason in BreakReason)
    assert daemon.stop(signal.SIGTERM) == 0
    read = [json.loads(line) for line in daemon.lines]
    events = [line["event"] for line in read]
    assert events[0] == "started"
    assert events[-1] == "stopped"
    assert {"stream_pulled", "reconciled", "checked", "job_ended"} <= set(events)
    assert not [line for line in read if line["event"] == "job_failed"]
    assert SECRET not in "\n".join(daemon.lines)


def test_it_stops_at_once_while_it_starts(daemon: Daemon) -> None:
    """The word may come as soon as the door is open, and SIGINT is one too."""
    daemon.get("/healthz")
    assert daemon.stop(signal.SIGINT) == 0


def test_an_address_that_is_taken_ends_it_with_3(tmp_path: Path, daemon: Daemon) -> None:
    """A second daemon on the same port says so and goes, instead of running unseen."""
    daemon.get("/healthz")
    second = tmp_path / "second"
    second.mkdir()
    text = (tmp_path / "payhealth.toml").read_text(encoding="utf-8").replace("entries.csv", "../entries.csv")
    (second / "payhealth.toml").write_text(text, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "payhealth", "daemon"],
        cwd=second,
        env={"PATH": "/usr/bin:/bin", "ALERT_TARGET": f"json://127.0.0.1:9/{SECRET}"},
        capture_output=True,
        timeout=STARTS_WITHIN_S,
        check=False,
    )
    assert ended.returncode == 3
    events = [json.loads(line)["event"] for line in ended.stderr.decode().splitlines()]
    assert "address_not_held" in events
    assert daemon.get("/healthz").status_code == 200
