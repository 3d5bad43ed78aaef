"""How coverage windows of one stream are merged; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from payhealth.domain.coverage import CoverageWindow


def merged(windows: Iterable[CoverageWindow]) -> list[CoverageWindow]:
    """Join windows of one stream that touch or overlap, ascending.

    Proved and unproved stretches are kept apart, so that a proof is never lent to its neighbour; an unproved
    window inside a proved one says nothing more and is dropped. A joined window has the newest ``read_at``,
    every provider, and the sum of objects; a window that was read again whole counts once.
    """
    given = [window for window in windows if window.lower < window.upper]
    proved = _joined(window for window in given if not window.unproved)
    unproved = [
        window
        for window in _joined(window for window in given if window.unproved)
        if not any(outer.lower <= window.lower and window.upper <= outer.upper for outer in proved)
    ]
    return sorted([*proved, *unproved], key=lambda window: (window.lower, window.upper, window.unproved))


def _joined(windows: Iterable[CoverageWindow]) -> list[CoverageWindow]:
    """Join one kind; of windows with one start the longest comes first and swallows the others."""
    result: list[CoverageWindow] = []
    for window in sorted(windows, key=lambda each: (each.lower, -each.upper, each.read_at)):
        if result and window.lower <= result[-1].upper:
            result[-1] = _pair(result[-1], window)
        else:
            result.append(window)
    return result


def _pair(first: CoverageWindow, second: CoverageWindow) -> CoverageWindow:
    inside = second.upper <= first.upper
    inside_or_sum = max if inside else _sum
    return replace(
        first,
        upper=max(first.upper, second.upper),
        provider=_names(first.provider, second.provider),
        account=_names(first.account, second.account),
        objects=inside_or_sum(first.objects, second.objects),
        pages=inside_or_sum(first.pages, second.pages),
        read_at=max(first.read_at, second.read_at),
    )


def _sum(first: int, second: int) -> int:
    return first + second


def _names(first: str, second: str) -> str:
    return ", ".join(sorted({*first.split(", "), *second.split(", ")} - {""}))
