"""Output is hostile ground: one corpus, every escaper, every format."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.text import Text

from payhealth.report import charts, escape, html, machine
from payhealth.report.text import render
from tests.unit.report.support import HOSTILE, NOW, UNPRINTABLE, hostile_document

corpus = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
anything = st.one_of(st.sampled_from(sorted(HOSTILE.values())), st.text(max_size=80))


def on_terminal(text: str) -> str:
    """The text format, as a colour terminal would receive it."""
    out = io.StringIO()
    console = Console(
        file=out, width=160, force_terminal=True, color_system="truecolor", highlight=False, emoji=False
    )
    render(hostile_document(text), console)
    return out.getvalue()


OUR_STYLES = re.compile(r"\x1b\[[0-9;]*m")


@given(anything)
def test_printable_lets_no_character_through_that_acts(text: str) -> None:
    """No control, format, private or unassigned character is left, and plain text is left alone."""
    shown = escape.printable(text)
    assert not set(shown) & set(UNPRINTABLE)
    assert len(shown) == len(text)
    assert shown.isprintable() or all(character.isprintable() or character.isspace() for character in shown)
    assert escape.printable("Zürich 東京 €5") == "Zürich 東京 €5"


@given(anything)
def test_terminal_markup_shows_the_text_itself(text: str) -> None:
    """Read as rich markup, the escaped text is the printable text and has no style of its own.

    Backslashes before a bracket or at the end may be fewer: that is how rich reads them.
    """
    parsed = Text.from_markup(f"[red]{escape.terminal(text)}[/red] after", emoji=False)
    assert parsed.plain.replace("\\", "") == escape.printable(text).replace("\\", "") + " after"
    assert [(str(span.style), span.end) for span in parsed.spans] in (
        [],
        [("red", len(parsed.plain) - len(" after"))],
    )


@corpus
def test_the_terminal_gets_no_escape_sequence_of_a_strangers(text: str) -> None:
    """Taking our own colours away leaves printable lines alone, and no link and no title."""
    shown = OUR_STYLES.sub("", on_terminal(text))
    assert not set(shown) & set(UNPRINTABLE)
    assert "\x1b" not in shown
    assert "All is well" not in shown.replace("�payhealth: All is well.", "")


@corpus
def test_the_terminal_renders_with_its_last_line(text: str) -> None:
    """Half a tag beside another half neither raises nor swallows the verdict."""
    last = OUR_STYLES.sub("", on_terminal(text)).strip().splitlines()[-1]
    assert last.startswith("Not all is well: 1 break, 1 failed, 2 could not be judged")


def test_two_halves_of_a_tag_side_by_side_are_text() -> None:
    """A file named ``[/a`` with a reason that ends in ``b]`` closes no style of ours."""
    from payhealth.report.documents import Document

    hole = {"connector": "[/a", "stream": "s", "reason": "b]"}
    row = {"file": "[/red", "line": 1, "reason": "x]"}
    document = Document(
        title="reconcile", data={"statement": [], "breaks": [], "holes": [hole], "rejected": [row]}
    )
    out = io.StringIO()
    render(document, Console(file=out, width=120, emoji=False, highlight=False))
    assert "not read [/a.s: b]" in out.getvalue()
    assert "rejected [/red:1: x]" in out.getvalue()


MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")


@corpus
def test_markdown_is_text_in_its_cell(text: str) -> None:
    """Rendered, the report holds headings and tables of ours and no link, picture, HTML or style."""
    source = machine.to_markdown(hostile_document(text))
    rendered = MARKDOWN.render(source)
    tags = set(re.findall(r"<(/?[a-zA-Z!][^ >]*)", rendered))
    ours = {"h2", "h3", "table", "thead", "tbody", "tr", "th", "td"}
    assert {tag.lstrip("/") for tag in tags} <= ours
    widths = {row.count("<td") for row in re.findall(r"<tr>.*?</tr>", rendered, re.DOTALL) if "<td" in row}
    assert widths <= {4, 3, 7, 8}
    assert not set(source.replace("\n", "")) & set(UNPRINTABLE)


@given(anything)
def test_markdown_and_chat_mention_and_link_nothing(text: str) -> None:
    """No ``@name``, no ``scheme://``, no ``www.``, no ``<!channel>`` that a chat would act on survives."""
    for escaped in (escape.markdown(text), escape.chat(text)):
        assert not re.search(r"@[^\u200b]", escaped)
        assert "://" not in escaped
        assert not re.search(r"www\.", escaped, re.IGNORECASE)
        assert not re.search(r"<[^\u200b]", escaped)
        assert "](" not in escaped
        assert "\n" not in escaped


