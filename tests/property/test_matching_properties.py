"""What holds of every reconciliation, whatever the rows."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payhealth.matching.inputs import MatchOutcome
from payhealth.matching.queries import Session
from tests.oracle import World, worlds
from tests.unit.matching.helpers import Row, entry, paid, run

SESSION = Session()
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def reconciled(world: World) -> MatchOutcome:
    """The engine's answer."""
    names = [f"policy_{number}" for number in range(len(world.policies) - 1)] + ["default"]
    policy = dict(zip(names, world.policies, strict=True)) if world.policies else {}
    options: dict[str, Any] = {
        "policy": policy,
        "rules": world.rules,
        "as_of": world.as_of,
        "session": SESSION,
    }
    return run(world.payments, world.ledger, **options)


TABLES = ("matches", "breaks", "open")


def same(left: MatchOutcome, right: MatchOutcome) -> bool:
    """Whether two outcomes agree in everything but the seconds that they took."""
    summaries = [{**each.summary, "seconds": None} for each in (left, right)]
    tables = [getattr(left, name).equals(getattr(right, name), check_metadata=True) for name in TABLES]
    return all(tables) and summaries[0] == summaries[1]


def places(outcome: MatchOutcome, side: str) -> Counter[str]:
    """How often each id of a side stands anywhere in the outcome."""
    found: Counter[str] = Counter()
    for table in (outcome.matches, outcome.breaks):
        for ids in table[f"{side}_ids"].to_pylist():
            found.update(ids)
    found.update(row["id"] for row in outcome.open.to_pylist() if row["side"] == side)
    return found


@QUIET
@given(world=worlds())
def test_every_row_is_in_exactly_one_place(world: World) -> None:
    """No row is used twice and none is lost."""
    outcome = reconciled(world)
    assert places(outcome, "movement") == Counter(row["id"] for row in world.payments)
    assert places(outcome, "entry") == Counter(row["id"] for row in world.ledger)


@QUIET
@given(world=worlds(), seed=st.integers(0, 2**32))
def test_the_order_of_the_input_is_irrelevant(world: World, seed: int) -> None:
    """The same rows in any order give the same tables, byte for byte."""
    shuffled = [list(world.payments), list(world.ledger)]
    for rows in shuffled:
        random.Random(seed).shuffle(rows)
    assert same(reconciled(world), reconciled(world._replace(payments=shuffled[0], ledger=shuffled[1])))


@QUIET
@given(world=worlds())
def test_a_replay_changes_nothing(world: World) -> None:
    """The same rows again give the same result, ids included."""
    assert same(reconciled(world), reconciled(world))


@QUIET
@given(world=worlds())
def test_value_is_conserved(world: World) -> None:
    """Paid in equals the sum of what became of it in each asset and rail, over the judged rows alone."""
    outcome = reconciled(world)
    rows = outcome.summary["statement"]
    for row in rows:
        names = ("credited", "fees_kept", "within_tolerance", "in_flight", "written_off")
        parts = sum(Fraction(row[name]) for name in names) + sum(map(Fraction, row["breaks"].values()))
        assert Fraction(row["paid_in"]) == parts
    opened = [row for row in outcome.open.to_pylist() if row["side"] == "entry" and row["why"] != "in_flight"]
    aside = {row["id"] for row in opened}
    credited = sum(Fraction(row["amount"]) for row in world.ledger if row["id"] not in aside)
    assert sum(Fraction(row["credited"]) for row in rows) == credited


@QUIET
@given(world=worlds())
def test_ids_of_matches_and_breaks_are_unique(world: World) -> None:
    """What is named alike is the same."""
    outcome = reconciled(world)
    for ids in (outcome.matches["match_id"].to_pylist(), outcome.breaks["break_id"].to_pylist()):
        assert len(set(ids)) == len(ids)


amounts = st.integers(1, 10**38 - 1).map(lambda scaled: f"{scaled // 10**18}.{scaled % 10**18:018d}")


@QUIET
@given(amount=amounts, other=amounts)
def test_only_an_equal_amount_matches(amount: str, other: str) -> None:
    """Over the whole domain of 38 digits a pair matches exactly where the amounts are equal."""
    row: Row = {"account": "a", "reference": "r", "asset": "X"}
    outcome = run([paid("c1", amount, **row)], [entry("e1", other, **row)], session=SESSION)
    assert (outcome.matches.num_rows == 1) == (Decimal(amount) == Decimal(other))
