"""The chain's tip against what was read of it before: its marks, and where the branches part."""

from __future__ import annotations

from datetime import datetime

from payhealth.connectors.evm.reading.marks import Marks, marks_of
from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.reading.rollback import confirmed_elsewhere, fork_height
from payhealth.connectors.evm.rpc.node import HEAD, Node, Top
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header, WireError, quantity
from payhealth.domain.errors import SourceDataError, SourceUnavailableError

_USUAL_LAG_BLOCKS = 3
"""By so much honest nodes may be apart for a moment."""
_SPARE_HOPE = 8
"""Blocks beyond what the clock lets expect that the first request of a pull asks for."""


def top_of(
    node: Node, settings: EvmSettings, tip: Header | None, known_final: int | None, now: datetime
) -> tuple[Top, Marks]:
    """The chain's top, from a provider that is not behind what was final before.

    Args:
        tip: the newest block read, None before the first.
        known_final: the last final block of earlier pulls.

    Raises:
        SourceUnavailableError: every provider is behind, or stuck.
        SourceDataError: the chain has not reached the configured start.
    """
    client = node.client
    for attempt in range(len(client.providers)):
        top = node.top(tip.number if tip else None, _hoped(settings, tip, now))
        try:
            if tip is not None and top.head.number <= tip.number:
                _must_be_the_newest(node, top.head)
            return top, marks_of(top, settings, known_final, client.provider, now)
        except SourceUnavailableError as behind:
            client.blame(Lie.STALE_HEAD, behind.message)
            if attempt + 1 == len(client.providers):
                raise
            client.fail_over()
    raise SourceUnavailableError(f"{client.provider}: does not tell its head")


def _must_be_the_newest(node: Node, head: Header) -> None:
    """Where nothing is new, another provider is asked: a node that stands still would hide what is paid.

    Raises:
        SourceUnavailableError: another one is well ahead.
    """
    found = node.client.second_opinion([HEAD]) if len(node.client.providers) > 1 else None
    if found is None:
        return
    second, answers = found
    try:
        other = quantity(answers[0], "eth_blockNumber")
    except WireError:
        return
    if other > head.number + _USUAL_LAG_BLOCKS:
        raise SourceUnavailableError(
            f"{node.client.provider}: is behind: its head is {head.number}, that of {second} is {other}"
        )


def _hoped(settings: EvmSettings, tip: Header | None, now: datetime) -> int:
    """How many blocks to ask for unseen: about as many as came since the last pull, by the clock."""
    if tip is None:
        return 0
    elapsed_ms = max(0.0, (now - tip.at).total_seconds() * 1000)
    return _SPARE_HOPE + int(elapsed_ms / max(1, settings.info.block_ms))


def merely_behind(recent: Recent, head: Header) -> bool:
    """Whether a node is on our branch and has less of it: there is nothing to read from it yet."""
    tip, known = recent.tip, recent.get(head.number)
    return tip is not None and head.number < tip.number and known is not None and known.hash == head.hash


def fork_below(node: Node, recent: Recent, head: Header, known_final: int | None) -> int:
    """The newest block of the window that the chain still holds.

    Raises:
        SourceDataError: it lies below what was final: such a chain is not believed.
        SourceUnavailableError: another provider contradicts the reorg, or none confirms it.
    """
    numbers = recent.numbers()
    last_final = min(numbers[0], numbers[-1] if known_final is None else max(numbers[-1], known_final))
    fork = fork_height(node, recent, head.number)
    if fork is None or fork < last_final:
        raise SourceDataError(
            f"{node.client.provider}: the chain was rolled back past block {last_final}, which was final",
            hint="is the RPC endpoint on the right branch? Otherwise set a deeper finality and read anew",
        )
    confirmed_elsewhere(node, recent, fork)
    return fork
