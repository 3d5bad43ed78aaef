"""Where the rows of a CSV block stand; asked only about bad and repeated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from payhealth.domain.errors import InputError
from payhealth.tabular.records import record_at, split_lines
from payhealth.tabular.schema import Place

Array = np.ndarray[Any, Any]
Open = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the file that begins and ends with whole records.

    Args:
        data: its bytes, with some lines behind it where a record may reach over its end.
        size: how many of the bytes are its own.
        offset: where in the file it begins.
        first_line: the number of its first line.
    """

    data: bytes
    size: int
    offset: int
    first_line: int

    @property
    def own(self) -> bytes:
        """Its bytes without what follows."""
        return self.data if self.size == len(self.data) else self.data[: self.size]


@dataclass(frozen=True, slots=True)
class Held:
    """Finds rows in a block that is still held.

    Args:
        numbers: each row's first line; None where every line that is not blank is a row.
    """

    block: Block
    numbers: Array | None

    def __call__(self, ordinals: Sequence[int]) -> list[Place]:
        """The places of some rows, in the order asked for."""
        if self.numbers is None:
            return self._plain(ordinals)
        first = self.block.first_line
        lines = split_lines(self.block.data)
        found = [record_at(lines, int(self.numbers[one]) - first, first_line=first) for one in ordinals]
        return [Place(record.number, record.raw) for record in found]

    def _plain(self, ordinals: Sequence[int]) -> list[Place]:
        lines = self.block.own.split(b"\n")
        filled = [number for number, line in enumerate(lines) if line not in (b"", b"\r")]
        taken = [filled[ordinal] for ordinal in ordinals]
        first = self.block.first_line
        return [Place(first + one, lines[one].rstrip(b"\r").decode("utf-8", "replace")) for one in taken]


@dataclass(frozen=True, slots=True)
class Reread:
    """Finds rows in a block that was let go, by reading it anew."""

    opened: Open
    offset: int
    length: int
    size: int
    first_line: int
    numbers: Array | None

    def __call__(self, ordinals: Sequence[int]) -> list[Place]:
        """The places of some rows, in the order asked for.

        Raises:
            InputError: the file has become shorter.
        """
        with self.opened() as stream:
            stream.seek(self.offset)
            data = stream.read(self.length)
        if len(data) != self.length:
            raise InputError("the file changed while it was read")
        return Held(Block(data, self.size, self.offset, self.first_line), self.numbers)(ordinals)
