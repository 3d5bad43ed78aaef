"""What every Store and every Source must do, as test classes to subclass.

A store's tests give a fixture ``store`` (empty); a connector's tests give ``source``, ``store`` (empty),
``now``, and ``nonsense_source``: the same source with a wrong key, chain or query. pytest collects the
inherited tests.
"""
# ruff: noqa: S101 - asserts are what a test suite is made of, also one that is shipped

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice, pairwise
from random import Random
from typing import Any

from payhealth.domain.coverage import CoverageUnit, StreamState, holes
from payhealth.domain.errors import AmountError, InputError, SourceError, TimeError
from payhealth.domain.money import MAX_SCALED, from_scaled
from payhealth.domain.record import Record
from payhealth.domain.records import RECORD_TYPES, Entry, Movement, Rejected
from payhealth.ports import (
    READ_ANEW,
    READ_SKEW,
    Batch,
    PullOutcome,
    RunChanges,
    Source,
    Store,
    StreamPlan,
    WriteCounts,
)
from payhealth.testing import samples
from payhealth.testing.memory import MemoryStore

_MAX_STEPS = 10_000
CHAIN_PLAN = StreamPlan(stream="charges", unit=CoverageUnit.BLOCK, required_lower=0)
COVERAGE_KINDS: tuple[dict[str, Any], ...] = (
    {"finality": "seen"},
    {"finality": "final"},
    {"finality": "final", "refuted": True},
    {"finality": "final", "unproved": False},
)
EXTREMES = tuple(from_scaled(scaled) for scaled in (-MAX_SCALED, -1, 0, 1, MAX_SCALED))


def raises(kind: type[Exception], action: Any, *arguments: Any) -> Exception:
    """The exception of that kind that the call raises; anything else fails the test."""
    try:
        action(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def rows_of(store: Store, kind: type[Record]) -> list[dict[str, Any]]:
    """Current records in order of their keys, without the store's own moments."""
    rows = store.records(kind).drop_columns(["recorded_at", "first_recorded_at"]).to_pylist()
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in kind.KEY))


def _units(stretches: tuple[tuple[int, int], ...]) -> set[int]:
    """Every unit of half-open stretches, which must be ascending and apart."""
    assert all(left[1] < right[0] for left, right in pairwise(stretches))
    return {unit for lower, upper in stretches for unit in range(lower, upper)}


