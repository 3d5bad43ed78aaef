"""What decides the meaning of a transfer: whose the two ends are, which assets count, from when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

import pyarrow as pa

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain import assets as asset_ids
from payhealth.domain.finality import Finality
from payhealth.domain.records import MovementKind

STREAM = "transfers"
NATIVE_DECIMALS = 18
MINT = "mint"
WITHDRAWAL = "withdrawal:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A registered asset: its CAIP-19 id, the name to show, the digits of its unit."""

    caip19: str
    symbol: str
    decimals: int


@dataclass(frozen=True, kw_only=True)
class Book:
    """What decides the meaning of a transfer.

    Args:
        ours: our addresses, lower case.
        assets: contract (None for the native coin) -> asset.
        mark: ``safe`` or ``final``: when a transfer becomes creditable.
        finality_s: how long that usually takes, in seconds.
        ignored_types: transaction types whose value is no payment.
        dust: asset -> the amount below which a deposit is ignored.
    """

    connector: str
    chain_id: int
    ours: frozenset[str]
    operators: frozenset[str]
    assets: Mapping[str | None, Asset]
    mark: str
    finality_s: int
    ignored_types: frozenset[int] = frozenset()
    dust: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def chain(self) -> str:
        """The chain's CAIP-2 id."""
        return f"eip155:{self.chain_id}"

    @cached_property
    def token_column(self) -> pa.StringArray:
        """The registered contracts as a column."""
        return pa.array(sorted(token for token in self.assets if token), pa.string())


def book_of(connector: str, settings: EvmSettings, ours: frozenset[str] | None = None) -> Book:
    """The book that a configuration asks for.

    Args:
        ours: our addresses, where they are more than the configuration lists.
    """
    chain_id, info = settings.chain_id, settings.info
    assets: dict[str | None, Asset] = {
        token.address: Asset(
            caip19=asset_ids.erc20(chain_id, token.address), symbol=token.symbol, decimals=token.decimals
        )
        for token in settings.registered
    }
    if settings.native:
        coin = asset_ids.native(chain_id, info.slip44)
        assets[None] = Asset(caip19=coin, symbol=info.native_symbol, decimals=NATIVE_DECIMALS)
    names = {"native" if contract is None else asset.symbol: asset for contract, asset in assets.items()}
    return Book(
        connector=connector,
        chain_id=chain_id,
        ours=settings.ours if ours is None else ours,
        operators=frozenset(settings.operators),
        assets=assets,
        mark=Finality.SAFE.value if settings.finality_rule.tag == "safe" else Finality.FINAL.value,
        finality_s=settings.finality_s,
        ignored_types=info.ignored_native_types,
        dust={names[name].caip19: least for name, least in settings.dust_of.items()},
    )


def kind_of(sender: str, recipient: str, position: str, book: Book) -> MovementKind:
    """What a transfer is: whose the two ends are decides, and what the chain itself gives is no payment."""
    if position == MINT or position.startswith(WITHDRAWAL):
        return MovementKind.FUNDING
    if sender in book.ours:
        return MovementKind.INTERNAL if recipient in book.ours else MovementKind.OUTGOING
    return MovementKind.FUNDING if sender in book.operators else MovementKind.TRANSFER
