"""Stripe's webhooks: an ASGI application for a backend to mount; the daemon serves it too.

A delivery is checked on its raw bytes, stored, and only then answered with 200; the next pull reads the
objects that the stored events name. So webhooks make knowledge quicker and never more certain: one that is
lost, refused or forged changes no verdict, because the pull lists the events itself.

What is not stored is either refused (400 and the like, a fault of the sender or the configuration), or put
off (503: Stripe sends it again for three days). What is signed but not understood is kept as a rejected
record, for it would be no clearer the next time.

Source: https://docs.stripe.com/webhooks
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from payhealth.connectors.stripe.deliveries import STREAM, Deliveries, Delivery, FullError, Records
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.signatures import verdict
from payhealth.connectors.stripe.source import live_of, rules_of
from payhealth.connectors.stripe.streams import STREAMS, translate
from payhealth.domain.errors import ConfigurationError
from payhealth.plugins import Heard, Receive, Scope, Send, WebhookOutcome
from payhealth.ports import Store

MAX_BODY_BYTES = 512 * 1024
"""Stripe's events are a few kilobytes; an invoice with many lines has some hundred."""

BODY_WITHIN_S = 10.0
"""For so long a body may take to come."""

STORED_WITHIN_S = 25.0
"""After that the sender is told to come again, whatever the store is waiting for."""

HELD_BYTES_MAX = 64 * 1024 * 1024
"""Bodies in memory at once, of all requests together."""

STATUS = {
    WebhookOutcome.STORED: 200,
    WebhookOutcome.REJECTED: 200,
    WebhookOutcome.OTHER_ACCOUNT: 200,
    WebhookOutcome.WRONG_METHOD: 405,
    WebhookOutcome.TOO_LARGE: 413,
    WebhookOutcome.TOO_SLOW: 408,
    WebhookOutcome.CUT_OFF: 400,
    WebhookOutcome.MALFORMED_SIGNATURE: 400,
    WebhookOutcome.WRONG_SIGNATURE: 400,
    WebhookOutcome.TOO_OLD: 400,
    WebhookOutcome.TOO_NEW: 400,
    WebhookOutcome.WRONG_MODE: 400,
    WebhookOutcome.BUSY: 503,
    WebhookOutcome.NOT_STORED: 503,
}
"""How each outcome is answered; the body is ``{"outcome": "…"}``."""


