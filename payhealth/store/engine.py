"""Connections: which URLs are stores, how each database must be set up, and what its errors mean to us."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from payhealth.domain.errors import StoreBusyError, StoreError
from payhealth.store import functions

BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
CACHE_KIB = 40_000
PAGE_BYTES = 16_384
CHECKPOINT_PAGES = 4_000
WRITE = "payhealth_write"
_BUSY = ("database is locked", "database table is locked", "lock timeout", "deadlock detected")
_FORMS = "sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"


def parse(url: str) -> URL:
    """The URL of a store.

    Raises:
        StoreError: not the URL of a database that payhealth knows; a password in it is not repeated.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("the store's URL cannot be read", hint=f"write {_FORMS}") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite")
    raise StoreError(f"a store cannot be kept in {backend!r}", hint=f"write {_FORMS}")


def shown(url: URL) -> str:
    """The URL without its password, to be shown to people."""
    return url.set(query={}).render_as_string(hide_password=True)


def connect(url: URL) -> Engine:
    """An engine for a parsed URL; it opens nothing yet."""
    return _sqlite(url) if url.drivername == "sqlite" else _postgresql(url)


def _sqlite(url: URL) -> Engine:
    arguments = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    in_memory = url.database in (None, "", ":memory:")
    engine = (
        create_engine(url, connect_args=arguments, poolclass=StaticPool, hide_parameters=True)
        if in_memory
        else create_engine(url, connect_args=arguments, hide_parameters=True)
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    """Write-ahead log, so that readers never wait; the driver's own transactions are switched off."""
    connection.isolation_level = None
    for pragma in (
        # Wide rows and keys in no order want large pages; a file takes the size before it has a journal.
        f"page_size = {PAGE_BYTES}",
        f"busy_timeout = {BUSY_TIMEOUT_S * 1000}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "temp_store = MEMORY",
        # Natural keys arrive in no order: their index must stay in memory while a page of them is written.
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    functions.register(connection)


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: one that reads first could not wait for it later."""
    writes = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        hide_parameters=True,
        # Writers wait for the counter row and must then see what the one before them wrote.
        isolation_level="READ COMMITTED",
        connect_args={} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S},
    )
    event.listen(engine, "connect", _set_up_postgresql)
    return engine


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
    connection.commit()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed at the end, rolled back on any exception."""
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One read-only transaction over a consistent state."""
    with engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql("PRAGMA query_only = ON" if sqlite else "SET TRANSACTION READ ONLY")
        try:
            yield connection
        finally:
            connection.rollback()
            if sqlite:
                connection.exec_driver_sql("PRAGMA query_only = OFF")


def database_errors() -> tuple[type[Exception], ...]:
    """Every exception of the libraries below us; psycopg's only once it is loaded."""
    psycopg = sys.modules.get("psycopg")
    return (SQLAlchemyError, sqlite3.Error, *([psycopg.Error] if psycopg else []))


@contextmanager
def translated(url: URL, doing: str) -> Iterator[None]:
    """Turn a database's exception into ours: one line, no password, no values.

    Args:
        doing: what was tried, as in ``cannot <doing>``.
    """
    try:
        yield
    except database_errors() as error:
        cause = getattr(error, "orig", None) or error
        text = first_line(cause)
        if url.password:
            text = text.replace(str(url.password), "***")
        if any(sign in text for sign in _BUSY):
            raise StoreBusyError(
                f"cannot {doing}: somebody else holds the store {shown(url)}", hint="try again in a moment"
            ) from error
        raise StoreError(f"cannot {doing} ({shown(url)}): {text}") from error


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, cut to a readable length."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
