"""The statement adds up, and a row lost, doubled or altered in any stage makes the run fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from payhealth.domain.errors import InvariantError
from payhealth.matching import engine, legs, reference, statement
from payhealth.matching.board import Left, Pairs
from tests.unit.matching.helpers import entry, paid, run, statement_row

DAY = 86_400
POLICY = {"fee_rate": "0.05", "quantum": "0.01"}
RULES = [{"pass": "reference", "absolute": "0.01"}]
PAYMENTS = [
    paid("c1", "10", reference="r1"),
    paid("c2", "20", reference="r2"),
    paid("c3", "30", reference="r3"),
    paid("f3", "30", kind="refund", reference="r3", second=DAY),
    paid("t4", "40", kind="transfer", reference="r4"),
    paid("c5", "50", reference="r5", second=30 * DAY - 5),
    paid("c6", "0", reference=""),
]
LEDGER = [
    entry("e1", "9.50", reference="r1"),
    entry("e2", "19.01", reference="r2"),
    entry("e3", "28.50", reference="r3"),
    entry("e4", "30", reference="r4"),
    entry("e7", "7", reference="r7"),
    entry("g8", "8", reference="r8", kind="grant"),
]


def reconcile() -> Any:
    """A world with a pair, a tolerated group, breaks of both rails, rows in flight and an ignored one."""
    return run(PAYMENTS, LEDGER, policy=POLICY, rules=RULES)


def test_every_part_of_the_equation_is_shown() -> None:
    """Paid in = credited + fees + tolerated + in flight + written off + breaks, for each asset and rail."""
    outcome = reconcile()
    assert statement_row(outcome, rail="card") == {
        "asset": "USD",
        "rail": "card",
        "paid_in": "80",
        "credited": "57.01",
        "fees_kept": "4",
        "within_tolerance": "-0.01",
        "in_flight": "47.5",
        "written_off": "0",
        "breaks": {"refund_not_clawed_back": "-28.5"},
        "explained": 0.64375,
    }
    assert statement_row(outcome, rail="chain")["breaks"] == {"amount_under": "8"}
    assert statement_row(outcome, rail="unassigned")["explained"] is None
    assert outcome.summary["explained"] == 0.64375


def test_the_share_explained_is_never_rounded_up_to_all() -> None:
    """One unit missing in a fortune is not `everything explained`."""
    assert statement.share(0, 5) == 1
    assert statement.share(1, 10**38) == 0.999999999999
    assert statement.share(7, 0) is None
    assert statement.share(30, 10) == -2


def _after(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, change: Callable[[Any], Any]) -> None:
    """Alter what a stage returns."""
    stage = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **kw: change(stage(*args, **kw)))


def _without_pair(pairs: Pairs) -> Pairs:
    return Pairs(pairs.movement[1:], pairs.entry[1:])


def _pair_twice(pairs: Pairs) -> Pairs:
    return Pairs(np.r_[pairs.movement, pairs.movement[:1]], np.r_[pairs.entry, pairs.entry[:1]])


def _kept(left: Left, rows: Any) -> Left:
    return Left(left.entry[rows], left.number[rows], left.group[rows], left.groups)


def _drop_left(left: Left) -> Left:
    return _kept(left, np.arange(1, len(left.number)))


def _double_left(left: Left) -> Left:
    return _kept(left, np.sort(np.r_[0, np.arange(len(left.number))]))


def _swap_left(left: Left) -> Left:
    number = left.number.copy()
    moved = np.flatnonzero(~left.entry)
    number[moved[0]] = number[moved[1]]
    return replace(left, number=number)


def _board_with(column: str, place: int) -> Callable[[Any], Any]:
    def change(board: Any) -> Any:
        if column == "entered":
            altered = board.entered.copy()
            altered[place] += 1
            return replace(board, entered=altered)
        altered = getattr(board.expectations, column).copy()
        altered[place] += 1
        return replace(board, expectations=replace(board.expectations, **{column: altered}))

    return change


def _leg(column: str, choose: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        rows, cut = found
        altered = getattr(cut, column).copy()
        altered[int(choose(np.abs(altered)))] += 1
        return rows, replace(cut, **{column: altered})

    return change


def _dropped(rows: Any) -> Any:
    return replace(rows, table=rows.table.slice(1))


def _doubled(rows: Any) -> Any:
    return replace(rows, table=pa.concat_tables([rows.table, rows.table.slice(0, 1)]))


def _set(rows: Any, column: str, values: list[Any]) -> Any:
    """The table with other values in one column."""
    at = rows.table.column_names.index(column)
    array = pa.array(values, rows.table.schema.field(at).type)
    return replace(rows, table=rows.table.set_column(at, column, array))


def _id_changed(column: str) -> Callable[[Any], Any]:
    def change(rows: Any) -> Any:
        values = rows.table[column].to_pylist()
        place = next(number for number, ids in enumerate(values) if ids)
        values[place] = ["changed"] if isinstance(values[place], list) else "changed"
        return _set(rows, column, values)

    return change


def _residual_changed(rows: Any) -> Any:
    values = rows.table["residual"].to_pylist()
    return _set(rows, "residual", [value + 1 if value else value for value in values])


def _leg_changed(rows: Any) -> Any:
    values = rows.table["legs"].to_pylist()
    values[0][0]["residual"] += 1
    return _set(rows, "legs", values)


def _leg_dropped(rows: Any) -> Any:
    values = rows.table["legs"].to_pylist()
    return _set(rows, "legs", [[], *values[1:]])


STAGES: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "valuation: a payment's value altered": (engine, "_board", _board_with("paid", 0)),
    "board: an entry's amount altered": (engine, "_board", _board_with("entered", 0)),
    "gathering: a row dropped": (reference, "gather", _drop_left),
    "gathering: a row doubled": (reference, "gather", _double_left),
    "gathering: a row swapped": (reference, "gather", _swap_left),
    "legs: a residual altered": (legs, "cut", _leg("residual", lambda sizes: np.flatnonzero(sizes == 1)[0])),
    "legs: a broken part altered": (legs, "cut", _leg("broken", np.argmax)),
    "legs: a part in flight altered": (legs, "cut", _leg("in_flight", np.argmax)),
    "matches: a row dropped": (engine, "matches_of", _dropped),
    "matches: a row doubled": (engine, "matches_of", _doubled),
    "matches: a movement id altered": (engine, "matches_of", _id_changed("movement_ids")),
    "matches: an entry id altered": (engine, "matches_of", _id_changed("entry_ids")),
    "matches: a residual altered": (engine, "matches_of", _residual_changed),
    "breaks: a row dropped": (engine, "breaks_of", _dropped),
    "breaks: a row doubled": (engine, "breaks_of", _doubled),
    "breaks: an id altered": (engine, "breaks_of", _id_changed("entry_ids")),
    "breaks: a leg altered": (engine, "breaks_of", _leg_changed),
    "breaks: a leg dropped": (engine, "breaks_of", _leg_dropped),
    "open: a row dropped": (engine, "open_of", _dropped),
    "open: a row doubled": (engine, "open_of", _doubled),
    "open: an id altered": (engine, "open_of", _id_changed("id")),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_row_lost_doubled_or_altered_is_seen(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stage loses, doubles or alters a row, the run is an InvariantError and no report."""
    module, name, change = STAGES[stage]
    _after(monkeypatch, module, name, change)
    with pytest.raises(InvariantError):
        reconcile()


def test_a_pair_that_is_lost_or_doubled_between_the_passes_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a pair cannot vanish behind the gathering, nor be used twice."""
    whole = engine.matches_of
    for change in (_without_pair, _pair_twice):
        monkeypatch.setattr(
            engine,
            "matches_of",
            lambda board, pairs, *rest, change=change: whole(board, change(pairs), *rest),
        )
        with pytest.raises(InvariantError):
            reconcile()


def test_the_world_of_these_tests_is_sound() -> None:
    """Without a mutation nothing is raised."""
    assert reconcile().matches.num_rows == 3
