"""What became known of the providers, added up over runs."""

from __future__ import annotations

import re
from collections import Counter

from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.scores import Scorecard
from payhealth.domain.chain_records import ProviderScore

_LIE = re.compile(r"([a-z ]+) x([0-9]+)")
_MOST_SHOWN = 500


class Providers:
    """Scorecards of one client as records; lives as long as the client.

    Args:
        client: whose providers.
    """

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._told: dict[str, tuple[int, Counter[str]]] = {}

    def records(self, stored: Stored) -> list[ProviderScore]:
        """What has to be added to the store, for providers that failed or lied since this was last asked."""
        fresh = [card for card in self._client.scorecards() if self._since(card) != (0, Counter())]
        if not fresh:
            return []
        known = stored.scores()
        found: list[ProviderScore] = []
        for card in fresh:
            failures, lies = self._since(card)
            before = known.get(card.provider)
            if before is not None:
                failures, lies = failures + before.failures, lies + _counted(before.lies)
            found.append(
                ProviderScore(
                    connector=stored.connector,
                    provider=card.provider,
                    failures=failures,
                    lies=", ".join(f"{lie} x{count}" for lie, count in sorted(lies.items())),
                    last_fault=card.last_fault[:_MOST_SHOWN],
                )
            )
            self._told[card.provider] = (card.failures, _lies(card))
        return found

    def _since(self, card: Scorecard) -> tuple[int, Counter[str]]:
        failures, lies = self._told.get(card.provider, (0, Counter()))
        return card.failures - failures, _lies(card) - lies


def _lies(card: Scorecard) -> Counter[str]:
    return Counter({lie.words: count for lie, count in card.lies.items() if count})


def _counted(words: str) -> Counter[str]:
    return Counter({lie.strip(): int(count) for lie, count in _LIE.findall(words)})
