"""Webhooks over real sockets: Stripe's deliveries reach the store of a running daemon and of a backend."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from payhealth.connectors.stripe.webhooks import webhook_app
from payhealth.domain.records import SourceEvent
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.server import build_app
from payhealth.sandbox.stripe.webhooks import deliver_webhooks
from payhealth.store import open_store
from tests.unit.connectors.webhook_support import SECRET, event, settings
from tests.unit.daemon.test_end_to_end import Daemon

API_KEY = "rk_test_0123456789abcdef"


class CardDaemon(Daemon):
    """A running daemon that reads a simulated Stripe account and takes its webhooks."""

    def __init__(self, folder: Path, api_base: str) -> None:
        self._api_base = api_base
        super().__init__(folder, every_s=3_600)

    def _start(self) -> subprocess.Popen[bytes]:
        (self._folder / "payhealth.toml").write_text(
            "[store]\nurl = 'sqlite:///store.db'\n"
            f"[connectors.cards]\nkind = 'stripe'\napi_key = 'env:API_KEY'\napi_base = '{self._api_base}'\n"
            "start = 2026-01-01\nwebhook_secrets = ['env:WEBHOOK_SECRET']\n"
            f"[daemon]\nbind = '127.0.0.1:{self.port}'\n"
            + "".join(f"[daemon.jobs.{name}]\nevery_s = 3600\n" for name in ("pull", "reconcile", "check")),
            encoding="utf-8",
        )
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "payhealth", "daemon"],
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "API_KEY": API_KEY, "WEBHOOK_SECRET": SECRET},
                stdout=log,
                stderr=log,
            )


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[CardDaemon]:
    """Such a daemon, with its Stripe, gone afterwards."""
    account = StripeAccount(
        seed=1, api_key=API_KEY, webhook_secret=SECRET, start=datetime(2026, 1, 1, tzinfo=UTC)
    )
    with LoopbackServer(build_app(account, rate_limit_per_s=None)) as stripe:
        running = CardDaemon(tmp_path, stripe.url)
        yield running
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait(10)


def stored(url: str) -> list[str]:
    """The ids of the events in a store."""
    store = open_store(url)
    try:
        return sorted(store.records(SourceEvent)["event_id"].to_pylist())
    finally:
        store.close()


def test_deliveries_reach_the_store_of_a_running_daemon(daemon: CardDaemon, tmp_path: Path) -> None:
    """Signed ones are stored and counted, forged ones refused and counted, and nothing of them is logged."""
    daemon.get("/healthz")
    url = f"http://127.0.0.1:{daemon.port}/webhooks/cards"
    sent: list[Any] = [event(1), event(2), event(1)]
    assert [each.status for each in deliver_webhooks(url, sent, secret=SECRET)] == [200] * 3
    assert [each.status for each in deliver_webhooks(url, sent, secret="whsec_forged")] == [400] * 3
    assert httpx.get(url).status_code == 405
    assert httpx.post(f"http://127.0.0.1:{daemon.port}/webhooks/other").status_code == 404
    metrics = daemon.get("/metrics").text
    assert 'payhealth_webhooks_total{connector="cards",outcome="stored"} 3.0' in metrics
    assert 'payhealth_webhooks_total{connector="cards",outcome="wrong_signature"} 3.0' in metrics
    assert 'payhealth_webhook_last_stored_timestamp_seconds{connector="cards"}' in metrics
    assert daemon.stop(signal.SIGTERM) == 0
    assert stored(f"sqlite:///{tmp_path}/store.db") == [event(1)["id"], event(2)["id"]]
    log = "\n".join(daemon.lines)
    assert len([line for line in daemon.lines if json.loads(line)["event"] == "webhook"]) == 4
    for secret in (SECRET, API_KEY, "ada@example.com", event(1)["id"], "v1="):
        assert secret not in log


def test_many_connections_at_once_store_each_event_once(tmp_path: Path) -> None:
    """Eight senders on real sockets, each sending every event: all are answered 200, each is stored once."""
    url = f"sqlite:///{tmp_path}/store.db"
    store = open_store(url)
    app = webhook_app("cards", settings(), store)
    events: list[Any] = [event(number) for number in range(25)]
    with LoopbackServer(app) as server, ThreadPoolExecutor(8) as senders:
        sent = senders.map(lambda _: deliver_webhooks(server.url, events, secret=SECRET), range(8))
        assert {delivery.status for deliveries in sent for delivery in deliveries} == {200}
    app.close()
    assert store.changes(SourceEvent, after=0).num_rows == 25
    store.close()
    assert stored(url) == [each["id"] for each in events]
