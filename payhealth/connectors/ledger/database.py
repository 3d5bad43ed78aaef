"""Reading somebody else's database: read-only where it can be, bounded in time, streamed.

No password, and no URL that may hold one, is ever part of an error.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, CursorResult, Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool

from payhealth.domain.errors import (
    ConfigurationError,
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from payhealth.secrets import MASK, Secret

CHUNK_ROWS = 10_000
"""Rows fetched and committed at once."""

_LOCK_WAIT_S = 30
_LINE_CHARS_MAX = 240
_REFUSED = re.compile(
    r"password|authentication|access denied|no pg_hba|role .* does not exist", re.IGNORECASE
)
_SQLITE_BUSY = re.compile(r"locked|busy|interrupted|disk|unable to open", re.IGNORECASE)

Row = dict[str, Any]


class Database:
    """A database that is only read from.

    Args:
        connector: the connector's name, for messages.
        url: an SQLAlchemy URL.
        statement_timeout_s: how long it may work on one step.

    Raises:
        ConfigurationError: the URL cannot be read, or its driver is not installed.
    """

    def __init__(self, connector: str, url: Secret, *, statement_timeout_s: float) -> None:
        self._connector = connector
        self._timeout_s = statement_timeout_s
        try:
            self._url = _with_driver(make_url(url.reveal()))
            self._engine = _engine(self._url)
        except (ArgumentError, ValueError):
            # The library's own message repeats the URL, and so the password in it.
            raise ConfigurationError(
                f"{connector}: url is not a database URL",
                hint="such as postgresql+psycopg://… or sqlite:///…",
            ) from None
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            raise ConfigurationError(
                f"{connector}: no driver is installed for {self._url.drivername}",
                hint="install it, or name another",
            ) from error

    @property
    def provider(self) -> str:
        """Who answers: the server's host name, or the kind of database where there is none."""
        return self._url.host or self.dialect

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` and the like."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One read-only transaction: everything read in it belongs to one moment, where that is offered.

        Raises:
            SourceError: the database did not let us in.
        """
        try:
            connection = self._engine.connect()
        except (DBAPIError, sqlite3.Error) as error:
            raise self._refusal(error) from None
        try:
            clock = self._begin(connection)
            yield Reading(self, connection, clock)
        except (DBAPIError, sqlite3.Error) as error:
            raise self.failure(error) from None
        finally:
            connection.close()

    def _begin(self, connection: Connection) -> _StepClock:
        timeout_ms = int(self._timeout_s * 1000)
        if self.dialect == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {timeout_ms}")
        elif self.dialect in ("mysql", "mariadb"):
            bound = (
                f"max_statement_time = {self._timeout_s:.3f}"
                if getattr(connection.dialect, "is_mariadb", False)
                else f"max_execution_time = {timeout_ms}"
            )
            connection.exec_driver_sql(f"SET SESSION {bound}")
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.commit()
        elif self.dialect == "sqlite":
            return self._begin_sqlite(connection)
        return _StepClock(self._timeout_s)

    def _begin_sqlite(self, connection: Connection) -> _StepClock:
        clock = _StepClock(self._timeout_s)
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(clock.expired, 10_000)
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")
        return clock

    def _refusal(self, error: Exception) -> SourceError:
        line = self._line(error)
        if _REFUSED.search(line):
            return SourceRefusedError(f"{self._connector}: the database refused the login: {line}")
        return SourceUnavailableError(f"{self._connector}: the database cannot be reached: {line}")

    def failure(self, error: Exception) -> SourceError:
        """The error for a query that failed: of the moment, or of the query."""
        line = self._line(error)
        passing = isinstance(error, OperationalError) and (
            self.dialect != "sqlite" or _SQLITE_BUSY.search(line) is not None
        )
        if passing or isinstance(error, sqlite3.OperationalError):
            return SourceUnavailableError(f"{self._connector}: the database did not finish the query: {line}")
        return SourceDataError(f"{self._connector}: the database refused the query: {line}")

    def _line(self, error: Exception) -> str:
        """The driver's first line, without anything that the URL keeps secret."""
        origin = getattr(error, "orig", None) or error
        line = next((line for line in str(origin).splitlines() if line.strip()), type(origin).__name__)
        secrets = [str(self._url.password or ""), *(str(value) for value in self._url.query.values())]
        secrets.append(self._url.render_as_string(hide_password=False))
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            line = line.replace(secret, MASK)
        return "".join(char for char in line if char.isprintable())[:_LINE_CHARS_MAX]


class _StepClock:
    """Until when the running step may take; SQLite asks it now and then."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.restart()

    def restart(self) -> None:
        """A new step begins."""
        self._deadline_s = time.monotonic() + self._timeout_s

    def expired(self) -> int:
        """Anything but zero interrupts the statement."""
        return int(time.monotonic() > self._deadline_s)


class Reading:
    """Queries inside one read-only transaction."""

    def __init__(self, database: Database, connection: Connection, clock: _StepClock) -> None:
        self._database = database
        self._connection = connection
        self._clock = clock

    def columns(self, query: str) -> list[str]:
        """The names of a query's columns, as the database gives them."""
        return list(self._run(f"select * from (\n{query}\n) payhealth_query where 1 = 0").keys())

    def counts(self, query: str, column: str) -> dict[Any, int]:
        """How many rows hold each value of a column."""
        name = self._quoted(column)
        sql = f"select {name}, count(*) from (\n{query}\n) payhealth_query group by {name}"
        rows: list[Any] = list(self._run(sql))
        return {row[0]: int(row[1]) for row in rows}

    def repeated(self, query: str, column: str, *, at_most: int) -> list[Any]:
        """Values of a column that stand in more than one row, some of them."""
        name = self._quoted(column)
        sql = (
            f"select {name} from (\n{query}\n) payhealth_query where {name} is not null"
            f" group by {name} having count(*) > 1 order by {name}"
        )
        return [row[0] for row in self._run(sql).fetchmany(at_most)]

    def stream(self, query: str) -> Iterator[list[Row]]:
        """All rows in chunks, with lower-case names; memory holds one chunk."""
        result = self._run(query, stream_results=True, max_row_buffer=CHUNK_ROWS)
        names = [name.lower() for name in result.keys()]  # noqa: SIM118 - a result is no dict
        with result:
            while True:
                self._clock.restart()
                rows = result.fetchmany(CHUNK_ROWS)
                if not rows:
                    return
                yield [dict(zip(names, row, strict=True)) for row in rows]

    def _run(self, sql: str, **options: Any) -> CursorResult[Any]:
        self._clock.restart()
        # Without parameters a driver leaves %, ? and : in the user's query alone.
        return self._connection.exec_driver_sql(sql, execution_options={"no_parameters": True, **options})

    def _quoted(self, column: str) -> str:
        return self._connection.dialect.identifier_preparer.quote_identifier(column)


def _with_driver(url: URL) -> URL:
    """The driver that payhealth brings, where the URL names none."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def _engine(url: URL) -> Engine:
    path = url.database or ""
    plain_file = (
        url.get_backend_name() == "sqlite" and path not in ("", ":memory:") and not path.startswith("file:")
    )
    if not plain_file:
        return create_engine(url, poolclass=NullPool, hide_parameters=True)

    def connect() -> sqlite3.Connection:
        # Opened the usual way, a missing file would be created, and a present one could be written.
        return sqlite3.connect(
            f"file:{quote(path)}?mode=ro", uri=True, timeout=_LOCK_WAIT_S, check_same_thread=False
        )

    return create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
