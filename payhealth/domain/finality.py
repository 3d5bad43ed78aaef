"""How settled a block is, and when a payment in it may be credited."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Finality(StrEnum):
    """Ordered: seen < safe < final."""

    SEEN = "seen"
    SAFE = "safe"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalityRule:
    """Which mark of the chain makes a payment creditable.

    Args:
        tag: ``finalized`` or ``safe`` as the node says, or None to count blocks.
        depth: blocks that must lie on top, used when ``tag`` is None.
    """

    tag: str | None
    depth: int | None = None


def finality_of(block_number: int, *, safe: int, final: int) -> Finality:
    """What a block is, given the chain's highest safe and final blocks."""
    if block_number <= final:
        return Finality.FINAL
    return Finality.SAFE if block_number <= safe else Finality.SEEN
