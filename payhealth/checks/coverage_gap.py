"""Is there a hole in what was read?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payhealth.domain.coverage import CoverageUnit, Hole, HoleKind
from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import from_us, iso
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "coverage_gap"


def load(_: StoreReader, context: CheckContext, __: Mapping[str, Any]) -> tuple[tuple[Hole, ...], bool]:
    """The holes, and whether there is any stream to have one."""
    return tuple(context.holes), bool(context.last_ok)


def in_words(hole: Hole) -> str:
    """One hole as people say it: the stream and its bounds, or why it could not be read."""
    where = f"{hole.connector}.{hole.stream}"
    if hole.kind is not HoleKind.GAP or hole.lower is None or hole.upper is None:
        return f"{where}: {hole.reason}"
    if hole.unit is CoverageUnit.BLOCK:
        return f"{where}: blocks {hole.lower} to {hole.upper - 1} were not read"
    return f"{where}: {iso(from_us(hole.lower))} to {iso(from_us(hole.upper))} was not read"


def evaluate(
    data: tuple[tuple[Hole, ...], bool], thresholds: Mapping[str, Any], now: datetime
) -> CheckResult:
    """A gap inside what was read fails; a stream that is unread or refused leaves the question open."""
    found, any_stream = data
    gaps = [hole for hole in found if hole.kind is HoleKind.GAP]
    if gaps:
        outcome = Outcome.FAIL
    elif found:
        outcome = Outcome.STALE
    else:
        outcome = Outcome.PASS if any_stream else Outcome.NO_DATA
    message = (
        "; ".join(in_words(hole) for hole in (gaps or found)[:5]) or "everything since the start was read"
    )
    if not any_stream:
        message = "no source is configured"
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=message,
        evaluated_at=now,
        value=str(len(gaps)),
        unit="holes",
        thresholds=thresholds,
        not_seen="" if outcome is Outcome.PASS else "whatever happened in the parts that were not read",
        next_step="" if outcome is Outcome.PASS else "run `payhealth pull`; it reads what is missing",
    )


CHECK = CheckPlugin(
    name=NAME,
    question="Is there a hole in what was read?",
    tags=("sources",),
    defaults={"fail": {"count": 1}},
    reads=(),
    load=load,
    evaluate=evaluate,
)
