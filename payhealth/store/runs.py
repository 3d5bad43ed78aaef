"""What a reconciliation leaves behind: matches and breaks with their lives, and the statement."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, text

from payhealth.domain.errors import InputError
from payhealth.domain.money import plain
from payhealth.ports import RunChanges
from payhealth.store import arrow
from payhealth.store.arrow import whole
from payhealth.store.spec import BREAK, MATCH, Spec
from payhealth.store.tables import table
from payhealth.store.versioned import Rows, Transaction, append, current, differing, rows_of

SUPERSEDED = "superseded"
JSON_COLUMNS = frozenset({"movement_ids", "entry_ids", "reasons", "legs"})


class BreakState(StrEnum):
    """The life of a break."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"


def json_text(value: Any) -> str:
    """JSON with sorted keys and amounts as canonical text."""
    return orjson.dumps(value, default=_encoded, option=orjson.OPT_SORT_KEYS).decode()


def _encoded(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def run_rows(spec: Spec, given: pa.Table) -> Rows:
    """A run's table as rows to be written; columns that are not kept are left aside.

    Raises:
        InputError: a column is missing or of another type.
    """
    arrays = {}
    for column in spec.columns:
        if column.name not in given.column_names:
            raise InputError(f"{spec.name}.{column.name}: the column is missing")
        values = given.column(column.name)
        if column.name in JSON_COLUMNS:
            values = pa.array([json_text(each or []) for each in values.to_pylist()], pa.string())
        arrays[column.name] = values
    return rows_of(spec, arrow.content_table(spec, pa.table(arrays)))


def save_matches(opened: Transaction, rows: Rows) -> RunChanges:
    """Make these the current matches; others that were current are superseded."""
    found = differing(opened, rows, beside=("state",))
    known = sum(1 for state in found.column("state").to_pylist() if state not in (None, SUPERSEDED))
    append(opened, rows, found)
    gone = _gone(opened, rows, SUPERSEDED)
    if len(gone):
        content = gone.select([column.name for column in MATCH.columns])
        place = content.column_names.index("state")
        states = pa.array([SUPERSEDED] * len(gone), pa.string())
        content = content.set_column(place, arrow.schema(MATCH.columns).field(place), states)
        left = Rows(MATCH, content, arrow.content_hashes(MATCH, content))
        append(opened, left, gone)
    return RunChanges(new_matches=len(found) - known, superseded_matches=known + len(gone))


def _gone(opened: Transaction, rows: Rows, closed: str) -> pa.Table:
    """The current rows that are not closed and that are none of these, with their ordinals."""
    spec = rows.spec
    (key,) = (spec.column(name) for name in spec.key)
    sql = f'SELECT "{key.name}" FROM "{spec.current}" WHERE state <> :closed'
    live = opened.bulk.read(opened.connection, sql, {"closed": closed}, (key,))
    kept = pc.is_in(live.column(0), value_set=whole(rows.content.column(key.name)))
    return current(opened, spec, live.filter(pc.invert(kept)), [column.name for column in spec.stored])


def save_breaks(opened: Transaction, rows: Rows) -> RunChanges:
    """Make these the open breaks.

    A break that is gone is resolved; one that a run had resolved and that returns is reopened. One that a
    person resolved stays so as long as its content is the same.
    """
    found = differing(opened, rows, beside=[column.name for column in BREAK.state], alike=_not_returned)
    before, by, notes = (found.column(column.name).to_pylist() for column in BREAK.state)
    lives = [_life(*each) for each in zip(before, by, notes, strict=True)]
    append(opened, rows, found, _states(lives))
    gone = _gone(opened, rows, BreakState.RESOLVED)
    notes = gone.column("note").to_pylist()
    _append_as_is(opened, gone, [(BreakState.RESOLVED.value, None, note) for note in notes])
    new, reopened = before.count(None), before.count(BreakState.RESOLVED.value)
    return RunChanges(
        new_breaks=new,
        changed_breaks=len(found) - new - reopened,
        resolved_breaks=len(gone),
        reopened_breaks=reopened,
    )


def _not_returned(now: pa.Table) -> pa.Array:
    """Which current breaks are not such that a run had resolved: those return with the same content."""
    live = pc.not_equal(now.column("state"), BreakState.RESOLVED.value)
    return pc.or_(live, now.column("decided_by").is_valid())


_Life = tuple[str, str | None, str | None]


def _life(state: str | None, decided_by: str | None, note: str | None) -> _Life:
    """State, who set it, and the note of a break that a run found new or changed."""
    if state is None:
        return (BreakState.OPEN.value, None, None)
    return (
        (BreakState.REOPENED.value, None, note) if state == BreakState.RESOLVED else (state, decided_by, note)
    )


def _states(lives: Sequence[_Life]) -> dict[str, list[Any]]:
    return {column.name: [life[i] for life in lives] for i, column in enumerate(BREAK.state)}


def _append_as_is(opened: Transaction, now: pa.Table, lives: Sequence[_Life]) -> None:
    """New versions of breaks whose content stays and whose life changes."""
    content = now.select([column.name for column in BREAK.columns])
    hashes = whole(now.column("content_hash"))
    append(opened, Rows(BREAK, content, hashes), now, _states(lives))


def decide_break(opened: Transaction, break_id: str, state: BreakState, by: str, note: str | None) -> None:
    """Record what a person decided on a break.

    Raises:
        InputError: no such break.
    """
    asked = pa.table({"break_id": pa.array([break_id], pa.string())})
    now = current(opened, BREAK, asked, [column.name for column in BREAK.stored])
    if now.column("change_seq").null_count:
        raise InputError(f"there is no break {break_id!r}", hint="payhealth breaks list")
    _append_as_is(opened, now, [(state.value, by, note)])


def save_statement(opened: Transaction, statement: Sequence[Mapping[str, Any]], ran_at: datetime) -> None:
    """Keep the statement if it differs from the last, and remember in any case when the run was."""
    connection, versions = opened.connection, table("statement_version")
    body = json_text([dict(row) for row in statement])
    content_hash = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    newest = versions.select().order_by(versions.c.change_seq.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    if last is None or last.content_hash != content_hash:
        values = {
            "change_seq": opened.take(1),
            "recorded_at": opened.recorded_at,
            "ran_at": ran_at,
            "content_hash": content_hash,
            "body": body,
        }
        connection.execute(versions.insert(), [values])
    _save_run_time(connection, ran_at)


def _save_run_time(connection: Connection, ran_at: datetime) -> None:
    runs = table("last_run")
    if not connection.execute(runs.update().values(ran_at=ran_at)).rowcount:
        connection.execute(runs.insert().values(id=1, ran_at=ran_at))


def last_statement(connection: Connection) -> dict[str, Any] | None:
    """The newest statement: its ``rows``, ``since`` which run it is so, and ``ran_at`` of the newest run."""
    sql = text("SELECT change_seq FROM statement_version ORDER BY change_seq DESC LIMIT 1")
    newest = connection.execute(sql).scalar_one_or_none()
    if newest is None:
        return None
    versions, runs = table("statement_version"), table("last_run")
    row = connection.execute(versions.select().where(versions.c.change_seq == newest)).one()
    ran_at = connection.execute(runs.select()).one().ran_at
    return {"ran_at": ran_at, "since": row.ran_at, "rows": orjson.loads(row.body)}
