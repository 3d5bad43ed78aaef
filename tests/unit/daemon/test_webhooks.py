"""Webhooks at the daemon's door: whose they are, what is counted, and what is never written down."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from payhealth import PayHealth
from payhealth.bootstrap import Application, application
from payhealth.daemon.logs import logger
from payhealth.daemon.metrics import Metrics
from payhealth.daemon.server import build_app
from payhealth.daemon.service import webhooks
from payhealth.domain.errors import ConfigurationError
from payhealth.plugins import WebhookOutcome

CONFIG = """
[store]
url = "sqlite:///store.db"

[connectors.cards]
kind = "stripe"
api_key = "env:STRIPE_API_KEY"
start = 2026-01-01
webhook_secrets = ["env:WEBHOOK_SECRET"]

[connectors.quiet]
kind = "stripe"
api_key = "env:STRIPE_API_KEY"
start = 2026-01-01

[connectors."a/b {c}"]
kind = "stripe"
api_key = "env:STRIPE_API_KEY"
start = 2026-01-01
webhook_secrets = ["env:WEBHOOK_SECRET"]

[connectors.credits]
kind = "ledger.files"
paths = ["entries.csv"]
"""
SECRET = "whsec_0123456789abcdef"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An application with four connectors, of which two take webhooks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_0123456789")
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    (tmp_path / "payhealth.toml").write_text(CONFIG, encoding="utf-8")
    made = application(tmp_path / "payhealth.toml")
    yield made
    made.close()


def values(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """One metric: label values -> value."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def post(door: Any, path: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
    """One delivery to the door."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app=door)
        async with httpx.AsyncClient(transport=transport, base_url="http://daemon") as client:
            return await client.post(path, content=body, headers=headers)

    return asyncio.run(request())


def opened(app: Application) -> tuple[Any, Metrics, io.StringIO]:
    """The daemon's door with its webhooks, its metrics and what it writes."""
    out, metrics = io.StringIO(), Metrics()
    taking = webhooks(app, metrics, logger([SECRET], to=out))
    return build_app(metrics, alive=bool, ready=bool, webhooks=taking), metrics, out


def test_only_connectors_that_name_a_secret_are_served(app: Application) -> None:
    """Another kind, one without a secret, or one that is not there: as any page that is not there."""
    door, _, _ = opened(app)
    for name in ("quiet", "credits", "nobody", "cards/more", ""):
        answer = post(door, f"/webhooks/{name}")
        assert answer.status_code == 404, name
    assert post(door, "/webhooks/cards").json() == {"outcome": "malformed_signature"}


def test_every_outcome_is_shown_before_the_first_request(app: Application) -> None:
    """An alert on a rate works from the start; labels are the configured names and a closed list."""
    _, metrics, _ = opened(app)
    shown = values(metrics, "payhealth_webhooks_total")
    assert set(shown) == {(name, str(each)) for name in ("cards", "a/b {c}") for each in WebhookOutcome}
    assert set(shown.values()) == {0}
    assert values(metrics, "payhealth_webhook_last_stored_timestamp_seconds") == {}


def test_requests_are_counted_and_a_stranger_makes_no_labels(app: Application) -> None:
    """What is refused is counted under its connector; an unknown path under none."""
    door, metrics, _ = opened(app)
    before = set(values(metrics, "payhealth_webhooks_total"))
    for path in ("/webhooks/cards", "/webhooks/cards", "/webhooks/evil%0A", "/webhooks/x%22y"):
        post(door, path, b"{}", **{"stripe-signature": "t=1,v1=00"})
    shown = values(metrics, "payhealth_webhooks_total")
    assert set(shown) == before
    assert {key: value for key, value in shown.items() if value} == {("cards", "wrong_signature"): 2}
    assert values(metrics, "payhealth_webhook_last_stored_timestamp_seconds") == {}


def test_what_is_refused_is_logged_without_its_content(app: Application) -> None:
    """A line names connector and outcome: no body, no header, no secret, no text of a stranger's."""
    door, _, out = opened(app)
    post(door, "/webhooks/cards", b"ada@example.com", **{"stripe-signature": f"t=1,v1={SECRET}"})
    [line] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert set(line) == {"event", "connector", "outcome", "level", "timestamp"}
    assert (line["event"], line["connector"], line["outcome"]) == ("webhook", "cards", "wrong_signature")


@pytest.mark.parametrize("outcome", list(WebhookOutcome))
def test_the_last_delivery_is_what_was_kept(outcome: WebhookOutcome) -> None:
    """A refused, foreign or put-off request is no sign that webhooks arrive."""
    metrics, out = Metrics(), io.StringIO()
    told: Any = SimpleNamespace(webhooks=lambda heard: heard("cards", outcome) or {})
    webhooks(told, metrics, logger(to=out))
    kept = outcome in (WebhookOutcome.STORED, WebhookOutcome.REJECTED)
    assert (("cards",) in values(metrics, "payhealth_webhook_last_stored_timestamp_seconds")) is kept
    assert bool(out.getvalue()) is (outcome is not WebhookOutcome.STORED)


def test_a_backend_gets_the_endpoint_by_name(app: Application) -> None:
    """From Python: the same application, or one clear line."""
    health = PayHealth(app)
    assert post(health.webhook_app("cards"), "/anything").json() == {"outcome": "malformed_signature"}
    for name in ("quiet", "credits", "nobody"):
        with pytest.raises(ConfigurationError, match=f"connectors.{name} takes no webhooks"):
            health.webhook_app(name)
