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
_CANNOT = frozenset({FaultKind.UNSUPPORTED, FaultKind.PRUNED, FaultKind.REFUSED})


class Internals:
    """Internal transfers of blocks, from nodes that trace.

    Which way a provider traces is found out once. A node that does not trace is no error: what it hides is
    shown by the balances.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ways: dict[str, str] = {}

    def of(self, blocks: Sequence[SeenBlock], watched: Container[str]) -> list[Transfer]:
        """The internal transfers to or from some addresses.

        Raises:
            WireError: the traces are not what a node sends.
            RpcFault: the node traces, and failed to.
        """
        busy = [block for block in blocks if transactions_of(block)]
        found: list[Transfer] = []
        for way in (DEBUG, PARITY):
            if not busy or self._ways.get(self._node.client.provider, way) != way:
                continue
            answers = self._asked(way, busy)
            if answers is None:
                self._ways[self._node.client.provider] = PARITY if way == DEBUG else NONE
                continue
            self._ways[self._node.client.provider] = way
            for block, answer in zip(busy, answers, strict=True):
                found += internal_transfers(_moved(way, answer, block), block.header, watched)
            return found
        return found

    def _asked(self, way: str, blocks: Sequence[SeenBlock]) -> list[Any] | None:
        """An answer a block; None where the node does not trace in this way."""
        if way == DEBUG:
            answers = self._node.debug_traces([block.header.hash for block in blocks])
        else:
            answers = self._node.parity_traces([block.header.number for block in blocks])
        for answer in answers:
            if isinstance(answer, RpcFault):
                if answer.kind in _CANNOT:
                    return None
                raise answer
        return answers


def _moved(way: str, answer: Any, block: SeenBlock) -> tuple[InternalTransfer, ...]:
    if way == DEBUG:
        return transfers_of_call_traces(answer, transactions_of(block))
    return transfers_of_flat_traces(answer, transactions_of(block), block.header.hash)[0]
