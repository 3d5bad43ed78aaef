"""One escaper for each kind of output.

Token symbols, metadata, decline texts and references are written by strangers: nothing of theirs may
move a cursor, colour a terminal, link, mention, run or calculate anything.
"""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>])")
_ADDRESS = re.compile(r"(?<=[@<])|(?<=:)(?=//)|(?<=www)(?=\\?\.)", re.IGNORECASE)
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object) -> str:
    """The text without control, format, private or unassigned characters; each becomes ``�``."""
    return "".join(
        "\ufffd" if unicodedata.category(character) in _UNSAFE_CATEGORIES else character
        for character in str(text)
    )


def terminal(text: object) -> str:
    """Safe inside rich markup: no escape sequence, no ``[style]`` of a stranger's.

    Two texts side by side are escaped as one, or the tag that they make together is none of ours.
    """
    from rich.markup import escape

    escaped = escape(printable(text))
    # An odd number of backslashes at the end would escape whatever style of ours comes next.
    return escaped + "\\" * ((len(escaped) - len(escaped.rstrip("\\"))) % 2)


def markdown(text: object) -> str:
    """Safe inside a markdown table cell or line: no markup, link, HTML or mention."""
    escaped = _MARKDOWN.sub(r"\\\1", printable(text).replace("&", "&amp;").replace("<", "&lt;"))
    return _unlinked(escaped)


def chat(text: object) -> str:
    """Safe as a line of a plain message to people: nothing in it mentions anybody or links anywhere."""
    return _unlinked(printable(text).replace("](", "] ("))


def _unlinked(text: str) -> str:
    """The text with a blank of no width where a mention or an address would be recognised."""
    return _ADDRESS.sub("\u200b", text)


def github_message(text: object) -> str:
    """Safe as the message of a workflow command: one line, percent-encoded as the runner expects."""
    return (
        printable(str(text).replace("\n", " ")).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    )


def github_property(text: object) -> str:
    """Safe as a property value of a workflow command."""
    return github_message(text).replace(":", "%3A").replace(",", "%2C")


def xml(text: object) -> str:
    """Only characters that XML 1.0 can carry; the serialiser escapes the markup itself."""
    return printable(text)
