"""Two providers must say the same of final blocks, where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import HEAD, Node, Place
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.wire.values import WireError, header_of, quantity
from payhealth.domain.errors import SourceUnavailableError

_Key = tuple[str, ...]


def agreed(
    node: Node, raws: Sequence[Any], lower: int, upper: int, filters: Sequence[Mapping[str, Any]]
) -> None:
    """Hold the logs of ``[lower, upper]``, and the block that ends it, against what another provider says.

    Raises:
        SourceUnavailableError: no other provider answers, or it says something else; the one that gave
            fewer logs is noted for it.
    """
    first = node.client.provider
    place = Place(lower=lower, upper=upper).filter()
    calls = [Call("eth_getBlockByNumber", (hex(upper), False))]
    calls += [Call("eth_getLogs", ({**place, **one},)) for one in filters]
    standing = node.headers([upper])[0].hash
    found = node.client.second_many(calls, HEAD)
    blocks = f"blocks {lower} to {upper}"
    if found is None:
        raise SourceUnavailableError(
            f"quorum = 2: no provider but {first} answers for {blocks}", hint="give another one in rpc_urls"
        )
    second, answers, heads = found
    faults = [answer for answer in answers if isinstance(answer, RpcFault)]
    if faults or not _at_or_past(heads, upper):
        why = faults[0].message if faults else f"its head lies below block {upper}"
        raise SourceUnavailableError(f"quorum = 2: {second} does not answer for {blocks}: {why}")
    told, *logs = answers
    if _hash_of(told) != standing:
        node.client.blame(Lie.DISAGREES, f"block {upper} is another one there", second)
        raise SourceUnavailableError(f"quorum = 2: {first} and {second} hold different blocks {upper}")
    if not all(isinstance(answer, list) for answer in logs):
        raise SourceUnavailableError(f"quorum = 2: {second} does not answer for {blocks}: no list of logs")
    ours, theirs = _keys(raws), _keys(log for answer in logs for log in answer)
    if ours == theirs:
        return
    for provider, lacks in ((first, theirs - ours), (second, ours - theirs)):
        if lacks:
            node.client.blame(Lie.DISAGREES, f"lacks {len(lacks)} logs of {blocks}", provider)
    raise SourceUnavailableError(
        f"quorum = 2: {first} and {second} disagree about {blocks}: "
        f"{len(ours - theirs)} logs only with the first, {len(theirs - ours)} only with the second"
    )


def _hash_of(block: Any) -> str | None:
    try:
        return header_of(block).hash
    except WireError:
        return None


def _keys(raws: Any) -> set[_Key]:
    return {_key(raw) for raw in raws}


def _key(raw: Any) -> _Key:
    if not isinstance(raw, dict):
        return (repr(raw),)
    fields = ("blockHash", "transactionHash", "logIndex", "address", "data")
    topics = raw.get("topics")
    listed = topics if isinstance(topics, list) else []
    return tuple(str(part).lower() for part in (*(raw.get(name) for name in fields), *listed))


def _at_or_past(heads: Sequence[Any], upper: int) -> bool:
    try:
        return bool(heads) and all(quantity(head, "eth_blockNumber") >= upper for head in heads)
    except WireError:
        return False
