"""Which logs are asked for: few filters that let through what concerns us, and little else. Pure."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

from payhealth.connectors.evm.rpc.node import Place
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.events import ESCROW, LOG_TRANSFER, TRANSFERRED
from payhealth.connectors.evm.wire.values import TRANSFER, padded

Filter = dict[str, Any]


class LogFilters:
    """The filters of one chain, for a set of addresses.

    Token transfers are filtered by the addresses at either end, whatever the contract, so that strangers'
    tokens are seen (and ignored with a reason). Where that takes too many filters, the registered tokens'
    whole logs are read and sorted out here.
    """

    def __init__(self, settings: EvmSettings, watched: Collection[str]) -> None:
        self._tokens = sorted(token.address for token in settings.registered)
        self._native_logs = settings.info.native_logs if settings.native else None
        self._contracts = _event_contracts(settings)
        self._per_filter = settings.addresses_per_filter
        self._most = settings.most_filters
        self._watched = watched

    @property
    def any(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._tokens or self._native_logs or self._contracts)

    @property
    def shape(self) -> str:
        """What is filtered, in a word, for the planner: ranges that fit one shape may not fit another."""
        return f"{'whole' if self.whole else 'ends'}/{min(self._per_filter, len(self._watched))}"

    @property
    def whole(self) -> bool:
        """Whether the registered tokens' whole logs are read."""
        return 2 * -(-len(self._watched) // self._per_filter) > self._most

    @cached_property
    def _words(self) -> list[str]:
        return [padded(address) for address in sorted(self._watched)]

    @property
    def whole_blocks(self) -> bool:
        """The same of single blocks: many filters for each of them would be many requests at the tip."""
        return self.whole or len(self._watched) > self._per_filter

    def build(self, place: Place) -> list[Filter]:
        """The filters for a place."""
        whole = self.whole if place.block is None else self.whole_blocks
        found: list[Filter] = []
        if self._tokens:
            found += self._transfers(TRANSFER, {}, {"address": self._tokens}, lead=(), whole=whole)
        if self._native_logs is not None:
            only = {"address": [self._native_logs]}
            found += self._transfers(LOG_TRANSFER, only, only, lead=(None,), whole=whole)
        if self._contracts:
            found.append({"address": self._contracts, "topics": [[TRANSFERRED, *ESCROW]]})
        return found

    def split(self) -> bool:
        """Put fewer addresses into each filter; False where there is one already."""
        if self._per_filter == 1 or self.whole:
            return False
        self._per_filter = max(1, min(self._per_filter, len(self._watched)) // 2)
        return True

    def _transfers(
        self, topic: str, by_ends: Filter, unfiltered: Filter, *, lead: tuple[None, ...], whole: bool
    ) -> list[Filter]:
        if whole:
            return [{**unfiltered, "topics": [topic]}]
        chunks = self._chunks()
        # The same chunk asked at both ends: a transfer between two of ours is told twice.
        received = [{**by_ends, "topics": [topic, *lead, None, chunk]} for chunk in chunks]
        return received + [{**by_ends, "topics": [topic, *lead, chunk]} for chunk in chunks]

    def _chunks(self) -> list[list[str]]:
        words, size = self._words, self._per_filter
        return [words[start : start + size] for start in range(0, len(words), size)]


def _event_contracts(settings: EvmSettings) -> list[str]:
    if not settings.payment_events:
        return []
    return sorted({*settings.info.coinbase_transfers, *settings.info.escrows})
