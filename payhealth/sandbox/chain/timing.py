"""When blocks are mined: simulated time, in whole seconds since 1970."""

from __future__ import annotations

from datetime import datetime, timedelta

BLOCK_INTERVAL_S = 12
"""How far apart empty blocks are mined where there is room for it."""


def to_epoch_s(at: datetime) -> int:
    """A moment as whole seconds since 1970.

    Raises:
        ValueError: for a moment that is naive or not in UTC.
    """
    if at.tzinfo is None or at.utcoffset() != timedelta(0):
        raise ValueError(f"{at!r} must be aware and in UTC")
    return int(at.timestamp())


def block_times_s(*, after_s: int, at_s: int, blocks: int) -> list[int]:
    """Strictly increasing times of ``blocks`` blocks, all later than ``after_s``, the last one ``at_s``.

    Where ``at_s`` leaves no room for that the blocks follow ``after_s`` second by second instead: a
    chain's time must rise with every block, so the last may then lie after ``at_s``.
    """
    if blocks < 0:
        raise ValueError("blocks must not be negative")
    if blocks == 0:
        return []
    room_s = at_s - after_s
    if room_s < blocks:
        return [after_s + step for step in range(1, blocks + 1)]
    interval_s = min(BLOCK_INTERVAL_S, room_s // blocks)
    return [at_s - interval_s * left for left in reversed(range(blocks))]
