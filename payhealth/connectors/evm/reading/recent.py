"""The recent window: the canonical blocks from the last final one to the newest read. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, Self

from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.times import from_us, to_us

_HASH_BYTES = 32


class ChainMovedError(Exception):
    """The chain changed while it was being read, or two nodes behind one URL disagree: look again."""


class Recent:
    """Blocks that link into one another by parent hash, without gaps.

    Args:
        headers: canonical blocks in any order; those that do not link to the newest are left out.
    """

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        self._blocks: dict[int, Header] = {}
        descending = sorted(headers, key=lambda header: header.number, reverse=True)
        child: Header | None = None
        for header in descending:
            if child is not None and (header.number != child.number - 1 or header.hash != child.parent):
                if header.number == child.number:
                    continue
                break
            self._blocks[header.number] = child = header

    @classmethod
    def restored(cls, kept: Any) -> Self:
        """The window as :meth:`state` gave it; an empty one where that is not readable."""
        try:
            return cls(_unpacked(kept))
        except (KeyError, TypeError, ValueError, OverflowError, binascii.Error):
            return cls()

    @property
    def tip(self) -> Header | None:
        """The newest block, None where nothing was read yet."""
        return self._blocks[max(self._blocks)] if self._blocks else None

    def get(self, number: int) -> Header | None:
        """The canonical block of a height, None outside the window."""
        return self._blocks.get(number)

    def numbers(self) -> list[int]:
        """The heights in the window, newest first."""
        return sorted(self._blocks, reverse=True)

    def put(self, header: Header) -> None:
        """Add a block on top; one that leaves a gap starts the window anew.

        Raises:
            ChainMovedError: another block stands at its height, or it does not link to the newest.
        """
        known, tip = self.get(header.number), self.tip
        if known is not None:
            if known.hash != header.hash:
                raise ChainMovedError(f"two blocks at height {header.number}")
            return
        if tip is not None and header.number == tip.number + 1:
            if header.parent != tip.hash:
                raise ChainMovedError(f"block {header.number} does not link to block {tip.number}")
        else:
            self._blocks.clear()
        self._blocks[header.number] = header

    def above(self, height: int) -> list[Header]:
        """The blocks above a height, oldest first."""
        return [self._blocks[number] for number in sorted(self._blocks) if number > height]

    def cut(self, fork: int) -> None:
        """Take out the blocks above a height."""
        for header in self.above(fork):
            del self._blocks[header.number]

    def forget_below(self, final: int) -> None:
        """Let go of blocks below the last final one: nothing may change them any more."""
        for number in [number for number in self._blocks if number < final]:
            del self._blocks[number]

    def state(self) -> dict[str, Any] | None:
        """The window as JSON holds it, some 50 bytes a block; parents follow from the hashes."""
        blocks = self.above(-1)
        if not blocks:
            return None
        packed = b"".join(bytes.fromhex(block.hash[2:]) for block in blocks)
        return {
            "first": blocks[0].number,
            "parent": blocks[0].parent,
            "hashes": base64.b64encode(packed).decode(),
            "seconds": [to_us(block.at) // 1_000_000 for block in blocks],
        }


def _unpacked(kept: Mapping[str, Any]) -> list[Header]:
    packed = base64.b64decode(kept["hashes"], validate=True)
    if len(packed) % _HASH_BYTES:
        raise ValueError("a hash is cut short")
    hashes = [
        "0x" + packed[start : start + _HASH_BYTES].hex() for start in range(0, len(packed), _HASH_BYTES)
    ]
    parents = [str(kept["parent"]), *hashes]
    return [
        Header(number=int(kept["first"]) + place, hash=block, parent=parent, at=from_us(int(at) * 1_000_000))
        for place, (block, parent, at) in enumerate(
            zip(hashes, parents[: len(hashes)], kept["seconds"], strict=True)
        )
    ]
