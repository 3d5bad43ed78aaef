"""The chain's top as one pull sees it, and whether that can be. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from payhealth.connectors.evm.rpc.node import Top
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import ChainMark
from payhealth.domain.errors import SourceDataError, SourceUnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The chain's top: final <= safe <= head."""

    head: Header
    safe: int
    final: int

    def record(self, connector: str, chain: str) -> ChainMark:
        """As it is kept."""
        return ChainMark(
            connector=connector,
            chain=chain,
            head=self.head.number,
            safe=self.safe,
            final=self.final,
            head_at=self.head.at,
        )


def marks_of(top: Top, settings: EvmSettings, known_final: int | None, provider: str, now: datetime) -> Marks:
    """The marks that a node's answers and the configured finality come to.

    Args:
        known_final: the last final block of earlier pulls; what was final stays so.

    Raises:
        SourceUnavailableError: the node is behind what was final, or its newest block is too old.
        SourceDataError: the chain has not reached the configured start.
    """
    head = top.head
    if known_final is not None and head.number < known_final:
        raise SourceUnavailableError(
            f"{provider}: is behind: its head {head.number} lies below block {known_final}, "
            "which was final before"
        )
    age_s, most_s = (now - head.at).total_seconds(), settings.info.max_head_age_s
    if most_s and age_s > most_s:
        raise SourceUnavailableError(
            f"{provider}: its newest block, {head.number}, is {age_s:,.0f} s old; more than {most_s} s means "
            "that the node is stuck, or the chain"
        )
    if settings.start_block > head.number:
        raise SourceDataError(
            f"{provider}: start_block = {settings.start_block} lies beyond the chain's head {head.number}"
        )
    rule = settings.finality_rule
    depth = settings.info.fallback_depth if rule.depth is None else rule.depth
    final = max(0, head.number - depth) if top.final is None else top.final
    safe = final if top.safe is None else top.safe
    # A node that lags tells of older marks than were known.
    final = min(max(final, known_final or 0), head.number)
    return Marks(head=head, safe=min(max(safe, final), head.number), final=final)
