"""Native values of a block: what one pass finds is what a look at every transaction finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.wire.natives import created_address, native_transfer, natives_of_block
from payhealth.connectors.evm.wire.receipts import Receipt, receipt_of
from payhealth.connectors.evm.wire.values import WireError

ADDRESSES = ["0x" + f"{at:02x}" * 20 for at in range(0xA1, 0xA6)]
BLOCK = {"number": "0x7", "hash": "0x" + "bb" * 32, "parentHash": "0x" + "aa" * 32, "timestamp": "0x1"}
either_case = st.sampled_from([*ADDRESSES, *("0x" + address[2:].upper() for address in ADDRESSES)])


@st.composite
def blocks(draw: st.DrawFn) -> dict[str, Any]:
    """A block of Ethereum, Arbitrum and OP Stack transactions at once."""
    transactions = []
    for at in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from([None, "0x0", "0x2", "0x64", "0x68", "0x69", "0x6a", "0x7e"]))
        transaction = {
            "hash": f"0x{at:064x}",
            "from": draw(either_case),
            "to": draw(st.none() | either_case),
            "value": hex(draw(st.integers(0, 2))),
            "nonce": hex(draw(st.integers(0, 300))),
            "type": kind,
        }
        if kind == "0x7e":
            transaction["mint"] = draw(st.sampled_from([None, "0x0", "0x5"]))
        transactions.append(transaction)
    return {**BLOCK, "transactions": transactions}


@settings(max_examples=200, deadline=None)
@given(block=blocks(), ours=st.frozensets(st.sampled_from(ADDRESSES)))
def test_one_pass_finds_what_a_look_at_everything_finds(block: dict[str, Any], ours: frozenset[str]) -> None:
    """Every value to or from ours is found, in any case of letters; mints go to the sender, who pays."""
    found = natives_of_block(block, ours, ignored_types=frozenset({0x6A}))
    values, credited, sent = [], [], []
    for at, transaction in enumerate(block["transactions"]):
        sender, kind = transaction["from"].lower(), int(transaction["type"] or "0x0", 16)
        units, to = int(transaction["value"], 16), transaction["to"]
        recipient = to.lower() if to else created_address(sender, int(transaction["nonce"], 16))
        told_later = to is None and kind == 0x7E
        if sender in ours:
            sent.append(transaction["hash"])
        if kind == 0x6A:
            continue
        if units and (sender in ours or recipient in ours or told_later):
            values.append((at, sender, None if told_later else recipient, units))
        mint = (
            int(transaction.get("mint") or "0x0", 16)
            if kind == 0x7E
            else units
            if kind in (0x64, 0x68)
            else 0
        )
        if mint and sender in ours:
            credited.append((at, sender, mint, kind == 0x68))
    assert [(one.index, one.sender, one.recipient, one.units) for one in found.candidates] == values
    assert [(one.index, one.recipient, one.units, one.if_succeeded) for one in found.credits] == credited
    assert list(found.sent) == sent
    assert not found.refused


def receipt(**changed: Any) -> Receipt:
    """The receipt of the first transaction, some of it changed."""
    read = receipt_of(
        {
            "transactionHash": f"0x{0:064x}",
            "blockHash": BLOCK["hash"],
            "blockNumber": "0x7",
            "transactionIndex": "0x0",
            "status": "0x1",
            "from": ADDRESSES[0],
            "contractAddress": None,
            "logs": [],
        }
    )
    return replace(read, **changed)


def test_the_receipt_decides() -> None:
    """A failed transaction moved nothing; a receipt of another block or transaction decides nothing."""
    transaction = {"hash": f"0x{0:064x}", "from": ADDRESSES[0], "to": None, "value": "0x5", "type": "0x7e"}
    (candidate,) = natives_of_block({**BLOCK, "transactions": [transaction]}, frozenset()).candidates
    moved = native_transfer(candidate, receipt(created=ADDRESSES[1]))
    assert moved is not None
    assert (moved.recipient, moved.units, moved.position) == (ADDRESSES[1], 5, "native")
    assert native_transfer(candidate, receipt(succeeded=False)) is None
    for wrong, reason in (
        ({"transaction_hash": "0x" + "99" * 32}, "another transaction's"),
        ({"block_hash": "0x" + "99" * 32}, "another block"),
        ({}, "contractAddress"),
    ):
        with pytest.raises(WireError, match=reason):
            native_transfer(candidate, receipt(**wrong))


def test_a_strange_value_of_a_creation_is_refused_not_skipped() -> None:
    """A creation whose value cannot be read may concern us: it is kept with its reason."""
    transaction = {"hash": f"0x{0:064x}", "from": ADDRESSES[0], "to": None, "value": [], "nonce": "0x0"}
    found = natives_of_block({**BLOCK, "transactions": [transaction]}, frozenset(ADDRESSES[1:]))
    assert [reason for _, reason in found.refused] == ["value is not a hexadecimal quantity"]


def test_blocks_without_a_list_are_refused() -> None:
    """Transactions or withdrawals that are no list are no empty list."""
    for wrong in ({"transactions": None}, {}, {"transactions": [], "withdrawals": {}}):
        with pytest.raises(WireError, match="is not a list"):
            natives_of_block({**BLOCK, **wrong}, frozenset())


def test_a_real_chain_balances() -> None:
    """On py-evm: a balance is what came in less what went out and the fees, failed transactions included."""
    chains = pytest.importorskip("payhealth.sandbox.chain.devchain")
    methods = pytest.importorskip("payhealth.sandbox.chain.methods")
    import orjson

    at = datetime(2026, 1, 1, tzinfo=UTC)
    chain = chains.DevChain(seed=3, genesis_at=at)
    ours = chain.new_address()
    chain.faucet(ours, at=at + timedelta(minutes=1), native=10**18)
    chain.send_native(at=at + timedelta(minutes=2), sender=ours, recipient=ADDRESSES[0], amount=10**15)
    # Runtime code that only reverts, deployed with nothing; then a value sent to it comes back.
    deploy = bytes.fromhex("63600080fd600052600460 1cf3".replace(" ", ""))
    made = chain.transact(at=at + timedelta(minutes=3), sender=ours, to=None, data=deploy, gas=200_000)
    failing = made.receipts[0]["contractAddress"]
    failed = chain.transact(at=at + timedelta(minutes=4), sender=ours, to=failing, value=7, gas=90_000)
    assert failed.receipts[0]["status"] == "0x0"
    limits = methods.Limits(max_block_range=None, max_results=None, max_addresses=9, max_batch_items=9)
    node = methods.Methods(chain, limits)
    balance = 0
    for number in range(1, chain.head() + 1):
        asked = [node.answer("eth_getBlockByNumber", [hex(number), True])]
        asked += [node.answer("eth_getBlockReceipts", [hex(number)])]
        raw, raws = orjson.loads(orjson.dumps(asked))
        receipts = {one.transaction_hash: one for one in map(receipt_of, raws)}
        for candidate in natives_of_block(raw, {ours.lower()}).candidates:
            transfer = native_transfer(candidate, receipts[candidate.transaction_hash])
            if transfer is not None:
                balance += transfer.units * (
                    (transfer.recipient == ours.lower()) - (transfer.sender == ours.lower())
                )
        balance -= sum(one.fee_wei or 0 for one in receipts.values() if one.sender == ours.lower())
    assert balance == chain.native_balance(ours)
