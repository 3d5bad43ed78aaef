"""What the tests of the RPC client share: a clock, and providers that are plain functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.settings import EvmSettings

A, B, C = "https://a.test/key-of-a", "https://b.test/key-of-b", "https://c.test/key-of-c"


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now_s += seconds

    def monotonic(self) -> float:
        """The time."""
        return self.now_s


def error(message: str, number: Any = None, **more: Any) -> dict[str, Any]:
    """A JSON-RPC error object."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": message, **more}}


def result(call: dict[str, Any], value: Any) -> dict[str, Any]:
    """A JSON-RPC answer to a call."""
    return {"jsonrpc": "2.0", "id": call["id"], "result": value}


Answering = Callable[[list[dict[str, Any]]], Any]
"""From the calls of a request to what is answered: JSON, or a whole response."""


class Net:
    """Providers by host. Each answers calls with their method's name, unless it is told otherwise.

    Args:
        chain_ids: what a host says it serves; 1 by default.
    """

    def __init__(self, **chain_ids: int) -> None:
        self.chain_ids = chain_ids
        self.answering: dict[str, Answering] = {}
        self.requests: dict[str, list[list[str]]] = defaultdict(list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer, as a transport's handler."""
        host = request.url.host.split(".")[0]
        body = orjson.loads(request.content)
        calls = body if isinstance(body, list) else [body]
        self.requests[host].append([call["method"] for call in calls])
        if calls[0]["method"] == "eth_chainId":
            told: Any = [result(calls[0], hex(self.chain_ids.get(host, 1)))]
        else:
            told = self.answering.get(host, named)(calls)
        if isinstance(told, httpx.Response):
            return told
        if isinstance(told, list) and not isinstance(body, list) and len(told) == 1:
            told = told[0]
        return httpx.Response(200, content=orjson.dumps(told))

    def asked(self, host: str) -> int:
        """How many requests a host got, those for its chain id aside."""
        return sum(methods != ["eth_chainId"] for methods in self.requests[host])


def named(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every call answered with its method's name."""
    return [result(call, call["method"]) for call in calls]


def down(_: list[dict[str, Any]]) -> httpx.Response:
    """A provider that does not work."""
    return httpx.Response(503)


def client(net: Net, *urls: str, clock: Clock | None = None, **changes: Any) -> RpcClient:
    """A client of these providers, with its own clock."""
    settings = EvmSettings.model_validate(
        {
            "chain_id": 1,
            "rpc_urls": urls or (A, B),
            "addresses": ["0x" + "a1" * 20],
            "assets": ["native"],
            "backoff_ms": 100,
            "attempts": 2,
            **changes,
        }
    )
    clock = clock or Clock()
    return RpcClient(
        settings, transport=httpx.MockTransport(net), sleep=clock.sleep, monotonic=clock.monotonic
    )
