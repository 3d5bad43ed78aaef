"""Opening and upgrading a store: is this database one of ours, and of this version?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, inspect, text

from payhealth.domain.errors import StoreError, StoreVersionError
from payhealth.store.engine import connect, parse, shown, translated, writing
from payhealth.store.sqlstore import SqlStore

if TYPE_CHECKING:
    from payhealth.ports import Clock

VERSION_TABLE = "payhealth_version"
"""Our own name: a shared database may hold the ``alembic_version`` of another program."""

REVISIONS = ("0001", "0002", "0003")
"""Every revision this code knows, oldest first; a test holds it against the migrations folder."""

HEAD = REVISIONS[-1]
MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE = "payhealth db upgrade"
_LOCK_KEY = 0x7061_7968


def open_store(url: str, *, clock: Clock | None = None) -> SqlStore:
    """Open a store of this version; an empty SQLite database becomes one.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER@HOST/DATABASE``.
        clock: replaces the database's clock as the source of ``recorded_at``, in simulations and tests.

    Raises:
        StoreVersionError: the store is older or newer than this code, or has no tables yet.
        StoreError: the database cannot be reached, or is another program's.
    """
    parsed = parse(url)
    engine = connect(parsed)
    try:
        with translated(parsed, "open the store"):
            _require_this_version(engine, parsed)
    except BaseException:
        engine.dispose()
        raise
    return SqlStore(engine, parsed, clock=clock)


def upgrade(url: str) -> str:
    """Create the tables or bring them up to this version, in one transaction.

    Returns:
        What was done, one line to show.

    Raises:
        StoreVersionError: the store is newer than this code.
        StoreError: the database cannot be reached or changed.
    """
    parsed = parse(url)
    engine = connect(parsed)
    try:
        with translated(parsed, "upgrade the store"):
            before = _upgrade(engine, parsed)
    finally:
        engine.dispose()
    if before == HEAD:
        return f"the store {shown(parsed)} is at revision {HEAD} already"
    done = f"upgraded from revision {before}" if before else "created"
    return f"the store {shown(parsed)} is {done}, now at revision {HEAD}"


def _require_this_version(engine: Engine, url: URL) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
        tables = [] if found else inspect(connection).get_table_names()
    if found == HEAD:
        return
    if not found and not tables and engine.dialect.name == "sqlite":
        _upgrade(engine, url)
        return
    if not found and tables and engine.dialect.name == "sqlite":
        raise StoreError(
            f"{shown(url)} is another program's database", hint="give [store] url a file of its own"
        )
    raise _differs(found, url)


def _differs(found: str | None, url: URL) -> StoreVersionError:
    if not found:
        return StoreVersionError(f"the store {shown(url)} has no tables yet", hint=_UPGRADE)
    if found in REVISIONS:
        return StoreVersionError(
            f"the store {shown(url)} is older than this payhealth (revision {found}, not {HEAD})",
            hint=_UPGRADE,
        )
    return StoreVersionError(
        f"the store {shown(url)} is newer than this payhealth (revision {found}, not {HEAD})",
        hint="upgrade payhealth: pip install --upgrade payhealth",
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {VERSION_TABLE}")
    ).scalar_one_or_none()
    return found


def _upgrade(engine: Engine, url: URL) -> str:
    """Run the migrations under a lock, so that two processes at once do not both create the tables."""
    with writing(engine) as connection:
        if engine.dialect.name != "sqlite":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        before = _revision(connection)
        if before and before not in REVISIONS:
            raise _differs(before, url)
        run_migrations(connection)
    return before or ""


def run_migrations(connection: Connection) -> None:
    """Bring the database of an open transaction to this code's revision and its views."""
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a connection; no file is read."""
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


if TYPE_CHECKING:
    from alembic.config import Config
