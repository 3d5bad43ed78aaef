"""The ledger sources against real databases: SQLite always, PostgreSQL where there is one."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from payhealth.connectors.ledger import database as database_module
from payhealth.connectors.ledger.attribution import AttributionSource
from payhealth.connectors.ledger.database import Database
from payhealth.connectors.ledger.settings import LedgerSqlSettings
from payhealth.connectors.ledger.sql import PLUGIN
from payhealth.connectors.ledger.sql_source import LedgerSqlSource
from payhealth.domain.errors import (
    ConfigurationError,
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from payhealth.domain.records import Entry, Handle, Rejected
from payhealth.domain.times import to_us
from payhealth.secrets import Secret
from tests.unit.connectors.support import NOW, Kept, pull

QUERY = "select id, account, reference, amount, asset, occurred_at, kind from credit_entries"
KINDS = {"topup": "purchase", "clawback": "reversal", "promo": "grant"}
COLUMNS = "id, account, reference, amount, asset, occurred_at, kind"

Execute = Callable[[str], None]


class Ledger:
    """A ledger's database: its URL, and a way to write to it as the business does."""

    def __init__(self, url: str, *, table: str) -> None:
        self.url = url
        self._engine = create_engine(url)
        self.run("drop table if exists credit_entries", "drop table if exists payment_handles", table)

    def run(self, *statements: str) -> None:
        """Execute and commit."""
        with self._engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})

    def add(self, entry_id: str, amount: str = "'10.00'", kind: str = "topup", **changes: str) -> None:
        """Insert one row; ``amount`` is SQL."""
        values = {"reference": f"pi_{entry_id}", "at": "2026-01-05T10:00:00Z", **changes}
        self.run(
            f"insert into credit_entries ({COLUMNS}) values"
            f" ('{entry_id}', 'acct-1', '{values['reference']}', {amount}, 'USD', '{values['at']}', '{kind}')"
        )

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger on each database."""
    if request.param == "sqlite":
        columns = (
            "id text, account text, reference text, amount text, asset text, occurred_at text, kind text"
        )
        made = Ledger(f"sqlite:///{tmp_path}/ledger.db", table=f"create table credit_entries ({columns})")
    else:
        try:
            url = str(request.getfixturevalue("postgres_url"))
        except pytest.FixtureLookupError:
            pytest.skip("no fixture offers a PostgreSQL server here")
        columns = (
            "id text, account text, reference text, amount numeric(38,18), asset text,"
            " occurred_at timestamptz, kind text"
        )
        made = Ledger(
            url.replace("postgresql://", "postgresql+psycopg://"),
            table=f"create table credit_entries ({columns})",
        )
    yield made
    made.close()


def source(ledger: Ledger, query: str = QUERY, **changes: Any) -> LedgerSqlSource:
    """A source on the ledger."""
    values = {"url": Secret(ledger.url, "env:LEDGER_URL"), "query": query, "kinds": KINDS, **changes}
    made = PLUGIN.build("credits", LedgerSqlSettings.model_validate(values))
    assert isinstance(made, LedgerSqlSource)
    return made


def entries(kept: Kept) -> dict[str, Decimal]:
    """Entries that the ledger still has, with their amounts."""
    return {row.entry_id: row.amount for row in kept.all(Entry) if not row.deleted}


def test_entries_are_what_the_table_holds(ledger: Ledger) -> None:
    """Every row is an entry with its exact amount, and all of time is covered."""
    tiny, huge = "0.000000000000000001", "99999999999999999999.999999999999999999"
    for number, amount in enumerate([tiny, f"-{tiny}", huge, f"-{huge}"]):
        ledger.add(f"e-{number}", f"'{amount}'")
    kept, found = Kept(), source(ledger)
    found.verify()
    pull(found, kept)
    assert entries(kept) == {
        "e-0": Decimal(tiny), "e-1": Decimal(f"-{tiny}"), "e-2": Decimal(huge), "e-3": Decimal(f"-{huge}")
    }  # fmt: skip
    (window,) = kept.windows
    assert (window.lower, window.upper, window.objects) == (0, to_us(NOW), 4)
    assert kept.all(Entry)[0].effective_at == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert kept.cursor("credits", "entries") == "2026-03-01T12:00:00.500000Z"


def test_pulling_twice_adds_nothing(ledger: Ledger) -> None:
    """The whole query is read each time, and what is equal adds no version."""
    ledger.add("e-1")
    kept = Kept()
    pull(source(ledger), kept)
    versions = kept.versions
    pull(source(ledger), kept, NOW + timedelta(minutes=1))
    assert kept.versions == versions == 1


def test_edits_deletions_and_late_rows_are_seen(ledger: Ledger) -> None:
    """An UPDATE, a DELETE and a back-dated insert are seen at the next pull; a return, too."""
    for number in range(3):
        ledger.add(f"e-{number}")
    kept = Kept()
    pull(source(ledger), kept)
    ledger.run("update credit_entries set amount = '11' where id = 'e-0'")
    ledger.run("delete from credit_entries where id = 'e-1'")
    ledger.add("e-3", at="2020-01-01T00:00:00Z")
    pull(source(ledger), kept)
    assert entries(kept) == {"e-0": 11, "e-2": 10, "e-3": 10}
    assert [row.entry_id for row in kept.all(Entry) if row.deleted] == ["e-1"]
    versions = kept.versions
    pull(source(ledger), kept)
    assert kept.versions == versions
    ledger.add("e-1")
    pull(source(ledger), kept)
    assert "e-1" in entries(kept)


def test_a_row_that_became_unreadable_is_not_gone(tmp_path: Path) -> None:
    """A row that is rejected now still stands in the ledger."""
    made = Ledger(
        f"sqlite:///{tmp_path}/l.db",
        table="create table credit_entries (id, account, reference, amount, asset, occurred_at, kind)",
    )
    made.add("e-1")
    kept = Kept()
    pull(source(made), kept)
    made.run("update credit_entries set amount = 'ten'")
    pull(source(made), kept)
    assert not [row for row in kept.all(Entry) if row.deleted]
    assert [row.object_id for row in kept.all(Rejected)] == ["e-1"]


def test_a_start_leaves_older_rows_alone(ledger: Ledger) -> None:
    """Rows before ``start`` are neither read nor taken for deleted."""
    ledger.add("old", at="2025-12-31T23:59:59Z")
    ledger.add("new", at="2026-01-01T00:00:00Z")
    kept = Kept()
    pull(source(ledger), kept)
    pull(source(ledger, start="2026-01-01"), kept)
    assert set(entries(kept)) == {"old", "new"}
    fresh = Kept()
    pull(source(ledger, start="2026-01-01"), fresh)
    assert set(entries(fresh)) == {"new"}
    assert fresh.windows[0].lower == to_us(datetime(2026, 1, 1, tzinfo=UTC))


def test_chunks_are_committed_one_by_one(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull that is stopped claims nothing and marks nothing deleted; the next one ends like any."""
    monkeypatch.setattr(database_module, "CHUNK_ROWS", 4)
    for number in range(11):
        ledger.add(f"e-{number}")
    undisturbed, kept = Kept(), Kept()
    batches = pull(source(ledger), undisturbed)
    assert [batch.objects_read for batch in batches] == [4, 4, 3, 0]

    def kill(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(source(ledger), kept, after_batch=kill)
    assert not kept.windows
    assert kept.cursor("credits", "entries") is None
    pull(source(ledger), kept)
    assert kept.everything() == undisturbed.everything()


def refusal(found: LedgerSqlSource) -> SourceError:
    """What a source ends with, in verify or in the pull."""

    def run() -> None:
        found.verify()
        pull(found, Kept())

    with pytest.raises(SourceError) as caught:
        run()
    assert "\n" not in caught.value.message
    return caught.value


def test_a_missing_column_is_named(ledger: Ledger) -> None:
    """With what the query gives instead."""
    error = refusal(source(ledger, "select id, account, reference, amount from credit_entries"))
    assert isinstance(error, SourceDataError)
    assert error.message == (
        "credits: the query lacks the column asset, occurred_at; it gives id, account, reference, amount"
    )


def test_unmapped_kinds_are_listed_with_counts(ledger: Ledger) -> None:
    """All of them, before anything is written."""
    for number, kind in enumerate(["topup", "bonus", "bonus", "gift"]):
        ledger.add(f"e-{number}", kind=kind)
    error = refusal(source(ledger))
    assert "'bonus' (2 rows), 'gift' (1 rows)" in error.message
    assert "topup" not in error.message


def test_repeated_ids_are_listed(ledger: Ledger) -> None:
    """Which of two rows is the entry would be a guess; nothing is written."""
    ledger.add("e-1")
    ledger.add("e-1", "'11'")
    kept = Kept()
    with pytest.raises(SourceDataError, match="more than one row: e-1"):
        pull(source(ledger), kept)
    assert not kept.everything()


def test_ids_that_are_one_after_trimming_are_listed(ledger: Ledger) -> None:
    """The database tells them apart; we would not."""
    ledger.add("e-1")
    ledger.add(" e-1")
    kept = Kept()
    with pytest.raises(SourceDataError, match="more than one row: e-1"):
        pull(source(ledger), kept)
    assert not kept.windows


def test_null_ids_are_rejected(ledger: Ledger) -> None:
    """Several rows without an id are rejected, and are no duplicates of one another."""
    ledger.add("e-1")
    ledger.add("x")
    ledger.add("y")
    ledger.run("update credit_entries set id = null, reference = 'r' where id in ('x', 'y')")
    kept = Kept()
    pull(source(ledger), kept)
    assert [row.reason for row in kept.all(Rejected)] == ["id is null"]
    assert set(entries(kept)) == {"e-1"}


@pytest.mark.parametrize(
    "query",
    ["select * from nowhere", "selec 1", "drop table credit_entries", "select nothing from credit_entries"],
)
def test_queries_that_cannot_run(ledger: Ledger, query: str) -> None:
    """A wrong query is the query's fault, in one line."""
    error = refusal(source(ledger, query))
    assert isinstance(error, SourceDataError)
    assert "refused the query" in error.message


def test_a_query_of_any_style_runs(ledger: Ledger) -> None:
    """Comments, percent signs, colons, common table expressions, another case of names, an order."""
    ledger.add("e-1", reference="100%:x")
    query = (
        "with found as (select * from credit_entries where reference like '%:x' or 1 = 2)\n"
        "select ID, account, reference, amount, asset, occurred_at, kind, 1 as extra from found\n"
        "order by id -- the end"
    )
    kept = Kept()
    pull(source(ledger, query), kept)
    assert set(entries(kept)) == {"e-1"}


def test_the_ledger_cannot_be_written(ledger: Ledger) -> None:
    """The transaction is read-only, whatever the role may do."""
    with (
        pytest.raises(SourceDataError, match=r"(?i)read.?only"),
        Database("credits", Secret(ledger.url, "x"), statement_timeout_s=5).reading() as reading,
    ):
        reading._run("insert into credit_entries (id) values ('forged')")


def test_a_statement_has_a_time(ledger: Ledger) -> None:
    """A query that runs away is stopped, and that passes."""
    series = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 900000000)"
    query = f"{series} select i as id, i as account, '' as reference, 1 as amount, 'USD' as asset, '' as occurred_at from n where i < 0"  # noqa: E501
    began = time.monotonic()
    error = refusal(source(ledger, query, statement_timeout_s=0.3))
    assert isinstance(error, SourceUnavailableError)
    assert time.monotonic() - began < 20


