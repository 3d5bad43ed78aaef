"""What people read in a terminal: the verdict, the statement, the breaks, the checks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.table import Table

from payhealth.domain.money import plain, total
from payhealth.report.documents import Document
from payhealth.report.escape import terminal

if TYPE_CHECKING:
    from rich.console import Console

MAX_BREAKS = 30
_LONG_HEX = re.compile(r"0x[0-9a-f]{64}")
_COLOURS = {
    "pass": "green",
    "warn": "yellow",
    "fail": "red",
    "stale": "magenta",
    "error": "red",
    "no_data": "cyan",
}


def render(document: Document, console: Console) -> None:
    """Print a document's parts in the order in which they are needed."""
    data = document.data
    if "streams" in data:
        _streams(data["streams"], console)
    if "pull" in data:
        _streams(data["pull"], console)
    if "statement" in data:
        _statement(data["statement"], document.symbols, console)
        _breaks(data["breaks"], document.symbols, console)
        _beside(data, console)
    if "checks" in data:
        _checks(data["checks"], document.symbols, console)
    if "items" in data:
        _items(data["items"], console, document.title)
    if "story" in data:
        _story(data["story"], console)
    if document.title in ("reconcile", "run", "check", "pull"):
        _verdict(document, console)


Justify = Literal["left", "right"]
_COPIED = ("break", "break_id", "match_id")
"""Columns whose texts people copy: never folded."""


def _new(title: str, *columns: tuple[str, Justify]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in _COPIED)
    return table


def grouped(amount: str) -> str:
    """A decimal with thousands set apart by a thin blank, exact: ``-12 345.67``."""
    whole, point, fraction = amount.partition(".")
    sign = "-" if whole.startswith("-") else ""
    digits = whole.lstrip("-+")
    groups = [digits[max(0, end - 3) : end] for end in range(len(digits), 0, -3)]
    shown = fraction if not point or len(fraction) != 1 else fraction + "0"
    return sign + " ".join(reversed(groups)) + point + shown


def name_of(asset: str, symbols: Mapping[str, str]) -> str:
    """An asset's short name, with its chain where it lives on one."""
    symbol = symbols.get(asset)
    if symbol and symbol != asset:
        return f"{symbol} ({asset.partition('/')[0]})" if "/" in asset else symbol
    return asset


def readable(text: str, symbols: Mapping[str, str]) -> str:
    """A sentence with assets by their short names, and long hashes cut in the middle."""
    for asset in sorted(symbols, key=len, reverse=True):
        if symbols[asset] and "/" in asset:
            text = text.replace(asset, symbols[asset])
    return _LONG_HEX.sub(lambda found: f"{found.group()[:10]}…{found.group()[-4:]}", text)


_OPEN_WORDS = {
    "after_as_of": "after the moment judged",
    "before_start": "before the start",
    "ignored": "ledger entries of other kinds (grants, usage and the like)",
    "in_flight": "in flight",
    "unpriced": "without a price",
}


def shown_amounts(statement: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of a statement that are worth showing: those that are not 0 in every row."""
    always = ("paid_in", "credited")
    sometimes = ("fees_kept", "within_tolerance", "in_flight", "written_off")
    return [*always, *(name for name in sometimes if any(Decimal(row[name]) for row in statement))]


def broken(row: Mapping[str, Any]) -> str:
    """The sum of a statement row's breaks, exact."""
    return plain(total(Decimal(amount) for amount in row["breaks"].values()))


def _statement(statement: Sequence[Mapping[str, Any]], symbols: Mapping[str, str], console: Console) -> None:
    if not statement:
        console.print("Nothing was paid and nothing was credited.\n")
        return
    shown = shown_amounts(statement)
    headings: list[tuple[str, Justify]] = [(name.replace("_", " "), "right") for name in shown]
    table = _new(
        "Statement",
        ("asset", "left"),
        ("rail", "left"),
        *headings,
        ("breaks", "right"),
        ("explained", "right"),
    )
    for row in statement:
        table.add_row(
            terminal(name_of(row["asset"], symbols)),
            terminal(row["rail"]),
            *(grouped(row[name]) for name in shown),
            f"[red]{grouped(broken(row))}[/red]" if row["breaks"] else "0",
            share(row["explained"]),
        )
    console.print(table)
    terms = " + ".join(name.replace("_", " ") for name in shown[1:])
    console.print(f"paid in = {terms} + breaks, exactly, in every row.\n", style="dim")


def share(explained: object) -> str:
    """A share of the paid money in percent, rounded down so that 100 % means all of it."""
    if explained is None:
        return "-"
    percent = (Decimal(str(explained)) * 100).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)
    return f"{percent} %"


def _breaks(breaks: Sequence[Mapping[str, Any]], symbols: Mapping[str, str], console: Console) -> None:
    if not breaks:
        console.print("No breaks.\n")
        return
    table = _new(
        f"Breaks ({len(breaks)})",
        ("reason", "left"),
        ("amount", "right"),
        ("at risk", "right"),
        ("asset", "left"),
        ("what is wrong", "left"),
        ("break", "left"),
    )
    ordered = in_order(breaks)
    for row in ordered[:MAX_BREAKS]:
        flags = row["reasons"][1:]
        reason = terminal(row["primary_reason"]) + (
            f"\n[dim]{terminal(', '.join(flags))}[/dim]" if flags else ""
        )
        table.add_row(
            reason,
            grouped(row["amount"]),
            grouped(row["at_risk"]),
            terminal(symbols.get(row["asset"], row["asset"])),
            terminal(readable(row["explanation"], symbols)),
            terminal(row["break_id"]),
        )
    console.print(table)
    if len(breaks) > MAX_BREAKS:
        console.print(f"… and {len(breaks) - MAX_BREAKS} more: payhealth breaks list\n")