class _RefusedError(Exception):
    """The request ends here."""

    def __init__(self, outcome: WebhookOutcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class _Room:
    """How much may be held in memory by all requests together."""

    def __init__(self, bytes_max: int) -> None:
        self.left = bytes_max


class _Body:
    """One request's body while it comes in, within its own bound and within the room for all."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take a piece, or refuse it."""
        if len(self._bytes) + len(chunk) > MAX_BODY_BYTES:
            raise _RefusedError(WebhookOutcome.TOO_LARGE)
        if len(chunk) > self._room.left:
            raise _RefusedError(WebhookOutcome.BUSY)
        self._room.left -= len(chunk)
        self._bytes += chunk

    def whole(self) -> bytes:
        """All of it."""
        return bytes(self._bytes)

    def release(self) -> None:
        """Give the room back."""
        self._room.left += len(self._bytes)
        self._bytes.clear()


class WebhookApp:
    """One connector's webhook endpoint as an ASGI application, at whatever path it is mounted.

    Args:
        deliveries: where signed events go.
        heard: told what became of each request.
        live: whether the connector reads live mode, None where its key does not say.
        clock: our clock, in unix seconds.
        body_within_s: how long a body may take to come.
        stored_within_s: how long storing may take.
    """

    def __init__(
        self,
        settings: StripeSettings,
        deliveries: Deliveries,
        *,
        heard: Heard,
        live: bool | None,
        clock: Callable[[], float],
        body_within_s: float,
        stored_within_s: float,
    ) -> None:
        self._secrets = settings.webhook_secrets
        self._account = settings.stripe_account
        self._deliveries = deliveries
        self._heard = heard
        self._live = live
        self._clock = clock
        self._body_within_s = body_within_s
        self._stored_within_s = stored_within_s
        self._room = _Room(HELD_BYTES_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live_and_end(receive, send)
        elif scope["type"] == "http":
            outcome = await self._outcome(scope, receive)
            self._heard(outcome)
            await _answer(send, outcome)
        else:
            await send({"type": "websocket.close", "code": 1003})

    def close(self) -> None:
        """Commit what waits, and take no more."""
        self._deliveries.close()

    async def _outcome(self, scope: Scope, receive: Receive) -> WebhookOutcome:
        body = _Body(self._room)
        try:
            await self._receive(scope, receive, body)
            return await self._stored(self._checked(scope, body.whole()))
        except _RefusedError as refused:
            return refused.outcome
        finally:
            body.release()

    async def _receive(self, scope: Scope, receive: Receive, body: _Body) -> None:
        """Read the body, bounded in size and time whatever its length is said to be."""
        if scope["method"] != "POST":
            raise _RefusedError(WebhookOutcome.WRONG_METHOD)
        for said in _headers(scope, b"content-length"):
            # A length that is no number is the server's business: it knows where the body ends.
            if said.isascii() and said.isdigit() and int(said[:12]) > MAX_BODY_BYTES:
                raise _RefusedError(WebhookOutcome.TOO_LARGE)
        try:
            async with asyncio.timeout(self._body_within_s):
                await _read(receive, body)
        except TimeoutError:
            raise _RefusedError(WebhookOutcome.TOO_SLOW) from None

    def _checked(self, scope: Scope, body: bytes) -> Delivery:
        """The delivery, once its signature, mode and account are known to be right."""
        signatures = _headers(scope, b"stripe-signature")
        if len(signatures) != 1:
            raise _RefusedError(WebhookOutcome.MALFORMED_SIGNATURE)
        wrong = verdict(body, signatures[0], self._secrets, now_s=self._clock())
        if wrong is not None:
            raise _RefusedError(wrong)
        delivery = Delivery.read(body)
        if delivery.event is None:
            return delivery
        live = delivery.event.get("livemode")
        if self._live is not None and isinstance(live, bool) and live != self._live:
            raise _RefusedError(WebhookOutcome.WRONG_MODE)
        # One endpoint of a platform hears of all its accounts. What is another's is left to that account's
        # own connector, whose pull lists it whether or not it is delivered there too.
        if delivery.event.get("account") != self._account:
            raise _RefusedError(WebhookOutcome.OTHER_ACCOUNT)
        return delivery

    async def _stored(self, delivery: Delivery) -> WebhookOutcome:
        try:
            async with asyncio.timeout(self._stored_within_s):
                return await asyncio.wrap_future(self._deliveries.add(delivery))
        except FullError:
            return WebhookOutcome.BUSY
        except TimeoutError:
            return WebhookOutcome.NOT_STORED


def webhook_app(
    name: str,
    settings: StripeSettings,
    store: Store,
    *,
    heard: Heard | None = None,
    clock: Callable[[], float] = time.time,
    body_within_s: float = BODY_WITHIN_S,
    stored_within_s: float = STORED_WITHIN_S,
) -> WebhookApp:
    """The webhook endpoint of a connector, to be mounted in a backend.

    Args:
        name: the connector's name in the configuration.
        settings: the connector's; ``webhook_secrets`` must name at least one.
        store: where events go; it is used in a worker thread.
        heard: told what became of each request, for whoever counts.
        clock: our clock, in unix seconds.
        body_within_s: how long a body may take to come, in seconds.
        stored_within_s: how long storing may take, in seconds.

    Returns:
        An ASGI application that answers POST at any path: 200 once the event is stored.

    Raises:
        ConfigurationError: no secret is configured, so nothing could be believed.
    """
    if not settings.webhook_secrets:
        raise ConfigurationError(
            f"connectors.{name}.webhook_secrets is empty: no webhook could be believed",
            hint="name the endpoint's signing secret there, as env:NAME",
        )
    live = live_of(settings.api_key.reveal())
    rules = rules_of(name, settings, live)

    def records(events: Sequence[Any]) -> Records:
        return translate(STREAMS[STREAM], events, rules).records

    return WebhookApp(
        settings,
        Deliveries(name, store, records),
        heard=heard or (lambda _: None),
        live=live,
        clock=clock,
        body_within_s=body_within_s,
        stored_within_s=stored_within_s,
    )


async def _read(receive: Receive, body: _Body) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _RefusedError(WebhookOutcome.CUT_OFF)
        body.add(message.get("body", b""))
        more = message.get("more_body", False)


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for found, value in scope["headers"] if found.lower() == name]


async def _answer(send: Send, outcome: WebhookOutcome) -> None:
    body = b'{"outcome":"%s"}' % outcome.value.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if outcome is WebhookOutcome.WRONG_METHOD:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": STATUS[outcome], "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live_and_end(receive: Receive, send: Send) -> None:
    """There is nothing to open: deliveries come and go by themselves."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
