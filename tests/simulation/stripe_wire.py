"""Between a Stripe source and the sandbox: its application itself, without sockets and without waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import httpx

_Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


class Wire(httpx.BaseTransport):
    """Carries requests to an ASGI application in the same thread, without a loop or a socket.

    Args:
        app: an application that waits for nothing but its caller.
        before: called with the number of each request before it is answered.
    """

    def __init__(self, app: Any, *, before: Callable[[int], None] = lambda _: None) -> None:
        self._app = app
        self._before = before
        self._lock = threading.Lock()
        self.requests = 0
        self.page_rows = 100
        """What a list gives at most, whatever is asked for: small accounts have many pages, too."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, answered whole; one at a time, so that runs can be repeated."""
        with self._lock:
            self.requests += 1
            self._before(self.requests)
            status, headers, body = _run(_answered(self._app, self._paged(request)))
        return httpx.Response(status, headers=headers, content=body)

    def _paged(self, request: httpx.Request) -> httpx.Request:
        asked = request.url.params.get("limit", "")
        if not asked.isdigit() or int(asked) <= self.page_rows:
            return request
        url = request.url.copy_set_param("limit", str(self.page_rows))
        return httpx.Request(request.method, url, headers=request.headers)


class LoopWire(httpx.BaseTransport):
    """The same for an application that does wait, such as one that stores in a thread."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request on a loop of its own."""
        status, headers, body = asyncio.run(_answered(self._app, request))
        return httpx.Response(status, headers=headers, content=body)


async def _answered(app: Any, request: httpx.Request) -> _Answer:
    """Status, headers and body of an application's answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": request.read(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(_scope(request), receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return start["status"], list(start["headers"]), body


def _scope(request: httpx.Request) -> dict[str, Any]:
    headers: Iterable[tuple[bytes, bytes]] = request.headers.raw
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 1),
        "state": {},
    }


def _run(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Run a coroutine that never waits to its end, several times as fast as a loop would."""
    try:
        work.send(None)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer
    work.close()
    raise RuntimeError("the application waits for something: serve it on a loop instead")
