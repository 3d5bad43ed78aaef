"""``[connectors.NAME]`` with ``kind = "evm"``: which chain, which node, whose addresses, which assets."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from payhealth.connectors.evm.registry.addresses import checked_addresses, read_addresses
from payhealth.connectors.evm.registry.chains import (
    NATIVE,
    ChainInfo,
    Feed,
    Token,
    chain_info,
    is_pseudo_contract,
)
from payhealth.connectors.evm.registry.xpub import GAP_LIMIT, Derived
from payhealth.connectors.evm.settings_parts import (
    ChainSettings,
    Depth,
    FeedSettings,
    Positive,
    Strict,
    TokenSettings,
)
from payhealth.domain import assets as asset_ids
from payhealth.domain.finality import FinalityRule
from payhealth.secrets import Secret, SecretText

_MAX_BLOCK = 2**53

_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)


class EvmSettings(Strict):
    """One chain.

    Args:
        rpc_urls: JSON-RPC endpoints over HTTP; the healthiest is asked; ``env:NAME`` keeps keys out of files.
        addresses: the business's own: deposit addresses and treasuries.
        addresses_file: more of them, one a line or in the first column of a CSV.
        xpub: an extended public key; the deposit addresses that derive from it (BIP-32) are ours too.
        xpub_path: from the key to the addresses' parent; BIP-44's by default (``0`` below an account).
        gap_limit: how many unused derived addresses are watched beyond the last used one.
        operators: gas funders and the like: what they send is ``funding``, not a payment.
        assets: names from the registry (``USDC``), and ``native`` for the chain's own coin.
        tokens: contracts that the registry does not know.
        feeds: price feeds beside those of the registry.
        dust: symbol -> amount; smaller deposits are recorded as ignored.
        coinbase_operators: whose Coinbase ``Transferred`` events are believed; without any, none is.
        payment_events: whether Coinbase, EIP-3009 and escrow events are read and linked to their transfers.
        traces: whether calls inside transactions are looked through for native coins, where the node can.
        quorum: 2 makes final data count only where two endpoints say the same.
        rate_limit_per_s: most HTTP requests a second to one endpoint.
        balances: whether balances are held against what was read.
        balance_sample: how many untouched balances each pull reads, in rotation.
        finality: which mark makes a payment creditable; the chain's own by default.
        start_block: the first block read.
        max_block_range: most blocks asked for in one ``eth_getLogs``.
        overlap_blocks: how many of the newest blocks are read once more at the next pull.
        batch_calls: most calls in one HTTP request.
        full_blocks_per_batch: most whole blocks in one HTTP request, for native transfers.
        step_blocks: most blocks read between two commits where each block is read on its own.
        addresses_per_filter: most addresses in one filter (geth takes 1000 a position).
        most_filters: beyond this many filters for one range, the tokens' whole logs are read instead.
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
    xpub: SecretText | None = None
    xpub_path: str | None = None
    gap_limit: int = Field(default=GAP_LIMIT, ge=1, le=10_000)
    operators: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    feeds: tuple[FeedSettings, ...] = ()
    dust: dict[str, str] = Field(default_factory=dict)
    coinbase_operators: tuple[str, ...] = ()
    payment_events: bool = True
    traces: bool = True
    quorum: int = Field(default=1, ge=1, le=2)
    rate_limit_per_s: float | None = Field(default=None, gt=0)
    balances: bool = True
    balance_sample: int = Field(default=200, ge=0, le=10_000)
    finality: Literal["finalized", "safe"] | Depth | None = None
    chain: ChainSettings = ChainSettings()
    start_block: int = Field(default=0, ge=0, lt=_MAX_BLOCK)
    max_block_range: Positive = 10_000
    overlap_blocks: int = Field(default=16, ge=0, le=1000)
    batch_calls: int = Field(default=500, ge=2, le=1000)
    full_blocks_per_batch: int = Field(default=50, ge=1, le=1000)
    step_blocks: Positive = 200
    addresses_per_filter: int = Field(default=500, ge=1, le=1000)
    most_filters: int = Field(default=8, ge=2, le=1000)
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

    @field_validator("addresses", "operators", "coinbase_operators")
    @classmethod
    def _check_addresses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_addresses(texts)

    @field_validator("dust")
    @classmethod
    def _check_dust(cls, table: dict[str, str]) -> dict[str, str]:
        for symbol, text in table.items():
            if not _AMOUNT.fullmatch(text):
                raise ValueError(f'dust.{symbol}: not an amount such as "0.01": {text[:40]!r}')
        return table

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if not self.ours and self.derived is None:
            raise ValueError("no addresses: give addresses = [...], addresses_file or xpub")
        both = sorted(self.ours & set(self.operators))
        if both:
            raise ValueError(
                f"{both[0]} is both one of addresses and one of operators; it can be one of them"
            )
        if not self.registered and not self.native:
            raise ValueError("no assets: give assets = [...] or tokens = [...]")
        if self.quorum > len(self.rpc_urls):
            raise ValueError("quorum = 2 needs at least two rpc_urls")
        _must_know(self.dust, self, "dust")
        _must_know((feed.asset for feed in self.feeds), self, "feeds")
        return self

    @cached_property
    def ours(self) -> frozenset[str]:
        """The business's own addresses, lower case."""
        listed = read_addresses(self.addresses_file) if self.addresses_file is not None else ()
        return frozenset((*self.addresses, *listed))

    @cached_property
    def derived(self) -> Derived | None:
        """Where further deposit addresses derive from, None without an extended public key."""
        if self.xpub is None:
            return None
        return Derived(self.xpub.reveal(), path=self.xpub_path)

    @cached_property
    def native(self) -> bool:
        """Whether the chain's own coin counts, which means that whole blocks are read."""
        return NATIVE in self.assets

    @cached_property
    def dust_of(self) -> dict[str, Decimal]:
        """Symbol (or ``native``) -> the amount below which a deposit is ignored."""
        return {symbol: Decimal(text) for symbol, text in self.dust.items()}

    def _feeds(self) -> dict[str, Feed]:
        names = [*(token.symbol for token in self.registered), *((NATIVE,) if self.native else ())]
        return {name: feed for name in names if (feed := self.feed_of(name)) is not None}

    def feed_of(self, asset: str) -> Feed | None:
        """The price feed of ``native`` or a symbol, the configuration's own before the registry's."""
        for own in self.feeds:
            if own.asset == asset:
                return Feed(**own.model_dump())
        known = {token.address for token in self.info.tokens}
        of_registry = asset == NATIVE or any(
            token.symbol == asset and token.address in known for token in self.registered
        )
        return self.info.feed(asset) if of_registry else None

    @cached_property
    def info(self) -> ChainInfo:
        """The chain's constants, with the configuration's own values over the registry's."""
        known = chain_info(self.chain_id)
        given = self.chain.model_dump(exclude={"finality_s"}, exclude_none=True)
        if "ignored_native_types" in given:
            given["ignored_native_types"] = frozenset(given["ignored_native_types"])
        return replace(known, **given)

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
        symbols: set[str] = set()
        for token in chosen:
            if is_pseudo_contract(token.address, self.info):
                raise ValueError(f"{token.address} logs moves of the native coin: it is no token")
            if token.address in seen:
                raise ValueError(f"the token contract {token.address} is given twice")
            seen.add(token.address)
            if token.symbol in symbols or token.symbol == NATIVE:
                raise ValueError(f"two assets are called {token.symbol!r}: give one of them another symbol")
            symbols.add(token.symbol)
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
        """Asset (CAIP-19) -> the currency that it follows, for stablecoins that no feed tells of."""
        return {
            asset_ids.erc20(self.chain_id, token.address): token.peg
            for token in self.registered
            if token.peg and self.feed_of(token.symbol) is None
        }

    def fingerprint(self) -> str:
        """A short hash of what is being read: another set of addresses or assets means reading anew."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        words = [
            "2",  # what is read of a block; another number means that everything is read anew
            str(self.chain_id),
            str(self.start_block),
            *sorted(self.ours),
            "operators",
            *sorted(self.operators),
            "assets",
            *sorted(f"{token.address}/{token.decimals}/{token.symbol}" for token in self.registered),
            f"{NATIVE}/{self.native}",
            f"xpub/{self.xpub.reveal() if self.xpub else None}/{self.xpub_path}",
            f"dust/{sorted(self.dust.items())}",
            # A payment needs a price from its feed: another feed means that prices are read anew.
            *(f"feed/{name}/{one.address}/{one.heartbeat_s}" for name, one in sorted(self._feeds().items())),
            f"peg/{self.info.peg_band}",
            f"events/{self.payment_events}/{sorted(self.coinbase_operators)}",
            f"traces/{self.traces}/balances/{self.balances}",
        ]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def _must_know(names: Iterable[str], settings: EvmSettings, key: str) -> None:
    known = {*(token.symbol for token in settings.registered), *((NATIVE,) if settings.native else ())}
    for name in names:
        if name not in known:
            raise ValueError(
                f"{key}: {name!r} is none of the assets that are read ({', '.join(sorted(known))})"
            )


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
