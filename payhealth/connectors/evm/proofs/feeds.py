"""The price feeds that a configuration asks for."""

from __future__ import annotations

from payhealth.connectors.evm.proofs.prices import FeedRef, Peg, PriceReader
from payhealth.connectors.evm.registry.chains import NATIVE
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain import assets as asset_ids


def feeds_of(settings: EvmSettings) -> dict[str, FeedRef]:
    """Asset (CAIP-19) -> its feed, for the registered assets that have one."""
    chain_id = settings.chain_id
    named = {token.symbol: asset_ids.erc20(chain_id, token.address) for token in settings.registered}
    if settings.native:
        named[NATIVE] = asset_ids.native(chain_id, settings.info.slip44)
    feeds = ((asset, settings.feed_of(name)) for name, asset in named.items())
    return {
        asset: FeedRef(
            address=feed.address,
            quote=feed.quote,
            heartbeat_s=feed.heartbeat_s,
            description=feed.description,
            aliases=feed.aliases,
        )
        for asset, feed in feeds
        if feed is not None
    }


def price_reader(node: Node, settings: EvmSettings, connector: str) -> PriceReader:
    """What reads the prices of a chain's assets."""
    pegs = {
        asset_ids.erc20(settings.chain_id, token.address): Peg(quote=token.peg, band=settings.info.peg_band)
        for token in settings.registered
        if token.peg
    }
    return PriceReader(
        connector=connector,
        chain_id=settings.chain_id,
        feeds=feeds_of(settings),
        pegs=pegs,
        ask=node.each,
    )
