"""From the wire to records: golden pairs, node answers of a reference client, and bad values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.translate import kind_of, transfers_of_logs, translate
from payhealth.connectors.evm.rpc.faults import FaultKind, classify
from payhealth.connectors.evm.wire import values as wire
from payhealth.connectors.evm.wire.values import Transfer, WireError
from payhealth.domain.records import MovementKind
from payhealth.domain.times import EPOCH
from tests.golden.evm.regenerate import (
    DEPOSIT,
    OPERATOR,
    OTHER_DEPOSIT,
    TREASURY,
    book,
    cases,
    expected,
    translated,
)

ANSWERS = Path(__file__).resolve().parents[4] / "shared" / "data" / "execution_apis"
STRANGER = "0x" + "d1" * 20
USDC = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """Each payload becomes exactly the records beside it."""
    assert translated(name) == expected(name)


def moved(sender: str, recipient: str, units: int = 5, *, position: str = "0") -> Transfer:
    """A USDC transfer."""
    return Transfer(
        transaction_hash="0x" + "ee" * 32,
        position=position,
        block_number=7,
        block_hash="0x" + "bb" * 32,
        token=USDC,
        sender=sender,
        recipient=recipient,
        units=units,
    )


@pytest.mark.parametrize(
    ("sender", "recipient", "kind"),
    [
        (STRANGER, DEPOSIT, MovementKind.TRANSFER),
        ("0x" + "0" * 40, DEPOSIT, MovementKind.TRANSFER),
        (OPERATOR, DEPOSIT, MovementKind.FUNDING),
        (DEPOSIT, TREASURY, MovementKind.INTERNAL),
        (DEPOSIT, DEPOSIT, MovementKind.INTERNAL),
        (TREASURY, STRANGER, MovementKind.OUTGOING),
        (TREASURY, OPERATOR, MovementKind.OUTGOING),
    ],
)
def test_the_two_ends_decide_the_kind(sender: str, recipient: str, kind: MovementKind) -> None:
    """Both ours: internal; from ours: outgoing; from an operator: funding; else a payment."""
    assert kind_of(moved(sender, recipient), book()) is kind


def test_only_deposits_share_the_bare_transaction_hash() -> None:
    """A sweep in the same transaction as a deposit must not answer to its bare hash."""
    transfers = [moved(STRANGER, DEPOSIT, position="1"), moved(DEPOSIT, TREASURY, position="2")]
    made = translate(transfers, {"0x" + "bb" * 32: EPOCH}, book())
    bare = [link.payment_key for link in made.links if link.alias == "0x" + "ee" * 32]
    assert bare == [movement.movement_id for movement in made.movements if movement.kind == "transfer"]


@given(
    ends=st.lists(
        st.tuples(st.sampled_from([DEPOSIT, OTHER_DEPOSIT, STRANGER]), st.integers(0, 9)), max_size=8
    ),
    order=st.randoms(),
)
def test_order_and_repetition_of_logs_are_irrelevant(ends: list[tuple[str, int]], order: Any) -> None:
    """The two filters tell of a transfer once or twice, in any order: the records are the same set."""
    transfers = [moved(STRANGER, to, units, position=str(at)) for at, (to, units) in enumerate(ends)]
    twice = transfers + transfers
    order.shuffle(twice)
    times = {"0x" + "bb" * 32: EPOCH}
    once, again = translate(transfers, times, book()), translate(twice, times, book())
    assert set(once.observations) == set(again.observations)
    assert set(once.movements) == set(again.movements)
    assert set(once.links) == set(again.links)
    assert len(again.observations) == len(once.observations)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=70), st.lists, max_leaves=5))
def test_no_log_raises(raw: Any) -> None:
    """Whatever stands where a log should is rejected with a reason, never an exception."""
    shapes = [raw, {"topics": raw}, {"topics": [wire.TRANSFER, raw, raw], "address": raw, "data": raw}]
    transfers, rejected = transfers_of_logs(shapes, book())
    assert (len(transfers), len(rejected)) == (0, len(shapes))
    assert all(row.reason and len(row.raw) <= 4096 for row in rejected)


@pytest.mark.parametrize("bad", [None, 5, "5", "0x", "0xzz", "-0x1", "0x" + "1" * 65, " 0x1", "0x1\n"])
def test_a_quantity_is_hexadecimal(bad: Any) -> None:
    """Decimal numbers, signs, blanks and more than 32 bytes are no quantities."""
    with pytest.raises(WireError, match="field"):
        wire.quantity(bad, "field")


@pytest.mark.parametrize("field", ["number", "hash", "parentHash", "timestamp"])
def test_a_header_needs_all_that_links_it(field: str) -> None:
    """A block without number, hash, parent or time cannot be placed; the reason names the field."""
    whole = {"number": "0x1", "hash": "0x" + "1" * 64, "parentHash": "0x" + "2" * 64, "timestamp": "0x5"}
    assert wire.header_of(whole).number == 1
    with pytest.raises(WireError, match=field):
        wire.header_of({**whole, field: None})


def test_a_timestamp_beyond_time_is_refused() -> None:
    """No date holds a timestamp of 2**64 seconds."""
    raw = {
        "number": "0x1",
        "hash": "0x" + "1" * 64,
        "parentHash": "0x" + "2" * 64,
        "timestamp": "0xffffffffffffffff",
    }
    with pytest.raises(WireError, match="beyond the year 9999"):
        wire.header_of(raw)


def exchanges(prefix: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The recorded requests and answers of a reference node."""
    if not ANSWERS.is_dir():
        pytest.skip("the recorded node answers (../shared/data/execution_apis) are not here")
    for path in sorted(ANSWERS.glob(f"{prefix}*.io")):
        lines = path.read_text("utf-8").splitlines()
        asked = [orjson.loads(line[3:]) for line in lines if line.startswith(">> ")]
        told = [orjson.loads(line[3:]) for line in lines if line.startswith("<< ")]
        for request, answer in zip(asked, told, strict=True):
            yield path.name, request, answer


