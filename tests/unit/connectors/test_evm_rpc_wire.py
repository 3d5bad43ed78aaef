"""What comes over the wire instead of an answer: bounded, and one clear outcome each."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import SourceError, SourceUnavailableError
from tests.unit.connectors.evm_rpc_sockets import (
    GZIP_WITH_A_NAME,
    Behaviour,
    RawServer,
    cuts_gzip,
    drips,
    drops_a_chunk,
    drops_in_mid_body,
    hangs_up,
    head,
    resets,
    talks_nonsense,
)
from tests.unit.connectors.evm_rpc_support import A, B, Net, client, named

CALLS = [Call("eth_a"), Call("eth_b")]
SAID = ["eth_a", "eth_b"]


@contextlib.contextmanager
def asking(*urls: str, **changes: Any) -> Iterator[RpcClient]:
    """A client over real sockets."""
    settings = EvmSettings.model_validate(
        {
            "chain_id": 1,
            "rpc_urls": urls,
            "addresses": ["0x" + "a1" * 20],
            "assets": ["native"],
            "backoff_ms": 1,
            "attempts": 2,
            "timeout_s": 1,
            **changes,
        }
    )
    it = RpcClient(settings)
    try:
        yield it
    finally:
        it.close()


BREAKS = [drops_in_mid_body, drops_a_chunk, resets, hangs_up, talks_nonsense, cuts_gzip]


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_connection_that_breaks_is_tried_again(breaks: Behaviour) -> None:
    """Half an answer is none: the whole is asked for again, and then it is whole."""
    with RawServer(breaks) as server, asking(server.url) as it:
        assert it.many(CALLS) == (SAID, [])
        assert server.requests == 2
        (card,) = it.scorecards()
        assert card.failures == 1
        assert card.last_fault


@pytest.mark.parametrize("breaks", BREAKS)
def test_a_connection_that_always_breaks_is_a_clear_error(breaks: Behaviour) -> None:
    """Bounded, named by the host, without a word of the key."""
    with RawServer(*[breaks] * 10) as server, asking(server.url) as it:
        with pytest.raises(SourceUnavailableError, match=r"^127\.0\.0\.1: .* \(2 attempts\)$") as caught:
            it.ask(CALLS)
        assert server.requests == 2
        assert "some-key" not in str(caught.value)


@pytest.mark.parametrize(
    "drip",
    [drips(b" "), drips(b"n", "content-encoding: gzip", start=GZIP_WITH_A_NAME)],
    ids=["plain", "gzip"],
)
def test_a_body_that_drips_is_given_up(drip: Behaviour) -> None:
    """Each byte comes in time, the whole does not: the time of a body is bounded, a packed one's too."""
    with (
        RawServer(drip) as server,
        asking(server.url, attempts=1) as it,
        pytest.raises(SourceUnavailableError, match="took longer than 1 s"),
    ):
        it.ask(CALLS)


def test_the_other_server_answers_meanwhile() -> None:
    """Two servers, one of which always cuts off."""
    with RawServer(*[resets] * 10) as bad, RawServer() as good, asking(bad.url, good.url) as it:
        assert it.many(CALLS)[0] == SAID
        assert it.provider == "127.0.0.1#2"


def test_a_packed_answer_is_unpacked() -> None:
    """Gzip is asked for, and read."""

    def packs(connection: socket.socket, calls: list[dict[str, Any]]) -> None:
        content = gzip.compress(orjson.dumps(named(calls)))
        connection.sendall(head(len(content), "content-encoding: gzip") + content)

    with RawServer(packs) as server, asking(server.url) as it:
        assert it.ask(CALLS) == SAID
        assert server.requests == 1


def test_a_bomb_does_not_go_off() -> None:
    """A small body that unpacks to a gigabyte is dropped at its bound."""

    def bomb(connection: socket.socket, _: list[dict[str, Any]]) -> None:
        content = gzip.compress(b" " * 50_000_000, 1)
        connection.sendall(head(len(content), "content-encoding: gzip") + content)

    with RawServer(bomb) as server, asking(server.url, max_body_bytes=10_000) as it:
        with pytest.raises(RpcFault, match="an answer of over 10000 bytes") as caught:
            it.ask(CALLS)
        assert caught.value.kind is FaultKind.RESULT_LIMIT


BODIES = {
    "HTML": (b"<!DOCTYPE html><html><body>busy</body></html>", "HTML"),
    "XML": (b"<?xml version='1.0'?><e/>", "HTML"),
    "nothing": (b"", "nothing"),
    "null": (b"null", "null"),
    "text": (b"upstream connect error", "something"),
    "a number": (b"7", "something"),
    "half of an array": (b'[{"jsonrpc":"2.0","id":1,"result":"eth_a"},', "broken JSON"),
    "bytes": (b"\xff\xfe\x00", "something"),
}


