"""From the wire to records: golden pairs, node answers of a reference client, and bad values."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.reading.book import kind_of
from payhealth.connectors.evm.reading.logs import read_logs
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.writing import records_of
from payhealth.connectors.evm.rpc.faults import FaultKind, classify
from payhealth.connectors.evm.wire import values as wire
from payhealth.connectors.evm.wire.receipts import receipt_of
from payhealth.connectors.evm.wire.values import WireError
from payhealth.domain.chain_records import TransferObservation
from payhealth.domain.records import Movement, MovementKind
from payhealth.testing import MemoryStore
from tests.golden.evm.regenerate import (
    CASES,
    DEPOSIT,
    OPERATOR,
    OTHER_DEPOSIT,
    TREASURY,
    book,
    cases,
    expected,
    translated,
)
from tests.unit.connectors.evm_reading_support import BLOCK, STRANGER, log, reading_of

ANSWERS = Path(__file__).resolve().parents[4] / "shared" / "data" / "execution_apis"
unhurried = settings(deadline=None)
NOBODY = "0x" + "0" * 40


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """Each payload becomes exactly the records beside it."""
    assert translated(name) == expected(name)


def test_every_pair_is_whole() -> None:
    """No payload without its records, no records without their payload."""
    assert {path.name.removesuffix(".records.json") for path in CASES.glob("*.records.json")} == set(cases())


def test_both_ways_of_tracing_give_the_same_records() -> None:
    """A provider's way of tracing changes nothing: another one tomorrow finds the same movements."""
    assert expected("internal_by_debug_trace") == expected("internal_by_trace_block") != []


@pytest.mark.parametrize("name", cases())
def test_no_key_stands_twice(name: str) -> None:
    """Of one block's records no two have one natural key: none overwrites another."""
    keys = {"Movement": "movement_id", "TransactionFee": "transaction_hash", "PaymentEvent": "event_id"}
    found = [(row["record"], row[keys[row["record"]]]) for row in expected(name) if row.get("record") in keys]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("sender", "recipient", "position", "kind"),
    [
        (STRANGER, DEPOSIT, "3", MovementKind.TRANSFER),
        (STRANGER, DEPOSIT, "native", MovementKind.TRANSFER),
        (STRANGER, DEPOSIT, "trace:0_1", MovementKind.TRANSFER),
        (NOBODY, DEPOSIT, "0", MovementKind.TRANSFER),
        (OPERATOR, DEPOSIT, "0", MovementKind.FUNDING),
        (DEPOSIT, TREASURY, "0", MovementKind.INTERNAL),
        (DEPOSIT, DEPOSIT, "0", MovementKind.INTERNAL),
        (TREASURY, STRANGER, "0", MovementKind.OUTGOING),
        (TREASURY, OPERATOR, "0", MovementKind.OUTGOING),
        (NOBODY, DEPOSIT, "mint", MovementKind.FUNDING),
        (NOBODY, DEPOSIT, "withdrawal:7", MovementKind.FUNDING),
    ],
)
def test_the_two_ends_decide_the_kind(sender: str, recipient: str, position: str, kind: MovementKind) -> None:
    """Both ours: internal; from ours: outgoing; from an operator or the chain: funding; else a payment."""
    assert kind_of(sender, recipient, position, book()) is kind


def written(raws: list[Any]) -> dict[Any, list[Any]]:
    """The records that logs become, by class."""
    store = MemoryStore()
    found = records_of(reading_of(raws, book()), book(), Stored(store, "base"), after_reorgs=False).records
    return {kind: rows if isinstance(rows, list) else rows.to_pylist() for kind, rows in found.items()}