class StoreContract:
    """The meaning of ``ports.Store``, whatever keeps it."""

    def commit(self, store: Store, *records: Record, cursor: str | None = None) -> WriteCounts:
        """Commit records of any classes as one step of the stream of charges."""
        kinds = {type(record) for record in records}
        grouped = {kind: [each for each in records if type(each) is kind] for kind in kinds}
        return store.commit("cards", Batch(stream="charges", records=grouped, cursor=cursor))

    def test_a_page_twice_changes_nothing(self, store: Store) -> None:
        """The same page pulled twice adds no version, and says so."""
        page = (samples.movement(), samples.charge(), samples.rejected())
        assert self.commit(store, *page) == WriteCounts(new=2, rejected=1)
        before = [store.records(kind) for kind in (Movement, Rejected)]
        assert self.commit(store, *page) == WriteCounts(unchanged=3)
        assert [store.records(kind) for kind in (Movement, Rejected)] == before

    def test_a_change_keeps_the_first_moment(self, store: Store) -> None:
        """A changed record replaces what is current and keeps when it was first recorded."""
        self.commit(store, samples.movement(status="pending"))
        first = store.records(Movement).to_pylist()[0]
        assert self.commit(store, samples.movement()) == WriteCounts(changed=1)
        second = store.records(Movement).to_pylist()[0]
        assert second["status"] == "succeeded"
        assert second["first_recorded_at"] == first["first_recorded_at"]
        assert second["recorded_at"] >= first["recorded_at"]

    def test_the_last_of_a_key_wins(self, store: Store) -> None:
        """Of two rows of one key in one step the later one is current, and one version is written."""
        counts = self.commit(store, samples.movement(status="pending"), samples.movement())
        assert counts == WriteCounts(new=1, unchanged=1)
        assert rows_of(store, Movement)[0]["status"] == "succeeded"

    def test_an_arrow_table_is_as_good_as_records(self, store: Store) -> None:
        """A table of the same rows is the same content."""
        self.commit(store, samples.movement())
        table = store.records(Movement).drop_columns(["recorded_at", "first_recorded_at"])
        again = store.commit("cards", Batch(stream="charges", records={Movement: table}))
        assert again == WriteCounts(unchanged=1)

    def test_extremes_are_exact_and_in_order(self, store: Store) -> None:
        """The largest and smallest amounts of both signs come back unchanged and in numeric order."""
        entries = [samples.entry(f"e_{i}", amount=amount) for i, amount in enumerate(EXTREMES)]
        self.commit(store, *reversed(entries))
        assert [row["amount"] for row in rows_of(store, Entry)] == list(EXTREMES)
        rows = store.rows("SELECT entry_id, amount FROM v_entries ORDER BY amount_key")
        assert [row["entry_id"] for row in rows] == [entry.entry_id for entry in entries]
        assert [Decimal(row["amount"]) for row in rows] == list(EXTREMES)

    def test_what_cannot_be_kept_is_refused_whole(self, store: Store) -> None:
        """An amount outside the domain, a naive moment or a missing value stops the step before it writes."""
        good = samples.movement("ch_good")
        for wrong, kind in (
            ({"amount": Decimal("1E-19")}, AmountError),
            ({"amount": Decimal(10**20)}, AmountError),
            ({"amount": Decimal("NaN")}, AmountError),
            ({"effective_at": samples.MOMENT.replace(tzinfo=None)}, TimeError),
            ({"account": None}, InputError),
        ):
            raises(kind, lambda wrong=wrong: self.commit(store, good, samples.movement(**wrong), cursor="2"))
        assert store.records(Movement).num_rows == 0
        assert store.cursor("cards", "charges") is None

    def test_hostile_text_comes_back(self, store: Store) -> None:
        """Quotes, commas, line ends, separators and emoji are data; NUL becomes the replacement character."""
        texts = ["\";\r\n',\\N", "\x1f\x1fa", "€\U0001f4b8", "", "\\.", "a\nb", "NULL"]
        self.commit(store, *(samples.movement(f"m{i}", account=text) for i, text in enumerate(texts)))
        assert [row["account"] for row in rows_of(store, Movement)] == texts
        self.commit(store, samples.movement("nul", account="a\0b"))
        assert rows_of(store, Movement)[-1]["account"] == "a\ufffdb"

    def test_cursors_are_per_stream(self, store: Store) -> None:
        """A cursor belongs to a connector's stream; a step without one leaves it."""
        self.commit(store, samples.movement(), cursor="a")
        self.commit(store, samples.charge())
        assert store.cursor("cards", "charges") == "a"
        assert store.cursor("cards", "refunds") is None

    def test_as_of_sees_what_was_known(self, store: Store) -> None:
        """As of T: the newest version recorded by T, and nothing that happens after T."""
        self.commit(store, samples.movement(status="pending"))
        later = samples.MOMENT + timedelta(days=36_500)
        self.commit(store, samples.movement("ch_later", effective_at=later))
        recorded = store.records(Movement).to_pylist()[0]["recorded_at"]
        now = datetime.now(UTC) + timedelta(days=1)
        assert store.records(Movement, as_of=recorded - timedelta(seconds=1)).num_rows == 0
        seen = store.records(Movement, as_of=now).to_pylist()
        assert [row["movement_id"] for row in seen] == ["ch_1"]
        assert store.records(Movement, as_of=later).num_rows == 2

    def test_coverage_and_pulls(self, store: Store) -> None:
        """Windows that touch are one; the last good pull and the newest pull's error are known."""
        plan = StreamPlan(stream="charges", unit=samples.window(0, 1).unit, required_lower=0)
        assert holes(self.state(store, plan))
        assert self.state(store, plan).last_ok_at is None
        windows = [samples.window(0, 10), samples.window(10, 20), samples.window(30, 40)]
        store.commit("cards", Batch(stream="charges", records={}, windows=windows))
        store.record_pull(samples.outcome())
        state = self.state(store, plan)
        assert state.covered == ((0, 20), (30, 40))
        assert state.last_ok_at == samples.MOMENT
        store.record_pull(samples.outcome(error="no answer"))
        assert self.state(store, plan).last_error == "no answer"
        assert self.state(store, plan).last_ok_at == samples.MOMENT

    def test_what_was_read_later_stays(self, store: Store) -> None:
        """A step that was read before the current row, and is committed after it, changes nothing."""
        early, late = samples.MOMENT, samples.MOMENT + READ_SKEW + timedelta(seconds=1)
        newer, older = samples.movement(), samples.movement(status="pending")
        for record, read_at, expected in (
            (newer, late, WriteCounts(new=1)),
            (newer, early + timedelta(seconds=1), WriteCounts(unchanged=1)),
            (older, early, WriteCounts(unchanged=1)),
            (older, None, WriteCounts(changed=1)),
            (newer, early, WriteCounts(changed=1)),
            (older, early, WriteCounts(changed=1)),
        ):
            batch = Batch(stream="charges", records={Movement: [record]}, read_at=read_at)
            assert store.commit("cards", batch) == expected
        assert rows_of(store, Movement)[0]["status"] == "pending"

    def test_records_are_found_by_a_column(self, store: Store) -> None:
        """The current rows of one connector whose column holds one of the values, and when they were read."""
        self.commit(store, samples.movement("ch_0", status="pending"), samples.movement("ch_'\"é"))
        found = [samples.movement(f"ch_{number}") for number in range(3)]
        batch = Batch(stream="charges", records={Movement: found}, read_at=samples.MOMENT)
        store.commit("cards", batch)
        wanted = ["ch_0", "ch_'\"é", *(f"ch_x{number}" for number in range(2_000))]
        rows = store.lookup(Movement, "cards", "movement_id", wanted).to_pylist()
        assert {(row["movement_id"], row["status"], row["read_at"]) for row in rows} == {
            ("ch_0", "succeeded", samples.MOMENT),
            ("ch_'\"é", "succeeded", None),
        }
        assert store.lookup(Movement, "other", "movement_id", wanted).num_rows == 0
        assert store.lookup(Movement, "cards", "movement_id", []).num_rows == 0

    def test_records_are_found_between_two_numbers(self, store: Store) -> None:
        """The current rows of one connector whose column lies in ``[lower, upper)``; no number, no row."""
        heights: dict[str, int | None] = {
            "m_4": 4,
            "m_5": 5,
            "m_7": 7,
            "m_8": 8,
            "m_none": None,
            "m_moved": 6,
        }
        rows = [samples.movement(name, block_number=height) for name, height in heights.items()]
        elsewhere = samples.movement("m_other", connector="other", block_number=5)
        self.commit(store, *rows)
        store.commit("other", Batch(stream="charges", records={Movement: [elsewhere]}))
        moved = [samples.movement("m_moved", block_number=99)]
        batch = Batch(stream="charges", records={Movement: moved}, read_at=samples.MOMENT)
        store.commit("cards", batch)
        assert self.between(store, 5, 8) == {"m_5", "m_7"}
        assert self.between(store, 0, 100) == {"m_4", "m_5", "m_7", "m_8", "m_moved"}
        assert self.between(store, 8, 5) == self.between(store, 5, 5) == set()
        [row] = store.between(Movement, "cards", "block_number", 99, 100).to_pylist()
        assert (row["status"], row["block_number"], row["read_at"]) == ("succeeded", 99, samples.MOMENT)
        assert store.between(Movement, "cards", "block_number", 0, 2**62).num_rows == 5
        assert store.between(Movement, "nobody", "block_number", 0, 100).num_rows == 0
        found = store.between(Movement, "cards", "block_number", 5, 8)
        assert found.schema == store.lookup(Movement, "cards", "movement_id", ["m_5"]).schema

    def between(self, store: Store, lower: int, upper: int) -> set[str]:
        """The movements of the cards whose block lies in ``[lower, upper)``."""
        rows = store.between(Movement, "cards", "block_number", lower, upper).to_pylist()
        return {row["movement_id"] for row in rows}

    def test_a_refuted_stretch_is_a_hole_until_it_is_judged_again(self, store: Store) -> None:
        """A balance takes back what was read or proved; only a new judgement gives it back, as read."""
        self.cover(store, (0, 100, {"finality": "final"}))
        self.cover(store, (40, 50, {"finality": "final", "refuted": True}))
        state = self.state(store, CHAIN_PLAN)
        assert (state.covered, state.refuted) == (((0, 40), (50, 100)), ((40, 50),))
        self.cover(store, (30, 60, {"finality": "final"}))
        assert self.state(store, CHAIN_PLAN).refuted == ((40, 50),)
        self.cover(store, (45, 60, {"finality": "final", "unproved": False}))
        assert self.state(store, CHAIN_PLAN).refuted == ((40, 50),)
        self.cover(store, (42, 44, {"finality": "final", "refuted": True}), rejudged=True)
        state = self.state(store, CHAIN_PLAN)
        assert (state.covered, state.refuted) == (((0, 42), (44, 100)), ((42, 44),))
        self.cover(store, rejudged=True)
        state = self.state(store, CHAIN_PLAN)
        assert (state.covered, state.refuted) == (((0, 100),), ())

    def test_what_begins_anew_counts_as_failed_until_a_pull_ends_well(self, store: Store) -> None:
        """Coverage of what was looked for before says nothing of what is looked for now."""
        self.cover(store, (0, 100, {"finality": "final"}))
        store.commit("cards", Batch(stream="charges", records={}, anew=True))
        state = self.state(store, CHAIN_PLAN)
        assert (state.covered, state.last_error) == ((), READ_ANEW)

    def test_coverage_is_told_unit_by_unit(self, store: Store) -> None:
        """Random windows in random steps: refuted is what any refutes, covered the rest of what is read."""
        random = Random(20)  # noqa: S311 - a seed, so that a failure comes again
        covered, refuted = set[int](), set[int]()
        for _ in range(40):
            lower = random.randrange(60)
            kind: dict[str, Any] = random.choice(COVERAGE_KINDS)
            upper = lower + random.randrange(12)
            self.cover(store, (lower, upper, kind))
            units = set(range(lower, upper))
            covered |= units
            refuted |= units if kind.get("refuted") else set()
            state = self.state(store, CHAIN_PLAN)
            assert _units(state.refuted) == refuted
            assert _units(state.covered) == covered - refuted

    def cover(self, store: Store, *windows: tuple[int, int, dict[str, Any]], rejudged: bool = False) -> None:
        """Commit windows of blocks as one step."""
        made = [
            samples.window(lower, upper, unit=CoverageUnit.BLOCK, **values)
            for lower, upper, values in windows
        ]
        store.commit("cards", Batch(stream="charges", records={}, windows=made, rejudged=rejudged))

    def test_changes_come_in_the_order_of_commits(self, store: Store) -> None:
        """Every version after a number, each once, and nothing after the last."""
        self.commit(store, samples.movement("ch_2", status="pending"))
        self.commit(store, samples.movement("ch_1"), samples.movement("ch_2"))
        all_of_them = store.changes(Movement, after=0).to_pylist()
        assert all_of_them[0]["movement_id"] == "ch_2"
        assert sorted(row["status"] for row in all_of_them) == ["pending", "succeeded", "succeeded"]
        numbers = [row["change_seq"] for row in all_of_them]
        assert numbers == sorted(set(numbers))
        assert store.changes(Movement, after=numbers[0]).num_rows == len(numbers) - 1
        assert store.changes(Movement, after=numbers[-1]).num_rows == 0
        assert store.changes(Movement, after=0, limit=2)["change_seq"].to_pylist() == numbers[:2]

    def state(self, store: Store, plan: StreamPlan) -> StreamState:
        """The state of the stream of charges."""
        return store.stream_states({"cards": [plan]})[0]

    def save(self, store: Store, matches: list[dict[str, Any]], breaks: list[dict[str, Any]]) -> RunChanges:
        """Save a run of these matches and breaks."""
        return store.save_run(
            matches=samples.matches(*matches),
            breaks=samples.breaks(*breaks),
            statement=[{"asset": "USD", "rail": "card", "paid_in": "12.5"}],
            ran_at=samples.MOMENT,
        )

    def test_a_second_identical_run_adds_nothing(self, store: Store) -> None:
        """Unchanged matches and breaks add no version."""
        assert self.save(store, [{}], [{}]) == RunChanges(new_matches=1, new_breaks=1)
        assert self.save(store, [{}], [{}]).total == 0

    def test_the_life_of_a_break(self, store: Store) -> None:
        """Open, changed, resolved when it is gone, reopened when it returns."""
        self.save(store, [], [{}])
        assert self.save(store, [], [{"explanation": "other"}]) == RunChanges(changed_breaks=1)
        assert self.break_states(store) == ["open"]
        assert self.save(store, [], []) == RunChanges(resolved_breaks=1)
        assert self.save(store, [], []).total == 0
        assert self.break_states(store) == ["resolved"]
        assert self.save(store, [], [{"explanation": "other"}]) == RunChanges(reopened_breaks=1)
        assert self.break_states(store) == ["reopened"]

    def break_states(self, store: Store) -> list[str]:
        """The states in the view."""
        return [row["state"] for row in store.rows("SELECT state FROM v_breaks ORDER BY break_id")]

    def test_a_match_that_is_gone_is_superseded(self, store: Store) -> None:
        """A match that changes or goes is superseded, one that returns is new."""
        self.save(store, [{}, {"match_id": "m_2"}], [])
        assert self.save(store, [{"rule": "exact"}], []) == RunChanges(superseded_matches=2)
        assert [row["match_id"] for row in store.rows("SELECT match_id FROM v_matches")] == ["m_1"]
        assert self.save(store, [{"rule": "exact"}, {"match_id": "m_2"}], []) == RunChanges(new_matches=1)

    def test_rows_bind_parameters(self, store: Store) -> None:
        """A parameter is a value, never SQL; amounts and moments are the same text everywhere."""
        self.commit(store, samples.movement(account="o'; DROP TABLE movement_current; --"))
        sql = "SELECT amount, effective_at FROM v_movements WHERE account = :account AND effective_at <= :now"
        parameters = {"account": "o'; DROP TABLE movement_current; --", "now": samples.MOMENT}
        expected = [{"amount": "12.5", "effective_at": "2026-01-01T12:00:00.000000Z"}]
        assert store.rows(sql, parameters) == expected
        total = "SELECT ph_sum(amount) AS total, count(*) AS n FROM v_movements WHERE ph_cmp(amount, '9') > 0"
        assert store.rows(total) == [{"total": "12.5", "n": 1}]