def test_floats_of_sqlite_are_refused(tmp_path: Path) -> None:
    """A REAL column, and a NUMERIC one that holds a fraction, give floats: the cast is told."""
    made = Ledger(
        f"sqlite:///{tmp_path}/l.db",
        table=f"create table credit_entries ({COLUMNS.replace('amount', 'amount real')})",
    )
    made.add("e-1", "1.5")
    error = refusal(source(made))
    assert "cast(amount as text) as amount" in error.message


def test_integers_of_sqlite_are_exact(tmp_path: Path) -> None:
    """Whole credits may be integers."""
    made = Ledger(f"sqlite:///{tmp_path}/l.db", table=f"create table credit_entries ({COLUMNS})")
    made.add("e-1", "9007199254740993")
    kept = Kept()
    pull(source(made), kept)
    assert entries(kept) == {"e-1": 9007199254740993}


def test_a_missing_sqlite_file_is_not_made(tmp_path: Path) -> None:
    """Reading a ledger that is not there must not create an empty one."""
    file = tmp_path / "nowhere.db"
    found = LedgerSqlSource("credits", LedgerSqlSettings(url=Secret(f"sqlite:///{file}", "x"), query=QUERY))
    with pytest.raises(SourceUnavailableError, match="cannot be reached"):
        found.verify()
    assert not file.exists()


