"""One reconciliation from inputs to a proven outcome: arrange, expect, pair, gather, judge, name, prove."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from payhealth.domain.errors import ConfigurationError
from payhealth.domain.money import to_scaled
from payhealth.domain.times import to_us
from payhealth.matching import legs as leg_arithmetic
from payhealth.matching import reference, statement
from payhealth.matching.board import Board, Pass
from payhealth.matching.exact import WIDE, Units, choose_units
from payhealth.matching.expectations import expect
from payhealth.matching.flags import group_flags
from payhealth.matching.inputs import MatchInputs, MatchOutcome
from payhealth.matching.output_breaks import breaks_of, open_of
from payhealth.matching.output_matches import matches_of
from payhealth.matching.policies import policies_of, times_to_clear_us
from payhealth.matching.policy import PassName, Ruleset
from payhealth.matching.queries import Session
from payhealth.matching.reasons import DEFAULT_REASON_RULES, ReasonRule
from payhealth.matching.rows import Side, arrange, mark_unpriced

PASSES: Mapping[PassName, Pass] = {}
"""The passes behind the reference pass that are built: none in this version."""


@dataclass(slots=True)
class _Watch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def lap(self, stage: str) -> None:
        """Close a stage."""
        now = time.perf_counter()
        self.seconds[stage] = round(now - self.started, 6)
        self.started = now


def reconcile(
    inputs: MatchInputs,
    ruleset: Ruleset,
    *,
    as_of: datetime,
    reason_rules: Sequence[ReasonRule] = DEFAULT_REASON_RULES,
    session: Session | None = None,
) -> MatchOutcome:
    """Match movements with entries as of a moment and prove that the statement adds up.

    Args:
        as_of: the moment at which ages are taken; later rows stay open as ``after_as_of``.
        reason_rules: how breaks are named, in order.
        session: a database to work in, for callers with many small runs; without, one for this run.

    Raises:
        ConfigurationError: a rule names a pass that is not built.
        InputError: rows that cannot be used, or amounts whose sum leaves 38 digits.
        InvariantError: the outcome does not add up: a fault of payhealth.
    """
    watch = _Watch()
    with nullcontext(session) if session is not None else Session() as database:
        return _run(inputs, ruleset, database, watch, as_of_us=to_us(as_of), reason_rules=reason_rules)


def _run(
    inputs: MatchInputs,
    ruleset: Ruleset,
    session: Session,
    watch: _Watch,
    *,
    as_of_us: int,
    reason_rules: Sequence[ReasonRule],
) -> MatchOutcome:
    movements, entries, shared = arrange(inputs, ruleset.reference, session, as_of_us=as_of_us)
    watch.lap("arrange")
    board = _board(inputs, ruleset, movements, entries, session, as_of_us)
    watch.lap("expect")
    pairs = reference.pair(board, session)
    left = reference.gather(board, pairs, session)
    for rule in ruleset.rules:
        if rule.name is not PassName.REFERENCE:
            if rule.name not in PASSES:
                raise ConfigurationError(f"the pass {rule.name} is not built yet in this version")
            pairs, left = PASSES[rule.name](board, left, rule, session)
    watch.lap("reference")
    rows, legs = leg_arithmetic.cut(board, left)
    verdict = leg_arithmetic.judge(board, left, legs, ruleset.reference)
    flags = group_flags(board, left, rows, legs)
    watch.lap("judge")
    outputs = statement.Outputs(
        matches_of(board, pairs, left, legs, verdict, flags, session),
        breaks_of(board, left, rows, legs, verdict, flags, reason_rules, session),
        open_of(board, left, verdict),
    )
    watch.lap("output")
    rows_of_statement = statement.prove(inputs, board, pairs, left, legs, verdict, outputs, session)
    watch.lap("prove")
    return MatchOutcome(
        matches=outputs.matches.table,
        breaks=outputs.breaks.table,
        open=outputs.open.table,
        summary=_summary(inputs, outputs, shared, rows_of_statement, watch),
    )


def _board(
    inputs: MatchInputs, ruleset: Ruleset, movements: Side, entries: Side, session: Session, as_of_us: int
) -> Board:
    """The board in narrow units where everything fits, else in wide ones."""
    quanta = [to_scaled(policy.quantum) for policy in ruleset.policies if not policy.identity]
    priced = movements.table["price"].null_count < movements.table.num_rows
    if priced or (inputs.rates is not None and inputs.rates.num_rows):
        quanta.append(1)
    units = choose_units([movements.table["amount"], entries.table["amount"]], quanta)
    try:
        return _board_in(units, inputs, ruleset, movements, entries, session, as_of_us)
    except OverflowError:
        return _board_in(WIDE, inputs, ruleset, movements, entries, session, as_of_us)


def _board_in(
    units: Units,
    inputs: MatchInputs,
    ruleset: Ruleset,
    movements: Side,
    entries: Side,
    session: Session,
    as_of_us: int,
) -> Board:
    expectations = expect(movements, ruleset, inputs.rates, units, session)
    entry_policy = policies_of(entries, ruleset, entries=True)
    return Board(
        movements=mark_unpriced(movements, expectations.unpriced),
        entries=entries,
        expectations=expectations,
        entered=entries.amounts(units),
        entry_policy=entry_policy,
        entry_clear_us=times_to_clear_us(entry_policy, ruleset),
        ruleset=ruleset,
        units=units,
        as_of_us=as_of_us,
    )


def _summary(
    inputs: MatchInputs,
    outputs: statement.Outputs,
    shared: Mapping[str, int],
    rows: Sequence[Mapping[str, Any]],
    watch: _Watch,
) -> dict[str, Any]:
    explained = [row["explained"] for row in rows if row["explained"] is not None]
    return {
        "counts": {
            "movements": inputs.movements.num_rows,
            "entries": inputs.entries.num_rows,
            "matches": outputs.matches.table.num_rows,
            "breaks": outputs.breaks.table.num_rows,
            "breaks_by_reason": _tally(outputs.breaks.table, "primary_reason"),
            "open": outputs.open.table.num_rows,
            "open_by_why": _tally(outputs.open.table, "why"),
            **inputs.notes,
            "shared_references": {**inputs.notes.get("shared_references", {}), **shared},
        },
        "explained": min(explained) if explained else None,
        "coverage": [],
        "seconds": watch.seconds,
        "not_searched": [],
        "statement": [dict(row) for row in rows],
    }


def _tally(table: pa.Table, column: str) -> dict[str, int]:
    return dict(sorted(Counter(table[column].to_pylist()).items()))
