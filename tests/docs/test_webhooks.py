"""The guide's webhook example takes a signed delivery, and the page on operations lists every answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from payhealth.connectors.stripe.signatures import TOLERANCE_S
from payhealth.connectors.stripe.webhooks import BODY_WITHIN_S, MAX_BODY_BYTES, STATUS, STORED_WITHIN_S
from payhealth.domain.records import SourceEvent
from payhealth.sandbox.stripe.webhooks import signature
from payhealth.store import open_store
from tests.docs.pages import blocks, rows, section
from tests.unit.connectors.webhook_support import SECRET, event

CONFIG = """
[store]
url = "sqlite:///store.db"

[connectors.cards]
kind = "stripe"
api_key = "env:STRIPE_API_KEY"
start = 2026-01-01
webhook_secrets = ["env:STRIPE_WEBHOOK_SECRET"]
"""


def test_the_example_takes_a_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands on the page: a signed POST is stored, a forged one is refused."""
    [block] = blocks("python", "webhooks")
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_documentation")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "payhealth.toml").write_text(CONFIG, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102 - our own pages
    payload = orjson.dumps(event())

    async def post(secret: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=names["app"])
        headers = {"Stripe-Signature": signature(payload, secret=secret, sent_at_s=int(time.time()))}
        async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
            return await client.post("/stripe/webhooks", content=payload, headers=headers)

    try:
        assert asyncio.run(post(SECRET)).json() == {"outcome": "stored"}
        assert asyncio.run(post("whsec_forged")).status_code == 400
    finally:
        names["health"].close()
    store = open_store("sqlite:///store.db")
    try:
        assert store.records(SourceEvent)["event_id"].to_pylist() == [event()["id"]]
    finally:
        store.close()


def test_every_answer_is_documented() -> None:
    """Every outcome with its status, and the bounds that lead to one."""
    text = section("docs/operations.md", "Webhooks")
    documented = {row[0]: int(row[1]) for row in rows(text)}
    assert documented == {str(outcome): status for outcome, status in STATUS.items()}
    bounds = (
        f"{MAX_BODY_BYTES // 1024} KiB",
        *(f"{s:.0f} sec" for s in (BODY_WITHIN_S, STORED_WITHIN_S, TOLERANCE_S)),
    )
    assert [bound for bound in bounds if bound not in text] == []
