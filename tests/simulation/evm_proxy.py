"""A small server between the connector and a real chain that lies: what it does follows from its seed.

Requests are forwarded whole to a node; each lie then looks at what was asked and answered, and changes the
answers or the way that they are sent. A lie is a plain function of an :class:`Exchange`; those made here
happen with a probability, so that most requests are honest.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx
import orjson

Json = dict[str, Any]
SECRET = "secret-key-0123456789"
"""Stands in the path of every URL; nothing that is shown may hold it."""


class Reply(BaseHTTPRequestHandler):
    """One request: forwarded, changed, answered."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Answer JSON-RPC."""
        raw = self.rfile.read(int(self.headers["content-length"]))
        try:
            self.server.proxy.answer(raw, self)
        except OSError:
            return  # who asked has gone
        except Exception as error:  # noqa: BLE001 - a fault of a lie's own, told at the end
            self.server.proxy.faults.append(error)

    def start(self, status: int, length: int, **headers: str) -> None:
        """Send the head of the response."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(length))
        self.end_headers()

    def whole(self, content: bytes, status: int = 200, **headers: str) -> None:
        """Send the response."""
        self.start(status, len(content), **headers)
        self.wfile.write(content)

    def cut(self, content: bytes) -> None:
        """Promise the whole body, send half of it, and drop the connection."""
        self.start(200, len(content))
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def drip(self, content: bytes, pause_s: float) -> None:
        """Send the body in eight pieces, with pauses."""
        self.start(200, len(content))
        size = len(content) // 8 + 1
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            time.sleep(pause_s)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy


Sender = Callable[[Reply, bytes], None]


@dataclass
class Exchange:
    """A request and its answers, which lies may change in place.

    Args:
        calls: what was asked.
        answers: what the node says, at first in the order of the calls.
        chance: the proxy's, so that the whole run follows from the seed.
        node: asks the node itself.
        send: how the answers travel.
        batch: whether an array was sent, and is expected.
    """

    calls: list[Json]
    answers: list[Json]
    chance: random.Random
    node: Upstream
    batch: bool
    send: Sender = field(default=Reply.whole)

    def pairs(self, *methods: str) -> Iterator[tuple[Json, Json]]:
        """Calls of some methods (of any by default), each with its answer where an earlier lie left one."""
        by_id = {answer["id"]: answer for answer in self.answers}
        for call in self.calls:
            if call["id"] in by_id and (not methods or call["method"] in methods):
                yield call, by_id[call["id"]]


Lie = Callable[[Exchange], None]


def plain_http() -> httpx.HTTPTransport:
    """Real sockets without the list of certificates, which takes a tenth of a second to read."""
    return httpx.HTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class Upstream:
    """A node, asked over HTTP.

    Args:
        url: where it answers.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(transport=plain_http(), timeout=30)
        self._heights: dict[str, int] = {}

    def forward(self, calls: Sequence[Json]) -> list[Json]:
        """Its answers, in the order of the calls."""
        body = orjson.dumps(list(calls))
        answers = orjson.loads(
            self._http.post(self._url, content=body, headers={"content-type": "application/json"}).content
        )
        by_id = {answer["id"]: answer for answer in answers}
        return [by_id[call["id"]] for call in calls]

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one call, None where it answers with an error."""
        (answer,) = self.forward([{"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}])
        return answer.get("result")

    def height(self, block_hash: str) -> int:
        """The number of a block by its hash."""
        if block_hash not in self._heights:
            block = self.ask("eth_getBlockByHash", block_hash, False)
            self._heights[block_hash] = int(block["number"], 16) if block else 0
        return self._heights[block_hash]

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


class Proxy:
    """The server; a context manager.

    Args:
        url: the node behind it.
        lies: applied in their order to every exchange; may be set anew at any time.
        seed: of all chances.
    """

    def __init__(self, url: str, lies: Sequence[Lie] = (), *, seed: int = 0) -> None:
        self.lies = list(lies)
        self.calls: list[Json] = []
        """Every call that was asked, but for those of ``eth_chainId``."""
        self.faults: list[Exception] = []
        """What went wrong in here; it would look like one more lie."""
        self._node = Upstream(url)
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), Reply)
        self._server.proxy = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens; with a secret in it, as most providers' URLs have."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v2/{SECRET}"

    def answer(self, raw: bytes, reply: Reply) -> None:
        """Forward a request, lie, send."""
        asked = orjson.loads(raw)
        calls = asked if isinstance(asked, list) else [asked]
        with self._lock:
            found = Exchange(
                calls, self._node.forward(calls), self._chance, self._node, batch=isinstance(asked, list)
            )
            # Which chain it is it tells the truth about: another chain is another test.
            if calls[0]["method"] != "eth_chainId":
                self.calls += calls
                for lie in self.lies:
                    lie(found)
        found.send(reply, orjson.dumps(found.answers if found.batch else found.answers[0]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._node.close()
        assert self.faults == []


def refusal(answer: Json, message: str, code: int = -32000) -> None:
    """Make an answer an error."""
    answer.pop("result", None)
    answer["error"] = {"code": code, "message": message}


def told(answer: Json, result: Any) -> None:
    """Make an answer this result."""
    answer.pop("error", None)
    answer["result"] = result


# How answers travel.


def sent(probability: float, sender: Sender) -> Lie:
    """Answers that are sent in another way."""

    def lie(exchange: Exchange) -> None:
        if exchange.chance.random() < probability:
            exchange.send = sender

    return lie


def _throttled_in_the_body(reply: Reply, _: bytes) -> None:
    error = {"code": -32005, "message": "Your app has exceeded its compute units per second capacity"}
    reply.whole(orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error}))


SENDERS: dict[str, Sender] = {
    "429": lambda reply, _: reply.whole(b"slow down", 429),
    "429 with Retry-After": lambda reply, _: reply.whole(b"slow down", 429, Retry_After="1"),
    "429 with a date": lambda reply, _: reply.whole(b"", 429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "throttled in the body": _throttled_in_the_body,
    "bad gateway": lambda reply, _: reply.whole(b"<html>bad gateway</html>", 502),
    "HTML": lambda reply, _: reply.whole(b"<!doctype html><title>maintenance</title>"),
    "truncated JSON": lambda reply, content: reply.whole(content[: len(content) * 2 // 3]),
    "dropped in mid-body": lambda reply, content: reply.cut(content),
    "nothing": lambda reply, _: reply.whole(b""),
    "a slow drip": lambda reply, content: reply.drip(content, 0.002),
}
"""Ways of sending, by name: all but the last are of no use to who asked."""


def shuffled(probability: float) -> Lie:
    """A batch answered in another order, which JSON-RPC allows."""

    def lie(exchange: Exchange) -> None:
        if exchange.chance.random() < probability:
            exchange.chance.shuffle(exchange.answers)

    return lie


def half_batches(probability: float) -> Lie:
    """A batch answered without some of its calls."""

    def lie(exchange: Exchange) -> None:
        if len(exchange.answers) > 1 and exchange.chance.random() < probability:
            kept = exchange.chance.randrange(len(exchange.answers))
            exchange.answers = exchange.chance.sample(exchange.answers, kept)

    return lie


# What is said.


def capped(cap: int, message: str) -> Lie:
    """Refuses ranges of more blocks than its cap, in these words."""

    def lie(exchange: Exchange) -> None:
        for call, answer in exchange.pairs("eth_getLogs"):
            asked = call["params"][0]
            if "fromBlock" in asked and int(asked["toBlock"], 16) - int(asked["fromBlock"], 16) >= cap:
                refusal(answer, message)

    return lie


def nulls(probability: float) -> Lie:
    """Blocks and receipts that it says it does not have, though it does."""

    def lie(exchange: Exchange) -> None:
        if exchange.chance.random() < probability:
            for _, answer in exchange.pairs("eth_getBlockByNumber", "eth_getTransactionReceipt"):
                if exchange.chance.random() < 0.3:
                    told(answer, None)

    return lie


def without_logs(probability: float, *, by_hash: bool, lower: int = 0) -> Lie:
    """Says ``[]`` where there are logs, of blocks by their hashes or of ranges that begin at ``lower``."""

    def lie(exchange: Exchange) -> None:
        for call, answer in exchange.pairs("eth_getLogs"):
            asked = call["params"][0]
            if ("blockHash" in asked) is not by_hash:
                continue
            if not by_hash and int(asked["fromBlock"], 16) < lower:
                continue
            if answer.get("result") and exchange.chance.random() < probability:
                told(answer, [])

    return lie


def hiding(transaction: str) -> Lie:
    """Never gives the logs of one transaction, asked for by filter; its receipt stays whole."""

    def lie(exchange: Exchange) -> None:
        for _, answer in exchange.pairs("eth_getLogs"):
            if "result" in answer:
                told(answer, [log for log in answer["result"] if log["transactionHash"] != transaction])

    return lie


def with_a_log_of(other: Json, probability: float) -> Lie:
    """Adds a log of a block that was not asked for."""

    def lie(exchange: Exchange) -> None:
        for _, answer in exchange.pairs("eth_getLogs"):
            if "result" in answer and exchange.chance.random() < probability:
                told(answer, [*answer["result"], other])

    return lie


def another_branch(node: Upstream, probability: float) -> Lie:
    """Some requests are answered by a node on another branch, or with more or fewer blocks."""

    def lie(exchange: Exchange) -> None:
        if exchange.chance.random() < probability:
            exchange.answers = node.forward(exchange.calls)

    return lie


def lagging(most: int, probability: float) -> Lie:
    """Some requests are answered as by a node that is behind: heads go back, newer blocks hold nothing."""

    def lie(exchange: Exchange) -> None:
        if exchange.chance.random() >= probability:
            return
        behind = exchange.chance.randrange(1, most + 1)
        head = max(0, int(exchange.node.ask("eth_blockNumber"), 16) - behind)
        for call, answer in exchange.pairs():
            _as_of(exchange.node, call, answer, head, behind)

    return lie


def _as_of(node: Upstream, call: Json, answer: Json, head: int, behind: int) -> None:
    if "error" in answer:
        return
    method, params = call["method"], call["params"]
    if method == "eth_blockNumber":
        told(answer, hex(head))
    elif method == "eth_getBlockByNumber":
        _block_as_of(node, params, answer, head, behind)
    elif method == "eth_getLogs" and "fromBlock" in params[0]:
        # It says nothing of what it does not have, and that without an error.
        told(answer, [log for log in answer["result"] if int(log["blockNumber"], 16) <= head])
    elif method == "eth_getTransactionReceipt":
        if answer["result"] and int(answer["result"]["blockNumber"], 16) > head:
            told(answer, None)
    else:
        _by_hash_as_of(node, method, params, answer, head)


def _block_as_of(node: Upstream, params: list[Any], answer: Json, head: int, behind: int) -> None:
    which, full = params
    if which == "latest":
        told(answer, node.ask("eth_getBlockByNumber", hex(head), full))
    elif which in ("safe", "finalized"):
        number = max(0, int(answer["result"]["number"], 16) - behind)
        told(answer, node.ask("eth_getBlockByNumber", hex(number), full))
    elif int(which, 16) > head:
        told(answer, None)


def _by_hash_as_of(node: Upstream, method: str, params: list[Any], answer: Json, head: int) -> None:
    asked = {"eth_getLogs": 0, "eth_getBlockReceipts": 0, "eth_call": 1, "eth_getBalance": 1}.get(method)
    where = None if asked is None else params[asked]
    block = where.get("blockHash") if isinstance(where, dict) else where
    if isinstance(block, str) and len(block) == 66 and node.height(block) > head:
        if method == "eth_getBlockReceipts":
            told(answer, None)
        else:
            refusal(answer, "unknown block")
