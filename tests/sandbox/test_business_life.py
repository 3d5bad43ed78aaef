"""What happens in a simulated life: each rule a scenario relies on."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from payhealth.sandbox.business.ledger import CreditLedger, EntryWord, read_entries
from payhealth.sandbox.business.timeline import Timeline
from payhealth.sandbox.business.window import Window
from tests.sandbox.test_business_books import is_deposit
from tests.sandbox.test_business_fakes import START
from tests.sandbox.test_business_truth import play

PLAIN_WORDS = {EntryWord.TOPUP, EntryWord.CLAWBACK}


def test_sweeps_gas_and_outgoing_are_never_credited(tmp_path: Path) -> None:
    """Only customers' transfers to deposit addresses appear in the ledger; the others do happen."""
    _, seen = play(tmp_path, seed=3)
    operator_sends = sum(1 for one, _ in seen.transfers if one.sender in seen.ours - seen.deposits)
    sweeps = [one for one, _ in seen.transfers if one.sender in seen.deposits]
    others = {one.transaction_hash for one, _ in seen.transfers if not is_deposit(seen, one)}
    named = {(entry.reference or "").partition(":")[0] for entry in seen.entries}
    assert operator_sends >= 3
    assert len(sweeps) >= 20
    assert {one.token is None for one in sweeps} == {True, False}
    assert any(
        one.recipient not in seen.ours and one.sender not in seen.deposits for one, _ in seen.transfers
    )
    assert not others & named


