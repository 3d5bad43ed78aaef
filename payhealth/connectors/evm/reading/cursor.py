"""Where a chain's pull goes on: the last block read, and what was being read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import orjson

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import SourceDataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last block read, for one set of addresses and assets.

    Args:
        block: ``start_block - 1`` before the first step.
        of: the fingerprint of the addresses and assets that were read.
        starts_anew: nothing was read yet for this fingerprint.
    """

    block: int
    of: str
    starts_anew: bool = False

    @classmethod
    def parse(cls, text: str | None, settings: EvmSettings) -> Self:
        """Read a stored cursor.

        One of another set of addresses or assets starts anew: blocks that were read before an address
        was configured may hold payments to it. Records are idempotent, so nothing counts twice.

        Raises:
            SourceDataError: the text is no cursor of ours.
        """
        fresh = cls(block=settings.start_block - 1, of=settings.fingerprint(), starts_anew=True)
        if text is None:
            return fresh
        try:
            content = orjson.loads(text)
            stored = cls(block=int(content["block"]), of=str(content["of"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise SourceDataError(f"the stored cursor is not readable: {text[:60]!r}") from None
        return stored if stored.of == fresh.of else fresh

    def moved(self, block: int) -> Self:
        """The cursor after another block."""
        return replace(self, block=block)

    def text(self) -> str:
        """As it is stored."""
        return orjson.dumps({"block": self.block, "of": self.of}).decode()
