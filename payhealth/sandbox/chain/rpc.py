"""The chain as a node shows it: JSON-RPC 2.0 over HTTP POST, single requests and batches."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, RpcError
from payhealth.sandbox.chain.methods import Limits, Methods


def build_app(
    chain: DevChain,
    *,
    max_block_range: int | None = None,
    max_results: int | None = None,
    max_addresses: int = 1000,
    max_batch_items: int = 1000,
    state_depth: int | None = None,
) -> Starlette:
    """An ASGI app that answers JSON-RPC at ``/`` from the chain.

    Args:
        chain: what is shown; it may go on mining in another thread.
        max_block_range: most blocks in one eth_getLogs, None without a limit.
        max_results: most logs in one answer, None without a limit.
        max_addresses: most addresses in one filter.
        max_batch_items: most requests in one batch.
        state_depth: how many blocks below the head balances, code and calls are still answered for; older
            ones get the error of a node that pruned them. None for an archive node.
    """
    limits = Limits(
        max_block_range=max_block_range,
        max_results=max_results,
        max_addresses=max_addresses,
        max_batch_items=max_batch_items,
        state_depth=state_depth,
    )
    methods = Methods(chain, limits)

    async def answer(request: Request) -> Response:
        body = _answer_body(await request.body(), methods, limits)
        content = b"" if body is None else orjson.dumps(body)
        return Response(content, media_type="application/json")

    return Starlette(routes=[Route("/", answer, methods=["POST"])])


def _answer_body(raw: bytes, methods: Methods, limits: Limits) -> Any:
    """The answer to a request body; None where nothing is to be answered."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _failure(None, RpcError(PARSE_ERROR, "parse error"))
    if not isinstance(body, list):
        return _answer_item(body, methods)
    if not body:
        return _failure(None, RpcError(INVALID_REQUEST, "empty batch"))
    if len(body) > limits.max_batch_items:
        return _failure(None, RpcError(INVALID_REQUEST, "batch too large"))
    answers = [answered for item in body if (answered := _answer_item(item, methods)) is not None]
    return answers or None


def _answer_item(item: object, methods: Methods) -> dict[str, Any] | None:
    """The answer to one request, an error in its place where it is bad; None for a notification."""
    if not isinstance(item, dict):
        return _failure(None, RpcError(INVALID_REQUEST, "invalid request"))
    identity, method = item.get("id"), item.get("method")
    if item.get("jsonrpc") != "2.0" or not isinstance(method, str) or not _is_id(identity):
        return _failure(identity if _is_id(identity) else None, RpcError(INVALID_REQUEST, "invalid request"))
    if "id" not in item:
        return None
    params = item.get("params") or []
    if not isinstance(params, list):
        return _failure(identity, RpcError(INVALID_PARAMS, "non-array args"))
    try:
        return {"jsonrpc": "2.0", "id": identity, "result": methods.answer(method, params)}
    except RpcError as error:
        return _failure(identity, error)


def _is_id(identity: object) -> bool:
    return identity is None or (isinstance(identity, (str, int, float)) and not isinstance(identity, bool))


def _failure(identity: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": error.as_json()}
