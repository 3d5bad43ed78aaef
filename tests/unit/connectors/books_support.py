"""What the tests over Stripe's books share: a sandbox account, and a reading of it into a store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.lists import ListPull
from payhealth.connectors.stripe.reading import Reading
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import rules_of
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.ports import Batch
from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.stripe.account import StripeAccount
from payhealth.sandbox.stripe.server import build_app
from payhealth.secrets import Secret
from payhealth.testing import MemoryStore
from tests.simulation.stripe_wire import Wire

NAME = "cards"
KEY = "sk_test_books"
START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """So many days after the start."""
    return START + timedelta(days=number)


class Patience:
    """A clock that moves by waiting alone, so that nobody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Wait, in no time."""
        self.waits.append(seconds)
        self.now_s += max(0.0, seconds)

    def monotonic(self) -> float:
        """How long was waited."""
        return self.now_s


class FileWire(Wire):
    """Carries requests in the same thread; files come as streams, which need a loop of their own."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, answered whole."""
        if not request.url.path.endswith("/contents"):
            return super().handle_request(request)
        self.requests += 1
        return asyncio.run(self._file(request))

    async def _file(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self._app)) as client:
            found = await client.get(request.url, headers=request.headers)
        return httpx.Response(found.status_code, content=found.content)


class Books:
    """A sandbox account and a reading of it.

    Args:
        rates: what other currencies are worth in the account's own.
        options: settings of the source, and what carries requests (``transport``).
    """

    def __init__(
        self, *, rates: dict[str, Decimal] | None = None, currency: str = "usd", **options: Any
    ) -> None:
        self.account = StripeAccount(
            seed=7,
            api_key=KEY,
            webhook_secret="whsec_books",
            start=START,
            currency=currency,
            exchange_rates=rates,
        )
        self.wire = FileWire(build_app(self.account, rate_limit_per_s=None))
        self.patience = Patience()
        transport: httpx.BaseTransport = options.pop("transport", self.wire)
        settings = StripeSettings(
            api_key=Secret(KEY, "env:KEY"),
            api_base="https://api.stripe.test",
            start=START,
            rate_limit_per_s=10_000,
            per_endpoint_rate_limit_per_s=10_000,
            parallel_windows=2,
            **options,
        )
        client = StripeClient(
            NAME,
            settings,
            transport=transport,
            sleep=self.patience.sleep,
            monotonic=self.patience.monotonic,
        )
        self.reading = Reading(
            name=NAME, settings=settings, client=client, rules=rules_of(NAME, settings, live=False)
        )
        self.store = MemoryStore()

    def sell(self, count: int, at: datetime, *, amount: int = 1050, currency: str = "usd") -> list[str]:
        """So many payments that succeed, a second apart; their charges."""
        made = []
        for number in range(count):
            moment = at + timedelta(seconds=number)
            intent = self.account.create_payment_intent(
                amount_minor=amount, currency=currency, customer=None, metadata={}, at=moment
            )
            made.append(self.account.attempt_payment(intent["id"], card=Card(), at=moment)["id"])
        return made

    def list(self, *streams: str, now: datetime) -> None:
        """Pull some lists into the store."""
        self.account.advance_to(max(now, datetime.fromtimestamp(self.account.now_s, UTC)))
        for stream in streams:
            cursor = self.store.cursor(NAME, stream)
            for batch in ListPull(self.reading, STREAMS[stream], cursor, now, self.store).batches():
                self.commit(batch)

    def commit(self, batch: Batch) -> None:
        """Keep a batch."""
        self.store.commit(NAME, batch)
