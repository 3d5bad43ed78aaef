"""Section 5.6: the equation, per asset and rail, exact to the last unit."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.expect import Expectation
from tests.oracle.group import BROKEN, CONFIRMED, Group, HeldEntry
from tests.oracle.model import ENTRY, MOVEMENT, RowId, StatementRow, exact_decimal

Cell = tuple[str, str]
"""(asset, rail)."""


@dataclass
class Sums:
    """What is added up in one cell of the statement."""

    paid_in: Fraction = Fraction(0)
    credited: Fraction = Fraction(0)
    fees_kept: Fraction = Fraction(0)
    within_tolerance: Fraction = Fraction(0)
    in_flight: Fraction = Fraction(0)
    breaks: dict[str, Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    size_of_break_legs: Fraction = Fraction(0)
    size_of_paid_legs: Fraction = Fraction(0)


@dataclass(frozen=True)
class Judged:
    """A group with its verdict, and its primary reason where it is a break."""

    group: Group
    verdict: str
    primary_reason: str = ""


def statement_of(
    expected: list[Expectation], held: list[HeldEntry], judged: list[Judged]
) -> dict[Cell, StatementRow]:
    """The statement; raises AssertionError where it does not add up.

    Args:
        expected: the movements in scope, as they came in.
        held: the entries in scope, as they came in.
        judged: what became of them.
    """
    cells: dict[Cell, Sums] = defaultdict(Sums)
    _add_input(cells, expected, held, judged)
    for one in judged:
        _add_output(cells, one)
    for cell, sums in cells.items():
        assert_adds_up(cell, sums)
    return {cell: _row_of(sums) for cell, sums in cells.items()}


def _add_input(
    cells: dict[Cell, Sums],
    expected: list[Expectation],
    held: list[HeldEntry],
    judged: list[Judged],
) -> None:
    """Sum the left side, `credited` and the fees straight from the rows."""
    rail_of: dict[RowId, str] = {row_id: one.group.rail for one in judged for row_id in one.group.row_ids}
    for expectation in expected:
        movement = expectation.movement
        sums = cells[movement.asset, rail_of[MOVEMENT, movement.id]]
        sums.paid_in += movement.signed_gross
        sums.fees_kept += movement.signed_gross - expectation.amount
    for one in held:
        cells[one.entry.asset, rail_of[ENTRY, one.entry.id]].credited += one.entry.amount


def _add_output(cells: dict[Cell, Sums], one: Judged) -> None:
    """Put every leg's residual where the verdict on its group says."""
    for (_, asset), leg in one.group.legs().items():
        sums = cells[asset, one.group.rail]
        sums.size_of_paid_legs += abs(leg.gross)
        if one.verdict == CONFIRMED:
            sums.within_tolerance += leg.residual
            continue
        sums.in_flight += leg.in_flight
        if one.verdict == BROKEN:
            sums.breaks[one.primary_reason] += leg.broken
            sums.size_of_break_legs += abs(leg.broken)


def assert_adds_up(cell: Cell, sums: Sums) -> None:
    """Paid in = credited + fees kept + within tolerance + in flight + written off + sum of breaks."""
    kept = sums.credited + sums.fees_kept + sums.within_tolerance + sums.in_flight
    right = kept + sum(sums.breaks.values(), Fraction(0))
    assert sums.paid_in == right, f"{cell}: {sums.paid_in} != {right}"


def _row_of(sums: Sums) -> StatementRow:
    explained = None
    if sums.size_of_paid_legs:
        explained = 1 - sums.size_of_break_legs / sums.size_of_paid_legs
    return StatementRow(
        paid_in=exact_decimal(sums.paid_in),
        credited=exact_decimal(sums.credited),
        fees_kept=exact_decimal(sums.fees_kept),
        within_tolerance=exact_decimal(sums.within_tolerance),
        in_flight=exact_decimal(sums.in_flight),
        written_off=exact_decimal(Fraction(0)),
        breaks={reason: exact_decimal(amount) for reason, amount in sums.breaks.items()},
        explained=explained,
    )


def lowest_explained(rows: Iterable[StatementRow]) -> Fraction | None:
    """The summary's `explained` is the lowest row's."""
    return min((row.explained for row in rows if row.explained is not None), default=None)
