"""Internal transfers: every shape of the same calls gives the same transfers; failed frames move nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.wire.traces import (
    InternalTransfer,
    transfers_of_call_traces,
    transfers_of_flat_traces,
)

TRANSACTION = "0x" + "01" * 32
BLOCK = "0x" + "bb" * 32
PLACES = [f"0x{number:040x}" for number in (1, 4, 0x100)] + ["0x" + f"{at:02x}" * 20 for at in range(1, 6)]
KINDS = ("CALL", "CREATE", "SELFDESTRUCT", "DELEGATECALL", "STATICCALL", "CALLCODE")


@st.composite
def calls(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """A tree of calls."""
    kind = draw(st.sampled_from(KINDS)) if depth else draw(st.sampled_from(["CALL", "CREATE"]))
    leaf = depth == 3 or kind == "SELFDESTRUCT"
    to = draw(st.sampled_from(PLACES))
    # Precompiled contracts call nobody.
    children = [] if leaf or int(to, 16) < 0x200 else draw(st.lists(calls(depth + 1), max_size=3))
    return {
        "kind": kind,
        "from": draw(st.sampled_from(PLACES[3:])),
        "to": to,
        "value": 0 if kind == "STATICCALL" else draw(st.integers(0, 3)),
        "failed": draw(st.integers(0, 5)) == 0 and kind != "SELFDESTRUCT",
        "calls": children,
    }


def skipped(call: dict[str, Any]) -> bool:
    """Whether some nodes leave a call out: it reaches a precompiled contract and carries nothing."""
    moves = call["kind"] in ("CALL", "CREATE", "SELFDESTRUCT") and call["value"] > 0
    return int(call["to"], 16) < 0x200 and not moves


def truth(call: dict[str, Any], path: tuple[int, ...] = ()) -> list[InternalTransfer]:
    """What a tree moves, told by recursion."""
    if call["failed"]:
        return []
    found = []
    if path and call["value"] and call["kind"] in ("CALL", "CREATE", "SELFDESTRUCT"):
        found.append(
            InternalTransfer(
                transaction_hash=TRANSACTION,
                path="_".join(map(str, path)),
                sender=call["from"],
                recipient=call["to"],
                units=call["value"],
            )
        )
    kept = [child for child in call["calls"] if not skipped(child)]
    for place, child in enumerate(kept):
        found += truth(child, (*path, place))
    return found


def nested(call: dict[str, Any]) -> dict[str, Any]:
    """As ``callTracer`` shows it."""
    frame = {"type": call["kind"], "from": call["from"], "to": call["to"], "gas": "0x0", "input": "0x"}
    if call["kind"] != "STATICCALL":
        frame["value"] = hex(call["value"])
    if call["failed"]:
        frame["error"] = "execution reverted"
        if call["kind"] == "CREATE":
            del frame["to"]
    if call["calls"]:
        frame["calls"] = [nested(child) for child in call["calls"]]
    return frame


def flat(call: dict[str, Any], *, with_all: bool, address: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """As ``trace_block`` shows it, of a node that lists every call or leaves some out."""
    failed = {"error": "Reverted"} if call["failed"] else {}
    result: dict[str, Any] | None = None if call["failed"] else {"gasUsed": "0x0", "output": "0x"}
    kind, value = call["kind"], hex(call["value"])
    if kind == "CREATE":
        action = {"from": call["from"], "value": value, "init": "0x"}
        result = result and {**result, "address": call["to"]}
        name = "create"
    elif kind == "SELFDESTRUCT":
        action, result = {"address": call["from"], "refundAddress": call["to"], "balance": value}, None
        name = "suicide"
    else:
        action = {"callType": kind.lower(), "from": call["from"], "to": call["to"], "value": value}
        name = "call"
    where = {"blockHash": BLOCK, "transactionHash": TRANSACTION, "traceAddress": list(address)}
    found = [{"type": name, "action": action, "result": result, **failed, **where}]
    kept = [child for child in call["calls"] if with_all or not skipped(child)]
    for place, child in enumerate(kept):
        found += flat(child, with_all=with_all, address=(*address, place))
    return found


@settings(max_examples=300, deadline=None)
@given(call=calls(), random=st.randoms(use_true_random=False))
def test_every_shape_tells_the_same(call: dict[str, Any], random: Any) -> None:
    """Nested, flat, flat without precompiled contracts, in any order: the same transfers and paths."""
    expected = tuple(truth(call))
    assert (
        transfers_of_call_traces([{"txHash": TRANSACTION, "result": nested(call)}], [TRANSACTION]) == expected
    )
    for with_all in (True, False):
        traces = flat(call, with_all=with_all)
        random.shuffle(traces)
        assert transfers_of_flat_traces(traces, [TRANSACTION], BLOCK) == (expected, ())


def test_a_deep_chain_of_calls_is_no_danger() -> None:
    """The EVM's 1024 frames are walked without recursion."""
    call: dict[str, Any] = {"kind": "CALL", "from": PLACES[3], "to": PLACES[4], "value": 1, "failed": False}
    tree = nested({**call, "calls": []})
    for _ in range(1023):
        tree = {**nested({**call, "calls": []}), "calls": [tree]}
    found = transfers_of_call_traces([{"result": tree}], [TRANSACTION])
    assert len(found) == 1023
    assert found[-1].path == "_".join(["0"] * 1023)
