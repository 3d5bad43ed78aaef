"""A stream seen through a window: blocks that end where a line ends."""

from __future__ import annotations

from typing import BinaryIO

MAX_BYTES = 16 * 1024**3
"""How much one file may hold, unpacked."""


class Window:
    """Gives a stream block by block, and lets a reader look a little beyond the block's end.

    Args:
        stream: what to read; the window does not close it.
        block_bytes: about how large a block is; a longer line makes a larger one.
    """

    def __init__(self, stream: BinaryIO, block_bytes: int) -> None:
        self._stream = stream
        self._block_bytes = block_bytes
        self._held = b""
        self._ended = False
        self.offset = 0

    def block(self) -> bytes:
        """The next bytes up to the end of a line, empty at the end; :meth:`consume` moves past them."""
        wanted = self._block_bytes
        while True:
            self._hold(wanted)
            cut = self._held.rfind(b"\n", 0, wanted) + 1
            if cut:
                return self._held[:cut]
            if self._ended:
                return self._held
            wanted *= 2

    def beyond(self, used: int, lines: int) -> bytes:
        """At least so many lines behind the first ``used`` bytes, or all there are."""
        wanted = max(used, 1)
        while not self._ended and self._held.count(b"\n", used) < lines:
            wanted *= 2
            self._hold(wanted)
        return self._held[used:]

    def consume(self, used: int) -> None:
        """Move past some bytes."""
        self._held = self._held[used:]
        self.offset += used

    def _hold(self, wanted: int) -> None:
        parts, held = [self._held], len(self._held)
        while held < wanted and not self._ended:
            part = self._stream.read(wanted - held)
            self._ended = not part
            parts.append(part)
            held += len(part)
        self._held = b"".join(parts) if len(parts) > 1 else self._held
