"""Rows, policies and results of the oracle, and the normalising of what comes in.

Amounts are `Fraction` inside and exact `Decimal` in the result. "Decision n" points into README.md.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

SIGN_OF_KIND = {
    "charge": 1,
    "transfer": 1,
    "refund": -1,
    "dispute": -1,
    "retraction": -1,
    "refund_reversal": 1,
    "dispute_reversal": 1,
}
PAYMENT_KINDS = frozenset({"charge", "transfer"})
UNDOING_KINDS = frozenset({"refund", "dispute", "retraction"})
REVERSAL_KINDS = frozenset({"refund_reversal", "dispute_reversal"})
RAIL_OF_KIND = {kind: "chain" if kind in ("transfer", "retraction") else "card" for kind in SIGN_OF_KIND}
RECONCILED_ENTRY_KINDS = frozenset({"purchase", "reversal"})

MOVEMENT = "movement"
ENTRY = "entry"
RowId = tuple[str, str]
"""(side, id): ids are unique within a side only."""
LegKey = tuple[str, str]
"""(account, asset)."""

_HEX_SEGMENT = re.compile(r"(?:(?<=[:/])|^)0[xX][0-9a-fA-F]+(?=[:/]|$)")


def normalised(text: str) -> str:
    """Trim, and put hexadecimal `0x…` into lower case; everything else keeps its case (decision 2)."""
    return _HEX_SEGMENT.sub(lambda hexadecimal: hexadecimal.group().lower(), text.strip())


@dataclass(frozen=True)
class Movement:
    """One row of the payments file; `gross` is unsigned, `kind` gives the sign."""

    id: str
    kind: str
    account: str
    reference: str
    gross: Fraction
    asset: str
    at: datetime

    @property
    def signed_gross(self) -> Fraction:
        """The effect on what the customer has paid us."""
        return SIGN_OF_KIND[self.kind] * self.gross

    @property
    def order(self) -> tuple[datetime, str]:
        """Every order is total: time, then id."""
        return self.at, self.id


@dataclass(frozen=True)
class Entry:
    """One row of the ledger file; an empty kind is `purchase`."""

    id: str
    account: str
    reference: str
    amount: Fraction
    asset: str
    at: datetime
    kind: str

    @property
    def order(self) -> tuple[datetime, str]:
        """Every order is total: time, then id."""
        return self.at, self.id


@dataclass(frozen=True)
class Policy:
    """One `[policy.*]` table with its defaults filled in."""

    when: dict[str, Any]
    asset: str
    basis: str
    fee_rate: Fraction
    fee_fixed: Fraction
    fee_minimum: Fraction
    rounding: str
    quantum: Fraction
    time_to_clear: timedelta
    dust_below: Fraction | None


@dataclass(frozen=True)
class ReferenceRule:
    """The keys of the `reference` rule."""

    absolute: Fraction = Fraction(0)
    relative: Fraction = Fraction(0)
    max_reference_share: int = 50


@dataclass(frozen=True)
class Match:
    """One match; either side may be empty."""

    state: str
    rule: str
    movement_ids: frozenset[str]
    entry_ids: frozenset[str]


@dataclass(frozen=True)
class Break:
    """One break; `legs` holds B of every leg, those with B = 0 too."""

    primary_reason: str
    flags: frozenset[str]
    amount: Decimal
    at_risk: Decimal
    asset: str
    legs: dict[LegKey, Decimal]


@dataclass(frozen=True)
class StatementRow:
    """One row of the statement, exact; a reason missing in `breaks` is 0."""

    paid_in: Decimal
    credited: Decimal
    fees_kept: Decimal
    within_tolerance: Decimal
    in_flight: Decimal
    written_off: Decimal
    breaks: dict[str, Decimal]
    explained: Fraction | None


@dataclass(frozen=True)
class OracleResult:
    """What the engine must say about one input."""

    matches: set[Match] = field(default_factory=set)
    match_flags: dict[Match, frozenset[str]] = field(default_factory=dict)
    breaks: dict[frozenset[RowId], Break] = field(default_factory=dict)
    open: dict[RowId, str] = field(default_factory=dict)
    statement: dict[tuple[str, str], StatementRow] = field(default_factory=dict)
    explained: Fraction | None = None
    counts: dict[str, int] = field(default_factory=dict)
    shared_references: dict[str, int] = field(default_factory=dict)


def exact_decimal(value: Fraction) -> Decimal:
    """The decimal that equals `value`; raises where none does."""
    with localcontext() as context:
        context.prec = 120
        result = Decimal(value.numerator) / Decimal(value.denominator)
    if Fraction(result) != value:
        raise ValueError(f"{value} is no finite decimal")
    return result


def exact_fraction(value: Any) -> Fraction:
    """An exact number from a decimal string, an int or a Decimal; a float is refused."""
    if isinstance(value, float):
        raise TypeError("a float never touches an amount")
    return Fraction(value)


def aware(moment: Any) -> datetime:
    """An aware datetime; a date is its midnight in UTC, a naive datetime is refused (decision 31)."""
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError("naive datetime")
        return moment.astimezone(UTC)
    if isinstance(moment, date):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    raise TypeError(f"not a time: {moment!r}")


def movement_of(row: dict[str, Any]) -> Movement:
    """Read one well-formed row of the payments file."""
    if row["kind"] not in SIGN_OF_KIND:
        raise ValueError(f"unknown kind {row['kind']!r}")
    gross = exact_fraction(row["amount"])
    if gross < 0:
        raise ValueError("amounts of payments are unsigned")
    return Movement(
        id=row["id"],
        kind=row["kind"],
        account=normalised(row["account"] or ""),
        reference=normalised(row["reference"] or ""),
        gross=gross,
        asset=normalised(row["asset"]),
        at=aware(row["occurred_at"]),
    )


def entry_of(row: dict[str, Any]) -> Entry:
    """Read one well-formed row of the ledger file."""
    return Entry(
        id=row["id"],
        account=normalised(row["account"] or ""),
        reference=normalised(row["reference"] or ""),
        amount=exact_fraction(row["amount"]),
        asset=normalised(row["asset"]),
        at=aware(row["occurred_at"]),
        kind=row.get("kind") or "purchase",
    )


def policy_of(table: dict[str, Any]) -> Policy:
    """Read one `[policy.*]` table; every key is optional."""
    dust_below = table.get("dust_below")
    return Policy(
        when=dict(table.get("when") or {}),
        asset=normalised(table.get("asset") or ""),
        basis=table.get("basis", "gross"),
        fee_rate=exact_fraction(table.get("fee_rate", 0)),
        fee_fixed=exact_fraction(table.get("fee_fixed", 0)),
        fee_minimum=exact_fraction(table.get("fee_minimum", 0)),
        rounding=table.get("rounding", "half_even"),
        quantum=exact_fraction(table.get("quantum", "0.000000000000000001")),
        time_to_clear=timedelta(seconds=table.get("time_to_clear_s", 900)),
        dust_below=None if dust_below is None else exact_fraction(dust_below),
    )


def reference_rule_of(rules: list[dict[str, Any]] | None) -> ReferenceRule:
    """The reference rule; without rules it runs alone. Other passes are not in this version."""
    if not rules:
        return ReferenceRule()
    if [rule["pass"] for rule in rules] != ["reference"]:
        raise NotImplementedError("the oracle knows the reference pass only")
    return ReferenceRule(
        absolute=exact_fraction(rules[0].get("absolute", 0)),
        relative=exact_fraction(rules[0].get("relative", 0)),
        max_reference_share=rules[0].get("max_reference_share", 50),
    )
