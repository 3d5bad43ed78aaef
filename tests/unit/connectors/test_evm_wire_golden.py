"""Wire objects: golden pairs, a live anvil, and the recorded answers of a reference client."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from eth_utils.crypto import keccak

from payhealth.connectors.evm.wire import events
from payhealth.connectors.evm.wire.bloom import bits_of
from payhealth.connectors.evm.wire.columns import log_columns
from payhealth.connectors.evm.wire.natives import created_address, native_transfer, natives_of_block
from payhealth.connectors.evm.wire.receipts import receipt_of
from payhealth.connectors.evm.wire.traces import transfers_of_call_traces, transfers_of_flat_traces
from payhealth.connectors.evm.wire.values import TRANSFER, WireError, address_of
from tests.golden.evm_wire.capture import capture
from tests.golden.evm_wire.regenerate import READERS, cases, decoded, expected, payload
from tests.sandbox.chains import skip_without_anvil

ANSWERS = Path(__file__).resolve().parents[4] / "shared" / "data" / "execution_apis"
ESCROW_EVENTS = {
    events.EscrowStep.AUTHORIZED: f"PaymentAuthorized(bytes32,{events.PAYMENT_INFO},uint256,address)",
    events.EscrowStep.CHARGED: (
        f"PaymentCharged(bytes32,{events.PAYMENT_INFO},uint256,address,uint16,address)"
    ),
    events.EscrowStep.CAPTURED: "PaymentCaptured(bytes32,uint256,uint16,address)",
    events.EscrowStep.VOIDED: "PaymentVoided(bytes32,uint256)",
    events.EscrowStep.RECLAIMED: "PaymentReclaimed(bytes32,uint256)",
    events.EscrowStep.REFUNDED: "PaymentRefunded(bytes32,uint256,address)",
}


@pytest.mark.parametrize("name", cases())
def test_golden(name: str) -> None:
    """In each payload exactly what stands beside it is read."""
    assert decoded(name) == expected(name)


def test_topics_are_the_hashes_of_the_signatures() -> None:
    """Every first topic is the keccak of the signature that its contract declares."""
    signatures = {
        "Transfer(address,address,uint256)": TRANSFER,
        "Transferred(address,bytes16,address,address,uint256,address)": events.TRANSFERRED,
        "AuthorizationUsed(address,bytes32)": events.AUTHORIZATION_USED,
        "LogTransfer(address,address,address,uint256,uint256,uint256,uint256,uint256)": events.LOG_TRANSFER,
    }
    for signature, topic in signatures.items():
        assert "0x" + keccak(text=signature).hex() == topic
    hashed = {"0x" + keccak(text=signature).hex(): step for step, signature in ESCROW_EVENTS.items()}
    assert hashed == events.ESCROW


@pytest.fixture(scope="module")
def live() -> dict[str, dict[str, Any]]:
    """What a running anvil answers about a block of moving value."""
    skip_without_anvil()
    return capture()


def test_both_shapes_of_traces_give_the_same_transfers(live: dict[str, dict[str, Any]]) -> None:
    """The nested and the flat traces of one block tell of the same movements, in the same order."""
    nested = READERS["call_traces"](live["anvil_call_traces"])
    flat, rewards = READERS["flat_traces"](live["anvil_flat_traces"])
    assert nested == flat
    assert rewards == ()
    assert {transfer.units for transfer in nested} == {100, 3, 21, 22, 60, 11, 49, 2}


def test_what_a_node_answers_today_is_read_as_the_golden_pairs_say(live: dict[str, dict[str, Any]]) -> None:
    """The stored payloads are what anvil still says, in everything that is read of them."""
    for kind in ("call_traces", "flat_traces"):
        found, stored = READERS[kind](live[f"anvil_{kind}"]), READERS[kind](payload(f"anvil_{kind}"))
        assert found == stored


def test_receipts_decide_which_values_moved(live: dict[str, dict[str, Any]]) -> None:
    """A failed transaction moves nothing and pays its fee; a created contract has the address foretold."""
    block = natives_of_block(live["anvil_block"]["raw"], frozenset(live["anvil_block"]["ours"]))
    receipts = [receipt_of(raw) for raw in live["anvil_receipts"]["raw"]]
    pairs = list(zip(block.candidates, receipts, strict=True))
    assert [native_transfer(*pair) is not None for pair in pairs] == [True, True, False, True]
    creation, receipt = pairs[3]
    assert receipt.created == creation.recipient
    assert all(receipt.fee_wei for receipt in receipts)


def answers(method: str) -> Iterator[Any]:
    """The recorded results of a method, null ones and errors left out."""
    for path in sorted(ANSWERS.glob(f"{method}.*.io")):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("<< ") and (result := orjson.loads(line[3:]).get("result")) is not None:
                yield result


needs_answers = pytest.mark.skipif(not ANSWERS.is_dir(), reason="no recorded node answers beside the project")


@needs_answers
def test_recorded_receipts_parse() -> None:
    """Receipts of every fork are read; those without a status are refused for that reason alone."""
    raws = [*itertools.chain(*answers("eth_getBlockReceipts")), *answers("eth_getTransactionReceipt")]
    read = 0
    for raw in raws:
        if "status" not in raw:
            with pytest.raises(WireError, match="status is not a hexadecimal quantity"):
                receipt_of(raw)
            raw = {**raw, "status": "0x1"}  # noqa: PLW2901 - what else it holds must parse
        receipt = receipt_of(raw)
        assert receipt.fee_wei is not None
        read += 1
    assert read > 15


@needs_answers
def test_recorded_blocks_parse() -> None:
    """Headers, blooms and withdrawals of every fork are read; hashes are not taken for transactions."""
    withdrawals = 0
    for raw in answers("eth_getBlockByNumber"):
        bits_of(raw["logsBloom"])
        paid = {address_of(item["address"], "address") for item in raw.get("withdrawals", [])}
        found = natives_of_block({**raw, "transactions": []}, paid)
        assert not found.refused
        assert len(found.withdrawals) == len(raw.get("withdrawals", []))
        withdrawals += len(found.withdrawals)
        transactions = raw["transactions"]
        if transactions and isinstance(transactions[0], str):
            with pytest.raises(WireError, match="hashes"):
                natives_of_block(raw, paid)
            continue
        senders = {transaction["from"] for transaction in transactions}
        moved = natives_of_block(raw, senders)
        assert not moved.refused
        valued = [transaction["hash"] for transaction in transactions if int(transaction["value"], 16)]
        assert [candidate.transaction_hash for candidate in moved.candidates] == valued
    assert withdrawals > 0


@needs_answers
def test_recorded_logs_parse() -> None:
    """Logs of the reference client are no transfers: each is refused with that reason, none is lost."""
    raws = list(itertools.chain(*answers("eth_getLogs")))
    columns, refused = log_columns(raws)
    assert len(columns) + len(refused) == len(raws) > 0
    assert {reason for _, reason in refused} == {"not a Transfer event"}


@pytest.mark.parametrize(
    ("nonce", "created"),
    [
        (0, "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
        (1, "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
        (2, "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
        (3, "0xfffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
    ],
)
def test_created_addresses(nonce: int, created: str) -> None:
    """The known addresses of a well-known sender's first contracts."""
    assert created_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", nonce) == created


def test_created_addresses_of_large_nonces() -> None:
    """The encoding of a nonce changes at 128 and at each byte: it is that of a reference implementation."""
    rlp = pytest.importorskip("rlp")
    sender = "0x" + "a1" * 20
    for nonce in [*range(300), 2**16 - 1, 2**16, 2**32, *random.Random(5).sample(range(2**40), 50)]:
        digest = keccak(rlp.encode([bytes.fromhex(sender[2:]), nonce]))
        assert created_address(sender, nonce) == "0x" + digest[12:].hex()


def test_a_block_of_traces_that_another_node_cut_short_is_refused() -> None:
    """A transaction without its trace is never silently a transaction without transfers."""
    case = payload("anvil_flat_traces")
    last = case["transactions"][-1]
    cut = [trace for trace in case["raw"] if trace["transactionHash"] != last]
    with pytest.raises(WireError, match="no trace of"):
        transfers_of_flat_traces(cut, case["transactions"], case["block_hash"])
    nested = payload("anvil_call_traces")
    with pytest.raises(WireError, match="3 traces for 4 transactions"):
        transfers_of_call_traces(nested["raw"][:-1], nested["transactions"])
