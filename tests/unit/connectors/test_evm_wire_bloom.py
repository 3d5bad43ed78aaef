"""Blooms: never a denial of a log that is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from eth_bloom import BloomFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.wire.bloom import address_words, bits_of, may_hold, positions, set_share
from payhealth.connectors.evm.wire.values import TRANSFER, WireError, padded

items = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
logs = st.lists(st.tuples(items, items, items), max_size=6)
EVENT = positions([TRANSFER])


def bloom_of(found: list[tuple[str, str, str]]) -> str:
    """The bloom of transfer logs, by the reference implementation."""
    bloom = BloomFilter()
    for token, sender, recipient in found:
        for item in (token, TRANSFER, padded(sender), padded(recipient)):
            bloom.add(bytes.fromhex(item[2:]))
    return f"0x{int(bloom):0512x}"


@settings(max_examples=200, deadline=None)
@given(found=logs, others=st.lists(items, max_size=5))
def test_never_a_false_negative(found: list[tuple[str, str, str]], others: list[str]) -> None:
    """Each address of each log passes; without a token, or without the event, none does."""
    bloom = bloom_of(found)
    inside = [address for _, *ends in found for address in ends]
    tokens = positions([token for token, *_ in found])
    assert may_hold(bloom, tokens, EVENT, address_words(inside)).all()
    single = positions(others)
    for at in range(len(others)):
        passed = may_hold(bloom, single[at : at + 1], EVENT, address_words(inside))
        assert passed.any() == (bool(inside) and bits_of(bloom)[single[at]].all())
    assert not may_hold(bloom, positions([]), EVENT, address_words(inside)).any()


def test_blocks_of_a_real_chain() -> None:
    """Of real blocks: every address of their logs passes, and of a thousand strangers nearly none."""
    chains = pytest.importorskip("payhealth.sandbox.chain.devchain")
    methods = pytest.importorskip("payhealth.sandbox.chain.methods")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    chain = chains.DevChain(seed=5, genesis_at=at)
    payer = chain.new_address()
    chain.faucet(payer, at=at + timedelta(minutes=1), native=10**18, token=10**9)
    for minute in range(2, 12):
        chain.send_token(
            at=at + timedelta(minutes=minute), sender=payer, recipient=chain.new_address(), amount=minute
        )
    limits = methods.Limits(max_block_range=None, max_results=None, max_addresses=9, max_batch_items=9)
    node = methods.Methods(chain, limits)
    token = positions([chain.token_address])
    strangers = address_words(f"0x{number:040x}" for number in range(1000))
    seen = 0
    for number in range(chain.head() + 1):
        asked = [node.answer("eth_getBlockByNumber", [hex(number), False])]
        asked += [node.answer("eth_getLogs", [{"fromBlock": hex(number), "toBlock": hex(number)}])]
        block, logged = orjson.loads(orjson.dumps(asked))
        ends = ["0x" + topic[26:] for log in logged for topic in log["topics"][1:]]
        seen += len(ends)
        assert may_hold(block["logsBloom"], token, EVENT, address_words(ends)).all()
        assert may_hold(block["logsBloom"], token, EVENT, strangers).sum() < 5
        if not logged:
            assert set_share(block["logsBloom"]) == 0
            assert not may_hold(block["logsBloom"], token, EVENT, address_words([payer])).any()
    assert seen >= 20


def test_a_full_bloom_says_nothing() -> None:
    """A saturated filter lets everything pass, and its share of set bits says so."""
    full = "0x" + "ff" * 256
    assert set_share(full) == 1
    assert may_hold(full, positions(["0x" + "a1" * 20]), EVENT, address_words(["0x" + "b2" * 20])).all()
    assert set_share("0x" + "0f" * 256) == 0.5
    assert np.flatnonzero(bits_of("0x" + "00" * 255 + "02")).tolist() == [1]


@pytest.mark.parametrize("wrong", ["", "0x", "0x00", "0x" + "g" * 512, "0x" + " " * 512, None, 7, "00" * 257])
def test_a_malformed_bloom_is_refused(wrong: str) -> None:
    """What is not 256 bytes says nothing about a block."""
    with pytest.raises(WireError, match="logsBloom"):
        bits_of(wrong)