def in_order(breaks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Breaks by reason, what is most at risk first."""
    return sorted(breaks, key=lambda row: (row["primary_reason"], -Decimal(row["at_risk"]), row["break_id"]))


def _beside(data: Mapping[str, Any], console: Console) -> None:
    """What stands beside the statement: open rows, rejected rows, holes."""
    if data.get("open"):
        counts = ", ".join(f"{count} {_OPEN_WORDS.get(why, why)}" for why, count in data["open"].items())
        console.print(f"Beside the statement: {counts}.")
    for row in data.get("rejected", ())[:10]:
        where = f"{row['file']}:{row['line']}: {row['reason']}"
        console.print(f"[yellow]rejected[/yellow] {terminal(where)}")
    if len(data.get("rejected", ())) > 10:
        console.print(f"… and {len(data['rejected']) - 10} more rejected rows")
    for hole in data.get("holes", ()):
        where = f"{hole['connector']}.{hole['stream']}: {hole['reason']}"
        console.print(f"[magenta]not read[/magenta] {terminal(where)}")
    console.print()


def _checks(checks: Sequence[Mapping[str, Any]], symbols: Mapping[str, str], console: Console) -> None:
    table = _new("Checks", ("outcome", "left"), ("check", "left"), ("what it saw", "left"))
    for result in checks:
        colour = _COLOURS[result["outcome"]]
        said = terminal(readable(result["message"], symbols))
        if result["next_step"] and result["outcome"] != "pass":
            said += f"\n[dim]→ {terminal(result['next_step'])}[/dim]"
        table.add_row(f"[{colour}]{result['outcome']}[/{colour}]", terminal(result["check"]), said)
    console.print(table)


def _streams(streams: Sequence[Mapping[str, Any]], console: Console) -> None:
    numbers = ("read", "new", "changed", "rejected", "requests")
    headings: list[tuple[str, Justify]] = [(name, "right") for name in numbers]
    table = _new("Pull", ("stream", "left"), *headings, ("seconds", "right"), ("", "left"))
    for stream in streams:
        error = f"[red]{terminal(stream['error'])}[/red]" if stream["error"] else ""
        table.add_row(
            terminal(f"{stream['connector']}.{stream['stream']}"),
            *(str(stream[name]) for name in numbers),
            f"{stream['seconds']:.1f}",
            error,
        )
    console.print(table)


def _items(items: Sequence[Mapping[str, Any]], console: Console, title: str) -> None:
    if not items:
        console.print(f"No {title}.")
        return
    numeric = ("amount", "at_risk", "residual")
    table = _new(
        f"{title} ({len(items)})", *((name, "right" if name in numeric else "left") for name in items[0])
    )
    for item in items:
        table.add_row(*(terminal("" if value is None else value) for value in item.values()))
    console.print(table)


def _story(story: Mapping[str, Any], console: Console) -> None:
    for name, value in story.items():
        console.print(f"[bold]{terminal(name.replace('_', ' '))}[/bold]")
        lines = value if isinstance(value, list) else [value]
        for line in lines:
            text = (
                ", ".join(f"{key} {inner}" for key, inner in line.items())
                if isinstance(line, Mapping)
                else line
            )
            console.print(f"  {terminal(text)}")


def _verdict(document: Document, console: Console) -> None:
    """The last line: is all well, and if not, what stands against it."""
    counts = {outcome: sum(case.outcome == outcome for case in document.cases) for outcome in _COLOURS}
    breaks = sum(case.group == "breaks" for case in document.cases)
    against = [f"{breaks} breaks" if breaks != 1 else "1 break"] if breaks else []
    failed = counts["fail"] - breaks
    words = (
        (failed, "failed"),
        (counts["stale"] + counts["error"], "could not be judged"),
        (counts["warn"], "warned"),
    )
    against += [f"{count} {word}" for count, word in words if count]
    rejected = len(document.data.get("rejected", ()))
    if rejected:
        against.append(f"{rejected} row{'s' if rejected != 1 else ''} could not be understood")
    if against:
        colour = "red" if counts["fail"] else "magenta" if counts["stale"] + counts["error"] else "yellow"
        console.print(f"[bold {colour}]Not all is well: {', '.join(against)}.[/bold {colour}]")
    elif counts["no_data"]:
        console.print(
            f"[bold cyan]Nothing is wrong in what was judged; {counts['no_data']} had no data.[/bold cyan]"
        )
    else:
        console.print("[bold green]All is well.[/bold green]")


_MARKS = {"ok": "[green]ok  [/green]", "warn": "[yellow]warn[/yellow]", "fail": "[red]fail[/red]"}


def print_findings(findings: Sequence[Any]) -> None:
    """What ``doctor`` found: one line each, what to do below it."""
    from payhealth.report.show import console

    out = console()
    for finding in findings:
        mark = _MARKS[str(finding.level)]
        out.print(f"{mark} {terminal(f'{finding.subject}: {finding.message}')}")
        if finding.hint:
            out.print(f"     [dim]→ {terminal(finding.hint)}[/dim]")
