"""What a report says, as plain data: the JSON contract, and the cases that CI formats list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from payhealth.domain.money import plain
from payhealth.domain.results import Outcome
from payhealth.domain.times import iso

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.domain.results import CheckResult
    from payhealth.outcomes import PullReport, ReconcileReport, RunReport

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that went well or did not, for formats that list cases."""

    group: str
    name: str
    outcome: Outcome
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A report before it has a format.

    Args:
        title: what it is about.
        data: what JSON prints; every other format reads it too.
        cases: what JUnit and GitHub list.
        symbols: asset -> the short name to show it by.
    """

    title: str
    data: Mapping[str, Any]
    cases: tuple[Case, ...] = ()
    symbols: Mapping[str, str] = field(default_factory=dict)


def as_json(value: Any) -> Any:
    """A value as JSON can carry it: amounts as exact decimal text, moments as ISO 8601."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(inner) for inner in value]
    return value


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """An Arrow table as JSON-ready rows."""
    return [as_json(row) for row in table.to_pylist()]


def pull_document(report: PullReport) -> Document:
    """How each stream's pull ended."""
    streams = [
        {
            "connector": stream.connector,
            "stream": stream.stream,
            "read": stream.objects_read,
            "new": stream.new,
            "changed": stream.changed,
            "rejected": stream.rejected,
            "requests": stream.requests,
            "seconds": round((stream.finished_at - stream.started_at).total_seconds(), 3),
            "coverage": [list(window) for window in stream.coverage],
            "error": stream.error,
        }
        for stream in report.streams
    ]
    cases = tuple(
        Case(
            group="pull",
            name=f"{stream.connector}.{stream.stream}",
            outcome=Outcome.PASS if stream.error is None else Outcome.ERROR,
            message=f"{stream.objects_read} read" if stream.error is None else stream.error,
        )
        for stream in report.streams
    )
    return Document(title="pull", data={"schema_version": SCHEMA_VERSION, "streams": streams}, cases=cases)


def reconcile_document(report: ReconcileReport) -> Document:
    """The statement, the breaks and what was not read."""
    breaks = rows(report.breaks)
    data = {
        "schema_version": SCHEMA_VERSION,
        "as_of": iso(report.as_of),
        **as_json(report.summary),
        "matches": report.matches.num_rows,
        "breaks": breaks,
        "open": _open_counts(report),
        "rejected": rows(report.rejected) if report.rejected is not None else [],
        "holes": [as_json(_hole(hole)) for hole in report.holes],
    }
    return Document(
        title="reconcile",
        data=data,
        cases=(*_break_cases(breaks), *_hole_cases(data["holes"])),
        symbols=report.symbols,
    )


def _open_counts(report: ReconcileReport) -> dict[str, int]:
    counted = report.open.group_by("why").aggregate([("why", "count")]).to_pylist()
    return {row["why"]: row["why_count"] for row in sorted(counted, key=lambda row: str(row["why"]))}


def _hole(hole: Any) -> dict[str, Any]:
    return {
        "connector": hole.connector,
        "stream": hole.stream,
        "kind": str(hole.kind),
        "unit": str(hole.unit) if hole.unit else None,
        "lower": hole.lower,
        "upper": hole.upper,
        "reason": hole.reason,
    }


def _break_cases(breaks: Sequence[Mapping[str, Any]]) -> tuple[Case, ...]:
    return tuple(
        Case(
            group="breaks",
            name=f"{row['primary_reason']} {row['break_id']}",
            outcome=Outcome.FAIL,
            message=row["explanation"],
        )
        for row in breaks
    )


def _hole_cases(holes: Sequence[Mapping[str, Any]]) -> tuple[Case, ...]:
    return tuple(
        Case(
            group="coverage",
            name=f"{hole['connector']}.{hole['stream']}",
            outcome=Outcome.STALE,
            message=hole["reason"],
        )
        for hole in holes
    )


def check_document(results: Sequence[CheckResult]) -> Document:
    """Every check's verdict."""
    data = {"schema_version": SCHEMA_VERSION, "checks": [check_data(result) for result in results]}
    cases = tuple(
        Case(group="checks", name=result.check, outcome=result.outcome, message=result.message)
        for result in results
    )
    return Document(title="check", data=data, cases=cases)


def check_data(result: CheckResult) -> dict[str, Any]:
    """One check's verdict as JSON can carry it."""
    return {
        "check": result.check,
        "outcome": str(result.outcome),
        "message": result.message,
        "value": result.value,
        "unit": result.unit,
        "interval": list(result.interval) if result.interval else None,
        "baseline": result.baseline,
        "thresholds": as_json(result.thresholds),
        "segments": [
            {"name": segment.name, "value": segment.value, "share": segment.share}
            for segment in result.segments
        ],
        "examples": list(result.examples),
        "inputs": dict(result.inputs),
        "not_seen": result.not_seen,
        "next_step": result.next_step,
        "evaluated_at": iso(result.evaluated_at),
    }


def run_document(report: RunReport) -> Document:
    """Pull, statement, breaks, checks and coverage of one run."""
    pulled, reconciled = pull_document(report.pull), reconcile_document(report.reconcile)
    checked = check_document(report.checks)
    data = {
        **reconciled.data,
        "pull": pulled.data["streams"],
        "checks": checked.data["checks"],
        "changes": report.reconcile.changes.total if report.reconcile.changes else 0,
    }
    failed = tuple(case for case in pulled.cases if case.outcome is Outcome.ERROR)
    return Document(
        title="run",
        data=data,
        cases=(*failed, *reconciled.cases, *checked.cases),
        symbols=reconciled.symbols,
    )
