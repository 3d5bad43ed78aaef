"""Opening, refusing and upgrading stores."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from payhealth.domain.errors import StoreBusyError, StoreError, StoreVersionError
from payhealth.domain.records import RECORD_TYPES, Link, Movement
from payhealth.ports import Batch, WriteCounts
from payhealth.store import engine, open_store, upgrade
from payhealth.store.arrow import content_hashes, content_table
from payhealth.store.schema import REVISIONS, VERSION_TABLE, alembic_config
from payhealth.store.spec import RECORD_SPECS
from payhealth.store.tables import metadata
from payhealth.store.views import FOLDER, VIEWS
from payhealth.testing import samples


def _set_revision(url: str, revision: str) -> None:
    connection = engine.connect(engine.parse(url))
    with engine.writing(connection) as opened:
        opened.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :revision"), {"revision": revision})
    connection.dispose()


def test_metadata_and_migrations_agree(store_url: str) -> None:
    """What the migrations create is what the tables in code say, on both databases."""
    opened = engine.connect(engine.parse(store_url))
    with opened.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        script = ScriptDirectory.from_config(alembic_config(connection))
        assert tuple(reversed([each.revision for each in script.walk_revisions()])) == REVISIONS
    opened.dispose()


def test_every_record_class_has_tables() -> None:
    """Each class of record has a history with its fields, and a projection without the archived ones."""
    for kind in RECORD_TYPES:
        spec = RECORD_SPECS[kind]
        for name, columns in ((spec.version, spec.columns), (spec.current, spec.shown)):
            assert {column.name for column in columns} < set(metadata.tables[name].columns.keys())
        archived = {column.name for column in spec.columns} - {column.name for column in spec.shown}
        assert not archived & set(metadata.tables[spec.current].columns.keys())


def test_every_view_has_a_documented_file() -> None:
    """Views live in named files that begin with a comment, and every file is a view that is created."""
    files = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("v_*.sql")}
    assert set(files) == set(VIEWS)
    assert all(body.startswith("-- ") for body in files.values())


def test_views_have_the_same_columns_on_both(sqlite_url: str, postgres_url: str) -> None:
    """A query over the views runs on both databases; the first column is the id."""
    seen = []
    for url in (sqlite_url, postgres_url):
        upgrade(url)
        opened = engine.connect(engine.parse(url))
        with opened.connect() as connection:
            seen.append(
                {name: list(connection.execute(text(f"SELECT * FROM {name}")).keys()) for name in VIEWS}
            )
        opened.dispose()
    assert seen[0] == seen[1]
    assert all(columns[0].endswith("_id") or columns[0] == "check_name" for columns in seen[0].values())


def test_an_empty_sqlite_store_is_created(sqlite_url: str) -> None:
    """A store that is not there yet becomes one by being opened; a second opening finds it."""
    open_store(sqlite_url).close()
    store = open_store(sqlite_url)
    assert store.records(Movement).num_rows == 0
    store.close()


def test_two_processes_may_create_at_once(sqlite_url: str) -> None:
    """Whoever comes second waits for the first and finds the tables."""
    errors: list[Exception] = []

    def opening() -> None:
        try:
            open_store(sqlite_url).close()
        except Exception as error:  # noqa: BLE001 - whatever it is fails the test below
            errors.append(error)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_an_empty_postgresql_store_is_refused(postgres_url: str) -> None:
    """A database server is never changed unasked: the hint names the command."""
    with pytest.raises(StoreVersionError) as refused:
        open_store(postgres_url)
    assert refused.value.hint == "payhealth db upgrade"
    upgrade(postgres_url)
    open_store(postgres_url).close()


@pytest.mark.parametrize(("revision", "word", "hint"), [("9999", "newer", "upgrade payhealth")])
def test_another_version_is_refused(store_url: str, revision: str, word: str, hint: str) -> None:
    """A store of another revision is refused with the command that mends it, and not upgraded blindly."""
    _set_revision(store_url, revision)
    with pytest.raises(StoreVersionError, match=word) as refused:
        open_store(store_url)
    assert refused.value.hint.startswith(hint)
    with pytest.raises(StoreVersionError, match="newer"):
        upgrade(store_url)


def test_an_older_version_names_the_command(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that a newer payhealth finds is refused until it is upgraded."""
    open_store(sqlite_url).close()
    monkeypatch.setattr("payhealth.store.schema.REVISIONS", (*REVISIONS, "9999"))
    monkeypatch.setattr("payhealth.store.schema.HEAD", "9999")
    with pytest.raises(StoreVersionError, match="older") as refused:
        open_store(sqlite_url)
    assert refused.value.hint == "payhealth db upgrade"


