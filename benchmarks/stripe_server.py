"""A Stripe-shaped server with next to no cost of its own: charges rendered once, pages joined from them.

    python -m benchmarks.stripe_server CHARGES [--delay-ms N]

Prints its port and serves ``/v1/charges`` (``created[gte]``, ``created[lt]``, ``limit``,
``starting_after``), newest first, one charge a second from :data:`START_S` on; every other list is empty.
"""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import orjson

from payhealth.sandbox.interfaces import Card
from payhealth.sandbox.stripe.account import StripeAccount

START_S = 1_767_225_600
"""2026-01-01: the first charge's second."""


def rendered(count: int) -> list[bytes]:
    """So many different charges as JSON, oldest first, each some 2.2 kB as Stripe's are."""
    at = datetime.fromtimestamp(START_S, UTC)
    account = StripeAccount(seed=1, api_key="sk_test_bench", webhook_secret="whsec_bench", start=at)
    customer = account.create_customer(at=at, email="customer@example.com", metadata={"account_id": "acc_1"})
    intent = account.create_payment_intent(
        at=at, amount_minor=2000, currency="usd", customer=customer["id"], metadata={"account_id": "acc_1"}
    )
    charge = account.attempt_payment(intent["id"], at=at, card=Card())
    charge["balance_transaction"] = account.retrieve(charge["balance_transaction"])
    template = orjson.dumps(charge)
    ids = [charge["id"], charge["payment_intent"], charge["balance_transaction"]["id"]]
    found = []
    for number in range(count):
        body = template.replace(b"%d" % START_S, b"%d" % (START_S + number))
        for known in ids:
            prefix = known.partition("_")[0]
            body = body.replace(
                known.encode(), f"{prefix}_3Qa{number * 2654435761 % 2**32:08x}{number:013d}".encode()
            )
        found.append(body)
    return found


class _Server(asyncio.Protocol):
    """HTTP/1.1 with kept connections, GET only."""

    def __init__(self, charges: list[bytes], delay_s: float) -> None:
        self._charges, self._delay_s = charges, delay_s
        self._positions = {orjson.loads(body)["id"]: place for place, body in enumerate(charges)}
        self._buffer = b""

    def __call__(self) -> asyncio.Protocol:
        copy = object.__new__(_Server)
        copy._charges, copy._delay_s, copy._positions = self._charges, self._delay_s, self._positions
        copy._buffer = b""
        return copy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            answer = self._answer(head.split(b" ", 2)[1].decode())
            if self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _answer(self, target: str) -> bytes:
        parts = urlsplit(target)
        body = b'{"object":"list","data":[],"has_more":false}'
        if parts.path == "/v1/charges":
            body = self._page(dict(parse_qsl(parts.query)))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return head + body

    def _page(self, asked: dict[str, str]) -> bytes:
        low = max(int(asked.get("created[gte]", START_S)) - START_S, 0)
        high = min(int(asked.get("created[lt]", 1 << 40)) - START_S, len(self._charges))
        if "starting_after" in asked:
            high = min(high, self._positions[asked["starting_after"]])
        first = max(low, high - int(asked.get("limit", "10")))
        rows = self._charges[first:high][::-1]
        more = b"true" if first > low else b"false"
        return (
            b'{"object":"list","data":['
            + b",".join(rows)
            + b'],"has_more":'
            + more
            + b',"url":"/v1/charges"}'
        )


async def serve(charges: int, delay_s: float) -> None:
    """Serve until ended."""
    factory = _Server(rendered(charges), delay_s)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("charges", type=int)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.charges, options.delay_ms / 1000))
