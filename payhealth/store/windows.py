"""How coverage windows of one stream are merged; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from payhealth.domain.coverage import CoverageWindow

Stretch = tuple[int, int]


def merged(windows: Iterable[CoverageWindow]) -> list[CoverageWindow]:
    """Join windows of one stream that touch or overlap, ascending; the result never overlaps.

    What is said of a stretch is what the strongest window says that covers it: refuted before proved, proved
    before read and final, final before seen. Stretches of one kind are joined: the newest ``read_at``, every
    provider and doubt, and the sum of objects, where a window that was read again whole counts once. A proof
    is never lent to a neighbour.
    """
    given = [window for window in windows if window.lower < window.upper]
    result: list[CoverageWindow] = []
    for kind in sorted({_kind(window) for window in given}, reverse=True):
        stronger = list(result)
        for window in _joined(window for window in given if _kind(window) == kind):
            result += _left_of(window, stronger)
    return sorted(result, key=lambda window: window.lower)


def no_longer_refuted(window: CoverageWindow) -> CoverageWindow:
    """What is left of a window where nothing refutes it any more: it was read, and is not proved."""
    return replace(window, refuted=False) if window.refuted else window


def _kind(window: CoverageWindow) -> tuple[bool, bool, bool, str]:
    """Greater for a stronger window; equal for those that may be joined."""
    return (window.refuted, not window.unproved, window.finality == "final", window.finality)


def _joined(windows: Iterable[CoverageWindow]) -> list[CoverageWindow]:
    """Join one kind; of windows with one start the longest comes first and swallows the others."""
    result: list[CoverageWindow] = []
    for window in sorted(windows, key=lambda each: (each.lower, -each.upper, each.read_at)):
        if result and window.lower <= result[-1].upper:
            result[-1] = _pair(result[-1], window)
        else:
            result.append(window)
    return result


def _left_of(window: CoverageWindow, stronger: Sequence[CoverageWindow]) -> list[CoverageWindow]:
    """The parts of a window that no stronger one covers; objects that those hold are theirs."""
    parts: list[Stretch] = [(window.lower, window.upper)]
    inside = 0
    for other in stronger:
        if other.upper <= window.lower or window.upper <= other.lower:
            continue
        inside += other.objects
        parts = [piece for part in parts for piece in _cut(part, other)]
    if parts == [(window.lower, window.upper)]:
        return [window]
    objects = max(0, window.objects - inside)
    # How the rest is spread over several parts is not known: the first one is given all of it.
    return [
        replace(window, lower=lower, upper=upper, objects=0 if number else objects)
        for number, (lower, upper) in enumerate(parts)
    ]


def _cut(part: Stretch, taken: CoverageWindow) -> list[Stretch]:
    lower, upper = part
    pieces = [(lower, min(upper, taken.lower)), (max(lower, taken.upper), upper)]
    return [piece for piece in pieces if piece[0] < piece[1]]


def _pair(first: CoverageWindow, second: CoverageWindow) -> CoverageWindow:
    inside = second.upper <= first.upper
    inside_or_sum = max if inside else _sum
    return replace(
        first,
        upper=max(first.upper, second.upper),
        provider=_names(first.provider, second.provider),
        account=_names(first.account, second.account),
        doubts=_names(first.doubts, second.doubts),
        objects=inside_or_sum(first.objects, second.objects),
        pages=inside_or_sum(first.pages, second.pages),
        read_at=max(first.read_at, second.read_at),
    )


def _sum(first: int, second: int) -> int:
    return first + second


def _names(first: str, second: str) -> str:
    return ", ".join(sorted({*first.split(", "), *second.split(", ")} - {""}))
