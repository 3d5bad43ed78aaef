"""The data file of chains is sound, and says what it is believed to say."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from importlib.resources import files

import pytest
from eth_utils.address import to_checksum_address

from payhealth.connectors.evm.registry.chains import (
    MULTICALL3,
    NATIVE,
    PSEUDO_CONTRACT,
    ChainInfo,
    Feed,
    chain_info,
    is_pseudo_contract,
    known_chains,
)

CHAINS = sorted(known_chains().values(), key=lambda info: info.chain_id)
EACH = [pytest.param(info, id=info.name) for info in CHAINS]
TEXT = files("payhealth.connectors.evm.registry").joinpath("chains.toml").read_text("utf-8")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def addresses(info: ChainInfo) -> list[str]:
    """Every address that the registry knows on a chain."""
    single = [address for address in (info.native_logs, info.multicall3) if address]
    return [
        *single,
        *info.coinbase_transfers,
        *info.escrows,
        *(token.address for token in info.tokens),
        *(feed.address for feed in info.feeds),
    ]


def test_every_address_in_the_file_has_its_checksum() -> None:
    """A mistyped digit would read another contract: EIP-55 sees it, in the file as it is written."""
    written = re.findall(r"0x[0-9a-fA-F]{40}\b", TEXT)
    assert len(written) == sum(len(addresses(info)) - 1 for info in CHAINS)  # all but Multicall3
    assert [text for text in written if to_checksum_address(text) != text] == []
    assert len(re.findall(r'"0x[^"]*"', TEXT)) == len(written)


@pytest.mark.parametrize("info", EACH)
def test_no_address_has_two_meanings_on_a_chain(info: ChainInfo) -> None:
    """A contract is a token or a feed or a protocol, once; all are kept in lower case."""
    found = addresses(info)
    assert [address for address, times in Counter(found).items() if times > 1] == []
    assert all(_ADDRESS.fullmatch(address) for address in found)
    assert not any(is_pseudo_contract(token.address, info) for token in info.tokens)


@pytest.mark.parametrize("info", EACH)
def test_feeds_belong_to_assets_of_the_chain(info: ChainInfo) -> None:
    """Every feed prices the coin or a registered token, once per currency, and is named after it."""
    symbols = {token.symbol for token in info.tokens}
    assert all(feed.asset in symbols | {NATIVE} for feed in info.feeds)
    assert len({(feed.asset, feed.quote) for feed in info.feeds}) == len(info.feeds)
    for feed in info.feeds:
        symbol = info.native_symbol if feed.asset == NATIVE else feed.asset
        assert feed.description == f"{symbol} / {feed.quote}"
        assert 30 <= feed.heartbeat_s <= 86_400
        assert info.feed(feed.asset, feed.quote) is feed
    assert info.feed(NATIVE) is not None
    assert info.feed("USDC") is not None
    assert info.feed("USDC", "EUR") is None


@pytest.mark.parametrize("info", EACH)
def test_a_bridged_coin_is_not_priced_as_the_one_it_stands_for(info: ChainInfo) -> None:
    """Bridged USDC is another asset: no feed of USDC's may answer for it."""
    assert info.feed("USDC.e") is None
    assert info.feed("USDbC") is None


@pytest.mark.parametrize("info", EACH)
def test_tokens_are_told_apart_by_symbol(info: ChainInfo) -> None:
    """A symbol names one token of a chain, in any case; stablecoins have six decimals and a peg."""
    assert len({token.symbol.casefold() for token in info.tokens}) == len(info.tokens)
    assert all((token.decimals, token.peg) == (6, "USD") for token in info.tokens)
    assert {token.symbol for token in info.tokens if token.eip3009} >= {"USDC"}


@pytest.mark.parametrize("info", EACH)
def test_delays_are_in_order(info: ChainInfo) -> None:
    """A block is safe before it is final, and no chain is quicker than one block."""
    assert 0 < info.block_ms <= info.safe_s * 1000 <= info.finalized_s * 1000
    assert info.finality in ("finalized", "safe")
    assert info.fallback_depth > 0
    assert info.peg_band == Decimal("0.005")
    assert info.multicall3 == MULTICALL3


def test_quirks_are_where_they_belong() -> None:
    """Fees beside gas and silent deposits on the OP stack; logs of the coin on Polygon alone."""
    op_stack = {10, 8453}
    assert {info.chain_id for info in CHAINS if info.l1_fees} == op_stack
    assert [info.chain_id for info in CHAINS if info.native_logs] == [137]
    assert chain_info(137).native_logs == "0x" + "0" * 36 + "1010"
    assert {info.chain_id: info.ignored_native_types for info in CHAINS if info.ignored_native_types} == {
        42161: frozenset({0x6A})
    }
    assert {info.chain_id for info in CHAINS if info.coinbase_transfers} == {1, 137, 8453}
    assert {info.chain_id for info in CHAINS if info.escrows} == {8453}


def test_a_renamed_coin_answers_to_both_names() -> None:
    """Polygon's feed was MATIC's: its contract may still say so, and no other feed may."""
    feed = chain_info(137).feed(NATIVE)
    assert feed is not None
    assert {feed.description, *feed.aliases} == {"POL / USD", "MATIC / USD"}
    assert not Feed(asset=NATIVE, address=MULTICALL3, heartbeat_s=1, description="A / B").aliases


def test_an_unknown_chain_has_cautious_defaults() -> None:
    """Nothing of it is money until configured: no token, no feed, no protocol."""
    info = chain_info(31337)
    assert addresses(info) == [MULTICALL3]
    assert (info.l1_fees, info.peg_band) == (False, Decimal("0.005"))


def test_the_coins_own_logs_are_never_a_token() -> None:
    """EIP-7708's pseudo contract on every chain, Polygon's on Polygon; a real token is neither."""
    assert is_pseudo_contract(PSEUDO_CONTRACT)
    assert is_pseudo_contract("0x" + "F" * 39 + "E")
    assert PSEUDO_CONTRACT == "0x" + "f" * 39 + "e"
    assert not is_pseudo_contract("0x" + "f" * 40)
    polygon = "0x" + "0" * 36 + "1010"
    assert is_pseudo_contract(polygon, chain_info(137))
    assert not is_pseudo_contract(polygon, chain_info(1))
    assert not is_pseudo_contract(polygon)
