"""The engine against an oracle in plain Python that was written from the text alone, without a look at it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from payhealth.matching.inputs import MatchOutcome
from payhealth.matching.queries import Session
from tests.oracle import OracleResult, World, random_world, worlds
from tests.oracle import reconcile as oracle
from tests.unit.matching.helpers import run

FIRST_SEED = int(os.environ.get("PAYHEALTH_ORACLE_SEED", "0"))
WORLDS = int(os.environ.get("PAYHEALTH_ORACLE_WORLDS", "2000"))
PARTS = 8
SESSION = Session()


def engine(world: World, session: Session | None = None) -> MatchOutcome:
    """The engine's answer."""
    names = [f"policy_{number}" for number in range(len(world.policies) - 1)] + ["default"]
    policy = dict(zip(names, world.policies, strict=True)) if world.policies else {}
    return run(
        world.payments, world.ledger, policy=policy, rules=world.rules, as_of=world.as_of, session=session
    )


def of_engine(outcome: MatchOutcome) -> Mapping[str, Any]:
    """The engine's answer in a form that can be compared."""
    matches = {}
    for row in outcome.matches.to_pylist():
        flags = {text for text in row["reasons"] if " " not in text}
        matches[frozenset(row["movement_ids"]), frozenset(row["entry_ids"])] = flags
    breaks = {}
    for row in outcome.breaks.to_pylist():
        legs = {(leg["account"], leg["asset"]): leg["residual"] for leg in row["legs"]}
        ids = (frozenset(row["movement_ids"]), frozenset(row["entry_ids"]))
        assert row["reasons"][0] == row["primary_reason"]
        breaks[ids] = (
            row["primary_reason"],
            set(row["reasons"][1:]),
            row["amount"],
            row["at_risk"],
            row["asset"],
            legs,
        )
    return {
        "matches": matches,
        "breaks": breaks,
        "open": {(row["side"], row["id"]): row["why"] for row in outcome.open.to_pylist()},
        "statement": {(row["asset"], row["rail"]): _amounts(row) for row in outcome.summary["statement"]},
        "shared": outcome.summary["counts"]["shared_references"],
        "explained": outcome.summary["explained"],
    }


def _amounts(row: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("paid_in", "credited", "fees_kept", "within_tolerance", "in_flight", "written_off")
    amounts: dict[str, Any] = {name: Decimal(row[name]) for name in names}
    amounts["breaks"] = {reason: Decimal(amount) for reason, amount in row["breaks"].items()}
    return {**amounts, "explained": row["explained"]}


def of_oracle(result: OracleResult) -> Mapping[str, Any]:
    """The oracle's answer in the same form."""
    matches = {
        (match.movement_ids, match.entry_ids): set(flags) for match, flags in result.match_flags.items()
    }
    breaks = {}
    for rows, found in result.breaks.items():
        ids = tuple(
            frozenset(id_ for side, id_ in rows if side == wanted) for wanted in ("movement", "entry")
        )
        primary, flags = found.primary_reason, set(found.flags)
        breaks[ids] = (primary, flags, found.amount, found.at_risk, found.asset, found.legs)
    statement = {}
    for cell, row in result.statement.items():
        amounts = {name: getattr(row, name) for name in row.__dataclass_fields__}
        amounts["breaks"] = {reason: amount for reason, amount in row.breaks.items() if amount}
        statement[cell] = {**amounts, "explained": _share(row.explained)}
    return {
        "matches": matches,
        "breaks": breaks,
        "open": result.open,
        "statement": statement,
        "shared": result.shared_references,
        "explained": _share(result.explained),
    }


def _share(explained: Fraction | None) -> float | None:
    """The oracle's exact fraction, cut after twelve places as the summary shows it."""
    if explained is None:
        return None
    return float(Decimal(explained.numerator * 10**12 // explained.denominator).scaleb(-12))


def agree(world: World, session: Session) -> None:
    """Hold the two answers against each other."""
    outcome = of_engine(engine(world, session))
    policies, rules = world.policies, world.rules
    result = of_oracle(
        oracle(world.payments, world.ledger, policies=policies, rules=rules, as_of=world.as_of)
    )
    for part, expected in result.items():
        assert outcome[part] == expected, part


@pytest.mark.parametrize("part", range(PARTS))
def test_engine_and_oracle_agree_on_seeded_worlds(part: int) -> None:
    """Both say the same of every world: matches, flags, breaks with legs, open rows and the statement."""
    with Session() as session:
        for seed in range(FIRST_SEED + part, FIRST_SEED + WORLDS, PARTS):
            try:
                agree(random_world(seed), session)
            except AssertionError as difference:
                pytest.fail(f"seed {seed}: {difference}")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_engine_and_oracle_agree_on_fresh_worlds(world: World) -> None:
    """Both say the same of worlds that no seed fixed."""
    agree(world, SESSION)
