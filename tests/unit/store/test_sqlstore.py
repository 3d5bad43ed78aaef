"""What only a real database can get wrong: half-written steps, numbers out of order, foreign readers."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

import pytest

from payhealth.domain.chain_records import ChainMark
from payhealth.domain.errors import InputError, StoreError
from payhealth.domain.money import from_scaled, plain
from payhealth.domain.records import Charge, Entry, Handle, Movement, PaymentIntent, Refund
from payhealth.domain.results import CheckResult, Outcome, Segment
from payhealth.ports import Batch
from payhealth.store import SqlStore, open_store, pulls, sqlstore
from payhealth.store.runs import BreakState
from payhealth.store.views import VIEWS
from payhealth.testing import FixedClock, samples
from payhealth.testing.contract import EXTREMES


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """Empty, on either database."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def _movements(count: int) -> list[Movement]:
    return [samples.movement(f"ch_{number:05d}") for number in range(count)]


def _page(count: int, cursor: str = "1") -> Batch:
    windows = [samples.window(0, 10)]
    return Batch(stream="charges", records={Movement: _movements(count)}, windows=windows, cursor=cursor)


class _KilledError(Exception):
    """The process ends here."""


def test_a_kill_leaves_nothing_of_the_last_chunk(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that dies while it is committed leaves nothing of its last transaction."""

    def killed(*_: object) -> None:
        raise _KilledError

    with monkeypatch.context() as patched:
        patched.setattr(pulls, "save_cursor", killed)
        with pytest.raises(_KilledError):
            store.commit("cards", _page(5))
    assert store.records(Movement).num_rows == 0
    assert store.cursor("cards", "charges") is None
    assert store.rows("SELECT * FROM v_coverage") == []
    assert store.commit("cards", _page(5)).new == 5


def test_a_kill_between_chunks_is_healed_by_pulling_again(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier chunks stay without a cursor; the same step again ends as an undisturbed one."""
    monkeypatch.setattr(sqlstore, "CHUNK_ROWS", 2)
    real = pulls.save_windows

    def killed(*_: object) -> None:
        raise _KilledError

    monkeypatch.setattr(pulls, "save_windows", killed)
    with pytest.raises(_KilledError):
        store.commit("cards", _page(5))
    assert store.records(Movement).num_rows == 4
    assert store.cursor("cards", "charges") is None
    monkeypatch.setattr(pulls, "save_windows", real)
    counts = store.commit("cards", _page(5))
    assert (counts.new, counts.unchanged) == (1, 4)
    assert store.cursor("cards", "charges") == "1"
    assert store.verify_projection() == []


def test_change_numbers_commit_in_order(store_url: str) -> None:
    """A reader that goes on from the highest number it saw misses no change of any concurrent writer."""
    stores = [open_store(store_url) for _ in range(3)]
    reader = open_store(store_url)
    seen: list[int] = []
    done = threading.Event()

    def write(number: int) -> None:
        for step in range(15):
            rows = [samples.movement(f"w{number}_{step}_{row}") for row in range(3)]
            stores[number].commit("cards", Batch(stream=f"s{number}", records={Movement: rows}))

    def read() -> None:
        last = False
        while not last:
            last = done.is_set()
            seen.extend(reader.changes(Movement, after=seen[-1] if seen else 0)["change_seq"].to_pylist())

    reading = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in (reading, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reading.join()
    assert seen == sorted(set(seen))
    assert len(seen) == 3 * 15 * 3
    for each in (*stores, reader):
        each.close()


def test_history_keeps_every_version(store: SqlStore) -> None:
    """A fact's versions come oldest first, each with its number and moment."""
    for status in ("pending", "succeeded", "failed", "failed"):
        rows = [samples.movement(status=status), samples.movement("ch_2")]
        store.commit("cards", Batch(stream="charges", records={Movement: rows}))
    versions = store.history(Movement, ("cards", "ch_1"))
    assert [version["status"] for version in versions] == ["pending", "succeeded", "failed"]
    assert versions[0]["amount"] == Decimal("12.5")
    assert len({version["first_recorded_at"] for version in versions}) == 1
    assert store.history(Movement, ("cards", "none")) == []
    with pytest.raises(InputError):
        store.history(Movement, ("cards",))


def test_as_of_walks_through_the_versions(store_url: str) -> None:
    """As of each moment a fact is what had been recorded by then, first_recorded_at included."""
    clock = FixedClock(samples.MOMENT)
    store = open_store(store_url, clock=clock)
    for status in ("pending", "succeeded", "failed"):
        rows = [samples.movement(status=status)]
        store.commit("cards", Batch(stream="charges", records={Movement: rows}))
        clock.advance(timedelta(hours=1))
    for hours, status in ((0, "pending"), (1, "succeeded"), (2, "failed"), (9, "failed")):
        row = store.records(Movement, as_of=samples.MOMENT + timedelta(hours=hours)).to_pylist()[0]
        assert (row["status"], row["first_recorded_at"]) == (status, samples.MOMENT)
    assert store.records(Movement, as_of=samples.MOMENT - timedelta(microseconds=1)).num_rows == 0
    store.close()


def test_a_clock_that_goes_back_does_not_reorder_history(store_url: str) -> None:
    """recorded_at never falls, so that as-of agrees with the order of changes."""
    clock = FixedClock(samples.MOMENT)
    store = open_store(store_url, clock=clock)
    store.commit("cards", Batch(stream="charges", records={Movement: [samples.movement(status="pending")]}))
    clock.advance(timedelta(hours=-1))
    store.commit("cards", Batch(stream="charges", records={Movement: [samples.movement()]}))
    assert store.records(Movement).to_pylist()[0]["recorded_at"] == samples.MOMENT
    store.close()


def test_the_projection_is_compared_with_the_history(store: SqlStore) -> None:
    """A row that was changed, lost or added behind the store's back is named."""
    store.commit("cards", _page(3))
    assert store.verify_projection() == []
    with sqlstore.writing(store._engine) as connection:
        connection.exec_driver_sql("UPDATE movement_current SET account = 'x' WHERE movement_id = 'ch_00000'")
        connection.exec_driver_sql("DELETE FROM movement_current WHERE movement_id = 'ch_00001'")
    found = {(each["only_in"], each["key"]["movement_id"]) for each in store.verify_projection()}
    assert found == {("history", "ch_00000"), ("current", "ch_00000"), ("history", "ch_00001")}


def test_a_foreign_shell_reads_the_views(sqlite_url: str) -> None:
    """A bare SQLite connection without our functions reads every view: exact text, moments with a Z."""
    store = open_store(sqlite_url)
    amounts = [
        *EXTREMES,
        Decimal("12.5"),
        Decimal("-12.5"),
        Decimal(100),
        Decimal(-100),
        from_scaled(-(10**18)),
    ]
    entries = [samples.entry(f"e_{i}", amount=amount) for i, amount in enumerate(amounts)]
    records = {Entry: entries, Charge: [samples.charge()], Movement: [samples.movement()]}
    store.commit("cards", Batch(stream="charges", records=records, windows=[samples.window(1, 1_500_001)]))
    store.close()
    bare = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    for view in VIEWS:
        bare.execute(f"SELECT * FROM {view}").fetchall()
    rows = bare.execute("SELECT amount FROM v_entries ORDER BY amount_key").fetchall()
    assert [row[0] for row in rows] == [plain(amount) for amount in sorted(amounts)]
    assert bare.execute("SELECT effective_at FROM v_movements").fetchone() == ("2026-01-01T12:00:00.000000Z",)
    assert bare.execute("SELECT lower_at, upper_at FROM v_coverage").fetchone() == (
        "1970-01-01T00:00:00.000001Z",
        "1970-01-01T00:00:01.500001Z",
    )
    bare.close()


def test_finality_follows_from_the_chains_marks(store: SqlStore) -> None:
    """A transfer is final, safe or seen by its block and the chain's marks; retracted stays."""
    chain = "eip155:8453"
    blocks = {"final": 10, "safe": 15, "seen": 16}
    transfers = [
        samples.movement(
            name,
            connector="base",
            rail="chain",
            kind="transfer",
            status="seen",
            chain=chain,
            block_number=block,
        )
        for name, block in blocks.items()
    ]
    gone = samples.movement("retracted", connector="base", status="retracted", chain=chain, block_number=1)
    other = samples.movement("other", connector="eth", status="seen", chain="eip155:1", block_number=1)
    mark = ChainMark(connector="base", chain=chain, head=20, safe=15, final=10, head_at=samples.MOMENT)
    records = {Movement: [*transfers, gone, other], ChainMark: [mark]}
    store.commit("base", Batch(stream="transfers", records=records))
    rows = store.rows("SELECT movement_id, status FROM v_movements")
    expected = {"final": "final", "safe": "safe", "seen": "seen", "retracted": "retracted", "other": "seen"}
    assert {row["movement_id"]: row["status"] for row in rows} == expected


def test_accounts_follow_handles_in_time(store: SqlStore) -> None:
    """A movement without an account belongs to the only owner of its handle at its moment."""
    hour = timedelta(hours=1)

    def owned(handle: str, account: str, start: datetime, end: datetime | None) -> Handle:
        return Handle(connector="attribution", handle=handle, account=account, valid_from=start, valid_to=end)

    start, now = samples.MOMENT - hour, samples.MOMENT
    handles = [
        owned("a", "old", start, now),
        owned("a", "new", now, None),
        owned("b", "x", start, None),
        owned("b", "y", start, None),
    ]
    moves = [samples.movement(name, account="", handle=name) for name in ("a", "b", "c")]
    store.commit("attribution", Batch(stream="handles", records={Handle: handles, Movement: moves}))
    rows = store.rows("SELECT movement_id, account FROM v_movements")
    assert {row["movement_id"]: row["account"] for row in rows} == {"a": "new", "b": "", "c": ""}


def test_deleted_entries_leave_the_view(store: SqlStore) -> None:
    """An entry that the ledger no longer has is in the records and not in the view."""
    store.commit("credits", Batch(stream="entries", records={Entry: [samples.entry(deleted=True)]}))
    assert store.rows("SELECT * FROM v_entries") == []
    assert store.records(Entry).num_rows == 1


def test_the_funnel_goes_from_intent_to_credit(store: SqlStore) -> None:
    """Each payment shows the furthest stage it reached, with its attempts and refunds."""

    def intent(name: str) -> PaymentIntent:
        return PaymentIntent(
            connector="cards", intent_id=name, status="x", amount=Decimal(1), amount_received=Decimal(0),
            asset="USD", created_at=samples.MOMENT,
        )  # fmt: skip

    charges = [
        samples.charge("ch_0", intent_id="pi_1", status="failed"),
        samples.charge("ch_1", intent_id="pi_1"),
        samples.charge("ch_2", intent_id="pi_2", status="failed"),
        samples.charge("ch_4"),
    ]
    refund = Refund(
        connector="cards", refund_id="re_1", charge_id="ch_4", intent_id=None, status="succeeded",
        amount=Decimal(1), asset="USD", reason=None, created_at=samples.MOMENT,
    )  # fmt: skip
    intents = [intent(name) for name in ("pi_1", "pi_2", "pi_3")]
    store.commit(
        "cards", Batch(stream="x", records={PaymentIntent: intents, Charge: charges, Refund: [refund]})
    )
    store.save_run(matches=samples.matches({}), breaks=samples.breaks(), statement=[], ran_at=samples.MOMENT)
    rows = store.rows(
        "SELECT payment_id, stage, attempts, failed_attempts, refunds FROM v_funnel ORDER BY payment_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("ch_4", "paid", 1, 0, 1),
        ("pi_1", "credited", 2, 1, 0),
        ("pi_2", "attempted", 1, 1, 0),
        ("pi_3", "created", 0, 0, 0),
    ]


def test_decisions_survive_runs(store: SqlStore) -> None:
    """An acknowledgement outlives changes; a break resolved by hand stays so while it is the same."""

    def run(**row: object) -> None:
        breaks = samples.breaks(row)
        store.save_run(matches=samples.matches(), breaks=breaks, statement=[], ran_at=samples.MOMENT)

    run()
    store.decide_break("b_1", BreakState.ACKNOWLEDGED, by="ann", note="asked the bank")
    run(explanation="more")
    assert [(row["state"], row["note"]) for row in store.breaks()] == [("acknowledged", "asked the bank")]
    store.decide_break("b_1", BreakState.RESOLVED, by="ann")
    run(explanation="more")
    assert store.breaks() == []
    run(explanation="again")
    states = [version["state"] for version in store.break_history("b_1")]
    assert states == ["open", "acknowledged", "acknowledged", "resolved", "reopened"]
    with pytest.raises(InputError):
        store.decide_break("b_2", BreakState.RESOLVED, by="ann")
    assert store.verify_projection() == []


def test_statements_are_kept_when_they_differ(store: SqlStore) -> None:
    """An equal statement is not stored again; the newest run's moment is known all the same."""

    def run(paid_in: str, hours: int) -> None:
        ran_at = samples.MOMENT + timedelta(hours=hours)
        rows = [{"asset": "USD", "rail": "card", "paid_in": paid_in, "breaks": {"amount_under": "1"}}]
        store.save_run(matches=samples.matches(), breaks=samples.breaks(), statement=rows, ran_at=ran_at)

    assert store.last_statement() is None
    run("1", 0)
    run("1", 1)
    last = store.last_statement()
    assert last is not None
    assert (last["since"], last["ran_at"]) == (samples.MOMENT, samples.MOMENT + timedelta(hours=1))
    run("99999999999999999999999999999", 2)
    assert len(store.rows("SELECT * FROM v_runs")) == 3
    newest = store.last_statement()
    assert newest is not None
    assert newest["rows"][0]["paid_in"] == "99999999999999999999999999999"


def test_results_are_appended(store: SqlStore) -> None:
    """Every verdict is kept, the newest of each check is marked, its parts come back."""

    def result(outcome: Outcome) -> CheckResult:
        return CheckResult(
            check="failure_rate",
            outcome=outcome,
            message="m",
            evaluated_at=datetime.now(UTC),
            interval=(0.1, 0.2),
            segments=(Segment(name="brand=visa", value="7", share=0.5),),
            thresholds={"warn": MappingProxyType({"rate": Decimal("0.10")}), "window_s": 60},
        )

    store.save_results([result(Outcome.PASS)])
    store.save_results([result(Outcome.FAIL)])
    store.save_results([])
    rows = store.rows("SELECT outcome, is_latest FROM v_check_results ORDER BY result_id")
    assert [(row["outcome"], bool(row["is_latest"])) for row in rows] == [("pass", False), ("fail", True)]
    last = store.last_results()[0]
    assert last["segments"] == [{"name": "brand=visa", "value": "7", "share": 0.5}]
    assert last["thresholds"] == {"warn": {"rate": "0.1"}, "window_s": 60}


@pytest.mark.parametrize(
    "sql", ["DELETE FROM movement_current", "DROP VIEW v_movements", "SELECT * FROM nothing"]
)
def test_queries_cannot_write(store: SqlStore, sql: str) -> None:
    """A query that writes, or names nothing that exists, is a StoreError of one line, and changes nothing."""
    store.commit("cards", _page(1))
    with pytest.raises(StoreError) as refused:
        store.rows(sql)
    assert "\n" not in str(refused.value)
    assert store.rows("SELECT count(*) AS n FROM v_movements") == [{"n": 1}]
    assert store.commit("cards", _page(2)).new == 1


def test_counts_and_sums_are_alike(store: SqlStore) -> None:
    """Integers stay integers and amounts text, whatever type a database counts in."""
    store.commit("cards", _page(3))
    sql = (
        "SELECT count(*) AS n, sum(1) AS ones, ph_sum(amount) AS total, ph_dec('01.50') AS d, "
        "max(amount) AS m FROM v_movements"
    )
    assert store.rows(sql) == [{"n": 3, "ones": 3, "total": "37.5", "d": "1.5", "m": "12.5"}]