def test_blocks_of_a_reference_node_parse() -> None:
    """Every block of every fork has a header that can be read."""
    answers = [answer["result"] for _, _, answer in exchanges("eth_getBlockByNumber")]
    headers = [wire.header_of(raw) for raw in answers if raw is not None]
    assert len(headers) >= 8
    assert all(header.hash != header.parent for header in headers)


def test_logs_of_a_reference_node_parse_or_are_rejected_with_a_reason() -> None:
    """Its logs are of other events: each is refused for its topic, none for its form."""
    raws = [log for _, _, answer in exchanges("eth_getLogs") for log in answer.get("result") or []]
    assert raws
    transfers, rejected = transfers_of_logs(raws, book())
    assert transfers == []
    assert {row.reason for row in rejected} == {"not a Transfer event"}
    dressed = [{**log, "topics": [wire.TRANSFER, *["0x" + "0" * 24 + "d1" * 20] * 2]} for log in raws]
    words = [log for log in dressed if re.fullmatch("0x[0-9a-f]{64}", log["data"])]
    assert [wire.transfer_of_log(log).sender for log in words] == [STRANGER] * len(words)


def test_receipts_of_a_reference_node_tell_their_outcome() -> None:
    """Status, block hash and created contract are where the connector looks for them."""
    receipts = [
        answer["result"] for _, _, answer in exchanges("eth_getTransactionReceipt") if answer["result"]
    ]
    assert len(receipts) >= 5
    for receipt in receipts:
        wire.hash_of(receipt["blockHash"], "blockHash")
        assert "contractAddress" in receipt
        if "root" not in receipt:
            assert wire.quantity(receipt["status"], "status") in (0, 1)


def test_errors_of_a_reference_node_are_classified() -> None:
    """Its range beyond the head means waiting, not shrinking."""
    messages = [answer["error"]["message"] for _, _, answer in exchanges("eth_getLogs") if "error" in answer]
    assert {message: classify(message).kind for message in messages}[
        "block range extends beyond current head block"
    ] is FaultKind.BEYOND_HEAD