def test_reading_sees_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are written while the query is read belong to the next pull."""
    monkeypatch.setattr(database_module, "CHUNK_ROWS", 2)
    file = tmp_path / "l.db"
    made = Ledger(f"sqlite:///{file}", table=f"create table credit_entries ({COLUMNS})")
    made.run("pragma journal_mode = wal")
    for number in range(6):
        made.add(f"e-{number}")

    def write(number: int) -> None:
        if number == 1:
            made.run("delete from credit_entries where id = 'e-5'")
            made.add("e-9")

    kept = Kept()
    pull(source(made), kept, after_batch=write)
    assert set(entries(kept)) == {f"e-{number}" for number in range(6)}
    pull(source(made), kept)
    assert set(entries(kept)) == {"e-0", "e-1", "e-2", "e-3", "e-4", "e-9"}


def test_a_locked_ledger_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that somebody holds is unavailable now, not wrong."""
    monkeypatch.setattr(database_module, "_LOCK_WAIT_S", 0.1)
    file = tmp_path / "l.db"
    made = Ledger(f"sqlite:///{file}", table=f"create table credit_entries ({COLUMNS})")
    made.close()
    holder = sqlite3.connect(file)
    holder.execute("begin exclusive")
    assert isinstance(refusal(source(made)), SourceUnavailableError)
    holder.close()


