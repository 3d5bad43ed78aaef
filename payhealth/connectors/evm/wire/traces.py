"""Value that contracts moved, out of a node's traces of a block. Pure.

Two shapes of answer are read, and give the same transfers: the nested frames of
``debug_traceBlockByHash`` with the ``callTracer``, and the flat list of ``trace_block``.

A transfer's path is its place among the calls of its caller, from the top, as in ``0_2``. Nodes differ in
whether they list calls of precompiled contracts; those that carry no value are not counted, so that a
transfer has the same path whichever node is asked.

Sources: go-ethereum, eth/tracers/native/call.go and call_flat.go; the trace module of OpenEthereum's
JSON-RPC reference; foundry's anvil, measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.evm.wire.values import WireError, address_of, hash_of, mapping_of, quantity

_MOVING = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
_STILL = frozenset({"DELEGATECALL", "STATICCALL", "CALLCODE"})
_KINDS = _MOVING | _STILL
_LAST_PRECOMPILE = 0x1FF
"""Ethereum's precompiled contracts end at 0x100 (RIP-7212), Arbitrum's own at 0xff."""
_FLAT_CALLS = frozenset({"call", "delegatecall", "staticcall", "callcode"})

_Path = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalTransfer:
    """Value that one contract's call, creation or self-destruction moved.

    Args:
        path: positions among the parent's calls, from the top, joined by ``_``.
        units: wei, above zero.
    """

    transaction_hash: str
    path: str
    sender: str
    recipient: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a block of before the merge paid its miner or an uncle's.

    Args:
        kind: ``block`` or ``uncle``.
        units: wei.
    """

    kind: str
    recipient: str
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """A call, in either shape.

    Args:
        kind: as callTracer names it, upper case.
        recipient: empty where nothing was reached, in a failed creation.
        counted: whether it has a place among its parent's calls.
    """

    kind: str
    sender: str
    recipient: str
    units: int
    failed: bool
    counted: bool
    children: Sequence[Any]


def transfers_of_call_traces(raws: Any, transactions: Sequence[str]) -> tuple[InternalTransfer, ...]:
    """Read an answer of ``debug_traceBlockByHash`` or ``ByNumber`` with the ``callTracer``.

    Args:
        raws: one item a transaction, in the order of the block.
        transactions: the hashes of the block's transactions, in order, lower case.

    Returns:
        In the order in which value moved.

    Raises:
        WireError: something is malformed, missing or another transaction's, or the node failed to trace
            one of them: then the block's internal transfers are not known.
    """
    if not isinstance(raws, list):
        raise WireError("the traces are not a list")
    if len(raws) != len(transactions):
        raise WireError(f"{len(raws)} traces for {len(transactions)} transactions")
    found: list[InternalTransfer] = []
    for raw, transaction in zip(raws, transactions, strict=True):
        item = mapping_of(raw, "trace")
        named = item.get("txHash")
        if named is not None and hash_of(named, "txHash") != transaction:
            raise WireError("a trace is another transaction's")
        if item.get("result") is None:
            raise WireError(f"the node did not trace {transaction}: {str(item.get('error'))[:200]}")
        found += _moved(_nested_frame(item["result"]), transaction)
    return tuple(found)


def transfers_of_flat_traces(
    raws: Any, transactions: Sequence[str], block_hash: str
) -> tuple[tuple[InternalTransfer, ...], tuple[Reward, ...]]:
    """Read an answer of ``trace_block``.

    Args:
        raws: the traces of all of the block's transactions, and rewards.
        transactions: the hashes of the block's transactions, in order, lower case.
        block_hash: the block's: the call asks by number, and the chain may have moved.

    Returns:
        The transfers in the order in which value moved, and the rewards.

    Raises:
        WireError: something is malformed, missing, or another block's.
    """
    if not isinstance(raws, list):
        raise WireError("the traces are not a list")
    by_transaction: dict[str, dict[_Path, Mapping[str, Any]]] = defaultdict(dict)
    rewards: list[Reward] = []
    for raw in raws:
        trace = mapping_of(raw, "trace")
        if hash_of(trace.get("blockHash"), "blockHash") != block_hash:
            raise WireError("the traces are another block's")
        if trace.get("type") == "reward":
            rewards.append(_reward(trace))
            continue
        traces = by_transaction[hash_of(trace.get("transactionHash"), "transactionHash")]
        path = _trace_address(trace.get("traceAddress"))
        if path in traces:
            raise WireError("two traces have one traceAddress")
        traces[path] = trace
    if by_transaction.keys() - set(transactions):
        raise WireError("a trace is another transaction's")
    found: list[InternalTransfer] = []
    for transaction in transactions:
        found += _moved(_flat_tree(by_transaction.get(transaction, {}), transaction), transaction)
    return tuple(found), tuple(rewards)


