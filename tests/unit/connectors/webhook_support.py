"""What the webhook tests share: settings, signed events, requests without a network, and odd stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx
import orjson

from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.webhooks import WebhookApp, webhook_app
from payhealth.domain.record import Record
from payhealth.domain.records import Rejected, SourceEvent
from payhealth.plugins import WebhookOutcome
from payhealth.ports import Batch
from payhealth.sandbox.stripe.webhooks import signature
from payhealth.secrets import Secret
from payhealth.testing.memory import MemoryStore

NOW_S = 1_780_000_000
SECRET = "whsec_first0123456789"
NEXT_SECRET = "whsec_second0123456789"


def settings(*secrets: str, **changes: Any) -> StripeSettings:
    """Settings of a test-mode connector with these signing secrets."""
    values = {
        "api_key": Secret("rk_test_0123456789", "env:STRIPE_API_KEY"),
        "start": "2026-01-01",
        "webhook_secrets": tuple(Secret(each, "env:WEBHOOK_SECRET") for each in secrets or (SECRET,)),
        **changes,
    }
    return StripeSettings.model_validate(values)


def event(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An event about a charge, as Stripe sends it."""
    return {
        "id": f"evt_{number:024d}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": NOW_S - 60,
        "data": {
            "object": {
                "id": f"ch_{number:024d}",
                "object": "charge",
                "amount": 2_000,
                "billing_details": {"email": "ada@example.com"},
                "created": NOW_S - 3_600,
                "currency": "usd",
                "livemode": False,
            }
        },
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "charge.refunded",
        **changes,
    }


def signed(
    payload: bytes, *, secret: str = SECRET, sent_at_s: int = NOW_S, header: str | None = None
) -> dict[str, str]:
    """The headers of a delivery."""
    given = signature(payload, secret=secret, sent_at_s=sent_at_s) if header is None else header
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": given}


class Endpoint:
    """A webhook endpoint over a store, with what it told."""

    def __init__(self, store: Any = None, *secrets: str, name: str = "cards", **options: Any) -> None:
        self.store = MemoryStore() if store is None else store
        self.heard: list[WebhookOutcome] = []
        timing = {key: options.pop(key) for key in ("body_within_s", "stored_within_s") if key in options}
        self.app: WebhookApp = webhook_app(
            name,
            settings(*secrets, **options),
            self.store,
            heard=self.heard.append,
            clock=lambda: NOW_S,
            **timing,
        )

    def ask(self, requests: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        """Make requests to it, then let its worker end."""

        async def run() -> Any:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://backend") as client:
                return await requests(client)

        return asyncio.run(run())

    def post(
        self,
        payload: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str] | list[tuple[str, str]],
        path: str = "/",
    ) -> httpx.Response:
        """One request."""

        async def one(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post(path, content=payload, headers=headers)

        answer: httpx.Response = self.ask(one)
        return answer

    def deliver(self, found: object, **how: Any) -> tuple[int, str]:
        """Post one event, rightly signed unless told otherwise; status and outcome."""
        payload = found if isinstance(found, bytes) else orjson.dumps(found)
        answer = self.post(payload, signed(payload, **how))
        assert set(answer.json()) == {"outcome"}
        return answer.status_code, answer.json()["outcome"]

    def rows(self, kind: type[Record]) -> list[dict[str, Any]]:
        """What the store holds of a class."""
        found: list[dict[str, Any]] = self.store.records(kind).to_pylist()
        return found

    @property
    def events(self) -> list[str]:
        """The ids of the stored events, in order."""
        return sorted(row["event_id"] for row in self.rows(SourceEvent))

    @property
    def rejected(self) -> list[dict[str, Any]]:
        """What was kept as not understood."""
        return self.rows(Rejected)


class OddStore(MemoryStore):
    """A store whose next commits fail, or wait."""

    def __init__(self, *failures: BaseException | Callable[[Batch], None]) -> None:
        super().__init__()
        self.failures = list(failures)
        self.sizes: list[int] = []

    def commit(self, connector: str, batch: Batch) -> Any:
        """Fail as told, then commit as ever."""
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, BaseException):
                raise failure
            failure(batch)
        self.sizes.append(batch.objects_read)
        return super().commit(connector, batch)
