"""The report as one HTML file: nothing is loaded from anywhere, nothing in it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from payhealth.domain.times import iso
from payhealth.report.documents import Document
from payhealth.report.escape import printable
from payhealth.report.text import broken, grouped, in_order, name_of, readable, share, shown_amounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture with its heading and a sentence on how to read it."""

    title: str
    caption: str
    svg: Markup
    legend: Sequence[tuple[str, str]] = ()


def page(document: Document, charts: Sequence[Chart], *, generated_at: datetime) -> str:
    """The whole page.

    Args:
        document: a run's or a reconciliation's document.
        charts: pictures in their order.
        generated_at: when the page was made.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        clean=printable,
        grouped=grouped,
        share=share,
        readable=lambda text: printable(readable(text, document.symbols)),
    )
    template = files("payhealth").joinpath("report/templates/report.html").read_text(encoding="utf-8")
    data = document.data
    return environment.from_string(template).render(
        data=data,
        statement=[_row(row, document.symbols) for row in data["statement"]],
        amounts=shown_amounts(data["statement"]),
        breaks=in_order(data["breaks"]),
        checks=data.get("checks", []),
        holes=data["holes"],
        symbols=document.symbols,
        charts=charts,
        verdict=verdict(document),
        generated_at=iso(generated_at.replace(microsecond=0)),
    )


def _row(row: Mapping[str, Any], symbols: Mapping[str, str]) -> dict[str, Any]:
    return {**row, "shown_asset": name_of(row["asset"], symbols), "broken": broken(row)}


def verdict(document: Document) -> tuple[str, str]:
    """A word for the page's colour, and the sentence at its top."""
    counts: dict[str, int] = {}
    for case in document.cases:
        counts[str(case.outcome)] = counts.get(str(case.outcome), 0) + 1
    breaks = sum(case.group == "breaks" for case in document.cases)
    if counts.get("fail"):
        checks = counts["fail"] - breaks
        warned = f", {counts['warn']} warned" if counts.get("warn") else ""
        return "fail", f"Not all is well: {breaks} breaks, {checks} failed checks{warned}."
    if counts.get("stale") or counts.get("error"):
        return "stale", "Could not be judged: something was not read."
    if counts.get("warn"):
        return "warn", f"{counts['warn']} warnings."
    return "pass", "All is well in what was judged."