def _moved(top: _Frame, transaction: str) -> Iterator[InternalTransfer]:
    """The transfers below a top frame, depth first; the top's own value is the transaction's."""
    waiting: list[tuple[_Frame, _Path]] = [(top, ())]
    while waiting:
        frame, path = waiting.pop()
        if frame.failed:
            continue
        if path and frame.kind in _MOVING and frame.units:
            yield InternalTransfer(
                transaction_hash=transaction,
                path="_".join(map(str, path)),
                sender=frame.sender,
                recipient=frame.recipient,
                units=frame.units,
            )
        counted = [child for child in map(_child, frame.children) if child.counted]
        waiting += reversed([(child, (*path, place)) for place, child in enumerate(counted)])


def _child(raw: Any) -> _Frame:
    return raw if isinstance(raw, _Frame) else _nested_frame(raw)


def _nested_frame(raw: Any) -> _Frame:
    frame = mapping_of(raw, "frame")
    kind = frame.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise WireError(f"a frame of unknown type {str(kind)[:40]!r}")
    children = frame.get("calls") or ()
    if not isinstance(children, (list, tuple)):
        raise WireError("calls is not a list")
    value = frame.get("value")
    return _frame(
        kind,
        sender=frame.get("from"),
        recipient=frame.get("to"),
        units=0 if value is None else quantity(value, "value"),
        failed=frame.get("error") is not None,
        children=children,
    )


def _flat_tree(traces: Mapping[_Path, Mapping[str, Any]], transaction: str) -> _Frame:
    """The frames of one transaction, linked by their addresses.

    Raises:
        WireError: it has no top frame, or a frame's parent is missing.
    """
    if () not in traces:
        raise WireError(f"no trace of {transaction}")
    children: dict[_Path, list[_Frame]] = {path: [] for path in traces}
    # From the longest address to the shortest, so that a frame's own children are complete before it.
    for path in sorted(traces, key=lambda path: (-len(path), path)):
        frame = _flat_frame(traces[path], children[path])
        if not path:
            return frame
        if path[:-1] not in children:
            raise WireError("a trace's parent is missing")
        children[path[:-1]].append(frame)
    raise WireError(f"no trace of {transaction}")


def _flat_frame(trace: Mapping[str, Any], children: Sequence[_Frame]) -> _Frame:
    action = mapping_of(trace.get("action"), "action")
    kind, failed = trace.get("type"), trace.get("error") is not None
    if kind == "call":
        call = action.get("callType")
        if not isinstance(call, str) or call not in _FLAT_CALLS:
            raise WireError(f"a call of unknown type {str(call)[:40]!r}")
        return _frame(
            call.upper(),
            sender=action.get("from"),
            recipient=action.get("to"),
            units=quantity(action.get("value"), "value"),
            failed=failed,
            children=children,
        )
    if kind == "create":
        made = None if trace.get("result") is None else mapping_of(trace["result"], "result").get("address")
        units = quantity(action.get("value"), "value")
        return _frame(
            "CREATE", sender=action.get("from"), recipient=made, units=units, failed=failed, children=children
        )
    if kind == "suicide":
        return _frame(
            "SELFDESTRUCT",
            sender=action.get("address"),
            recipient=action.get("refundAddress"),
            units=quantity(action.get("balance"), "balance"),
            failed=failed,
            children=children,
        )
    raise WireError(f"a trace of unknown type {str(kind)[:40]!r}")


def _frame(
    kind: str, *, sender: Any, recipient: Any, units: int, failed: bool, children: Sequence[Any]
) -> _Frame:
    reached = "" if failed and recipient is None else address_of(recipient, "to")
    precompile = reached != "" and 0 < int(reached, 16) <= _LAST_PRECOMPILE
    return _Frame(
        kind=kind,
        sender=address_of(sender, "from"),
        recipient=reached,
        units=units,
        failed=failed,
        counted=not precompile or (kind in _MOVING and units > 0),
        children=children,
    )


def _trace_address(raw: Any) -> _Path:
    if not isinstance(raw, list) or not all(type(place) is int and place >= 0 for place in raw):
        raise WireError("traceAddress is not a list of positions")
    return tuple(raw)


def _reward(trace: Mapping[str, Any]) -> Reward:
    action = mapping_of(trace.get("action"), "action")
    kind = action.get("rewardType")
    if not isinstance(kind, str):
        raise WireError("rewardType is not a text")
    return Reward(
        kind=kind,
        recipient=address_of(action.get("author"), "author"),
        units=quantity(action.get("value"), "value"),
    )