def test_a_store_of_the_first_revision_is_brought_up(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older version recorded is still there, and what is read again unchanged adds nothing."""
    first = engine.connect(engine.parse(sqlite_url))
    with monkeypatch.context() as without_views, engine.writing(first) as connection:
        # The views of today stand on tables that the first revision did not have.
        without_views.setattr("payhealth.store.views.create_views", lambda _connection: None)
        command.upgrade(alembic_config(connection), "0001")
    with engine.writing(first) as connection:
        _insert_link_as_0001_did(connection)
    first.dispose()
    with pytest.raises(StoreVersionError, match="older"):
        open_store(sqlite_url)
    assert "upgraded from revision 0001" in upgrade(sqlite_url)
    store = open_store(sqlite_url)
    kept = Link(connector="cards", alias="ch_1", payment_key="pi_1")
    assert store.rows("select alias_id, payment_key from v_links") == [
        {"alias_id": "ch_1", "payment_key": "pi_1"}
    ]
    counts = store.commit("cards", Batch(stream="charges", records={Link: [kept]}, read_at=samples.MOMENT))
    assert counts == WriteCounts(unchanged=1)
    assert store.verify_projection() == []
    store.close()


def _insert_link_as_0001_did(connection: Connection) -> None:
    """A link in history and projection, with the columns of the first revision."""
    content = content_table(RECORD_SPECS[Link], [Link(connector="cards", alias="ch_1", payment_key="pi_1")])
    values = {
        "hash": content_hashes(RECORD_SPECS[Link], content)[0].as_py(),
        "at": "2026-01-01T00:00:00.000000Z",
    }
    for table in ("link_version", "link_current"):
        columns = "connector, alias, payment_key, content_hash, recorded_at, first_recorded_at, change_seq"
        row = "'cards', 'ch_1', 'pi_1', :hash, :at, :at, 1"
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({row})"), values)
    connection.execute(text("UPDATE change_counter SET change_seq = 1"))


def test_upgrading_twice_changes_nothing(store_url: str) -> None:
    """An upgrade of a store of this version keeps its rows."""
    store = open_store(store_url)
    store.commit("cards", Batch(stream="charges", records={Movement: [samples.movement()]}))
    store.close()
    assert "already" in upgrade(store_url)
    store = open_store(store_url)
    assert store.records(Movement).num_rows == 1
    assert store.rows("SELECT movement_id FROM v_movements") == [{"movement_id": "ch_1"}]
    store.close()


def test_a_failed_upgrade_leaves_nothing(
    store_url: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade is one transaction."""
    monkeypatch.setattr("payhealth.store.views.VIEWS", (*VIEWS, "v_missing"))
    fresh = sqlite_url.replace("store.db", "fresh.db")
    with pytest.raises(FileNotFoundError):
        upgrade(fresh)
    with sqlite3.connect(fresh.removeprefix("sqlite:///")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    """A file of another program is not turned into a store."""
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StoreError, match="another program"):
        open_store(f"sqlite:///{tmp_path}/other.db")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://me:hunter2@host/db",
        "sqlite:////nowhere/at/all/store.db",
        "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
        "postgresql+psycopg://me:hunter2@127.0.0.1:notaport/db",
        "",
    ],
)
def test_bad_urls_are_one_line_without_the_password(url: str) -> None:
    """A store that cannot be opened says why in one line that holds no password."""
    with pytest.raises(StoreError) as refused:
        open_store(url)
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value) + refused.value.hint


def test_no_file_is_not_a_database(tmp_path: Path) -> None:
    """A file that is no database is a StoreError."""
    (tmp_path / "text.db").write_text("no database at all, but long enough to look at " * 40)
    with pytest.raises(StoreError):
        open_store(f"sqlite:///{tmp_path}/text.db")


def test_a_locked_store_is_busy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's long write is a StoreBusyError after the time to wait."""
    monkeypatch.setattr("payhealth.store.engine.BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("payhealth.store.engine._set_up_sqlite", _impatient)
    store = open_store(sqlite_url)
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusyError):
        store.commit("cards", Batch(stream="charges", records={}, cursor="1"))
    holder.close()
    store.close()


def _impatient(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 50")