@unhurried
@given(
    ends=st.lists(
        st.tuples(
            st.sampled_from([DEPOSIT, OTHER_DEPOSIT, STRANGER]),
            st.sampled_from([DEPOSIT, OTHER_DEPOSIT, STRANGER]),
            st.integers(0, 9),
        ),
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
)
def test_order_and_repetition_of_logs_are_irrelevant(
    ends: list[tuple[str, str, int]], order: random.Random
) -> None:
    """The two filters tell of a transfer once or twice, in any order: the records are the same, each once."""
    raws = [log(sender, to, units, index=at) for at, (sender, to, units) in enumerate(ends)]
    concerning = [(sender, to, units) for sender, to, units in ends if {sender, to} != {STRANGER}]
    told = raws + [raw for raw in raws if order.random() < 0.5]
    order.shuffle(told)
    once, again = written(raws), written(told)
    assert {kind: sorted(map(repr, rows)) for kind, rows in again.items()} == {
        kind: sorted(map(repr, rows)) for kind, rows in once.items()
    }
    assert len(again[Movement]) == sum(units > 0 for _, _, units in concerning)
    assert len(again[TransferObservation]) == sum(units == 0 for _, _, units in concerning)


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts, max_size=3),
    max_leaves=5,
)


@unhurried
@given(nonsense)
def test_no_log_raises(raw: Any) -> None:
    """Whatever stands where a registered contract's log should is rejected with a reason; nothing raises."""
    known = log(STRANGER, DEPOSIT)
    shapes = [
        {**known, "topics": raw},
        {**known, "topics": [wire.TRANSFER, raw, raw]},
        {**known, "data": raw},
        {**known, "logIndex": raw},
        {**known, "transactionHash": raw},
        {"topics": [wire.TRANSFER], "address": known["address"], "removed": False},
    ]
    if not isinstance(raw, dict):
        shapes.append(raw)
    reading = reading_of(shapes, book())
    assert (sum(map(len, reading.logs)), len(reading.rejected)) == (0, len(shapes))
    assert all(row.reason and len(row.raw) <= 4096 for row in reading.rejected)


@unhurried
@given(nonsense)
def test_a_stranger_may_log_what_it_likes(raw: Any) -> None:
    """Malformed logs of contracts that nobody registered are nothing: not even rejected."""
    stranger = {**log(STRANGER, DEPOSIT), "address": "0x" + "66" * 20}
    reading = reading_of([{**stranger, "topics": [wire.TRANSFER, raw]}, {**stranger, "data": raw}], book())
    assert (reading.objects, reading.rejected) == (0, [])


def test_a_log_of_another_block_is_refused_whole() -> None:
    """A node that answers with blocks that were not asked for is not believed at all."""
    with pytest.raises(WireError, match="another block than was asked for"):
        read_logs([log(STRANGER, DEPOSIT)], book(), book().ours, lambda number, block: block != BLOCK)


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


def test_logs_of_a_reference_node_parse_or_are_of_other_events() -> None:
    """Its logs are of other events: none is refused for its form, and none becomes anything."""
    raws = [log for _, _, answer in exchanges("eth_getLogs") for log in answer.get("result") or []]
    assert raws
    reading = reading_of(raws, book())
    assert (reading.objects, reading.raw_logs) == (0, len(raws))
    dressed = [{**log, "topics": [wire.TRANSFER, *["0x" + "0" * 24 + "d1" * 20] * 2]} for log in raws]
    words = [log for log in dressed if re.fullmatch("0x[0-9a-f]{64}", log["data"])]
    assert words
    found = reading_of(words, book(), {STRANGER})
    assert sum(map(len, found.logs)) == len({(log["blockHash"], log["logIndex"]) for log in words})


def test_receipts_of_a_reference_node_tell_their_outcome() -> None:
    """Status, block, sender and all that a fee is made of are where the connector looks for them."""
    receipts = [
        answer["result"] for _, _, answer in exchanges("eth_getTransactionReceipt") if answer["result"]
    ]
    assert len(receipts) >= 5
    told = [receipt_of(raw) for raw in receipts if "root" not in raw]
    assert told
    assert all(one.fee_wei is not None for one in told)
    assert {one.succeeded for one in told} <= {True, False}
    assert all("contractAddress" in raw for raw in receipts)


def test_errors_of_a_reference_node_are_classified() -> None:
    """Its range beyond the head means waiting, not shrinking."""
    messages = [answer["error"]["message"] for _, _, answer in exchanges("eth_getLogs") if "error" in answer]
    assert {message: classify(message).kind for message in messages}[
        "block range extends beyond current head block"
    ] is FaultKind.BEYOND_HEAD
