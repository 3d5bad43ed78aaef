"""The tables inside an EVM connector's table: tokens, feeds, finality by depth, another chain's constants."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from payhealth.connectors.evm.registry.addresses import checked_address, checked_addresses

_MOST_DEPTH = 50_000
"""The recent window is kept whole, so that its length is bounded."""

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]


class Strict(BaseModel):
    """Unknown keys are an error, and values are never shown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TokenSettings(Strict):
    """A token that the registry does not know; ``peg`` is the currency that a stablecoin follows."""

    address: str
    symbol: str = Field(min_length=1, max_length=32)
    decimals: int = Field(ge=0, le=77)
    peg: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    eip3009: bool = False

    @field_validator("address")
    @classmethod
    def _check_address(cls, text: str) -> str:
        return checked_address(text)


class FeedSettings(Strict):
    """A Chainlink feed that the registry does not know, or in place of the one that it knows.

    Args:
        asset: ``native`` or a token's symbol.
        heartbeat_s: the longest usual time between two rounds, in seconds; an older round is no price.
        description: what the contract's ``description()`` must say, such as ``ETH / USD``.
    """

    asset: str = Field(min_length=1, max_length=32)
    address: str
    heartbeat_s: Positive
    quote: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    description: str = Field(min_length=1, max_length=64)

    @field_validator("address")
    @classmethod
    def _check_address(cls, text: str) -> str:
        return checked_address(text)


class Depth(Strict):
    """Finality by counting: a block is final once this many lie on top of it."""

    depth: Annotated[int, Field(ge=0, le=_MOST_DEPTH)]


class ChainSettings(Strict):
    """What the registry cannot know of another chain; each key overrides the registry's value.

    Args:
        finality_s: how long a block usually takes to become creditable, in seconds.
        fallback_depth: blocks on top of a final one, where the node lacks the tags.
        max_head_age_s: how old the newest block may be, in seconds, before a node counts as stuck; 0 for any.
        peg_band: how far from its peg a stablecoin still counts 1:1, as a share such as ``"0.005"``.
        native_logs: the contract that logs every move of the native coin (Polygon's).
        ignored_native_types: transaction types whose value is no payment (Arbitrum's).
        multicall3: the contract that reads many balances in one call.
        coinbase_transfers: Coinbase's Transfers contracts.
        escrows: commerce-payments escrow contracts.
    """

    name: str | None = None
    native_symbol: str | None = None
    slip44: Natural | None = None
    fallback_depth: Annotated[int, Field(ge=0, le=_MOST_DEPTH)] | None = None
    finality_s: Natural | None = None
    max_head_age_s: Natural | None = None
    peg_band: Decimal | None = Field(default=None, gt=0, lt=1, max_digits=20, decimal_places=18)
    native_logs: str | None = None
    ignored_native_types: tuple[Natural, ...] | None = None
    multicall3: str | None = None
    coinbase_transfers: tuple[str, ...] | None = None
    escrows: tuple[str, ...] | None = None

    @field_validator("native_logs", "multicall3")
    @classmethod
    def _check_address(cls, text: str | None) -> str | None:
        return None if text is None else checked_address(text)

    @field_validator("coinbase_transfers", "escrows")
    @classmethod
    def _check_addresses(cls, texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if texts is None else checked_addresses(texts)
