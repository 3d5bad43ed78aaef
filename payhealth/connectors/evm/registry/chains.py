"""What is known of a chain before its node is asked: the data file ``chains.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A registered ERC-20 contract.

    Args:
        address: lower case.
        decimals: digits after the point of its smallest unit.
        peg: the currency that a stablecoin follows (ISO 4217), None for other tokens.
    """

    address: str
    symbol: str
    decimals: int
    peg: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainInfo:
    """A chain's constants.

    Args:
        slip44: the coin type of its native coin (SLIP-0044), for CAIP-19.
        finality: the mark that makes a payment creditable by default, ``finalized`` or ``safe``.
        fallback_depth: blocks on top of a final one, where the node lacks the tags.
        block_ms: usual time between blocks, in milliseconds.
        safe_s: usual time until the node calls a block safe, in seconds.
        finalized_s: the same until finalized.
        ignored_native_types: transaction types whose value is no payment.
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
    ignored_native_types: frozenset[int] = frozenset()
    tokens: tuple[Token, ...] = ()


@cache
def known_chains() -> dict[int, ChainInfo]:
    """The chains of the data file, by chain id."""
    text = files("payhealth.connectors.evm.registry").joinpath("chains.toml").read_text("utf-8")
    return {int(number): _chain(int(number), row) for number, row in tomllib.loads(text).items()}


def chain_info(chain_id: int) -> ChainInfo:
    """A chain of the data file, or cautious defaults for one that is not in it."""
    return known_chains().get(chain_id) or ChainInfo(chain_id=chain_id, name=f"chain {chain_id}")


def _chain(chain_id: int, row: dict[str, Any]) -> ChainInfo:
    tokens = tuple(Token(**{**token, "address": token["address"].lower()}) for token in row.pop("tokens"))
    ignored = frozenset(row.pop("ignored_native_types", ()))
    return ChainInfo(chain_id=chain_id, tokens=tokens, ignored_native_types=ignored, **row)
