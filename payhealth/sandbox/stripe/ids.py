"""Identifiers, draws and times of the Stripe-shaped sandbox: the same seed gives the same world."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime

_LENGTHS = {"cus": 14, "secret": 25}
_DEFAULT_LENGTH = 24


class Ids:
    """Makes Stripe-like identifiers from a seed.

    The n-th id of a prefix depends on the seed, the prefix and n alone, so that making one more event
    does not rename the charges after it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._made: Counter[str] = Counter()

    def new(self, prefix: str) -> str:
        """The next id of a kind, such as ``ch_8dGkT2…`` for ``ch``."""
        self._made[prefix] += 1
        digest = _digest(self._seed, prefix, self._made[prefix])
        # Base 64 with two letters in the place of its signs: ids hold letters and digits alone.
        text = b64encode(digest, altchars=b"Qz").decode()
        return f"{prefix}_{text[: _LENGTHS.get(prefix, _DEFAULT_LENGTH)]}"


def draw(*parts: object) -> int:
    """A number of 160 bits that depends on ``parts`` alone: a draw that no other draw can shift."""
    return int.from_bytes(_digest(*parts), "big")


def _digest(*parts: object) -> bytes:
    text = "\x1f".join([str(part) for part in parts])
    return hashlib.blake2b(text.encode(), digest_size=20).digest()


def from_unix_s(at_s: int) -> datetime:
    """The aware moment of unix seconds."""
    return datetime.fromtimestamp(at_s, UTC)


def unix_s(at: datetime) -> int:
    """Unix seconds of an aware datetime, cut to the second as Stripe does.

    Raises:
        ValueError: ``at`` is naive.
    """
    if at.tzinfo is None:
        msg = f"a moment needs a time zone: {at!r}"
        raise ValueError(msg)
    return int(at.astimezone(UTC).timestamp())