def test_deposits_are_of_both_kinds_and_one_in_eight_is_native(tmp_path: Path) -> None:
    """Native coins come too, and are credited in the native asset."""
    _, seen = play(tmp_path, seed=3)
    deposits = [one for one, _ in seen.transfers if is_deposit(seen, one)]
    native = [one for one in deposits if one.token is None]
    assert len(native) in {len(deposits) // 8, len(deposits) // 8 + 1}
    assert any(entry.asset == f"eip155:{seen.chain_id}/slip44:60" for entry in seen.entries)


def test_a_deposit_is_credited_after_it_is_final(tmp_path: Path) -> None:
    """But for the doomed one, no credit is older than the block that made its deposit final."""
    _, seen = play(tmp_path, seed=3)
    at_of = {one.transaction_hash: at for one, at in seen.transfers}
    waits = [
        entry.occurred_at - at_of[hash_]
        for entry in seen.entries
        if (hash_ := (entry.reference or "").partition(":")[0]) in at_of
    ]
    assert len(waits) > 80
    assert min(waits) >= timedelta(seconds=5 * 12)
    assert max(waits) <= timedelta(minutes=10)


def test_every_story_happens(tmp_path: Path) -> None:
    """Refunds of every fate, disputes of every fate, uncaptured charges and retried declines exist."""
    _, seen = play(tmp_path, seed=3)
    refunds = Counter(refund["status"] for refund in seen.refunds)
    disputes = Counter(dispute["status"] for dispute in seen.disputes)
    tries = Counter(charge["payment_intent"] for charge in seen.charges)
    won = {charge["payment_intent"] for charge in seen.charges if charge["status"] == "succeeded"}
    assert set(refunds) == {"succeeded", "pending", "failed"}
    assert set(disputes) == {"needs_response", "lost", "won", "warning_needs_response", "warning_closed"}
    assert any(charge["status"] == "succeeded" and not charge["amount_captured"] for charge in seen.charges)
    assert any(0 < charge["amount_captured"] < charge["amount"] for charge in seen.charges)
    assert any(count > 1 and intent in won for intent, count in tries.items())
    assert max(Counter(refund["charge"] for refund in seen.refunds).values()) == 3


def test_declines_are_about_as_frequent_as_planned(tmp_path: Path) -> None:
    """Outside the burst some 8 % of first attempts fail."""
    business, seen = play(tmp_path, seed=3)
    burst = business.window.burst_at.timestamp()
    usual = [charge for charge in seen.charges if not burst <= charge["created"] <= burst + 600]
    share = sum(charge["status"] == "failed" for charge in usual) / len(usual)
    assert 0.04 < share < 0.16


def test_a_card_testing_burst_falls_into_the_last_day(tmp_path: Path) -> None:
    """At least 60 small attempts fail within ten minutes, none succeeds, and the truth says when."""
    business, seen = play(tmp_path, seed=3)
    (check,) = business.truth.checks
    begins = datetime.fromisoformat(check.begins_at)
    ends = datetime.fromisoformat(check.ends_at)
    testers = [charge for charge in seen.charges if charge["metadata"]["account_id"].startswith("user-900")]
    assert len(testers) == check.attempts >= 60
    assert ends - begins == timedelta(minutes=10)
    assert begins > business.window.end - timedelta(hours=24)
    assert all(begins.timestamp() <= charge["created"] < ends.timestamp() for charge in testers)
    assert all(charge["status"] == "failed" and charge["amount"] <= 300 for charge in testers)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_last_hours_keep_their_times(seed: int, tmp_path: Path) -> None:
    """Quiet from 90 minutes before the end but for the early credit and, after the reorg, light life."""
    business, seen = play(tmp_path, seed=seed, days=3)
    end = business.window.end
    late = [
        end - entry.recorded_at
        for entry in seen.entries
        if entry.kind in PLAIN_WORDS and entry.recorded_at > end - timedelta(minutes=90)
    ]
    early_credit, *light = sorted(late, reverse=True)
    assert early_credit == timedelta(minutes=61)
    assert len(light) == 6  # five purchases and a clawback
    assert all(timedelta(minutes=28) <= age <= timedelta(minutes=44) for age in light)
    assert max(entry.recorded_at for entry in seen.entries) == end - timedelta(minutes=1)
    assert seen.retracted[0][2] == end - timedelta(minutes=45)


def test_a_deposit_address_changes_hands(tmp_path: Path) -> None:
    """One address is two accounts' in turn, both pay into it, and each deposit is its owner's."""
    _, seen = play(tmp_path, seed=3)
    owners = Counter(handle.handle for handle in seen.handles)
    (shared,) = [handle for handle, count in owners.items() if count == 2]
    first, second = sorted(
        (handle for handle in seen.handles if handle.handle == shared), key=lambda handle: handle.valid_from
    )
    assert first.valid_to is not None
    assert first.valid_to < second.valid_from
    assert second.valid_to is None


def test_entries_are_recorded_in_order(tmp_path: Path) -> None:
    """Ids and recorded_at rise together, in the text of the database too: a cursor may rely on it."""
    play(tmp_path, seed=3)
    connection = sqlite3.connect(tmp_path / "ledger.db")
    rows = connection.execute("select id, recorded_at from credit_entries order by id").fetchall()
    indexes = connection.execute("pragma index_list(credit_entries)").fetchall()
    connection.close()
    moments = [recorded_at for _, recorded_at in rows]
    assert moments == sorted(moments)
    assert any("recorded_at" in index[1] for index in indexes)


def test_a_ledger_is_never_written_into_another(tmp_path: Path) -> None:
    """An existing database is refused."""
    CreditLedger(tmp_path / "ledger.db").close()
    assert read_entries(tmp_path / "ledger.db") == []
    with pytest.raises(FileExistsError):
        CreditLedger(tmp_path / "ledger.db")


def test_a_timeline_runs_in_order_of_time_then_of_planning() -> None:
    """Actions planned while running take their place; the past is refused."""
    timeline = Timeline(START)
    seen: list[str] = []
    timeline.at(START + timedelta(2), lambda _: seen.append("third"))
    timeline.at(START + timedelta(1), lambda at: timeline.at(at, lambda _: seen.append("second")))
    timeline.at(START + timedelta(1), lambda _: seen.append("first"))
    timeline.run_until(START + timedelta(2))
    assert seen == ["first", "second", "third"]
    with pytest.raises(ValueError, match="passed"):
        timeline.at(START, lambda _: None)


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 9, tzinfo=UTC), "aware"),  # noqa: DTZ001 - that is the point
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 23, tzinfo=UTC), "one day"),
    ],
)
def test_impossible_windows_are_refused(start: datetime, end: datetime, why: str) -> None:
    """A naive moment or less than a day is no history."""
    with pytest.raises(ValueError, match=why):
        Window.of(start, end)
