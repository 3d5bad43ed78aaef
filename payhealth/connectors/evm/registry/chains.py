"""What is known of a chain before its node is asked: the data file ``chains.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

NATIVE = "native"
"""How the chain's own coin is named among assets."""

MULTICALL3 = "0xca11bde05977b3631167028862be2a173976ca11"
"""Multicall3, at one address on nearly every chain. Source: its deployments list, mds1/multicall3."""

PSEUDO_CONTRACT = "0xfffffffffffffffffffffffffffffffffffffffe"
"""Where EIP-7708 logs moves of the native coin from: no contract, though it looks like a token's log."""

_PEG_BAND = Decimal("0.005")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A registered ERC-20 contract.

    Args:
        address: lower case.
        decimals: digits after the point of its smallest unit.
        peg: the currency that a stablecoin follows (ISO 4217), None for other tokens.
        eip3009: whether it can be moved by a signed authorisation (x402), which it logs.
    """

    address: str
    symbol: str
    decimals: int
    peg: str | None = None
    eip3009: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A Chainlink price feed.

    Args:
        asset: ``native``, or the symbol of one of the chain's registered tokens.
        address: of the proxy, lower case.
        heartbeat_s: the longest usual time between two rounds, in seconds; an older round is stale.
        description: what the contract's ``description()`` says.
        quote: the currency that it is quoted in (ISO 4217).
        aliases: other descriptions that the same contract may give.
        confirmed: whether a publication of Chainlink's or a measurement says ``heartbeat_s``; otherwise it
            is a cautious guess.
    """

    asset: str
    address: str
    heartbeat_s: int
    description: str
    quote: str = "USD"
    aliases: tuple[str, ...] = ()
    confirmed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainInfo:
    """A chain's constants. Every address is lower case.

    Args:
        slip44: the coin type of its native coin (SLIP-0044), for CAIP-19.
        finality: the mark that makes a payment creditable by default, ``finalized`` or ``safe``.
        fallback_depth: blocks on top of a final one, where the node lacks the tags.
        block_ms: usual time between blocks, in milliseconds.
        safe_s: usual time until the node calls a block safe, in seconds.
        finalized_s: the same until finalized.
        max_head_age_s: how old the newest block may be, in seconds; with an older one the node is stuck,
            or the chain is. None where blocks come as they are wanted.
        ignored_native_types: transaction types whose value is no payment.
        native_logs: the contract that logs every move of the native coin, None where nothing does.
        l1_fees: whether a receipt has fees beside gas used x price (OP stack: L1 data and operator fee).
        multicall3: the contract that reads many balances in one call, None where there is none.
        peg_band: how far from its peg a stablecoin still counts 1:1, as a share (0.005 is half a percent).
        coinbase_transfers: Coinbase's Transfers contracts, which log ``Transferred``.
        escrows: commerce-payments escrow contracts.
    """

    chain_id: int
    name: str
    native_symbol: str = "ETH"
    slip44: int = 60
    finality: str = "finalized"
    fallback_depth: int = 30
    block_ms: int = 12_000
    safe_s: int = 480
    finalized_s: int = 960
    max_head_age_s: int | None = None
    ignored_native_types: frozenset[int] = frozenset()
    native_logs: str | None = None
    l1_fees: bool = False
    multicall3: str | None = MULTICALL3
    peg_band: Decimal = _PEG_BAND
    coinbase_transfers: tuple[str, ...] = ()
    escrows: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()
    feeds: tuple[Feed, ...] = ()

    def feed(self, asset: str, quote: str = "USD") -> Feed | None:
        """The feed of an asset (``native`` or a token's symbol), None where none is known."""
        return next((feed for feed in self.feeds if (feed.asset, feed.quote) == (asset, quote)), None)


@cache
def known_chains() -> dict[int, ChainInfo]:
    """The chains of the data file, by chain id."""
    text = files("payhealth.connectors.evm.registry").joinpath("chains.toml").read_text("utf-8")
    return {int(number): _chain(int(number), row) for number, row in tomllib.loads(text).items()}


def chain_info(chain_id: int) -> ChainInfo:
    """A chain of the data file, or cautious defaults for one that is not in it."""
    return known_chains().get(chain_id) or ChainInfo(chain_id=chain_id, name=f"chain {chain_id}")


def is_pseudo_contract(address: str, chain: ChainInfo | None = None) -> bool:
    """Whether the logs of an address tell moves of the native coin, so that it must never be a token.

    A token there would count every native payment twice.

    Args:
        chain: adds the chain's own such contract (Polygon's), None for what holds on every chain.

    Source: EIP-7708; Polygon's MRC20 contract.
    """
    lowered = address.lower()
    return lowered == PSEUDO_CONTRACT or (chain is not None and lowered == chain.native_logs)


def _chain(chain_id: int, row: dict[str, Any]) -> ChainInfo:
    known = dict(row)
    for key in ("native_logs", "multicall3"):
        if key in known:
            known[key] = known[key].lower()
    for key in ("coinbase_transfers", "escrows"):
        known[key] = tuple(address.lower() for address in known.get(key, ()))
    return ChainInfo(
        chain_id=chain_id,
        tokens=tuple(Token(**_lowered(token)) for token in known.pop("tokens")),
        feeds=tuple(_feed(feed) for feed in known.pop("feeds", ())),
        ignored_native_types=frozenset(known.pop("ignored_native_types", ())),
        peg_band=Decimal(known.pop("peg_band", str(_PEG_BAND))),
        **known,
    )


def _feed(row: dict[str, Any]) -> Feed:
    return Feed(**{**_lowered(row), "aliases": tuple(row.get("aliases", ()))})


def _lowered(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "address": row["address"].lower()}
