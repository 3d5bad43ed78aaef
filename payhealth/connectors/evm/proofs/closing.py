"""What closes a pull: prices of what was paid, and balances held against what was read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payhealth.connectors.evm.proofs.feeds import feeds_of, price_reader
from payhealth.connectors.evm.proofs.identity import AssetRef, Identity
from payhealth.connectors.evm.reading.book import NATIVE_DECIMALS
from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain import assets as asset_ids
from payhealth.domain.chain_records import AddressBalance, AssetPrice
from payhealth.domain.coverage import CoverageWindow
from payhealth.domain.record import Record
from payhealth.domain.records import ProofState
from payhealth.domain.times import from_us, to_us

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

Pair = tuple[str, str]
_MOST_GAPS = 20
_MOST_WAITING = 500


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
        self._waiting: dict[tuple[str, str], Header] = {}

    @property
    def priced(self) -> Collection[str]:
        """The assets that have a price feed."""
        return self._feeds.keys()

    def prices(
        self, deposits: Mapping[str, Mapping[str, Header]], *, again: bool = False
    ) -> list[AssetPrice]:
        """What customers' payments were worth at their blocks, where that is not known yet.

        Args:
            deposits: asset -> block hash -> block.
            again: ask for what is known too: the configuration has changed.
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
            if (asset, block) not in known or again
        ]
        return self._asked(wanted)

    def _asked(self, wanted: Sequence[tuple[str, Header]]) -> list[AssetPrice]:
        """Prices of payments; those that could not be read just now are wanted again at the next pull."""
        if not wanted:
            return []
        found = self._prices.prices(wanted)
        for asset, block in wanted:
            if (asset, block.hash) in self._prices.waiting and len(self._waiting) < _MOST_WAITING:
                self._waiting[asset, block.hash] = block
            else:
                self._waiting.pop((asset, block.hash), None)
        return found

    def gaps(self, state: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Where balances moved by something unseen at the last pull: ranges of blocks, both ends included."""
        listed = state.get("gaps")
        return [(int(lower), int(upper)) for lower, upper in listed] if isinstance(listed, list) else []

    def step(
        self,
        *,
        head: Header,
        final: int,
        recent: Recent,
        addresses: Sequence[str],
        state: Mapping[str, Any],
    ) -> Closed:
        """Hold balances against what was read.

        Args:
            head: where balances are read: the newest block, or the last final one.
            addresses: our own, sorted.
            state: as the last step gave it.
        """
        prices = self._asked([(asset, block) for (asset, _), block in self._waiting_before(state).items()])
        known = {"prices": _as_json(self._waiting)} if self._waiting else {}
        if not self._settings.balances:
            cleared = self._cleared(frozenset())
            return Closed(records={AssetPrice: prices, AddressBalance: cleared}, windows=(), state=known)

        def canonical(number: int, block: str) -> bool | None:
            known = recent.get(number)
            return None if known is None else known.hash == block

        done = self._identity(addresses).step(
            head=head,
            final=final,
            touched=(),  # the store tells what was touched since the last step
            state=state.get("identity"),
            canonical=canonical,
            now=self._now,
        )
        gaps = [[window.lower, window.upper - 1] for window in done.windows if window.refuted]
        assets = self._assets()
        cleared = self._cleared(frozenset((one, asset) for one in addresses for asset in assets))
        return Closed(
            records={AssetPrice: prices, AddressBalance: [*done.balances, *cleared]},
            windows=done.windows,
            state={"identity": done.state, "gaps": gaps[:_MOST_GAPS], **known},
        )

    def _waiting_before(self, state: Mapping[str, Any]) -> dict[tuple[str, str], Header]:
        """The payments whose price could not be read at earlier pulls, without those of this one."""
        found: dict[tuple[str, str], Header] = {}
        for asset, number, block, seconds in state.get("prices") or ():
            if asset in self._feeds and (asset, block) not in self._waiting:
                at = from_us(int(seconds) * 1_000_000)
                found[asset, block] = Header(number=int(number), hash=str(block), parent="", at=at)
        return found

    def _cleared(self, watched: Collection[Pair]) -> list[AddressBalance]:
        """Differences of what is not looked at any more: nobody judges them now."""
        table = self._reader.lookup(AddressBalance, self._connector, "state", [ProofState.MISMATCH.value])
        names = [field.name for field in fields(AddressBalance)]
        return [
            AddressBalance(
                **{
                    **row,
                    "state": ProofState.WAITING.value,
                    **dict.fromkeys(
                        ("difference", "gap_lower", "gap_upper", "since", "pending_block", "pending_hash")
                    ),
                    "pending_amount": None,
                }
            )
            for row in table.select(names).to_pylist()
            if (row["address"], row["asset"]) not in watched
        ]

    def _assets(self) -> dict[str, AssetRef]:
        settings = self._settings
        assets = {
            asset_ids.erc20(settings.chain_id, token.address): AssetRef(
                contract=token.address, decimals=token.decimals
            )
            for token in settings.registered
        }
        if settings.native:
            coin = asset_ids.native(settings.chain_id, settings.info.slip44)
            assets[coin] = AssetRef(contract=None, decimals=NATIVE_DECIMALS)
        return assets

    def _identity(self, addresses: Sequence[str]) -> Identity:
        settings = self._settings
        return Identity(
            connector=self._connector,
            chain_id=settings.chain_id,
            assets=self._assets(),
            addresses=addresses,
            multicall3=settings.info.multicall3,
            start_block=settings.start_block,
            ask=self._node.each,
            reader=self._reader,
            provider=self._node.client.provider,
            sample=settings.balance_sample,
        )


def _as_json(waiting: Mapping[tuple[str, str], Header]) -> list[list[Any]]:
    return [
        [asset, block.number, block.hash, to_us(block.at) // 1_000_000]
        for (asset, _), block in waiting.items()
    ]
