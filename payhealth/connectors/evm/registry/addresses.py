"""Addresses as people write them: checked, then kept in lower case."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
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
        # Imported here: hashing is needed for mixed case alone, and costs start-up time.
        from eth_utils.address import to_checksum_address

        right = to_checksum_address(trimmed)
        if right != trimmed:
            raise ValueError(f"the checksum of {trimmed} is wrong; if the digits are right it is {right}")
    return trimmed.lower()


def read_addresses(path: Path) -> tuple[str, ...]:
    """The addresses of a file, one a line; blank lines and what follows ``#`` are left out.

    Raises:
        ValueError: the file cannot be read, or a line is no address (its number is named).
    """
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError(f"the address file {path} is larger than {_MAX_FILE_BYTES} bytes")
        text = path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"the address file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the address file {path} is not UTF-8 text") from error
    return tuple(_addresses(path, text.splitlines()))


def _addresses(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            yield checked_address(content)
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from error
