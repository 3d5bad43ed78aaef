"""In which block did a difference arise? Halving, by readings at single blocks; pure.

A difference that is there at the end and not at the beginning changed from nothing to something in at least
one block: that block is found. Several differences that cancel out at both ends are found where a reading
falls between them, else they are not: nothing is asked for every block.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

Probes = Generator[int, int | None, "Gap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """The blocks in one of which a difference arose, both inclusive; equal where it was found."""

    lower: int
    upper: int


def probes(lower: int, upper: int) -> Probes:
    """Ask block by block for the difference there, and end with where it arose.

    Args:
        lower: a block at which there is no difference.
        upper: a later one at which there is.

    Yields:
        A block; it wants the difference there sent back, None where nobody has that block's state.

    Returns:
        The narrowest stretch that is known: a single block, unless states were missing.
    """
    nothing, something, unknown = lower, upper, lower
    while something - unknown > 1:
        middle = (unknown + something) // 2
        difference = yield middle
        if difference is None:
            # States are pruned from the oldest on: what lies between is newer, and may still be there.
            unknown = middle
        elif difference:
            something = middle
        else:
            nothing = unknown = middle
    return Gap(lower=nothing + 1, upper=something)


def first_difference(lower: int, upper: int, difference_at: Callable[[int], int | None]) -> Gap:
    """Where a difference arose in ``(lower, upper]``.

    Args:
        difference_at: the difference at a block, None where its state is gone.
    """
    search = probes(lower, upper)
    answer: int | None = None
    try:
        block = next(search)
        while True:
            answer = difference_at(block)
            block = search.send(answer)
    except StopIteration as ended:
        gap: Gap = ended.value
        return gap
