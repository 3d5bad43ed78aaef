"""What closes a pull: prices of what was paid, and balances held against what was read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payhealth.connectors.evm.proofs.feeds import feeds_of, price_reader
from payhealth.connectors.evm.proofs.identity import AssetRef, Identity
from payhealth.connectors.evm.reading.book import NATIVE_DECIMALS
from payhealth.connectors.evm.reading.marks import Marks
from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain import assets as asset_ids
from payhealth.domain.chain_records import AddressBalance, AssetPrice
from payhealth.domain.coverage import CoverageWindow
from payhealth.domain.record import Record

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

Pair = tuple[str, str]
_MOST_GAPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What proved itself, or did not, and what the next pull has to know."""

    records: dict[type[Record], Sequence[Record]]
    windows: Sequence[CoverageWindow]
    state: dict[str, Any]


class Proofs:
    """Prices and balances of one connector.

    Args:
        now: the moment of the pull.
    """

    def __init__(
        self, *, node: Node, settings: EvmSettings, connector: str, reader: StoreReader, now: datetime
    ) -> None:
        self._node = node
        self._settings = settings
        self._connector = connector
        self._reader = reader
        self._now = now
        self._feeds = feeds_of(settings)
        self._prices = price_reader(node, settings, connector)

    @property
    def priced(self) -> Collection[str]:
        """The assets that have a price feed."""
        return self._feeds.keys()

    def prices(self, deposits: Mapping[str, Mapping[str, Header]]) -> list[AssetPrice]:
        """What customers' payments were worth at their blocks, where that is not known yet.

        Args:
            deposits: asset -> block hash -> block.
        """
        hashes = {block for blocks in deposits.values() for block in blocks}
        if not hashes:
            return []
        table = self._reader.lookup(AssetPrice, self._connector, "block_hash", hashes)
        # A record is final, but one of another feed than the configured one is not what is asked for.
        known = {
            (asset, block)
            for asset, block, feed in zip(
                *(table[name].to_pylist() for name in ("asset", "block_hash", "feed")), strict=True
            )
            if feed == self._feeds[asset].address
        }
        wanted = [
            (asset, header)
            for asset, blocks in deposits.items()
            for block, header in blocks.items()
            if (asset, block) not in known
        ]
        return self._prices.prices(wanted) if wanted else []

    def gaps(self, state: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Where balances moved by something unseen at the last pull: ranges of blocks, both ends included."""
        listed = state.get("gaps")
        return [(int(lower), int(upper)) for lower, upper in listed] if isinstance(listed, list) else []

    def step(
        self,
        *,
        marks: Marks,
        recent: Recent,
        touched: Collection[Pair],
        addresses: Sequence[str],
        state: Mapping[str, Any],
    ) -> Closed:
        """Hold balances against what was read.

        Args:
            touched: (address, asset) that this pull read something of.
            addresses: our own, sorted.
            state: as the last step gave it.
        """
        if not self._settings.balances:
            return Closed(records={}, windows=(), state={})

        def canonical(number: int, block: str) -> bool | None:
            known = recent.get(number)
            return None if known is None else known.hash == block

        done = self._identity(addresses).step(
            head=marks.head,
            final=marks.final,
            touched=touched,
            state=state.get("identity"),
            canonical=canonical,
            now=self._now,
        )
        gaps = [[window.lower, window.upper - 1] for window in done.windows if window.refuted]
        return Closed(
            records={AddressBalance: done.balances},
            windows=done.windows,
            state={"identity": done.state, "gaps": gaps[:_MOST_GAPS]},
        )

    def _identity(self, addresses: Sequence[str]) -> Identity:
        settings, info = self._settings, self._settings.info
        assets = {
            asset_ids.erc20(settings.chain_id, token.address): AssetRef(
                contract=token.address, decimals=token.decimals
            )
            for token in settings.registered
        }
        if settings.native:
            assets[asset_ids.native(settings.chain_id, info.slip44)] = AssetRef(
                contract=None, decimals=NATIVE_DECIMALS
            )
        return Identity(
            connector=self._connector,
            chain_id=settings.chain_id,
            assets=assets,
            addresses=addresses,
            multicall3=info.multicall3,
            start_block=settings.start_block,
            ask=self._node.each,
            reader=self._reader,
            provider=self._node.client.provider,
            sample=settings.balance_sample,
        )
