"""Why a group does not add up: one rule a reason, in the order in which they are tried (design 5.4).

A rule looks at whole columns of facts. The first that applies to any cell of a group names its break,
the others that apply stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from payhealth.domain.breaks import BreakReason
from payhealth.domain.records import MovementKind
from payhealth.matching.exact import Index, Mask, any_by
from payhealth.matching.facts import Facts

Applies = Callable[[Facts, Mask], Mask]
"""Given the facts and which cells an earlier rule named, which cells the reason applies to."""


@dataclass(frozen=True, slots=True)
class ReasonRule:
    """One reason and when it applies."""

    reason: BreakReason
    applies: Applies


def paid_not_credited(facts: Facts, _: Mask) -> Mask:
    """Payments without any entry."""
    return ~facts.has_entries & facts.has_payments & (facts.broken > 0)


def credited_not_paid(facts: Facts, _: Mask) -> Mask:
    """Positive entries without any movement."""
    return ~facts.has_movements & (facts.credited > 0) & (facts.broken < 0)


def wrong_account(facts: Facts, _: Mask) -> Mask:
    """What is missing on one account stands on another, also where a part of it is still in flight."""
    return facts.cancels | facts.torn


def wrong_asset(facts: Facts, _: Mask) -> Mask:
    """An entry in an asset in which nobody paid."""
    return facts.unpaid_asset


def _not_clawed_back(kind: MovementKind) -> Applies:
    def applies(facts: Facts, _: Mask) -> Mask:
        return np.asarray((facts.broken < 0) & (facts.unanswered[kind] > 0), dtype=bool)

    return applies


def duplicate_credit(facts: Facts, _: Mask) -> Mask:
    """Credited once more, or several times more, by an equal entry."""
    return np.asarray((facts.broken < 0) & facts.equal_credits, dtype=bool)


def amount_over(facts: Facts, named: Mask) -> Mask:
    """Credited more than expected, beyond what missing reversals explain."""
    unanswered = facts.all_unanswered
    excess = (unanswered > 0) & (-facts.broken > unanswered)
    return (facts.broken < 0) & (~named | excess)


def duplicate_payment(facts: Facts, _: Mask) -> Mask:
    """Paid once more, or several times more, by an equal payment."""
    return np.asarray((facts.broken > 0) & facts.equal_payments, dtype=bool)


def clawed_back_not_refunded(facts: Facts, _: Mask) -> Mask:
    """Entries take back more than movements do."""
    return np.asarray((facts.broken > 0) & (facts.clawed > facts.undone), dtype=bool)


def reversal_not_recredited(facts: Facts, _: Mask) -> Mask:
    """A won dispute or a failed refund whose credit was not given again."""
    return np.asarray((facts.broken > 0) & (facts.again > 0), dtype=bool)


def amount_under(facts: Facts, named: Mask) -> Mask:
    """Credited less than expected, for no other reason."""
    return (facts.broken > 0) & ~named


DEFAULT_REASON_RULES: tuple[ReasonRule, ...] = (
    ReasonRule(BreakReason.PAID_NOT_CREDITED, paid_not_credited),
    ReasonRule(BreakReason.CREDITED_NOT_PAID, credited_not_paid),
    ReasonRule(BreakReason.WRONG_ACCOUNT, wrong_account),
    ReasonRule(BreakReason.WRONG_ASSET, wrong_asset),
    ReasonRule(BreakReason.REFUND_NOT_CLAWED_BACK, _not_clawed_back(MovementKind.REFUND)),
    ReasonRule(BreakReason.DISPUTE_NOT_CLAWED_BACK, _not_clawed_back(MovementKind.DISPUTE)),
    ReasonRule(BreakReason.REORG_NOT_CLAWED_BACK, _not_clawed_back(MovementKind.RETRACTION)),
    ReasonRule(BreakReason.DUPLICATE_CREDIT, duplicate_credit),
    ReasonRule(BreakReason.AMOUNT_OVER, amount_over),
    ReasonRule(BreakReason.DUPLICATE_PAYMENT, duplicate_payment),
    ReasonRule(BreakReason.CLAWED_BACK_NOT_REFUNDED, clawed_back_not_refunded),
    ReasonRule(BreakReason.REVERSAL_NOT_RECREDITED, reversal_not_recredited),
    ReasonRule(BreakReason.AMOUNT_UNDER, amount_under),
)


@dataclass(frozen=True, slots=True)
class Named:
    """What the rules said.

    Args:
        primary: number of the first rule that applies to each group.
        applies: for each rule, the groups that it applies to.
    """

    primary: Index
    applies: tuple[Mask, ...]


def name_groups(facts: Facts, groups: int, rules: Sequence[ReasonRule]) -> Named:
    """Try the rules in order on every group.

    A group that no rule names gets the last rule's name, so that a shortened list of rules misnames a
    break instead of losing it; the full list leaves none unnamed.
    """
    if not rules:
        raise ValueError("at least one reason rule is needed")
    primary = np.full(groups, len(rules) - 1, dtype=np.int64)
    named = np.zeros(groups, dtype=bool)
    named_cells = np.zeros(len(facts.group), dtype=bool)
    applies: list[Mask] = []
    for number, rule in enumerate(rules):
        cells = rule.applies(facts, named_cells)
        hit = any_by(facts.group, cells, groups)
        primary[hit & ~named] = number
        named |= hit
        named_cells |= cells
        applies.append(hit)
    return Named(primary, tuple(applies))