def pull(source: Source, store: Store, now: datetime, *, steps: int | None = None) -> WriteCounts:
    """Pull every stream of a source, at most ``steps`` steps of each, and record how it ended."""
    total = WriteCounts()
    for plan in source.streams():
        started = source.pull(plan.stream, store.cursor(source.name, plan.stream), now, store)
        for batch in _limited(started, steps):
            assert batch.stream == plan.stream
            counts = store.commit(source.name, batch)
            total = WriteCounts(
                new=total.new + counts.new,
                changed=total.changed + counts.changed,
                unchanged=total.unchanged + counts.unchanged,
                rejected=total.rejected + counts.rejected,
            )
        store.record_pull(_ended(source, plan, now))
    return total


def _limited(batches: Iterator[Batch], steps: int | None) -> Iterator[Batch]:
    """At most so many steps, each committed before the next is asked for."""
    for taken, batch in enumerate(islice(batches, steps), start=1):
        assert taken < _MAX_STEPS, "the pull does not end"
        yield batch


def _ended(source: Source, plan: StreamPlan, now: datetime) -> PullOutcome:
    return PullOutcome(
        connector=source.name,
        stream=plan.stream,
        started_at=now,
        finished_at=now,
        objects_read=0,
        new=0,
        changed=0,
        rejected=0,
        requests=0,
    )


