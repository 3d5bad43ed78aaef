"""One endpoint and several: retries, bounds, failover, and silence about URLs."""

from __future__ import annotations

import email.utils
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import respx

from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import SourceDataError, SourceRefusedError, SourceUnavailableError
from payhealth.sandbox.serve import LoopbackServer

ADDRESS = "0x" + "a1" * 20
FIRST = "https://user:pa55word@first.test/v2/path-key?token=query-key"
SECOND = "https://second.test/"
SECRETS = ("pa55word", "path-key", "query-key", "token=")


def made(*urls: str, waits: list[float] | None = None, **changes: Any) -> RpcClient:
    """A client that notes its pauses instead of waiting."""
    settings = EvmSettings.model_validate(
        {
            "chain_id": 1,
            "rpc_urls": urls or (FIRST,),
            "addresses": [ADDRESS],
            "assets": ["native"],
            "backoff_ms": 100,
            **changes,
        }
    )
    return RpcClient(settings, sleep=(waits if waits is not None else []).append)


def answered(request: httpx.Request, *, chain_id: int = 1) -> httpx.Response:
    """Every call answered with its method's name, the chain id with itself."""
    body = orjson.loads(request.content)
    items = [
        {
            "jsonrpc": "2.0",
            "id": item["id"],
            "result": hex(chain_id) if item["method"] == "eth_chainId" else item["method"],
        }
        for item in (body if isinstance(body, list) else [body])
    ]
    return httpx.Response(200, json=items if isinstance(body, list) else items[0])


def after_chain_id(
    response: Callable[[httpx.Request], httpx.Response],
) -> Callable[[httpx.Request], httpx.Response]:
    """Answers the chain id well, everything else with ``response``."""
    return lambda request: answered(request) if b"eth_chainId" in request.content else response(request)


CALLS = [Call("eth_a"), Call("eth_b")]


@respx.mock
def test_answers_stand_in_the_order_of_the_calls() -> None:
    """A batch may be answered in any order; ids decide."""

    def shuffled(request: httpx.Request) -> httpx.Response:
        response = answered(request)
        return httpx.Response(200, json=orjson.loads(response.content)[::-1])

    respx.post(host="first.test").mock(side_effect=after_chain_id(shuffled))
    assert made().ask(CALLS) == ["eth_a", "eth_b"]


@respx.mock
def test_retry_after_is_heeded_and_bounded() -> None:
    """429 waits as long as the server asks, in seconds or as a date, but never beyond the bound."""
    soon = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    replies = iter(
        [
            httpx.Response(429, headers={"retry-after": "7"}),
            httpx.Response(429),
            httpx.Response(429, headers={"retry-after": soon}),
        ]
    )
    respx.post(host="first.test").mock(
        side_effect=after_chain_id(lambda request: next(replies, None) or answered(request))
    )
    waits: list[float] = []
    made(waits=waits, max_pause_s=9).ask(CALLS)
    assert waits == [7.0, 0.2, 9.0]


@respx.mock
def test_pauses_double_and_attempts_are_bounded() -> None:
    """Four attempts, three pauses of doubling length, one clear line."""
    route = respx.post(host="first.test").mock(side_effect=after_chain_id(lambda _: httpx.Response(503)))
    waits: list[float] = []
    with pytest.raises(SourceUnavailableError, match=r"^first\.test: failed \(HTTP 503\) \(4 attempts\)$"):
        made(waits=waits).ask(CALLS)
    assert waits == [0.1, 0.2, 0.4]
    assert route.call_count == 1 + 4


