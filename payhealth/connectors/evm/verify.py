"""Whether the chain is as the configuration says, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from payhealth.connectors.evm.registry.chains import Token
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import WireError, quantity
from payhealth.domain.errors import SourceDataError

_DECIMALS = "0x313ce567"
"""Selector of ``decimals()``."""


def must_be_as_configured(node: Node, settings: EvmSettings) -> None:
    """Code at every registered token and the decimals that it tells, in one request.

    Raises:
        SourceDataError: the first thing that is not as configured.
    """
    for problem in problems(node, settings):
        raise SourceDataError(problem)


def problems(node: Node, settings: EvmSettings) -> Iterator[str]:
    """All that is not as configured, one line each."""
    tokens = settings.registered
    calls = [Call("eth_getCode", (token.address, "latest")) for token in tokens]
    calls += [Call("eth_call", ({"to": token.address, "data": _DECIMALS}, "latest")) for token in tokens]
    answers = node.each(calls)
    for token, code, told in zip(tokens, answers[: len(tokens)], answers[len(tokens) :], strict=True):
        where = f"{token.symbol} at {token.address} on {settings.info.name}"
        problem = _problem(token, where, code, told)
        if problem:
            yield f"{node.client.provider}: {problem}"


def _problem(token: Token, where: str, code: Any, told: Any) -> str:
    if isinstance(code, RpcFault):
        return f"cannot read {where}: {code.message}"
    if not isinstance(code, str) or not code.removeprefix("0x"):
        return f"there is no contract for {where}"
    decimals = _decimals(told)
    if decimals is None:
        return f"{where} does not answer decimals()"
    if decimals != token.decimals:
        return f"{where} has {decimals} decimals, but {token.decimals} are configured"
    return ""


def _decimals(told: Any) -> int | None:
    try:
        # An ABI word of 32 bytes reads as a quantity; an empty answer, "0x", does not.
        return None if isinstance(told, RpcFault) else quantity(told, "decimals()")
    except WireError:
        return None