@pytest.mark.parametrize(("body", "words"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", [200, 502])
def test_what_is_no_json_rpc_is_tried_again_and_named(body: bytes, words: str, status: int) -> None:
    """Whatever comes instead with HTTP 200: a word for it, and another attempt."""
    net, turn = Net(), itertools.count()
    net.answering["a"] = lambda calls: (
        httpx.Response(status, content=body) if next(turn) == 0 else named(calls)
    )
    assert client(net, A).ask(CALLS) == SAID
    net.answering["a"] = lambda _: httpx.Response(status, content=body)
    told = f"answered {words} instead of JSON-RPC" if status == 200 else "failed"
    with pytest.raises(SourceUnavailableError, match=rf"^a\.test: {told} \(HTTP {status}\) \(2 attempts\)$"):
        client(net, A).ask(CALLS)


SHAPES = {
    "an empty object": {},
    "an empty array": [],
    "an array of nulls": [None, None],
    "an error that is null": [{"id": 1, "error": None}, {"id": 2, "error": None}],
    "answers to other calls": [{"id": 71, "result": 1}, {"id": 72, "result": 2}],
    "an object with a result for two calls": {"id": 1, "result": "eth_a"},
    "arrays in the array": [[{"id": 1, "result": 1}]],
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES)
def test_json_of_another_shape_is_no_answer(body: Any) -> None:
    """Never taken for null, nor for another call's answer."""
    net = Net()
    net.answering["a"] = lambda _: httpx.Response(200, json=body)
    with pytest.raises(SourceUnavailableError, match=r"^a\.test: answered [01] of 2 calls"):
        client(net, A).ask(CALLS)


def test_null_is_an_answer() -> None:
    """A block that is not there is null: the caller decides what that means."""
    net = Net()
    net.answering["a"] = lambda calls: [{"id": call["id"], "result": None} for call in calls]
    assert client(net, A).ask(CALLS) == [None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The key in the URL, or what is asked, is for one host: nobody else gets a request."""
    net = Net()
    net.answering["a"] = lambda _: httpx.Response(status, headers={"location": "https://c.test/key-of-a"})
    with pytest.raises(
        SourceUnavailableError, match=rf"^a\.test: answered HTTP {status} instead of JSON-RPC"
    ):
        client(net, A).ask(CALLS)
    assert "c" not in net.requests


def test_an_answer_nested_too_deeply_is_a_fault() -> None:
    """A trace of a thousand calls inside one another breaks nothing, and is asked for on its own."""
    net = Net()
    deep = b"[" * 2000 + b"]" * 2000

    def answer(calls: list[dict[str, Any]]) -> httpx.Response:
        items = [
            b'{"id":%d,"result":%s}' % (call["id"], deep if call["method"] == "eth_b" else b'"eth_a"')
            for call in calls
        ]
        return httpx.Response(200, content=b"[" + b",".join(items) + b"]" if len(items) > 1 else items[0])

    net.answering["a"] = answer
    with pytest.raises(RpcFault, match="nested over 1024 deep"):
        client(net, A).ask(CALLS)
    results, _ = client(net, A).many(CALLS, keep_faults=True)
    assert (results[0], results[1].kind) == ("eth_a", FaultKind.RESULT_LIMIT)


def test_an_encoding_that_was_not_asked_for_is_no_answer() -> None:
    """Only gzip is unpacked, within its bound."""
    net = Net()
    net.answering["a"] = lambda _: httpx.Response(
        200, stream=httpx.ByteStream(b"..."), headers={"content-encoding": "br"}
    )
    with pytest.raises(SourceUnavailableError, match="in an encoding that was not asked for"):
        client(net, A).ask(CALLS)


@pytest.mark.parametrize("retry_after", ["soon", "-5", "1e9", "Wed, 99 Foo 2020", "9" * 400, "", "٣"])
def test_a_senseless_retry_after_is_ignored(retry_after: str) -> None:
    """No header breaks the client, nor makes it wait beyond its bound."""
    net, turn = Net(), itertools.count()
    net.answering["a"] = lambda calls: (
        httpx.Response(429, headers={"retry-after": retry_after.encode()})
        if next(turn) == 0
        else named(calls)
    )
    it = client(net, A)
    assert it.ask(CALLS) == SAID


def test_data_of_an_error_is_read_too() -> None:
    """BlastAPI puts its words into an object beside an empty message."""
    net = Net()
    words = "the range 55074203 - 55124202 exceeds the range allowed for your plan (49999 > 2000)."
    answer = {"id": 1, "error": {"code": -32602, "message": "Invalid params", "data": {"range": words}}}
    net.answering["a"] = lambda _: httpx.Response(400, json=answer)
    (fault,) = client(net, A).ask([Call("eth_getLogs")])
    assert (fault.kind, fault.limit) == (FaultKind.RANGE_LIMIT, 2000)


def test_every_provider_broken_in_its_own_way_is_one_clear_line() -> None:
    """Two providers, two reasons, one line."""
    net = Net()
    net.answering["a"] = lambda _: httpx.Response(200, text="<html>")
    net.answering["b"] = lambda _: httpx.Response(200, text="null")
    with pytest.raises(SourceError, match=r"a\.test: answered HTML.*; b\.test: answered null"):
        client(net, A, B).ask(CALLS)
