"""A Stripe-shaped server with next to no cost of its own: charges made from one template, on the fly.

    python -m benchmarks.stripe_server CHARGES [--delay-ms N]

Prints its port and serves ``/v1/charges`` (``created[gte]``, ``created[lt]``, ``limit``,
``starting_after``), newest first, one charge a second from :data:`START_S` on; every other list is empty.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import orjson

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.stripe.account import StripeAccount

START_S = 1_767_225_600
"""2026-01-01: the first charge's second."""

_EMPTY = b'{"object":"list","data":[],"has_more":false}'
_ID = "%(spread)08x%(number)016d"


def template() -> bytes:
    """A charge as the sandbox makes it, some 2.8 kB with its balance transaction, to be filled in."""
    at = datetime.fromtimestamp(START_S, UTC)
    keys = {"api_key": "sk_test_bench", "webhook_secret": "whsec_bench"}
    account = StripeAccount(seed=1, start=at, **keys)
    customer = account.create_customer(at=at, email="customer@example.com", metadata={"account_id": "acc_1"})
    intent = account.create_payment_intent(
        at=at, amount_minor=2000, currency="usd", customer=customer["id"], metadata={"account_id": "acc_1"}
    )
    charge = account.attempt_payment(intent["id"], at=at, card=Card())
    charge["balance_transaction"] = account.retrieve(charge["balance_transaction"])
    body = orjson.dumps(charge).decode().replace("%", "%%").replace(str(START_S), "%(created)d")
    for known in (charge["id"], charge["payment_intent"], charge["balance_transaction"]["id"]):
        body = body.replace(known, f"{known.partition('_')[0]}_{_ID}")
    return body.encode()


def charge(body: bytes, number: int) -> bytes:
    """The charge of that number: ids in no order, as Stripe's are."""
    spread = number * 2_654_435_761 % 2**32
    return body % {b"spread": spread, b"number": number, b"created": START_S + number}


@dataclass(slots=True)
class Lists:
    """What is answered."""

    count: int
    body: bytes

    def answer(self, target: str) -> bytes:
        """The body for a request's target."""
        parts = urlsplit(target)
        return self._page(dict(parse_qsl(parts.query))) if parts.path == "/v1/charges" else _EMPTY

    def _page(self, asked: dict[str, str]) -> bytes:
        low = max(int(asked.get("created[gte]", START_S)) - START_S, 0)
        high = min(int(asked.get("created[lt]", 1 << 40)) - START_S, self.count)
        if "starting_after" in asked:
            high = min(high, int(asked["starting_after"][-16:]))
        first = max(low, high - int(asked.get("limit", "10")))
        rows = b",".join(charge(self.body, number) for number in range(high - 1, first - 1, -1))
        more = b"true" if first > low else b"false"
        return b'{"object":"list","data":[' + rows + b'],"has_more":' + more + b',"url":"/v1/charges"}'


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections, GET only."""

    def __init__(self, lists: Lists, delay_s: float) -> None:
        self._lists, self._delay_s = lists, delay_s
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            body = self._lists.answer(head.split(b" ", 2)[1].decode())
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            answer = head % len(body) + body
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, answer)


async def serve(count: int, delay_s: float) -> None:
    """Serve until ended."""
    lists = Lists(count, template())
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(lists, delay_s), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("charges", type=int)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.charges, options.delay_ms / 1000))
