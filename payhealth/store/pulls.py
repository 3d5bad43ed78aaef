"""What is kept of reading itself: coverage, cursors, how pulls ended; and what checks said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, select

from payhealth.domain.coverage import CoverageUnit, CoverageWindow, StreamState, merge
from payhealth.domain.results import CheckResult
from payhealth.ports import READ_ANEW, Batch, PullOutcome, StreamPlan
from payhealth.store.runs import json_text
from payhealth.store.tables import table
from payhealth.store.windows import merged, no_longer_refuted


def save_windows(connection: Connection, connector: str, batch: Batch) -> None:
    """Merge a batch's windows into those of their streams."""
    streams: dict[tuple[str, str, str], list[CoverageWindow]] = {}
    for window in batch.windows:
        streams.setdefault((window.connector, window.stream, window.unit.value), []).append(window)
    if batch.rejudged:
        for unit in CoverageUnit:
            streams.setdefault((connector, batch.stream, unit.value), [])
    for stream, added in streams.items():
        known = windows_of(connection, *stream)
        kept = [no_longer_refuted(one) for one in known] if batch.rejudged else known
        wanted = merged([*kept, *added])
        if wanted != known:
            _replace_windows(connection, stream, wanted)


def begin_anew(connection: Connection, connector: str, stream: str, now: datetime) -> None:
    """Take a stream's coverage away: it was of something else than is looked for now."""
    windows, outcomes = table("coverage_window"), table("pull_outcome")
    read = connection.execute(
        delete(windows).where(windows.c.connector == connector, windows.c.stream == stream)
    ).rowcount
    here = (outcomes.c.connector == connector) & (outcomes.c.stream == stream)
    tried = connection.execute(select(outcomes.c.id).where(here).limit(1)).first()
    if read or tried is not None:
        save_outcome(connection, anew_outcome(connector, stream, now))


def anew_outcome(connector: str, stream: str, now: datetime) -> PullOutcome:
    """What stands for a stream's last pull while it is read anew."""
    return PullOutcome(
        connector=connector,
        stream=stream,
        started_at=now,
        finished_at=now,
        objects_read=0,
        new=0,
        changed=0,
        rejected=0,
        requests=0,
        error=READ_ANEW,
    )


def windows_of(connection: Connection, connector: str, stream: str, unit: str) -> list[CoverageWindow]:
    """A stream's windows, ascending."""
    rows = table("coverage_window")
    query = select(rows).where(rows.c.connector == connector, rows.c.stream == stream, rows.c.unit == unit)
    ordered = query.order_by(rows.c.lower, rows.c.upper, rows.c.unproved)
    return [
        CoverageWindow(**{**row, "unit": CoverageUnit(row["unit"])})
        for row in connection.execute(ordered).mappings()
    ]


def _replace_windows(
    connection: Connection, stream: tuple[str, str, str], wanted: Sequence[CoverageWindow]
) -> None:
    rows = table("coverage_window")
    connector, name, unit = stream
    connection.execute(
        delete(rows).where(rows.c.connector == connector, rows.c.stream == name, rows.c.unit == unit)
    )
    values = [
        {column.name: getattr(window, column.name) for column in rows.columns} | {"unit": unit}
        for window in wanted
    ]
    if values:
        connection.execute(insert(rows), values)


def save_cursor(connection: Connection, connector: str, stream: str, cursor: str, now: datetime) -> None:
    """Set where the stream's next pull goes on."""
    rows = table("pull_cursor")
    here = (rows.c.connector == connector) & (rows.c.stream == stream)
    known = connection.execute(select(rows.c.cursor).where(here)).scalar_one_or_none()
    if known is None:
        values = {"connector": connector, "stream": stream, "cursor": cursor, "updated_at": now}
        connection.execute(insert(rows).values(values))
    elif known != cursor:
        connection.execute(rows.update().where(here).values(cursor=cursor, updated_at=now))


def cursor_of(connection: Connection, connector: str, stream: str) -> str | None:
    """Where the stream's pull goes on."""
    rows = table("pull_cursor")
    query = select(rows.c.cursor).where(rows.c.connector == connector, rows.c.stream == stream)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def save_outcome(connection: Connection, outcome: PullOutcome) -> None:
    """Append how a pull ended."""
    rows = table("pull_outcome")
    names = [column.name for column in rows.columns if column.name != "id"]
    values = {name: getattr(outcome, name) for name in names}
    connection.execute(insert(rows).values(values | {"coverage": json_text(outcome.coverage)}))


def states(connection: Connection, plans: Mapping[str, Sequence[StreamPlan]]) -> tuple[StreamState, ...]:
    """What is known of every planned stream."""
    return tuple(
        _state(connection, connector, plan) for connector, planned in plans.items() for plan in planned
    )


def _state(connection: Connection, connector: str, plan: StreamPlan) -> StreamState:
    rows = table("pull_outcome")
    here = (rows.c.connector == connector) & (rows.c.stream == plan.stream)
    newest = select(rows.c.error).where(here).order_by(rows.c.id.desc()).limit(1)
    ended_well = select(func.max(rows.c.finished_at)).where(here, rows.c.error.is_(None))
    windows = windows_of(connection, connector, plan.stream, plan.unit.value)
    sound = [(window.lower, window.upper) for window in windows if not window.refuted]
    refuted = [(window.lower, window.upper) for window in windows if window.refuted]
    return StreamState(
        connector=connector,
        stream=plan.stream,
        unit=plan.unit,
        required_lower=plan.required_lower,
        last_ok_at=connection.execute(ended_well).scalar_one(),
        last_error=connection.execute(newest).scalar_one_or_none(),
        covered=merge(sound),
        refuted=merge(refuted),
    )


def save_results(connection: Connection, results: Sequence[CheckResult]) -> None:
    """Append what checks said."""
    if results:
        connection.execute(insert(table("check_result")), [_result_row(result) for result in results])


def _result_row(result: CheckResult) -> dict[str, Any]:
    lower, upper = result.interval or (None, None)
    segments = [
        {"name": segment.name, "value": segment.value, "share": segment.share} for segment in result.segments
    ]
    return {
        "check_name": result.check,
        "outcome": result.outcome.value,
        "message": result.message,
        "evaluated_at": result.evaluated_at,
        "value": result.value,
        "unit": result.unit,
        "interval_lower": lower,
        "interval_upper": upper,
        "baseline": result.baseline,
        "thresholds": json_text(dict(result.thresholds)),
        "segments": json_text(segments),
        "examples": json_text(list(result.examples)),
        "inputs": json_text(dict(result.inputs)),
        "not_seen": result.not_seen,
        "next_step": result.next_step,
    }


def last_results(connection: Connection) -> list[dict[str, Any]]:
    """The newest verdict of every check, by name; lists and tables as Python values."""
    rows = table("check_result")
    newest = select(func.max(rows.c.id)).group_by(rows.c.check_name)
    query = select(rows).where(rows.c.id.in_(newest)).order_by(rows.c.check_name)
    decoded = ("thresholds", "segments", "examples", "inputs")
    return [
        {name: orjson.loads(value) if name in decoded else value for name, value in row.items()}
        for row in connection.execute(query).mappings()
    ]
