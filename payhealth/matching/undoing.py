"""Which refunds, disputes and retractions were taken back in the ledger, and which were not."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from payhealth.domain.records import REDOING, UNDOING, MovementKind

CANCELS = {MovementKind.DISPUTE_REVERSAL: MovementKind.DISPUTE}
"""A won dispute cancels the dispute, where that was never clawed back."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one movement asks of the ledger: a magnitude, to be taken back or to be credited."""

    kind: MovementKind
    amount: int
    waits: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What the ledger left unanswered.

    Args:
        unanswered: reversals past their time to clear without their negative entry, by kind.
        again: what a failed refund or won dispute asks to be credited again and was not.
    """

    unanswered: dict[MovementKind, int]
    again: int


def hold_against(claims: Sequence[Claim], clawed: Sequence[int], credited: Sequence[int]) -> Held:
    """Hold payments against positive entries and what undoes them against negative ones.

    An entry answers the first claim of its own amount; what is left of the entries answers the rest in
    order of time. What was won back first cancels what nobody clawed back.

    Args:
        claims: of one group in one asset, in order of time.
        clawed: magnitudes of its negative entries, in order of time.
        credited: its positive entries, in order of time.
    """
    undos = [claim for claim in claims if claim.kind in UNDOING]
    left = _answer([claim.amount for claim in undos], clawed)
    rest = [claim for claim in claims if claim.kind not in UNDOING]
    needed = [claim.amount - _cancel(claim, undos, left) for claim in rest]
    missing = _answer(needed, credited)
    unanswered: dict[MovementKind, int] = defaultdict(int)
    for undo, amount in zip(undos, left, strict=True):
        if amount > 0 and not undo.waits:
            unanswered[undo.kind] += amount
    again = sum(amount for claim, amount in zip(rest, missing, strict=True) if claim.kind in REDOING)
    return Held(unanswered, again)


def _cancel(claim: Claim, undos: Sequence[Claim], left: list[int]) -> int:
    """Use up what is left of the reversals that a claim cancels; how much that was."""
    cancelled = 0
    for place, undo in enumerate(undos):
        if undo.kind == CANCELS.get(claim.kind):
            part = min(claim.amount - cancelled, left[place])
            left[place] -= part
            cancelled += part
    return cancelled


def _answer(claims: Sequence[int], entries: Sequence[int]) -> list[int]:
    """What is left of each claim after the entries."""
    left = list(claims)
    by_amount: dict[int, deque[int]] = defaultdict(deque)
    for place, amount in enumerate(left):
        by_amount[amount].append(place)
    rest = 0
    for amount in entries:
        if by_amount[amount]:
            left[by_amount[amount].popleft()] = 0
        else:
            rest += amount
    for place, amount in enumerate(left):
        answered = min(amount, rest)
        left[place] -= answered
        rest -= answered
    return left
