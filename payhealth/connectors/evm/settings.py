"""``[connectors.NAME]`` with ``kind = "evm"``: which chain, which node, whose addresses, which assets."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from payhealth.connectors.evm.registry.addresses import checked_address, read_addresses
from payhealth.connectors.evm.registry.chains import ChainInfo, Token, chain_info
from payhealth.domain import assets as asset_ids
from payhealth.domain.finality import FinalityRule
from payhealth.secrets import Secret, SecretText

NATIVE = "native"
_MAX_BLOCK = 2**53

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TokenSettings(_Strict):
    """A token that the registry does not know; ``peg`` is the currency that a stablecoin follows."""

    address: str
    symbol: str = Field(min_length=1, max_length=32)
    decimals: int = Field(ge=0, le=77)
    peg: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")

    @field_validator("address")
    @classmethod
    def _check_address(cls, text: str) -> str:
        return checked_address(text)


class Depth(_Strict):
    """Finality by counting: a block is final once this many lie on top of it."""

    depth: Natural


class ChainSettings(_Strict):
    """What the registry cannot know of another chain; each key overrides the registry's value.

    Args:
        finality_s: how long a block usually takes to become creditable, in seconds.
        fallback_depth: blocks on top of a final one, where the node lacks the tags.
    """

    name: str | None = None
    native_symbol: str | None = None
    slip44: Natural | None = None
    fallback_depth: Natural | None = None
    finality_s: Natural | None = None


class EvmSettings(_Strict):
    """One chain.

    Args:
        rpc_urls: JSON-RPC endpoints over HTTP, tried in order; ``env:NAME`` keeps their keys out of files.
        addresses: the business's own: deposit addresses and treasuries.
        addresses_file: more of them, one a line.
        operators: gas funders and the like: what they send is ``funding``, not a payment.
        assets: names from the registry (``USDC``), and ``native`` for the chain's own coin.
        tokens: contracts that the registry does not know.
        finality: which mark makes a payment creditable; the chain's own by default.
        start_block: the first block read.
        max_block_range: most blocks asked for in one ``eth_getLogs``.
        batch_calls: most calls in one HTTP request.
        full_blocks_per_batch: most whole blocks in one HTTP request, for native transfers.
        step_blocks: most blocks read between two commits where each block is read on its own.
        addresses_per_filter: most addresses in one filter (geth takes 1000 a position).
        timeout_s: how long one HTTP request may take altogether.
        max_body_bytes: largest answer accepted, unpacked.
        attempts: how often one request is tried on one endpoint.
        backoff_ms: first pause between attempts, doubled each time.
        max_pause_s: longest pause between attempts, whatever ``Retry-After`` says.
    """

    kind: Literal["evm"] = "evm"
    chain_id: Positive
    rpc_urls: tuple[SecretText, ...]
    addresses: tuple[str, ...] = ()
    addresses_file: Path | None = None
    operators: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    finality: Literal["finalized", "safe"] | Depth | None = None
    chain: ChainSettings = ChainSettings()
    start_block: int = Field(default=0, ge=0, lt=_MAX_BLOCK)
    max_block_range: Positive = 10_000
    batch_calls: int = Field(default=50, ge=2, le=1000)
    full_blocks_per_batch: int = Field(default=10, ge=1, le=1000)
    step_blocks: Positive = 200
    addresses_per_filter: int = Field(default=500, ge=1, le=1000)
    timeout_s: Positive = 30
    max_body_bytes: Positive = 64 * 1024 * 1024
    attempts: int = Field(default=4, ge=1, le=20)
    backoff_ms: Positive = 500
    max_pause_s: Positive = 30

    @field_validator("rpc_urls")
    @classmethod
    def _check_urls(cls, urls: tuple[Secret, ...]) -> tuple[Secret, ...]:
        if not urls:
            raise ValueError("give at least one URL")
        for number, url in enumerate(urls):
            if not _is_http(url.reveal()):
                # The value is never shown: most RPC URLs carry a key.
                raise ValueError(f"rpc_urls[{number}] ({url.reference}) is not an http:// or https:// URL")
        return urls

    @field_validator("addresses", "operators")
    @classmethod
    def _check_addresses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked_address(text) for text in texts)

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.ours:
            raise ValueError("no addresses: give addresses = [...] or addresses_file")
        both = sorted(self.ours & set(self.operators))
        if both:
            raise ValueError(
                f"{both[0]} is both one of addresses and one of operators; it can be one of them"
            )
        if not self.registered and not self.native:
            raise ValueError("no assets: give assets = [...] or tokens = [...]")
        return self

    @cached_property
    def ours(self) -> frozenset[str]:
        """The business's own addresses, lower case."""
        listed = read_addresses(self.addresses_file) if self.addresses_file is not None else ()
        return frozenset((*self.addresses, *listed))

    @cached_property
    def native(self) -> bool:
        """Whether the chain's own coin counts, which means that whole blocks are read."""
        return NATIVE in self.assets

    @cached_property
    def info(self) -> ChainInfo:
        """The chain's constants, with the configuration's own values over the registry's."""
        known = chain_info(self.chain_id)
        own = self.chain
        return replace(
            known,
            name=own.name or known.name,
            native_symbol=own.native_symbol or known.native_symbol,
            slip44=known.slip44 if own.slip44 is None else own.slip44,
            fallback_depth=known.fallback_depth if own.fallback_depth is None else own.fallback_depth,
        )

    @cached_property
    def registered(self) -> tuple[Token, ...]:
        """The token contracts that count as money: those named in ``assets``, then ``tokens``.

        Raises:
            ValueError: a name that neither the registry nor ``tokens`` knows, or a contract given twice.
        """
        own = tuple(Token(**token.model_dump()) for token in self.tokens)
        known = {token.symbol: token for token in self.info.tokens}
        extra = {token.symbol for token in own}
        for name in self.assets:
            if name not in known and name not in extra and name != NATIVE:
                raise ValueError(_unknown_asset(name, self.info, (*known, *extra, NATIVE)))
        chosen = (*(known[name] for name in dict.fromkeys(self.assets) if name in known), *own)
        seen: set[str] = set()
        for token in chosen:
            if token.address in seen:
                raise ValueError(f"the token contract {token.address} is given twice")
            seen.add(token.address)
        return chosen

    @cached_property
    def finality_rule(self) -> FinalityRule:
        """Which mark of the chain makes a payment creditable."""
        if isinstance(self.finality, Depth):
            return FinalityRule(tag=None, depth=self.finality.depth)
        return FinalityRule(tag=self.finality or self.info.finality)

    @cached_property
    def finality_s(self) -> int:
        """How long a payment usually takes to become creditable, in seconds."""
        if self.chain.finality_s is not None:
            return self.chain.finality_s
        rule = self.finality_rule
        if rule.depth is not None:
            return -(-rule.depth * self.info.block_ms // 1000)
        return self.info.safe_s if rule.tag == "safe" else self.info.finalized_s

    def pegs(self) -> dict[str, str]:
        """Asset (CAIP-19) -> the currency that it follows, for stablecoins."""
        return {asset_ids.erc20(self.chain_id, t.address): t.peg for t in self.registered if t.peg}

    def fingerprint(self) -> str:
        """A short hash of what is being read: another set of addresses or assets means reading anew."""
        words = [
            str(self.chain_id),
            str(self.start_block),
            *sorted(self.ours),
            "operators",
            *sorted(self.operators),
            "assets",
            *sorted(f"{token.address}/{token.decimals}/{token.symbol}" for token in self.registered),
            f"{NATIVE}/{self.native}",
        ]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _unknown_asset(name: str, info: ChainInfo, known: tuple[str, ...]) -> str:
    folded = {item.casefold(): item for item in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.5)
    hint = f"; did you mean {folded[near[0]]!r}?" if near else ""
    return f"the registry has no asset {name!r} on {info.name} (known: {', '.join(sorted(set(known)))}){hint}"
