"""Is there a hole in what was read?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.domain.coverage import CoverageUnit, Hole, HoleKind
from payhealth.domain.results import CheckResult, Outcome
from payhealth.domain.times import from_us, iso
from payhealth.plugins import CheckContext, CheckPlugin
from payhealth.ports import StoreReader

NAME = "coverage_gap"


_REJECTED = "select count(*) as rejected from v_rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageData:
    """The holes, whether there is any stream to have one, and how many objects were not understood."""

    holes: tuple[Hole, ...]
    any_stream: bool
    rejected: int = 0


def load(reader: StoreReader, context: CheckContext, _: Mapping[str, Any]) -> CoverageData:
    """What the context knows of holes, and the store of rejected objects."""
    return CoverageData(
        holes=tuple(context.holes),
        any_stream=bool(context.last_ok),
        rejected=int(reader.rows(_REJECTED)[0]["rejected"]),
    )


def in_words(hole: Hole) -> str:
    """One hole as people say it: the stream and its bounds, or why it could not be read."""
    where = f"{hole.connector}.{hole.stream}"
    if hole.kind is not HoleKind.GAP or hole.lower is None or hole.upper is None:
        return f"{where}: {hole.reason}"
    if hole.unit is CoverageUnit.BLOCK:
        blocks = f"blocks {hole.lower} to {hole.upper - 1}"
        return f"{where}: {blocks} were {hole.reason}"
    return f"{where}: {iso(from_us(hole.lower))} to {iso(from_us(hole.upper))} was not read"


def evaluate(data: CoverageData, thresholds: Mapping[str, Any], now: datetime) -> CheckResult:
    """A gap fails; an unread or refused stream leaves the question open; what was not understood warns."""
    gaps = [hole for hole in data.holes if hole.kind is HoleKind.GAP]
    outcome = _verdict(data, gaps)
    clean = outcome in (Outcome.PASS, Outcome.NO_DATA)
    return CheckResult(
        check=NAME,
        outcome=outcome,
        message=_message(data, gaps),
        evaluated_at=now,
        value=str(len(gaps)),
        unit="holes",
        thresholds=thresholds,
        inputs={"rejected": str(data.rejected)},
        not_seen="" if clean else "whatever happened in the parts that were not read or not understood",
        next_step="" if outcome is Outcome.PASS else _next_step(outcome),
    )


def _verdict(data: CoverageData, gaps: list[Hole]) -> Outcome:
    if gaps:
        return Outcome.FAIL
    if data.holes:
        return Outcome.STALE
    if data.rejected:
        return Outcome.WARN
    return Outcome.PASS if data.any_stream else Outcome.NO_DATA


def _message(data: CoverageData, gaps: list[Hole]) -> str:
    if not data.any_stream:
        return "no source is configured"
    said = [in_words(hole) for hole in (gaps or data.holes)[:5]]
    if data.rejected:
        said.append(f"{data.rejected} objects were read and not understood")
    return "; ".join(said) or "everything since the start was read"


def _next_step(outcome: Outcome) -> str:
    if outcome is Outcome.NO_DATA:
        return "configure a source under [connectors]"
    if outcome is Outcome.WARN:
        return "look at v_rejected for the objects and the reasons"
    return "run `payhealth pull`; it reads what is missing"


CHECK = CheckPlugin(
    name=NAME,
    question="Is there a hole in what was read?",
    tags=("sources",),
    defaults={"fail": {"count": 1}},
    reads=(),
    load=load,
    evaluate=evaluate,
)
