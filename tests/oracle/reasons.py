"""Section 5.4: why a group is a break, which reason comes first, and the flags beside it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import accumulate

from tests.oracle.expect import Expectation
from tests.oracle.group import Group, HeldEntry, Leg
from tests.oracle.model import (
    PAYMENT_KINDS,
    REVERSAL_KINDS,
    UNDOING_KINDS,
    Break,
    LegKey,
    exact_decimal,
)

REASONS_IN_ORDER = (
    "paid_not_credited",
    "credited_not_paid",
    "wrong_account",
    "wrong_asset",
    "wrong_chain",
    "refund_not_clawed_back",
    "dispute_not_clawed_back",
    "reorg_not_clawed_back",
    "duplicate_credit",
    "amount_over",
    "duplicate_payment",
    "clawed_back_not_refunded",
    "reversal_not_recredited",
    "amount_under",
)
NOT_CLAWED_BACK = {
    "refund": "refund_not_clawed_back",
    "dispute": "dispute_not_clawed_back",
    "retraction": "reorg_not_clawed_back",
}


@dataclass(frozen=True)
class AssetView:
    """What a group holds in one asset, over all its accounts; rows are in (time, id) order."""

    group: Group
    asset: str
    expectations: list[Expectation]
    entries: list[HeldEntry]
    legs: list[Leg]

    @property
    def broken(self) -> Fraction:
        """B summed over the accounts."""
        return sum((leg.broken for leg in self.legs), Fraction(0))

    def expected_of(self, kinds: Iterable[str]) -> list[Expectation]:
        """The expectations of some kinds of movement."""
        return [one for one in self.expectations if one.movement.kind in kinds]

    @property
    def entered_up(self) -> Fraction:
        """The positive entries, summed."""
        return sum((max(held.entry.amount, Fraction(0)) for held in self.entries), Fraction(0))

    @property
    def entered_down(self) -> Fraction:
        """The size of the negative entries, summed."""
        return sum((max(-held.entry.amount, Fraction(0)) for held in self.entries), Fraction(0))


def view_of(group: Group, asset: str, legs: dict[LegKey, Leg]) -> AssetView:
    """Everything of one asset in a group."""
    expectations = [one for one in group.expectations if one.movement.asset == asset]
    entries = [held for held in group.entries if held.entry.asset == asset]
    return AssetView(
        group,
        asset,
        sorted(expectations, key=lambda one: one.movement.order),
        sorted(entries, key=lambda held: held.entry.order),
        [leg for (_, leg_asset), leg in legs.items() if leg_asset == asset],
    )


# --- the break ------------------------------------------------------------------------------------


def break_of(group: Group) -> Break:
    """Describe a group that is a break."""
    legs = group.legs()
    reasons = reasons_of(group, legs)
    primary = min(reasons, key=REASONS_IN_ORDER.index)
    asset = asset_of_break(group, legs)
    flags = (reasons - {primary}) | flags_of(group)
    if "paid_not_credited" in reasons and has_payment_without_account(group):
        flags.add("unknown_sender")
    of_asset = [leg.broken for (_, leg_asset), leg in legs.items() if leg_asset == asset]
    return Break(
        primary_reason=primary,
        flags=frozenset(flags),
        amount=exact_decimal(sum(of_asset, Fraction(0))),
        at_risk=exact_decimal(max(abs(leg.broken) for leg in legs.values())),
        asset=asset,
        legs={key: exact_decimal(leg.broken) for key, leg in legs.items()},
    )


def asset_of_break(group: Group, legs: dict[LegKey, Leg]) -> str:
    """A paid asset first, then that of the largest |leg|, then by name (decision 15)."""
    paid = paid_assets(group)
    candidates = [(asset not in paid, -abs(leg.broken), asset) for (_, asset), leg in legs.items()]
    return min(candidates)[2]


def paid_assets(group: Group) -> set[str]:
    """The assets in which the group has a movement of any kind."""
    return {one.movement.asset for one in group.expectations}


def reasons_of(group: Group, legs: dict[LegKey, Leg]) -> set[str]:
    """Every reason that applies in any asset of the group (decision 17)."""
    found: set[str] = set()
    for asset in sorted({asset for _, asset in legs}):
        found |= reasons_in_asset(view_of(group, asset, legs))
    # Decision 20: in every asset B cancels over accounts although R does not.
    return found or {"wrong_account"}


def reasons_in_asset(view: AssetView) -> set[str]:
    """The reasons that apply in one asset."""
    found = reasons_of_one_side(view) | reasons_of_wrong_place(view)
    if view.broken < 0:
        found |= reasons_of_too_much(view, already_named=bool(found))
    if view.broken > 0:
        found |= reasons_of_too_little(view, already_named=bool(found))
    return found


def reasons_of_one_side(view: AssetView) -> set[str]:
    """Payments without entries (B > 0), positive entries without movements (B < 0, decision 19)."""
    if not view.group.entries and view.expected_of(PAYMENT_KINDS) and view.broken > 0:
        return {"paid_not_credited"}
    if not view.group.expectations and view.entered_up > 0 and view.broken < 0:
        return {"credited_not_paid"}
    return set()


def reasons_of_wrong_place(view: AssetView) -> set[str]:
    """Legs that cancel over accounts; an entry in an asset nobody paid (decisions 20 and 21)."""
    found = set()
    residuals = [leg.residual for leg in view.legs]
    if any(residuals) and sum(residuals) == 0:
        found.add("wrong_account")
    paid = paid_assets(view.group)
    if paid and view.entries and view.asset not in paid:
        found.add("wrong_asset")
        if any(differs_only_in_chain(view.asset, other) for other in paid):
            found.add("wrong_chain")
    return found


def differs_only_in_chain(one: str, other: str) -> bool:
    """Whether two CAIP-19 assets differ in their CAIP-2 part only."""
    chain_of_one, slash_of_one, token_of_one = one.partition("/")
    chain_of_other, slash_of_other, token_of_other = other.partition("/")
    both_on_chains = bool(slash_of_one and slash_of_other)
    return both_on_chains and token_of_one == token_of_other and chain_of_one != chain_of_other


def reasons_of_too_much(view: AssetView, already_named: bool) -> set[str]:
    """B < 0: reversals without their negative entries, double credits, other excess."""
    found = set()
    unanswered = unanswered_undoings(view)
    past = [
        (one, amount)
        for one, amount in unanswered
        if amount > 0 and not view.group.is_waiting(one.movement, one.policy)
    ]
    found |= {NOT_CLAWED_BACK[one.movement.kind] for one, _ in past}
    if past and -view.broken > sum(amount for _, amount in past):
        found.add("amount_over")
    positive = [held.entry.amount for held in view.entries if held.entry.amount > 0]
    if is_some_of_equals(-view.broken, [(amount, amount) for amount in positive]):
        found.add("duplicate_credit")
    return found if found or already_named else {"amount_over"}


def reasons_of_too_little(view: AssetView, already_named: bool) -> set[str]:
    """B > 0: double payments, entries reversed too much, reversals not credited again, other lacks."""
    found = set()
    payments = [one for one in view.expected_of(PAYMENT_KINDS) if one.amount > 0]
    if is_some_of_equals(view.broken, [(one.amount, one.movement.gross) for one in payments]):
        found.add("duplicate_payment")
    undone = sum((-one.amount for one in view.expected_of(UNDOING_KINDS)), Fraction(0))
    if view.entered_down > undone:
        found.add("clawed_back_not_refunded")
    if any(amount > 0 for one, amount in unanswered_payments(view) if one.movement.kind in REVERSAL_KINDS):
        found.add("reversal_not_recredited")
    return found if found or already_named else {"amount_under"}


def is_some_of_equals(total: Fraction, rows: list[tuple[Fraction, Fraction]]) -> bool:
    """Whether `total` is one or more of several equal rows (all of them too, decision 25).

    Args:
        total: what is to be explained.
        rows: the amount of each row, beside what must be equal as well.
    """
    return any(
        count >= 2 and any(total == times * amount for times in range(1, count + 1))
        for (amount, _), count in Counter(rows).items()
    )


# --- who answers whom -----------------------------------------------------------------------------


def answered_in_order(
    amounts: list[tuple[Expectation, Fraction]], answers: Fraction
) -> list[tuple[Expectation, Fraction]]:
    """What is left of each amount when `answers` is used up from the first to the last."""
    left = []
    for one, amount in amounts:
        used = min(amount, answers)
        answers -= used
        left.append((one, amount - used))
    return left


def answered_by_entries(
    amounts: list[tuple[Expectation, Fraction]], entries: list[Fraction]
) -> list[tuple[Expectation, Fraction]]:
    """What is left of each amount: an entry answers the first one equal to it, the rest go in order.

    Args:
        amounts: what is asked for, by (time, id).
        entries: sizes of the entries, by (time, id) (decision 22).
    """
    left = list(amounts)
    unused = Fraction(0)
    taken: set[int] = set()
    for size in entries:
        equal = [place for place, (_, amount) in enumerate(amounts) if amount == size and place not in taken]
        if equal:
            taken.add(equal[0])
            left[equal[0]] = (amounts[equal[0]][0], Fraction(0))
        else:
            unused += size
    return answered_in_order(left, unused)


def unanswered_undoings(view: AssetView) -> list[tuple[Expectation, Fraction]]:
    """What undoing movements still lack in negative entries, less the disputes won back (decision 23)."""
    lacking = lacking_negative_entries(view)
    won_back = sum((one.amount for one in view.expected_of({"dispute_reversal"})), Fraction(0))
    disputes = [(one, amount) for one, amount in lacking if one.movement.kind == "dispute"]
    others = [(one, amount) for one, amount in lacking if one.movement.kind != "dispute"]
    return others + answered_in_order(disputes, won_back)


def lacking_negative_entries(view: AssetView) -> list[tuple[Expectation, Fraction]]:
    """Undoing movements held against negative entries."""
    undoings = [(one, -one.amount) for one in view.expected_of(UNDOING_KINDS)]
    return answered_by_entries(
        undoings, [-held.entry.amount for held in view.entries if held.entry.amount < 0]
    )


def unanswered_payments(view: AssetView) -> list[tuple[Expectation, Fraction]]:
    """Payments and reversals held against positive entries.

    What of a dispute_reversal cancels a dispute that was never clawed back needs no entry.
    """
    never_clawed_back = sum(
        (amount for one, amount in lacking_negative_entries(view) if one.movement.kind == "dispute"),
        Fraction(0),
    )
    won_back = [(one, one.amount) for one in view.expected_of({"dispute_reversal"})]
    needed = {one.movement.id: left for one, left in answered_in_order(won_back, never_clawed_back)}
    upward = view.expected_of(PAYMENT_KINDS | REVERSAL_KINDS)
    return answered_by_entries(
        [(one, needed.get(one.movement.id, one.amount)) for one in upward],
        [held.entry.amount for held in view.entries if held.entry.amount > 0],
    )


# --- flags ----------------------------------------------------------------------------------------


def flags_of(group: Group) -> set[str]:
    """The flags that stand on a break or a match alike; `credited_before_final` needs a chain."""
    flags = set()
    if is_late(group):
        flags.add("late")
    if is_dust(group):
        flags.add("dust")
    if any(one.over_refunded for one in group.expectations):
        flags.add("over_refunded")
    return flags


def has_payment_without_account(group: Group) -> bool:
    """Whether a payment stands on a leg without an account."""
    payments = [one.movement for one in group.expectations if one.movement.kind in PAYMENT_KINDS]
    return any(group.leg_key(payment)[0] == "" for payment in payments)


def is_dust(group: Group) -> bool:
    """Movements, and every row below the `dust_below` of its policy (decision 28)."""
    rows = [(one.movement.gross, one.policy) for one in group.expectations]
    rows += [(abs(held.entry.amount), held.policy) for held in group.entries]
    below = [policy.dust_below is not None and amount < policy.dust_below for amount, policy in rows]
    return bool(group.expectations) and all(below)


@dataclass(frozen=True)
class Dated:
    """A signed amount with its time and the end of its time to clear."""

    at: datetime
    id: str
    due: datetime
    amount: Fraction


def is_late(group: Group) -> bool:
    """Whether a row met its counterpart at or after the end of its time to clear (decision 26)."""
    for key in group.legs():
        expected = [
            Dated(one.movement.at, one.movement.id, one.movement.at + one.policy.time_to_clear, one.amount)
            for one in group.expectations
            if group.leg_key(one.movement) == key
        ]
        entered = [
            Dated(held.entry.at, held.entry.id, held.entry.at + held.policy.time_to_clear, held.entry.amount)
            for held in group.entries
            if group.leg_key(held.entry) == key
        ]
        for sign in (1, -1):
            for one, other in meetings(of_sign(expected, sign), of_sign(entered, sign)):
                earlier, later = (one, other) if one.at <= other.at else (other, one)
                if earlier.at < later.at and later.at >= earlier.due:
                    return True
    return False


def of_sign(rows: list[Dated], sign: int) -> list[Dated]:
    """The rows of one sign, by (time, id)."""
    return sorted((row for row in rows if row.amount * sign > 0), key=lambda row: (row.at, row.id))


def meetings(expected: list[Dated], entered: list[Dated]) -> Iterator[tuple[Dated, Dated]]:
    """The pairs that share a part of the amount when both sides are laid end to end, in order."""
    expected_to = list(accumulate((abs(row.amount) for row in expected), initial=Fraction(0)))
    entered_to = list(accumulate((abs(row.amount) for row in entered), initial=Fraction(0)))
    for i, one in enumerate(expected):
        for k, other in enumerate(entered):
            start = max(expected_to[i], entered_to[k])
            if start < min(expected_to[i + 1], entered_to[k + 1]):
                yield one, other
