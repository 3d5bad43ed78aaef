"""Breaks Stripe's answers on their way: in process as a transport, and for real as a TCP proxy."""

from __future__ import annotations

import contextlib
import gzip
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

import httpx
import orjson

from tests.simulation.stripe_world import Patience

Fault = Callable[[httpx.Request, httpx.BaseTransport, Patience], httpx.Response]

_HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1><hr>upstream sk_live_leak</body></html>"


class _Torn(httpx.SyncByteStream):
    """A body whose connection is reset in the middle."""

    def __init__(self, body: bytes, error: type[httpx.TransportError]) -> None:
        self._body, self._error = body, error

    def __iter__(self) -> Iterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise self._error("connection reset by peer")


class _Drip(httpx.SyncByteStream):
    """A body that takes half a minute for every piece, so that it never seems to stall."""

    def __init__(self, body: bytes, patience: Patience) -> None:
        self._body, self._patience = body, patience

    def __iter__(self) -> Iterator[bytes]:
        for place in range(0, len(self._body), 64):
            self._patience.sleep(25)
            yield self._body[place : place + 64]


def _whole(request: httpx.Request, wire: httpx.BaseTransport) -> bytes:
    return wire.handle_request(request).read()


def _refusal(status: int, **headers: str) -> Fault:
    body = orjson.dumps({"error": {"type": "api_error", "message": "sk_live_leak came through"}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: httpx.Response(status, headers=named, content=body)


def _broken(error: type[httpx.TransportError]) -> Fault:
    def fault(request: httpx.Request, wire: httpx.BaseTransport, patience: Patience) -> httpx.Response:
        raise error("nobody there", request=request)

    return fault


def _torn(error: type[httpx.TransportError]) -> Fault:
    return lambda request, wire, _: httpx.Response(200, stream=_Torn(_whole(request, wire), error))


def _drip(request: httpx.Request, wire: httpx.BaseTransport, patience: Patience) -> httpx.Response:
    return httpx.Response(200, stream=_Drip(_whole(request, wire), patience))


def _truncated(request: httpx.Request, wire: httpx.BaseTransport, _: Patience) -> httpx.Response:
    body = _whole(request, wire)
    return httpx.Response(200, content=body[: len(body) * 2 // 3])


def _html(status: int) -> Fault:
    return lambda *_: httpx.Response(status, headers={"content-type": "text/html"}, content=_HTML)


def _bad_gzip(request: httpx.Request, wire: httpx.BaseTransport, _: Patience) -> httpx.Response:
    body = gzip.compress(_whole(request, wire))
    half = body[: len(body) // 2] + b"\x00garbage"
    return httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(half[:10] + half[14:])
    )


def _empty(*_: object) -> httpx.Response:
    return httpx.Response(200, content=b"")


def _again(request: httpx.Request, wire: httpx.BaseTransport, _: Patience) -> httpx.Response:
    """The list's first page stands before the page asked for, as when everything was pushed along."""
    answer = wire.handle_request(request)
    value = orjson.loads(answer.read())
    if "starting_after" in request.url.params and value.get("data"):
        url = request.url.copy_remove_param("starting_after")
        first = orjson.loads(_whole(httpx.Request(request.method, url, headers=request.headers), wire))
        value["data"] = [*first["data"], *value["data"]]
    return httpx.Response(
        answer.status_code, headers={"date": answer.headers["date"]}, content=orjson.dumps(value)
    )


def _doubled(request: httpx.Request, wire: httpx.BaseTransport, _: Patience) -> httpx.Response:
    """Every object of a page twice."""
    answer = wire.handle_request(request)
    value = orjson.loads(answer.read())
    if isinstance(value.get("data"), list):
        value["data"] = [row for row in value["data"] for _ in range(2)]
    return httpx.Response(
        answer.status_code, headers={"date": answer.headers["date"]}, content=orjson.dumps(value)
    )


FAULTS: dict[str, Fault] = {
    "429": _refusal(429),
    "429 in 7 s": _refusal(429, retry_after="7"),
    "429 in words": _refusal(429, retry_after="soon"),
    "500": _refusal(500),
    "503 in 2 s": _refusal(503, retry_after="2"),
    "409": _refusal(409),
    "no connection": _broken(httpx.ConnectError),
    "no answer": _broken(httpx.ReadTimeout),
    "no protocol": _broken(httpx.RemoteProtocolError),
    "reset in the body": _torn(httpx.ReadError),
    "cut in the body": _torn(httpx.RemoteProtocolError),
    "drip": _drip,
    "truncated": _truncated,
    "html 502": _html(502),
    "html 200": _html(200),
    "gzip garbage": _bad_gzip,
    "empty": _empty,
}
"""One failed attempt each: the next one may succeed."""

SHIFTS: dict[str, Fault] = {"shifted": _again, "doubled": _doubled}
"""Answers that are true and not what was expected."""


class Breaking(httpx.BaseTransport):
    """Carries requests, and breaks some of them.

    Args:
        wire: what carries them unharmed.
        patience: the clock that slow answers use up.
        plan: asked before each request, with the number of it and of the faults in a row so far, for the
            fault to use; None lets it through.
    """

    def __init__(
        self, wire: httpx.BaseTransport, patience: Patience, plan: Callable[[int, int, str], str | None]
    ) -> None:
        self._wire, self._patience, self.plan = wire, patience, plan
        self._lock = threading.Lock()
        self._in_a_row: dict[str, int] = {}
        self.asked: list[httpx.URL] = []
        self.requests = 0
        self.broken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, broken where the plan says so."""
        url = str(request.url)
        with self._lock:
            self.requests += 1
            self.asked.append(request.url)
            row = self._in_a_row.get(url, 0)
            name = self.plan(self.requests, row, request.url.path)
            self._in_a_row[url] = row + 1 if name in FAULTS else 0
            self.broken += name is not None
        if name is None:
            return self._wire.handle_request(request)
        return (FAULTS | SHIFTS)[name](request, self._wire, self._patience)

    def last_after(self, kind: str) -> str:
        """The object that the request at hand starts after, if it asks for the next page of a list."""
        url = self.asked[-1]
        return url.params.get("starting_after", "") if url.path.endswith(f"/{kind}") else ""


def drawn(seed: int, *, share: float, in_a_row: int) -> Callable[[int, int, str], str | None]:
    """Faults at random, and never more of them in a row for one request than ``in_a_row``."""
    draw = random.Random(seed)
    names = sorted(FAULTS)

    def plan(number: int, row: int, path: str) -> str | None:
        if draw.random() < share / 4:
            return draw.choice(sorted(SHIFTS))
        return draw.choice(names) if row < in_a_row and draw.random() < share else None

    return plan


def listed(names: Sequence[str], *, in_a_row: int) -> Callable[[int, int, str], str | None]:
    """These faults, one a request as they come, over and over; an empty name lets one through."""
    left = list(names)

    def plan(number: int, row: int, path: str) -> str | None:
        name = left[number % len(left)] if left else ""
        return (name or None) if name in SHIFTS or row < in_a_row else None

    return plan


class TcpProxy:
    """A proxy on loopback that resets some connections and closes others before everything was said.

    Args:
        port: the server behind it.
        fates: what becomes of each connection in turn, over and over: ``whole``, ``reset`` or ``cut`` in
            the middle of the answer.
    """

    def __init__(self, port: int, fates: Sequence[str]) -> None:
        self._port, self._fates = port, list(fates)
        self._taken = 0
        self.spoilt = 0
        self._open = True
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            fate = self._fates[self._taken % len(self._fates)]
            self._taken += 1
            self._start(self._carry, client, fate)

    def _carry(self, client: socket.socket, fate: str) -> None:
        """One request and its answer; a new connection each, so that every one can have its fate."""
        with client, contextlib.suppress(OSError):
            asked = _head(client)
            with socket.create_connection(("127.0.0.1", self._port), timeout=10) as server:
                server.sendall(asked.replace(b"keep-alive", b"close", 1))
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            if fate == "whole":
                client.sendall(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                return
            self.spoilt += 1
            client.sendall(answer[: len(answer) * 3 // 4])
            if fate == "reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _head(client: socket.socket) -> bytes:
    asked = b""
    while b"\r\n\r\n" not in asked:
        piece = client.recv(65536)
        if not piece:
            raise OSError("the client went away")
        asked += piece
    return asked
