"""Which refunds, disputes and retractions were taken back in the ledger, and which were not."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from payhealth.domain.records import MovementKind

CANCELS = {
    MovementKind.REFUND_REVERSAL: MovementKind.REFUND,
    MovementKind.DISPUTE_REVERSAL: MovementKind.DISPUTE,
}
"""A failed refund or a won dispute cancels what it undoes, where that was never clawed back."""


@dataclass(frozen=True, slots=True)
class Undo:
    """One reversal's claim on the ledger: how much must be taken back, or given again."""

    kind: MovementKind
    amount: int
    waits: bool


def hold_against(
    undos: Sequence[Undo], redos: Iterable[Undo], clawed: Sequence[int]
) -> tuple[dict[MovementKind, int], int]:
    """Hold reversals against the negative entries of their leg.

    A negative entry answers the first reversal of its own amount; what is left of the entries answers
    the rest in order of time. What was won back then cancels what nobody clawed back.

    Args:
        undos: in order of time.
        clawed: magnitudes of the negative entries, in order of time.

    Returns:
        What is unanswered past its time to clear, by kind, and what must be credited again.
    """
    open_amounts = _answer(undos, clawed)
    again = 0
    for redo in redos:
        rest = redo.amount
        for place, undo in enumerate(undos):
            if undo.kind == CANCELS[redo.kind]:
                cancelled = min(rest, open_amounts[place])
                open_amounts[place] -= cancelled
                rest -= cancelled
        again += rest
    unanswered: dict[MovementKind, int] = defaultdict(int)
    for undo, amount in zip(undos, open_amounts, strict=True):
        if amount > 0 and not undo.waits:
            unanswered[undo.kind] += amount
    return unanswered, again


def _answer(undos: Sequence[Undo], clawed: Sequence[int]) -> list[int]:
    """What is left of each reversal after the negative entries."""
    left = [undo.amount for undo in undos]
    by_amount: dict[int, deque[int]] = defaultdict(deque)
    for place, amount in enumerate(left):
        by_amount[amount].append(place)
    rest = 0
    for amount in clawed:
        if by_amount[amount]:
            left[by_amount[amount].popleft()] = 0
        else:
            rest += amount
    for place, amount in enumerate(left):
        answered = min(amount, rest)
        left[place] -= answered
        rest -= answered
    return left
