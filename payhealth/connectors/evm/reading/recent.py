"""The recent window: the canonical blocks from the last final one to the newest read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from payhealth.connectors.evm.wire.values import Header


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
