"""Webhook deliveries: events posted to a URL, signed as Stripe signs them.

Source: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payhealth.sandbox.interfaces import StripeObject

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of one delivery; ``status`` is None when nobody answered."""

    event: str
    status: int | None
    error: str | None = None


def signature(payload: bytes, *, secret: str, sent_at_s: int) -> str:
    """The ``Stripe-Signature`` header of a payload sent at a moment (unix seconds)."""
    signed = b"%d.%s" % (sent_at_s, payload)
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={sent_at_s},v1={digest}"


def deliver_webhooks(
    url: str,
    events: Iterable[StripeObject],
    *,
    secret: str,
    sent_at_s: int | None = None,
    client: httpx.Client | None = None,
) -> list[Delivery]:
    """Post events one by one, in the order given, each once.

    Args:
        url: the endpoint.
        events: event objects; give one twice, or in another order, to deliver it so.
        secret: the endpoint's signing secret.
        sent_at_s: the signatures' time in unix seconds; the real now by default, even where the events
            are of a simulated past, because receivers compare it with their own clock.
        client: what to send with, to be closed by whoever gave it.
    """
    sender = client or httpx.Client(timeout=_TIMEOUT_S)
    try:
        return [_deliver(sender, url, event, secret, sent_at_s) for event in events]
    finally:
        if client is None:
            sender.close()


def _deliver(
    client: httpx.Client, url: str, event: StripeObject, secret: str, sent_at_s: int | None
) -> Delivery:
    payload = orjson.dumps(event)
    sent_at_s = int(time.time()) if sent_at_s is None else sent_at_s
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature(payload, secret=secret, sent_at_s=sent_at_s),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    try:
        answer = client.post(url, content=payload, headers=headers)
    except httpx.HTTPError as error:
        return Delivery(event=event["id"], status=None, error=type(error).__name__)
    return Delivery(event=event["id"], status=answer.status_code)
