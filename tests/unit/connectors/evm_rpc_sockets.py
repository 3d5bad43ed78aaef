"""Servers of raw bytes on the loopback interface, which break off, drip and talk nonsense."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import orjson

from tests.unit.connectors.evm_rpc_support import named

Behaviour = Callable[[socket.socket, list[dict[str, Any]]], None]


class RawServer:
    """A server of bytes on the loopback interface: what it does with the nth request is a function.

    Its chain id is always told well; the connection is closed after every request.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = itertools.chain(behaviours, itertools.repeat(answers))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.requests = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/some-key"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept is woken by the shutdown; closing alone would leave it there.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                body = orjson.loads(_request(connection))
                calls = body if isinstance(body, list) else [body]
                if calls[0]["method"] == "eth_chainId":
                    content = orjson.dumps({"jsonrpc": "2.0", "id": calls[0]["id"], "result": "0x1"})
                    connection.sendall(head(len(content)) + content)
                    continue
                self.requests += 1
                next(self._behaviours)(connection, calls)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return body


def head(length: int | None, *more: str) -> bytes:
    """The beginning of a response; no length means chunks."""
    size = ["transfer-encoding: chunked"] if length is None else [f"content-length: {length}"]
    return "\r\n".join(["HTTP/1.1 200 OK", "connection: close", *size, *more, "", ""]).encode()


def answers(connection: socket.socket, calls: list[dict[str, Any]]) -> None:
    """Do it well."""
    content = orjson.dumps(named(calls))
    connection.sendall(head(len(content)) + content)


def drops_in_mid_body(connection: socket.socket, calls: list[dict[str, Any]]) -> None:
    """Promise more than is sent."""
    content = orjson.dumps(named(calls))
    connection.sendall(head(len(content)) + content[: len(content) // 2])


def drops_a_chunk(connection: socket.socket, calls: list[dict[str, Any]]) -> None:
    """The chunks up to there are whole JSON, and the last chunk never comes."""
    content = orjson.dumps(named(calls))
    connection.sendall(head(None) + f"{len(content):x}\r\n".encode() + content + b"\r\n")


def resets(connection: socket.socket, _: list[dict[str, Any]]) -> None:
    """Cut the connection off hard, in the middle."""
    connection.sendall(head(1000) + b"[")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs_up(_: socket.socket, __: list[dict[str, Any]]) -> None:
    """Say nothing."""


def talks_nonsense(connection: socket.socket, _: list[dict[str, Any]]) -> None:
    """No HTTP at all."""
    connection.sendall(b"\x00\x01 hello \r\n\r\n")


def cuts_gzip(connection: socket.socket, calls: list[dict[str, Any]]) -> None:
    """A packed body whose end is missing, with a length to match."""
    content = gzip.compress(orjson.dumps(named(calls)))[:-6]
    connection.sendall(head(len(content), "content-encoding: gzip") + content)


def drips(piece: bytes, *headers: str, start: bytes = b"") -> Behaviour:
    """Send a little, again and again, quicker than any single wait is bounded."""

    def behaviour(connection: socket.socket, _: list[dict[str, Any]]) -> None:
        connection.sendall(head(10_000_000, *headers) + start)
        for _ in range(200):
            connection.sendall(piece)
            time.sleep(0.05)

    return behaviour


GZIP_WITH_A_NAME = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"
"""The start of a gzip header whose file name follows: bytes that unpack to none."""