TRANSPORT_ERRORS = sorted(
    {
        kind
        for kind in vars(httpx).values()
        if isinstance(kind, type) and issubclass(kind, httpx.RequestError)
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", TRANSPORT_ERRORS, ids=lambda kind: kind.__name__)
@respx.mock
def test_every_error_of_the_http_library_is_mapped(kind: type[httpx.RequestError]) -> None:
    """No exception of httpx reaches the caller, nor stays chained with the URL in it."""
    respx.post(host="first.test").mock(side_effect=kind(f"failed for {FIRST}"))
    with pytest.raises(SourceUnavailableError) as caught:
        made(attempts=2).ask(CALLS)
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "first.test" in shown
    assert not any(secret in shown for secret in SECRETS)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("status", [401, 403])
@respx.mock
def test_a_refused_key_is_said_at_once(status: int) -> None:
    """401 and 403 are not retried, and the key is not shown."""
    route = respx.post(host="first.test").mock(return_value=httpx.Response(status, text="bad key path-key"))
    with pytest.raises(SourceRefusedError, match="the key in the RPC URL was refused") as caught:
        made().ask(CALLS)
    assert route.call_count == 1
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("status", [200, 400, 403, 500])
@respx.mock
def test_words_decide_whatever_the_status(status: int) -> None:
    """A provider may send a range limit with any HTTP status; it is one all the same."""
    error = {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32602, "message": "block range too large, max 2000"},
    }
    respx.post(host="first.test").mock(
        side_effect=after_chain_id(lambda _: httpx.Response(status, json=error))
    )
    (fault,) = made().ask([Call("eth_getLogs")])
    assert isinstance(fault, RpcFault)
    assert (fault.kind, fault.limit) == (FaultKind.RANGE_LIMIT, 2000)


@respx.mock
def test_an_answer_is_cut_at_its_bound() -> None:
    """An endless body is given up at the configured size, as a sign to ask for less."""
    respx.post(host="first.test").mock(
        side_effect=after_chain_id(lambda _: httpx.Response(200, content=iter([b"[" * 1000] * 1000)))
    )
    with pytest.raises(RpcFault, match="an answer of over") as caught:
        made(max_body_bytes=5000).ask(CALLS)
    assert caught.value.kind is FaultKind.RESULT_LIMIT


@respx.mock
def test_the_next_url_answers_when_the_first_does_not() -> None:
    """Failover in order; the one that answered is kept to."""
    first = respx.post(host="first.test").mock(side_effect=httpx.ConnectError("no"))
    respx.post(host="second.test").mock(side_effect=answered)
    client = made(FIRST, SECOND, attempts=2)
    assert client.ask(CALLS) == ["eth_a", "eth_b"]
    assert client.ask(CALLS) == ["eth_a", "eth_b"]
    assert (client.provider, first.call_count) == ("second.test", 2)


@respx.mock
def test_all_failures_are_told_in_one_line() -> None:
    """Where no URL answers, each host and its trouble is named."""
    respx.post(host="first.test").mock(side_effect=httpx.ConnectError("no"))
    respx.post(host="second.test").mock(return_value=httpx.Response(403))
    with pytest.raises(SourceUnavailableError, match=r"first\.test: .*; second\.test: ") as caught:
        made(FIRST, SECOND, attempts=1).ask(CALLS)
    assert "\n" not in str(caught.value)


@respx.mock
def test_every_url_must_serve_the_configured_chain() -> None:
    """A second URL of another chain is refused by check_chains, and never used for failover."""
    respx.post(host="first.test").mock(side_effect=httpx.ConnectError("no"))
    respx.post(host="second.test").mock(side_effect=lambda request: answered(request, chain_id=137))
    words = r"second\.test: serves chain 137, but chain_id = 1"
    with pytest.raises(SourceDataError, match=words):
        made(FIRST, SECOND, attempts=1).check_chains()
    with pytest.raises(SourceDataError, match=words):
        made(FIRST, SECOND, attempts=1).ask(CALLS)


@respx.mock
def test_what_a_node_says_is_shown_without_the_key() -> None:
    """A node that repeats the URL in its error does not leak it."""
    error = {"code": -32000, "message": f"upstream {FIRST} said PATH-KEY is odd"}
    respx.post(host="first.test").mock(
        side_effect=after_chain_id(
            lambda _: httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": error})
        )
    )
    (fault,) = made().ask([Call("eth_a")])
    assert "odd" in fault.message
    assert not any(secret in fault.message.lower() for secret in ("pa55word", "path-key", "query-key"))


@respx.mock
def test_an_endpoint_without_batches_is_refused() -> None:
    """The head must be asked in the same request as a range, so at least two calls must fit."""

    def single(request: httpx.Request) -> httpx.Response:
        if isinstance(orjson.loads(request.content), list):
            error = {"code": -32600, "message": "batch requests are not supported"}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": None, "error": error})
        return answered(request)

    respx.post(host="first.test").mock(side_effect=single)
    with pytest.raises(SourceDataError, match="does not answer JSON-RPC batches"):
        made().many(CALLS * 20)


@respx.mock
def test_many_calls_are_cut_into_requests_with_the_tail_in_each() -> None:
    """No request holds more than batch_calls, the tail included."""
    sizes: list[int] = []

    def counting(request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        sizes.append(len(body) if isinstance(body, list) else 1)
        return answered(request)

    respx.post(host="first.test").mock(side_effect=counting)
    results, tails = made(batch_calls=4).many(
        [Call(f"eth_{number}") for number in range(7)], Call("eth_tail")
    )
    assert results == [f"eth_{number}" for number in range(7)]
    assert tails == ["eth_tail"] * 3
    assert sizes == [1, 4, 4, 2]


def test_a_node_on_this_machine_needs_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is for the network: loopback endpoints are asked directly."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    chain = FastAnswer()
    with LoopbackServer(chain) as server:
        made(f"{server.url}/", attempts=1).check_chains()


class FastAnswer:
    """The smallest ASGI app that says chain id 1."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'})
