"""Charts as inline SVG: no script, no network, colours from the page's own style.

Positions are floats, because pixels are; every amount that is shown as text comes in as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from payhealth.report.escape import printable

WIDTH, HEIGHT = 720.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 12.0, 12.0, 28.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of a stacked bar chart; ``css`` is a class of the page."""

    name: str
    css: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A line with its interval, None where a day has no value."""

    values: tuple[float | None, ...]
    lower: tuple[float | None, ...]
    upper: tuple[float | None, ...]


def _text(value: object) -> Markup:
    return escape(printable(value))


def _frame(body: str, label: str, top: float, unit: str, names: Sequence[str]) -> Markup:
    """Axes, grid and day names around a chart's body."""
    parts = [_open(label, HEIGHT)]
    steps = 4 if str(top).strip("0.").startswith("2") and "25" not in str(top) else 5
    for step in range(steps + 1):
        y = _y(step / steps)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">')
        parts.append(f"{_text(f'{top * step / steps:,.6g}{unit}')}</text>")
    every = max(1, len(names) // 8 + (len(names) % 8 > 0))
    for index in range(0, len(names), every):
        x = _x(index, len(names))
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">')
        parts.append(f"{_text(names[index])}</text>")
    return Markup("".join(parts) + body + "</svg>")  # noqa: S704 - every text inside went through escape


def _open(label: str, height: float) -> str:
    box = f'viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
    return f'<svg {box} role="img" aria-label="{_text(label)}" class="chart">'


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _x(index: int, count: int) -> float:
    step = (WIDTH - LEFT - RIGHT) / max(1, count)
    return LEFT + step * (index + 0.5)


def round_up(value: float) -> float:
    """The next 1, 2, 2.5 or 5 times a power of ten: where an axis ends."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 0.01
    while power * 10 <= value:
        power *= 10
    return next(power * factor for factor in (1, 2, 2.5, 5, 10, 20, 50, 100) if power * factor >= value)


def stacked_bars(names: Sequence[str], series: Sequence[Series], *, label: str, unit: str = "") -> Markup:
    """One bar a name, its series on top of one another."""
    totals = [sum(one.values[index] for one in series) for index in range(len(names))]
    top = round_up(max(totals, default=0.0))
    width = (WIDTH - LEFT - RIGHT) / max(1, len(names)) * 0.72
    body = []
    for index, name in enumerate(names):
        base = 0.0
        for one in series:
            value = one.values[index]
            if value <= 0:
                continue
            y, height = _y((base + value) / top), _y(base / top) - _y((base + value) / top)
            x = _x(index, len(names)) - width / 2
            body.append(f'<rect class="{_text(one.css)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" ')
            body.append(f'height="{max(height, 1):.1f}"><title>{_text(name)}: {_text(one.name)} ')
            body.append(f"{_text(f'{value:,.10g}{unit}')}</title></rect>")
            base += value
    return _frame("".join(body), label, top, unit, names)


def line_with_band(names: Sequence[str], band: Band, *, label: str, unit: str = "") -> Markup:
    """A line over the days with the interval behind it; a day without a value is left out."""
    top = round_up(max((value for value in band.upper if value is not None), default=0.0))
    known = [index for index, value in enumerate(band.values) if value is not None]
    upper = [(index, band.upper[index]) for index in known]
    lower = [(index, band.lower[index]) for index in reversed(known)]
    outline = " ".join(_point(index, value, len(names), top) for index, value in [*upper, *lower])
    line = " ".join(_point(index, band.values[index], len(names), top) for index in known)
    body = [f'<polygon class="band" points="{outline}"/><polyline class="line" points="{line}"/>']
    for index in known:
        x, y = _point(index, band.values[index], len(names), top).split(",")
        said = f"{names[index]}: {band.values[index]:.2f}{unit}"
        body.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3"><title>{_text(said)}</title></circle>')
    return _frame("".join(body), label, top, unit, names)


def _point(index: int, value: float | None, count: int, top: float) -> str:
    return f"{_x(index, count):.1f},{_y((value or 0.0) / top):.1f}"


def horizontal_bars(rows: Sequence[tuple[str, float, str]], *, label: str, css: str) -> Markup:
    """One bar a row: its name, its length, and the text at its end."""
    line, name_width = 26.0, 220.0
    height = line * max(1, len(rows)) + 8
    longest = max((value for _, value, _ in rows), default=1.0) or 1.0
    parts = [_open(label, height)]
    for index, (name, value, shown) in enumerate(rows):
        y = 4 + index * line
        length = max(2.0, value / longest * (WIDTH - name_width - 170))
        parts.append(
            f'<text class="name" x="{name_width - 8}" y="{y + 16:.1f}" text-anchor="end">{_text(name)}</text>'
        )
        parts.append(f'<rect class="{_text(css)}" x="{name_width}" y="{y + 3:.1f}" ')
        parts.append(f'width="{length:.1f}" height="18" rx="3"/>')
        parts.append(
            f'<text class="tick" x="{name_width + length + 6:.1f}" y="{y + 16:.1f}">{_text(shown)}</text>'
        )
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - likewise


_CHAR_WIDTH = 7.6
"""Of the names' 13 px type, at the wider end."""


def timeline(
    rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, label: str, start: str, end: str
) -> Markup:
    """What was read, a line per stream: windows as shares of the whole span, holes left bare."""
    line, longest = 26.0, max((len(name) for name, _ in rows), default=0)
    # Names are of any length: they get the room that they need, up to half of the drawing.
    name_width = min(max(220.0, longest * _CHAR_WIDTH + 12), WIDTH / 2)
    height = line * max(1, len(rows)) + 28
    span = WIDTH - name_width - RIGHT
    parts = [_open(label, height)]
    for index, (name, windows) in enumerate(rows):
        y = 4 + index * line
        parts.append(
            f'<text class="name" x="{name_width - 8}" y="{y + 16:.1f}" text-anchor="end">{_text(name)}</text>'
        )
        parts.append(
            f'<rect class="hole" x="{name_width}" y="{y + 5:.1f}" width="{span:.1f}" height="14" rx="3"/>'
        )
        for lower, upper in windows:
            x, width = name_width + lower * span, max(1.0, (upper - lower) * span)
            parts.append(
                f'<rect class="good" x="{x:.1f}" y="{y + 5:.1f}" width="{width:.1f}" height="14" rx="3"/>'
            )
    parts.append(f'<text class="tick" x="{name_width}" y="{height - 8}">{_text(start)}</text>')
    parts.append(
        f'<text class="tick" x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end">{_text(end)}</text>'
    )
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - likewise
