"""The documentation as data: pages, code blocks, tables, headings, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))))

_FENCE = re.compile(r"^```(\S*) *(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its language, what else stands behind it, its text, where it is."""

    page: str
    line: int
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str | Path) -> str:
    """A page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, note: str | None = None) -> list[Block]:
    """Every block of a language on every page; with ``note``, only those marked so."""
    found = []
    for path in PAGES:
        text = read(path)
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            name = str(path.relative_to(ROOT))
            found.append(Block(page=name, line=line, language=match[1], note=match[2], text=match[3]))
    return [block for block in found if block.language == language and note in (None, block.note)]


def prose(page: str | Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", read(page))


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next heading of any level.

    Raises:
        AssertionError: the page has no such heading.
    """
    text = prose(page)
    marks = list(_HEADING.finditer(text))
    for number, mark in enumerate(marks):
        if mark[2].replace("`", "") == heading:
            end = marks[number + 1].start() if number + 1 < len(marks) else len(text)
            return text[mark.end() : end]
    raise AssertionError(f"{page} has no section {heading!r}")


def headings(page: str | Path) -> list[str]:
    """Every heading, without backquotes."""
    return [mark[2].replace("`", "") for mark in _HEADING.finditer(prose(page))]


def rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, headings left out, cells without backquotes."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    rules = [number for number, row in enumerate(cells) if set("".join(row)) <= {"-", ":"} and "".join(row)]
    left_out = {*rules, *(number - 1 for number in rules)}
    return [row for number, row in enumerate(cells) if number not in left_out]


def anchors(page: str | Path) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def links(page: str | Path) -> list[str]:
    """Where a page's links and pictures lead."""
    return _LINK.findall(prose(page))
