"""Value that contracts move, where the node has traces: asked in the way that it knows."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from payhealth.connectors.evm.reading.natives import internal_transfers, transactions_of
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.rpc.node import Node, SeenBlock
from payhealth.connectors.evm.wire.traces import (
    InternalTransfer,
    transfers_of_call_traces,
    transfers_of_flat_traces,
)
from payhealth.connectors.evm.wire.values import Transfer

DEBUG, PARITY, NONE = "debug", "parity", "none"


class Internals:
    """Internal transfers of blocks, from nodes that trace.

    Which way a provider traces is found out once. A node that does not trace is no error: what it hides is
    shown by the balances.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def of(self, blocks: Sequence[SeenBlock], watched: Container[str]) -> list[Transfer]:
        """The internal transfers to or from some addresses.

        Blocks whose states the node no longer keeps give none: there too the balances show what is hidden.

        Raises:
            WireError: the traces are not what a node sends.
            RpcFault: the node traces, and failed to.
        """
        busy = [block for block in blocks if transactions_of(block)]
        way = self._way(busy[0]) if busy else NONE
        if way == NONE:
            return []
        found: list[Transfer] = []
        for block, answer in zip(busy, self._asked(way, busy), strict=True):
            if isinstance(answer, RpcFault):
                if answer.kind is not FaultKind.PRUNED:
                    raise answer
                continue
            if not _is_untraced(answer):
                found += internal_transfers(_moved(way, answer, block), block.header, watched)
        return found

    def _way(self, block: SeenBlock) -> str:
        """How the provider traces, found out with one block."""
        provider = self._node.client.provider
        if provider not in self._node.ways:
            for way in (DEBUG, PARITY):
                answer = self._asked(way, [block])[0]
                if not isinstance(answer, RpcFault) or answer.kind is not FaultKind.UNSUPPORTED:
                    self._node.ways[provider] = way
                    break
            else:
                self._node.ways[provider] = NONE
        return self._node.ways[provider]

    def _asked(self, way: str, blocks: Sequence[SeenBlock]) -> list[Any]:
        if way == DEBUG:
            return self._node.debug_traces([block.header.hash for block in blocks])
        return self._node.parity_traces([block.header.number for block in blocks])


def _is_untraced(answer: Any) -> bool:
    """Whether the node says of some transactions that it cannot trace them: one without their state does."""
    items = [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []
    return any(item.get("error") and item.get("result") is None and "action" not in item for item in items)


def _moved(way: str, answer: Any, block: SeenBlock) -> tuple[InternalTransfer, ...]:
    if way == DEBUG:
        return transfers_of_call_traces(answer, transactions_of(block))
    return transfers_of_flat_traces(answer, transactions_of(block), block.header.hash)[0]
