"""The engine against an oracle in plain Python that was written from the text alone, without a look at it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from payhealth.matching.inputs import MatchOutcome
from payhealth.matching.queries import Session
from tests.oracle import OracleResult, World, random_world, worlds
from tests.oracle import reconcile as oracle
from tests.unit.matching.helpers import Row, run

FIRST_SEED = int(os.environ.get("PAYHEALTH_ORACLE_SEED", "0"))
WORLDS = int(os.environ.get("PAYHEALTH_ORACLE_WORLDS", "2000"))
PARTS = 8
TOGETHER = 50
"""Worlds that are reconciled in one run, because a run's fixed cost is that of many worlds."""
SESSION = Session()
Answer = Mapping[str, Any]


def engine(world: World, session: Session | None = None) -> MatchOutcome:
    """The engine's answer."""
    names = [f"policy_{number}" for number in range(len(world.policies) - 1)] + ["default"]
    policy = dict(zip(names, world.policies, strict=True)) if world.policies else {}
    return run(
        world.payments, world.ledger, policy=policy, rules=world.rules, as_of=world.as_of, session=session
    )


def of_engine(outcome: MatchOutcome) -> Answer:
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


def _amounts(row: Answer) -> Answer:
    names = ("paid_in", "credited", "fees_kept", "within_tolerance", "in_flight", "written_off")
    amounts: dict[str, Any] = {name: Decimal(row[name]) for name in names}
    amounts["breaks"] = {reason: Decimal(amount) for reason, amount in row["breaks"].items()}
    return {**amounts, "explained": row["explained"]}


def of_oracle(result: OracleResult) -> Answer:
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


def judged_by_oracle(world: World) -> Answer:
    """The oracle's answer."""
    policies, rules = world.policies, world.rules
    return of_oracle(oracle(world.payments, world.ledger, policies=policies, rules=rules, as_of=world.as_of))


def agree(world: World, session: Session) -> None:
    """Hold the two answers to one world against each other."""
    outcome = of_engine(engine(world, session))
    for name, expected in judged_by_oracle(world).items():
        assert outcome[name] == expected, name


def together(seeds: Sequence[int], rules: Any) -> tuple[MatchOutcome, dict[int, World]]:
    """Reconcile many worlds in one run; a tag on ids, references and assets keeps them apart.

    Every policy is given once for each of its world's assets, which carry the tag, so that it fits the
    rows of its own world alone, entries too.
    """
    found = {seed: random_world(seed) for seed in seeds}
    payments: list[Row] = []
    ledger: list[Row] = []
    policy: dict[str, Row] = {}
    for seed, world in found.items():
        payments += [_tagged(row, seed) for row in world.payments]
        ledger += [_tagged(row, seed) for row in world.ledger]
        assets = sorted({row["asset"] for row in (*world.payments, *world.ledger)})
        for number, table in enumerate(world.policies):
            when = table.get("when", {})
            terms = {**table, **({"asset": f"{table['asset']}.w{seed:06d}"} if "asset" in table else {})}
            for asset in [when["asset"]] if "asset" in when else assets:
                tagged = {**when, "asset": f"{asset}.w{seed:06d}"}
                policy[f"w{seed}_{number}_{asset}"] = {**terms, "when": tagged}
    as_of = next(iter(found.values())).as_of
    return run(payments, ledger, policy=policy, rules=rules, as_of=as_of, session=SESSION), found


def _tagged(row: Row, seed: int) -> Row:
    reference = row["reference"].strip()
    return {
        **row,
        "id": f"{seed:06d}.{row['id']}",
        "asset": f"{row['asset']}.w{seed:06d}",
        "reference": f"{reference}~w{seed:06d}" if reference else "",
    }


def apart(answer: Answer) -> dict[int, dict[str, Any]]:
    """A joint answer, world by world, without the tags."""
    worlds: dict[int, dict[str, Any]] = defaultdict(
        lambda: {"matches": {}, "breaks": {}, "open": {}, "statement": {}, "shared": {}}
    )
    for (paid, entered), flags in answer["matches"].items():
        worlds[_seed(paid | entered)]["matches"][_plain(paid), _plain(entered)] = flags
    for (paid, entered), (primary, flags, amount, risk, asset, legs) in answer["breaks"].items():
        plain = {(account, name[:-8]): residual for (account, name), residual in legs.items()}
        found = (primary, flags, amount, risk, asset[:-8], plain)
        worlds[_seed(paid | entered)]["breaks"][_plain(paid), _plain(entered)] = found
    for (side, id_), why in answer["open"].items():
        worlds[int(id_[:6])]["open"][side, id_[7:]] = why
    for (asset, rail), amounts in answer["statement"].items():
        worlds[int(asset[-6:])]["statement"][asset[:-8], rail] = amounts
    for reference, count in answer["shared"].items():
        worlds[int(reference[-6:])]["shared"][reference[:-8]] = count
    for world in worlds.values():
        shares = [row["explained"] for row in world["statement"].values() if row["explained"] is not None]
        world["explained"] = min(shares, default=None)
    return worlds


def _seed(ids: frozenset[str]) -> int:
    """The world of some rows; rows of two worlds are never in one group."""
    seeds = {int(id_[:6]) for id_ in ids}
    assert len(seeds) == 1, ids
    return seeds.pop()


def _plain(ids: frozenset[str]) -> frozenset[str]:
    return frozenset(id_[7:] for id_ in ids)


def by_rules(seeds: Iterable[int]) -> Iterator[tuple[list[int], Any]]:
    """Batches of worlds that share their rules."""
    groups: dict[str, list[int]] = defaultdict(list)
    rules: dict[str, Any] = {}
    for seed in seeds:
        own = random_world(seed).rules
        groups[repr(own)].append(seed)
        rules[repr(own)] = own
    for name, group in groups.items():
        for start in range(0, len(group), TOGETHER):
            yield group[start : start + TOGETHER], rules[name]


@pytest.mark.parametrize("part", range(PARTS))
def test_engine_and_oracle_agree_on_seeded_worlds(part: int) -> None:
    """Both say the same of every world: matches, flags, breaks with legs, open rows and the statement."""
    for seeds, rules in by_rules(range(FIRST_SEED + part, FIRST_SEED + WORLDS, PARTS)):
        outcome, found = together(seeds, rules)
        answers = apart(of_engine(outcome))
        for seed, world in found.items():
            expected = judged_by_oracle(world)
            for name, value in expected.items():
                assert answers[seed][name] == value, f"seed {seed}: {name}"


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_engine_and_oracle_agree_on_fresh_worlds(world: World) -> None:
    """Both say the same of worlds that no seed fixed."""
    agree(world, SESSION)
