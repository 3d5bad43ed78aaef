"""Section 5.2, pass `reference` with the last gathering: groups, their legs, and what becomes of them."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction

from tests.oracle.expect import Expectation
from tests.oracle.model import ENTRY, MOVEMENT, Entry, LegKey, Movement, Policy, ReferenceRule, RowId

CONFIRMED = "confirmed"
IN_FLIGHT = "in_flight"
BROKEN = "break"


@dataclass(frozen=True)
class HeldEntry:
    """An entry with the policy that gives its time to clear."""

    entry: Entry
    policy: Policy


@dataclass
class Leg:
    """The part of a group on one account and asset; amounts are signed sums."""

    expected: Fraction = Fraction(0)
    entered: Fraction = Fraction(0)
    waiting: Fraction = Fraction(0)
    """N: the signed sum of the rows not yet past their time to clear."""
    gross: Fraction = Fraction(0)
    """The paid-in leg: the signed gross of the movements."""

    @property
    def residual(self) -> Fraction:
        """R = expected - entered."""
        return self.expected - self.entered

    @property
    def in_flight(self) -> Fraction:
        """sign(R) * min(|R|, |N|) if R and N have the same sign, else 0."""
        if self.residual > 0 and self.waiting > 0:
            return min(self.residual, self.waiting)
        if self.residual < 0 and self.waiting < 0:
            return max(self.residual, self.waiting)
        return Fraction(0)

    @property
    def broken(self) -> Fraction:
        """B = R - in flight."""
        return self.residual - self.in_flight


@dataclass
class Group:
    """Rows gathered by one reference, or one row without a reference."""

    expectations: list[Expectation] = field(default_factory=list)
    entries: list[HeldEntry] = field(default_factory=list)
    as_of: datetime | None = None

    @property
    def row_ids(self) -> frozenset[RowId]:
        """The ids of both sides."""
        movements = {(MOVEMENT, expectation.movement.id) for expectation in self.expectations}
        return frozenset(movements | {(ENTRY, held.entry.id) for held in self.entries})

    @property
    def rail(self) -> str:
        """A group's rows all count in the rail of its first movement."""
        if not self.expectations:
            return "unassigned"
        return min(self.expectations, key=lambda expectation: expectation.movement.order).rail

    @property
    def has_both_sides(self) -> bool:
        """Whether pass 1 claims it."""
        return bool(self.expectations and self.entries)

    @property
    def only_account(self) -> str:
        """The account that rows without one join; empty where there is none or more than one."""
        rows: list[Movement | Entry] = [expectation.movement for expectation in self.expectations]
        rows += [held.entry for held in self.entries]
        accounts = {row.account for row in rows} - {""}
        return accounts.pop() if len(accounts) == 1 else ""

    def leg_key(self, row: Movement | Entry) -> LegKey:
        """The leg that a row of this group belongs to."""
        return row.account or self.only_account, row.asset

    def legs(self) -> dict[LegKey, Leg]:
        """Cut the group by (account, asset)."""
        legs: dict[LegKey, Leg] = defaultdict(Leg)
        for expectation in self.expectations:
            leg = legs[self.leg_key(expectation.movement)]
            leg.expected += expectation.amount
            leg.gross += expectation.movement.signed_gross
            if self.is_waiting(expectation.movement, expectation.policy):
                leg.waiting += expectation.amount
        for held in self.entries:
            leg = legs[self.leg_key(held.entry)]
            leg.entered += held.entry.amount
            if self.is_waiting(held.entry, held.policy):
                leg.waiting -= held.entry.amount
        return dict(legs)

    def is_waiting(self, row: Movement | Entry, policy: Policy) -> bool:
        """Whether a row is still inside its time to clear at T; its end is already past (decision 1)."""
        assert self.as_of is not None
        return self.as_of - row.at < policy.time_to_clear


def drop_shared_references(
    movements: list[Movement], entries: list[Entry], max_reference_share: int
) -> tuple[list[Movement], list[Entry], dict[str, int]]:
    """A reference shared by more than `max_reference_share` movements is no reference (decision 4)."""
    shares = Counter(movement.reference for movement in movements if movement.reference)
    shared = {reference: count for reference, count in shares.items() if count > max_reference_share}
    return (
        [replace(row, reference="") if row.reference in shared else row for row in movements],
        [replace(row, reference="") if row.reference in shared else row for row in entries],
        shared,
    )


def gather(expected: list[Expectation], held: list[HeldEntry], as_of: datetime) -> list[Group]:
    """Groups by reference alone; a row without a reference stands by itself."""
    by_reference: dict[str, Group] = defaultdict(lambda: Group(as_of=as_of))
    lone: list[Group] = []
    for expectation in expected:
        if expectation.movement.reference:
            by_reference[expectation.movement.reference].expectations.append(expectation)
        else:
            lone.append(Group([expectation], [], as_of))
    for entry in held:
        if entry.entry.reference:
            by_reference[entry.entry.reference].entries.append(entry)
        else:
            lone.append(Group([], [entry], as_of))
    return [*by_reference.values(), *lone]


def is_within_tolerance(leg: Leg, rule: ReferenceRule) -> bool:
    """|R| within `absolute` or `relative` of the larger, the wider of the two, inclusive (decision 10)."""
    larger = max(abs(leg.expected), abs(leg.entered))
    return abs(leg.residual) <= max(rule.absolute, rule.relative * larger)


def is_settled(group: Group, leg: Leg, rule: ReferenceRule) -> bool:
    """Tolerance is for groups with both sides; rows of one side must cancel exactly (decision 11)."""
    return is_within_tolerance(leg, rule) if group.has_both_sides else leg.residual == 0


def verdict(group: Group, rule: ReferenceRule) -> str:
    """What becomes of a group: confirmed, in flight, or a break."""
    legs = group.legs().values()
    if all(is_settled(group, leg, rule) for leg in legs):
        return CONFIRMED
    if all(leg.broken == 0 for leg in legs):
        return IN_FLIGHT
    return BROKEN
