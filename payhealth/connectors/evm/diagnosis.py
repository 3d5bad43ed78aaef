"""What ``payhealth doctor`` says of a chain: each token, feed and provider, and what the node can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from payhealth.connectors.evm.proofs.feeds import price_reader
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.registry.chains import NATIVE
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.verify import problems
from payhealth.ports import Advice, Level

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

_TRACER = {"tracer": "callTracer"}


def diagnosed(
    node: Node, settings: EvmSettings, connector: str, reader: StoreReader | None
) -> Sequence[Advice]:
    """Everything worth saying, the worst first."""
    found = [Advice(level=Level.FAIL, message=problem) for problem in problems(node, settings)]
    found += _feeds(node, settings, connector)
    found += _abilities(node, settings)
    found += _providers(node, connector, reader)
    order = [Level.FAIL, Level.WARN, Level.OK]
    return sorted(found, key=lambda advice: order.index(advice.level))


def _feeds(node: Node, settings: EvmSettings, connector: str) -> Iterator[Advice]:
    for problem in price_reader(node, settings, connector).verify(node.each):
        yield Advice(level=Level.FAIL, message=problem, hint="correct feeds in the connector's table")
    names = [token.symbol for token in settings.registered] + ([NATIVE] if settings.native else [])
    for name in names:
        feed = settings.feed_of(name)
        if feed is not None and not feed.confirmed:
            yield Advice(
                level=Level.WARN,
                message=f"the heartbeat of {feed.description}, {feed.heartbeat_s} s, is a cautious guess",
                hint="look it up at the feed's publisher and set it under feeds",
            )


def _abilities(node: Node, settings: EvmSettings) -> Iterator[Advice]:
    if len(settings.rpc_urls) < 2:
        yield Advice(
            level=Level.WARN,
            message="only one RPC endpoint: nobody contradicts it, and nobody stands in for it",
            hint="give a second one in rpc_urls",
        )
    if not settings.native or settings.info.native_logs is not None or not settings.traces:
        return
    answer = node.each([Call("debug_traceBlockByNumber", ("latest", _TRACER))])[0]
    flat = node.each([Call("trace_block", ("latest",))])[0]
    if all(isinstance(one, RpcFault) and one.kind is FaultKind.UNSUPPORTED for one in (answer, flat)):
        yield Advice(
            level=Level.WARN,
            message=f"{node.client.provider} has no traces: coins that contracts move are only seen as "
            "differences of balances",
            hint="an endpoint with debug_traceBlockByHash or trace_block shows them as payments",
        )


def _providers(node: Node, connector: str, reader: StoreReader | None) -> Iterator[Advice]:
    for told in node.client.liars():
        yield Advice(level=Level.WARN, message=f"caught just now: {told}")
    if reader is None:
        return
    for score in Stored(reader, connector).scores().values():
        if score.lies:
            yield Advice(
                level=Level.WARN,
                message=f"{score.provider} was caught before: {score.lies}",
                hint="v_providers has its record; think of another endpoint",
            )