@corpus
def test_markdown_says_what_was_said(text: str) -> None:
    """Escaping changes no visible letter: the rendered cell reads as the printable text."""
    cell = MarkdownIt("commonmark").renderInline(escape.markdown(text))
    shown = unescape(cell).replace("\u200b", "")
    assert shown.strip() == escape.printable(text).strip()


@corpus
def test_github_gets_one_command_a_line(text: str) -> None:
    """Every line is a command of ours; a stranger's newline, ``::`` or comma makes none and alters none."""
    lines = machine.to_github(hostile_document(text)).split("\n")
    assert lines.pop() == ""
    for line in lines:
        found = re.fullmatch(r"::(error|warning) title=([^:,]*)::(.*)", line)
        assert found is not None, line
        assert not set(line) & set(UNPRINTABLE)
    assert len(lines) <= machine.MAX_ANNOTATIONS


@given(anything)
def test_github_messages_decode_to_the_printable_text(text: str) -> None:
    """What the runner decodes is what was meant; a property cannot end early."""
    message = escape.github_message(text)
    assert "\n" not in message
    assert "\r" not in message
    assert message.replace("%25", "%") == escape.printable(text.replace("\n", " "))
    assert not set(escape.github_property(text)) & set(":,\n\r")


@corpus
def test_junit_parses_and_says_what_was_said(text: str) -> None:
    """XML that every CI can read, with the texts whole."""
    suite = ET.fromstring(machine.to_junit(hostile_document(text)))  # noqa: S314 - we wrote it
    messages = [element.get("message") for element in suite.iter("failure")]
    assert escape.xml(text) in messages


@corpus
def test_json_parses_to_the_texts_themselves(text: str) -> None:
    """JSON escapes, it does not alter: every text comes back, and the output is plain ASCII."""
    written = machine.to_json(hostile_document(text))
    assert written.isascii()
    assert not set(written) & set("\x1b\x00\x07\x08")
    read = json.loads(written)
    assert read["checks"][0]["message"] == text
    assert read["pull"][0]["error"] == text


class Page(HTMLParser):
    """Collects tags, attributes and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.said: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag and the names of its attributes."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.said.append(data)


def hostile_charts(text: str) -> list[html.Chart]:
    """Every kind of chart with the text wherever a text may stand."""
    series = [charts.Series(name=text, css=text, values=(1.0, 0.0))]
    band = charts.Band(values=(1.0, None), lower=(0.5, None), upper=(2.0, None))
    drawn = [
        charts.stacked_bars([text, "b"], series, label=text, unit=text),
        charts.line_with_band([text, "b"], band, label=text, unit=text),
        charts.horizontal_bars([(text, 1.0, text)], label=text, css=text),
        charts.timeline([(text, [(0.0, 1.0)])], label=text, start=text, end=text),
    ]
    return [html.Chart(title=text, caption=text, svg=svg, legend=((text, text),)) for svg in drawn]


@corpus
def test_the_page_runs_loads_and_links_nothing(text: str) -> None:
    """Whatever strangers write, the page has the tags and attributes of a harmless one, and says the text."""

    def made(said: str) -> str:
        return html.page(hostile_document(said), hostile_charts(said), generated_at=NOW)

    hostile, harmless = Page(made(text)), Page(made("harmless" if text else ""))
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    assert not {"script", "a", "img", "iframe", "object", "link"} & set(hostile.tags)
    assert not {name for name in hostile.attributes if name.startswith("on")} | (
        {"href", "src"} & hostile.attributes
    )
    said = "".join(hostile.said)
    assert not set(said) & set(UNPRINTABLE)
    assert escape.printable(text) in said


@corpus
@pytest.mark.parametrize("kind", range(4))
def test_charts_are_well_formed_and_say_the_text(kind: int, text: str) -> None:
    """SVG that parses as XML, whatever its names are."""
    svg = ET.fromstring(hostile_charts(text)[kind].svg)  # noqa: S314 - we wrote it
    assert escape.printable(text) in "".join(svg.itertext())
    assert svg.get("aria-label") == escape.printable(text)
