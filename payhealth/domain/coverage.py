"""What was read, from whom, and where the holes are.

Windows are half open, ``[lower, upper)``, in microseconds since 1970 for streams that are read by
time, and in block numbers for chains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CoverageUnit(StrEnum):
    """What the bounds of a window count."""

    TIME_US = "time_us"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageWindow:
    """One stretch of a stream that was read whole.

    Args:
        provider: who answered: a host name, never a URL with credentials.
        account: with which account's key it was read, empty where that is not known or means nothing.
        objects: how many objects the stretch held.
        pages: how many requests that took.
        unproved: read, but no balance to prove it by.
        refuted: read, and a balance says that something in it was not seen: a hole until it is proved.
        finality: of blocks, ``final`` or ``seen``; empty for streams that are read by time.
        doubts: who was caught at what while this was read, in words; empty where nobody was.
    """

    connector: str
    stream: str
    unit: CoverageUnit
    lower: int
    upper: int
    provider: str
    objects: int
    read_at: datetime
    unproved: bool = True
    pages: int = 0
    account: str = ""
    refuted: bool = False
    finality: str = ""
    doubts: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What is known of one stream at a moment.

    Args:
        required_lower: where the configuration says that reading starts.
        last_ok_at: when a pull last ended well, None if never.
        last_error: the newest pull's error where that pull failed, else None.
        covered: merged windows, ascending, without the refuted ones.
        refuted: stretches that were read and that a balance refutes.
    """

    connector: str
    stream: str
    unit: CoverageUnit | None
    required_lower: int
    last_ok_at: datetime | None
    last_error: str | None
    covered: tuple[tuple[int, int], ...]
    refuted: tuple[tuple[int, int], ...] = ()


class HoleKind(StrEnum):
    """Why a stretch is missing: skipped inside what was read, never read at all, or refused just now."""

    GAP = "gap"
    UNREAD = "unread"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A stretch that should have been read and was not; bounds are None where they are unknown."""

    connector: str
    stream: str
    kind: HoleKind
    unit: CoverageUnit | None
    lower: int | None
    upper: int | None
    reason: str


NOT_READ = "not read"
REFUTED = "read, but a balance moved there by something that was not seen"


def merge(windows: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join half-open windows that touch or overlap, ascending."""
    merged: list[tuple[int, int]] = []
    for lower, upper in sorted(windows):
        if lower >= upper:
            continue
        if merged and lower <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], upper))
        else:
            merged.append((lower, upper))
    return tuple(merged)


def holes(stream: StreamState) -> tuple[Hole, ...]:
    """Where a stream was not read between its start and its newest reading, and if its pull failed.

    A stream that never ended a pull well is ``unread`` as a whole; gaps are looked for in the others.
    """
    found: list[Hole] = []
    if stream.last_error is not None:
        found.append(_hole(stream, HoleKind.FAILED, f"the last pull failed: {stream.last_error}"))
    if stream.last_ok_at is None or not (stream.covered or stream.refuted):
        found.append(_hole(stream, HoleKind.UNREAD, "never read to the end", lower=stream.required_lower))
        return tuple(found)
    found += [
        _hole(stream, HoleKind.GAP, REFUTED, lower=lower, upper=upper) for lower, upper in stream.refuted
    ]
    position = stream.required_lower
    for lower, upper in merge((*stream.covered, *stream.refuted)):
        if lower > position:
            found.append(_hole(stream, HoleKind.GAP, NOT_READ, lower=position, upper=lower))
        position = max(position, upper)
    return tuple(found)


def _hole(
    stream: StreamState, kind: HoleKind, reason: str, *, lower: int | None = None, upper: int | None = None
) -> Hole:
    return Hole(
        connector=stream.connector,
        stream=stream.stream,
        kind=kind,
        unit=stream.unit,
        lower=lower,
        upper=upper,
        reason=reason,
    )