class SourceContract:
    """The meaning of ``ports.Source``; its counterpart must hold at least one object and stand still."""

    def test_it_reads_something(self, source: Source, store: Store, now: datetime) -> None:
        """A pull brings records, all of this connector and of classes that the store knows."""
        assert pull(source, store, now).new > 0
        for kind in RECORD_TYPES:
            assert set(store.records(kind).column("connector").to_pylist()) <= {source.name}

    def test_a_second_pull_adds_nothing(self, source: Source, store: Store, now: datetime) -> None:
        """Nothing happened between two pulls, so the second adds no version."""
        pull(source, store, now)
        again = pull(source, store, now)
        assert (again.new, again.changed, again.rejected) == (0, 0, 0)

    def test_an_interrupted_pull_resumes(self, source: Source, store: Store, now: datetime) -> None:
        """Pulls that are cut off after one step each end with the records of an undisturbed pull."""
        whole = MemoryStore()
        pull(source, whole, now)
        for _ in range(_MAX_STEPS):
            before = [store.cursor(source.name, plan.stream) for plan in source.streams()]
            pull(source, store, now, steps=1)
            if before == [store.cursor(source.name, plan.stream) for plan in source.streams()]:
                break
        pull(source, store, now)
        for kind in RECORD_TYPES:
            assert rows_of(store, kind) == rows_of(whole, kind), kind.__name__

    def test_coverage_has_no_hole(self, source: Source, store: Store, now: datetime) -> None:
        """After a good pull every stream is covered from where the configuration starts."""
        pull(source, store, now)
        for state in store.stream_states({source.name: source.streams()}):
            assert holes(state) == ()
            assert state.covered[0][0] <= state.required_lower

    def test_rejected_objects_carry_a_reason(self, source: Source, store: Store, now: datetime) -> None:
        """What could not be understood says why, and from which stream it came."""
        pull(source, store, now)
        streams = {plan.stream for plan in source.streams()}
        for row in store.records(Rejected).to_pylist():
            assert row["reason"].strip()
            assert row["stream"] in streams

    def test_verify_accepts_the_real_and_refuses_nonsense(
        self, source: Source, nonsense_source: Source
    ) -> None:
        """A wrong key, chain or query is a SourceError of one line, before anything is written."""
        source.verify()
        error = raises(SourceError, nonsense_source.verify)
        assert "\n" not in str(error).strip()
