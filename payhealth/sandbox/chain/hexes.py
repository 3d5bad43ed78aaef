"""Numbers and bytes as JSON-RPC writes them: quantities without leading zeros, data at full length."""

from __future__ import annotations

HASH_BYTES = 32
ADDRESS_BYTES = 20


def quantity(number: int) -> str:
    """A number as a quantity: ``0x0``, ``0x1b4``."""
    return hex(number)


def data(raw: bytes) -> str:
    """Bytes as data, lower-case, every byte written out."""
    return "0x" + raw.hex()


def word(number: int) -> bytes:
    """A number as one 32-byte word of the ABI."""
    return number.to_bytes(HASH_BYTES, "big")


def from_quantity(text: object) -> int:
    """Read a quantity.

    Raises:
        ValueError: with the words a node uses for what is wrong.
    """
    digits = _digits(text)
    if not digits:
        raise ValueError('hex string "0x"')
    if len(digits) > 1 and digits[0] == "0":
        raise ValueError("hex number with leading zero digits")
    if not _is_hex(digits):
        raise ValueError("invalid hex string")
    return int(digits, 16)


def from_data(text: object, *, length: int | None = None) -> bytes:
    """Read data, of exactly ``length`` bytes where that is given.

    Raises:
        ValueError: with the words a node uses for what is wrong.
    """
    digits = _digits(text)
    if len(digits) % 2:
        raise ValueError("hex string of odd length")
    if not _is_hex(digits):
        raise ValueError("invalid hex string")
    if length is not None and len(digits) != 2 * length:
        raise ValueError(f"hex string has length {len(digits)}, want {2 * length}")
    return bytes.fromhex(digits)


def _digits(text: object) -> str:
    # A ValueError for the wrong type too: to the caller both are a parameter that cannot be read.
    if not isinstance(text, str) or not text.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    return text[2:]


def _is_hex(digits: str) -> bool:
    # int() and bytes.fromhex() accept underscores and spaces, a node does not.
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
