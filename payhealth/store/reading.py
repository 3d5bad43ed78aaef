"""Reading: record tables now or as of a moment, queries over the views, histories."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
from sqlalchemy import Connection, select, text

from payhealth.domain.errors import InputError
from payhealth.domain.money import plain
from payhealth.domain.times import utc
from payhealth.store.bulk import bulk_for, quoted
from payhealth.store.runs import JSON_COLUMNS
from payhealth.store.spec import Column, Spec
from payhealth.store.sqltypes import moment_text
from payhealth.store.tables import table


def records(connection: Connection, spec: Spec, as_of: datetime | None) -> pa.Table:
    """All facts of a spec, current or as of a moment, without what is kept in the history alone.

    As of T a fact is its newest version recorded by T, and is left out where that version happens after T.
    """
    columns = (*spec.shown, spec.column("recorded_at"), spec.column("first_recorded_at"))
    names = quoted([column.name for column in columns])
    bulk = bulk_for(connection.dialect.name)
    if as_of is None:
        return bulk.read(connection, f'SELECT {names} FROM "{spec.current}"', {}, columns)
    # The newest version by T is the one that no version by T names as the one before it.
    effective = f' AND v."{spec.effective}" <= :as_of' if spec.effective else ""
    sql = (
        f'SELECT {quoted([column.name for column in columns], "v.")} FROM "{spec.version}" AS v LEFT JOIN '
        f'(SELECT previous_seq FROM "{spec.version}" '
        "WHERE previous_seq IS NOT NULL AND recorded_at <= :as_of) "
        "AS n ON n.previous_seq = v.change_seq "
        f"WHERE n.previous_seq IS NULL AND v.recorded_at <= :as_of{effective}"
    )
    return bulk.read(connection, sql, {"as_of": _bound(connection, as_of)}, columns)


def _bound(connection: Connection, moment: datetime) -> Any:
    return moment_text(moment) if connection.dialect.name == "sqlite" else utc(moment)


_LISTED = {
    "sqlite": "SELECT value FROM json_each(:listed)",
    "postgresql": "SELECT json_array_elements_text(CAST(:listed AS json))",
}


def lookup(
    connection: Connection, spec: Spec, connector: str, column: str, values: Collection[str]
) -> pa.Table:
    """The current facts of a connector whose column holds one of the values."""
    wanted, columns = spec.column(column).name, _looked_up(spec)
    names = quoted([each.name for each in columns])
    listed = _LISTED[connection.dialect.name]
    sql = f'SELECT {names} FROM "{spec.current}" WHERE connector = :connector AND "{wanted}" IN ({listed})'
    # One parameter whatever the number of values: databases limit how many a statement may have.
    bound = {"connector": connector, "listed": orjson.dumps(sorted(set(values))).decode()}
    return bulk_for(connection.dialect.name).read(connection, sql, bound, columns)


def between(
    connection: Connection, spec: Spec, connector: str, column: str, lower: int, upper: int
) -> pa.Table:
    """The current facts of a connector whose column lies in ``[lower, upper)``."""
    wanted, columns = spec.column(column).name, _looked_up(spec)
    names = quoted([each.name for each in columns])
    sql = (
        f'SELECT {names} FROM "{spec.current}" '
        f'WHERE connector = :connector AND "{wanted}" >= :lower AND "{wanted}" < :upper'
    )
    bound = {"connector": connector, "lower": lower, "upper": upper}
    return bulk_for(connection.dialect.name).read(connection, sql, bound, columns)


def _looked_up(spec: Spec) -> tuple[Column, ...]:
    return (*spec.shown, *(spec.column(name) for name in _BESIDE))


_BESIDE = ("recorded_at", "first_recorded_at", "read_at")


def changes(connection: Connection, spec: Spec, after: int, limit: int | None) -> pa.Table:
    """The versions with a change number above ``after``, with that number, ascending; the first so many."""
    columns = spec.projected
    names = quoted([column.name for column in columns])
    sql = f'SELECT {names} FROM "{spec.version}" WHERE change_seq > :after ORDER BY change_seq'
    if limit is not None:
        sql += f" LIMIT {limit:d}"
    return bulk_for(connection.dialect.name).read(connection, sql, {"after": after}, columns)


def rows(connection: Connection, sql: str, parameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Rows of a query over the views, with the same values from both databases.

    Amounts are canonical text, moments are ISO 8601 text in UTC with six digits of a second and a Z; so are
    moments and decimals among the parameters.
    """
    bound = {name: _portable_parameter(connection, value) for name, value in (parameters or {}).items()}
    result = connection.execute(text(sql), bound)
    return [{name: _portable(value) for name, value in row.items()} for row in result.mappings()]


def _portable_parameter(connection: Connection, value: Any) -> Any:
    if connection.dialect.name != "sqlite":
        return value
    if isinstance(value, datetime):
        return moment_text(value)
    return plain(value) if isinstance(value, Decimal) else value


def _portable(value: Any) -> Any:
    if isinstance(value, Decimal):
        # PostgreSQL counts with numerics too: sum(bigint) has no places, an amount always has eighteen.
        is_count = value.as_tuple().exponent == 0
        return int(value) if is_count else plain(value)
    if isinstance(value, datetime):
        return moment_text(value)
    return value.isoformat() if isinstance(value, date) else value


def history(connection: Connection, spec: Spec, key: Sequence[Any]) -> list[dict[str, Any]]:
    """Every version of one fact, oldest first, with amounts, moments and lists as Python values.

    Raises:
        InputError: the key has another number of parts.
    """
    if len(key) != len(spec.key):
        raise InputError(f"the key of a {spec.name} is {', '.join(spec.key)}")
    versions, now = table(spec.version), table(spec.current)
    newest = select(now.c.change_seq, now.c.previous_seq)
    for name, value in zip(spec.key, key, strict=True):
        newest = newest.where(now.c[name] == value)
    chain = newest.cte("chain", recursive=True)
    before = select(versions.c.change_seq, versions.c.previous_seq).join(
        chain, versions.c.change_seq == chain.c.previous_seq
    )
    chain = chain.union_all(before)
    query = select(versions).join(chain, versions.c.change_seq == chain.c.change_seq)
    return decoded(connection, query.order_by(versions.c.change_seq))


def current(connection: Connection, spec: Spec, states: Sequence[str] | None) -> list[dict[str, Any]]:
    """Current matches or breaks in these states, None for all, in order of their keys."""
    rows_now = table(spec.current)
    query = select(rows_now).order_by(*(rows_now.c[name] for name in spec.key))
    return decoded(connection, query if states is None else query.where(rows_now.c.state.in_(states)))


def decoded(connection: Connection, query: Any) -> list[dict[str, Any]]:
    """Rows as dictionaries with their JSON columns read, without the link that only the store follows."""
    return [
        {
            name: orjson.loads(value) if name in JSON_COLUMNS else value
            for name, value in row.items()
            if name != "previous_seq"
        }
        for row in connection.execute(query).mappings()
    ]