SECRET = "s3cr3t-Passw0rd"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (f"postgresql://me:{SECRET}@127.0.0.1:9/ledger", SourceUnavailableError),
        (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:9/l?application_name={SECRET}", SourceUnavailableError),
        (f"nonsense {SECRET}", ConfigurationError),
        (f"oracle+unheard://me:{SECRET}@h/l", ConfigurationError),
        (f"postgresql://me:{SECRET}@h:port/l", ConfigurationError),
    ],
)
def test_no_error_shows_the_url(url: str, kind: type[Exception]) -> None:
    """Neither the password nor the URL around it is in what is told."""
    with pytest.raises(kind) as caught:
        LedgerSqlSource("credits", LedgerSqlSettings(url=Secret(url, "x"), query=QUERY)).verify()
    shown = f"{caught.value} {caught.value!r} {getattr(caught.value, 'hint', '')}"
    assert SECRET not in shown
    assert "credits: " in shown


def test_a_refused_login(request: pytest.FixtureRequest) -> None:
    """A role that does not exist is refused, in one line."""
    try:
        url = str(request.getfixturevalue("postgres_url"))
    except pytest.FixtureLookupError:
        pytest.skip("no fixture offers a PostgreSQL server here")
    wrong = create_engine(url).url.set(username="nobody_of_that_name", password=SECRET)
    text = wrong.render_as_string(hide_password=False)
    with pytest.raises(SourceRefusedError) as caught:
        LedgerSqlSource("credits", LedgerSqlSettings(url=Secret(text, "x"), query=QUERY)).verify()
    assert SECRET not in str(caught.value)


HANDLES = "create table payment_handles (handle text, account text, valid_from text, valid_to text)"
HANDLE_QUERY = "select handle, account, valid_from, valid_to from payment_handles"


def test_attribution(ledger: Ledger) -> None:
    """Handles are read whole; one that was taken out never held any more."""
    ledger.run(
        HANDLES,
        "insert into payment_handles values"
        " ('eip155:1:0xAB', 'a', '2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'),"
        " ('eip155:1:0xAB', 'b', '2026-02-01T00:00:00Z', null),"
        " ('cus_1', 'c', null, null), ('cus_2', null, null, null)",
    )
    found = AttributionSource("attribution", url=Secret(ledger.url, "x"), query=HANDLE_QUERY + ";")
    kept = Kept()
    found.verify()
    pull(found, kept)
    assert [(row.handle, row.account) for row in kept.all(Handle)] == [
        ("cus_1", "c"),
        ("eip155:1:0xab", "a"),
        ("eip155:1:0xab", "b"),
    ]
    assert [row.reason for row in kept.all(Rejected)] == ["account is missing"]
    versions = kept.versions
    pull(found, kept)
    assert kept.versions == versions
    ledger.run("delete from payment_handles where handle = 'cus_1'")
    pull(found, kept)
    (gone,) = (row for row in kept.all(Handle) if row.handle == "cus_1")
    assert gone.valid_to == gone.valid_from
    versions = kept.versions
    pull(found, kept)
    assert kept.versions == versions
    found.close()


def test_attribution_without_a_needed_column(ledger: Ledger) -> None:
    """The column is named before anything is written."""
    ledger.run(HANDLES)
    query = "select handle, account from payment_handles"
    found = AttributionSource("attribution", url=Secret(ledger.url, "x"), query=query)
    with pytest.raises(
        SourceDataError, match="lacks the column valid_from, valid_to; it gives handle, account"
    ):
        found.verify()


def test_a_pull_may_go_on_in_another_thread(ledger: Ledger) -> None:
    """The daemon may verify in one thread and read in another."""
    ledger.add("e-1")
    kept, found = Kept(), source(ledger)
    found.verify()
    thread = threading.Thread(target=pull, args=(found, kept))
    thread.start()
    thread.join()
    assert set(entries(kept)) == {"e-1"}
