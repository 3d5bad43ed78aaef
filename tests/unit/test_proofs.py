"""Breaks of other proofs: listed with the breaks, exit 1, no legs, outside the statement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from payhealth import pipeline
from payhealth.checks import balance_identity, payout_recon
from payhealth.domain.breaks import OUTSIDE_STATEMENT, BreakReason
from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceProof,
    BookingGap,
    Entry,
    Movement,
    Payout,
    PayoutProof,
    ProofState,
)
from payhealth.matching.inputs import BREAKS
from payhealth.matching.model import parse_rules
from payhealth.outcomes import ReconcileReport
from payhealth.ports import Batch
from payhealth.proofs import break_id, payout_breaks
from payhealth.store import SqlStore, open_store
from payhealth.testing import MemoryStore, samples
from tests.unit.checks.support import context

MOMENT = samples.MOMENT
LATER = MOMENT + timedelta(days=30)
LARGEST = Decimal("99999999999999999999.999999999999999999")


def proof(payout_id: str = "po_1", **values: Any) -> PayoutProof:
    """A payout of 100 USD whose list comes to 99.5."""
    given: dict[str, Any] = {
        "connector": "cards",
        "payout_id": payout_id,
        "state": ProofState.MISMATCH,
        "method": "list",
        "amount": Decimal(100),
        "listed": Decimal("99.5"),
        "asset": "USD",
        "transactions": 3,
        "created_at": MOMENT,
    }
    return PayoutProof(**(given | values))


def table(*proofs: PayoutProof) -> pa.Table:
    """As a store gives them."""
    store = MemoryStore()
    store.commit("cards", Batch(stream="payout_proofs", records={PayoutProof: list(proofs)}))
    return store.records(PayoutProof)


def only(given: PayoutProof) -> dict[str, Any]:
    """The one break of a proof."""
    [row] = payout_breaks(table(given), as_of=LATER).to_pylist()
    return row  # type: ignore[no-any-return]


def test_a_mismatch_becomes_a_break_without_legs() -> None:
    """It has the breaks' columns, the payout's asset and moment, and what is missing as its amount."""
    found = payout_breaks(table(proof()), as_of=LATER)
    assert found.schema.equals(BREAKS)
    row = only(proof())
    assert BreakReason(row["primary_reason"]) in OUTSIDE_STATEMENT
    assert row["reasons"] == ["payout_mismatch"]
    assert (row["amount"], row["at_risk"], row["asset"]) == (Decimal("0.5"), Decimal("0.5"), "USD")
    assert (row["legs"], row["movement_ids"], row["entry_ids"]) == ([], [], [])
    assert row["effective_at"] == MOMENT


@pytest.mark.parametrize("state", [ProofState.PROVED, ProofState.EXPLAINED, ProofState.WAITING])
def test_other_states_are_no_breaks(state: ProofState) -> None:
    """A payout that waits is the check's to tell of."""
    assert payout_breaks(table(proof(state=state)), as_of=LATER).num_rows == 0


def test_no_proofs_are_no_breaks() -> None:
    """An account without payouts has an empty table of the right columns."""
    found = payout_breaks(MemoryStore().records(PayoutProof), as_of=LATER)
    assert (found.num_rows, found.schema) == (0, BREAKS)


def test_a_payout_after_the_moment_of_judgement_is_left_out() -> None:
    """What had not happened by then is not judged; what happened just then is."""
    proofs = table(proof())
    assert payout_breaks(proofs, as_of=MOMENT - timedelta(microseconds=1)).num_rows == 0
    assert payout_breaks(proofs, as_of=MOMENT).num_rows == 1


@pytest.mark.parametrize(
    ("values", "amount", "said"),
    [
        ({}, "0.5", "is of 100 USD; its list of 3 transactions comes to 99.5 USD, 0.5 USD less"),
        ({"listed": Decimal("100.01")}, "-0.01", "comes to 100.01 USD, 0.01 USD more"),
        ({"amount": Decimal(-5), "listed": Decimal(-4)}, "-1", "is of -5 USD; its list of 3"),
        ({"amount": Decimal(-5), "listed": Decimal(-4)}, "-1", "to -4 USD, 1 USD less"),
        ({"listed": None, "transactions": 0}, "100", "its list is empty"),
        ({"listed": None}, "100", "its list of 3 transactions holds other currencies"),
        ({"method": "booking", "listed": None}, "100", "no line of the balance explains it"),
        ({"method": "booking", "listed": Decimal(99)}, "1", "its own lines of the balance come to 99 USD"),
    ],
)
def test_the_explanation_has_both_amounts(values: dict[str, Any], amount: str, said: str) -> None:
    """What the payout is of, what was found, and by how much they differ."""
    row = only(proof(**values))
    assert row["amount"] == Decimal(amount)
    assert row["at_risk"] == abs(Decimal(amount))
    assert said in row["explanation"]
    assert "po_1" in row["explanation"]


def test_the_largest_amounts_do_not_overflow() -> None:
    """A difference beyond the domain is cut at its end; the explanation has both amounts whole."""
    row = only(proof(amount=LARGEST, listed=LARGEST.copy_negate()))
    assert row["amount"] == LARGEST
    assert row["explanation"].count("99999999999999999999.999999999999999999") == 3


def test_an_id_is_the_payouts_and_nobody_elses() -> None:
    """It stays when the difference changes, and differs between connectors, whatever their names hold."""
    assert only(proof())["break_id"] == only(proof(listed=Decimal(1)))["break_id"]
    assert only(proof())["break_id"] != only(proof(connector="other"))["break_id"]
    assert break_id("payout", "a", "b:c") != break_id("payout", "a:b", "c")


def test_breaks_stand_by_time_and_id() -> None:
    """The order of rows is the breaks' own, whatever the order of proofs."""
    proofs = [proof(f"po_{n}", created_at=MOMENT + timedelta(days=n % 2)) for n in range(6)]
    for given in (proofs, proofs[::-1]):
        rows = payout_breaks(table(*given), as_of=LATER).to_pylist()
        keys = [(row["effective_at"], row["break_id"]) for row in rows]
        assert keys == sorted(keys)


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """Empty, on either database."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def reconciled(store: SqlStore, *records: Record, history: bool = False) -> ReconcileReport:
    """A reconciliation after these records."""
    batch = Batch(stream="charges", records={type(record): [record] for record in records})
    store.commit("cards", batch)
    return pipeline.reconcile(store, [], parse_rules({}), as_of=LATER, history=history)


def test_a_payout_mismatch_is_listed_with_the_breaks_and_exits_1(store: SqlStore) -> None:
    """Matched payments and one mismatch: one break, counted, kept in the store, and exit 1."""
    report = reconciled(store, samples.movement(), samples.entry(), proof())
    assert report.breaks["primary_reason"].to_pylist() == ["payout_mismatch"]
    assert report.exit_code() == 1
    counts = report.summary["counts"]
    assert (counts["breaks"], counts["breaks_by_reason"]) == (1, {"payout_mismatch": 1})
    [row] = store.rows("select primary_reason, amount, legs, state from v_breaks")
    assert row == {"primary_reason": "payout_mismatch", "amount": "0.5", "legs": "[]", "state": "open"}


def test_the_statement_is_the_same_with_and_without_it(store: SqlStore) -> None:
    """The equation of what was paid and credited knows nothing of payouts."""
    without = reconciled(store, samples.movement(), samples.entry(amount=Decimal(12)))
    with_it = reconciled(store, proof())
    assert with_it.statement == without.statement
    assert with_it.breaks.num_rows == without.breaks.num_rows + 1
    assert with_it.summary["counts"]["breaks_by_reason"] == {"amount_under": 1, "payout_mismatch": 1}


def test_a_payout_that_is_proved_later_resolves_its_break(store: SqlStore) -> None:
    """The next run closes it, as any other break."""
    first = reconciled(store, proof())
    assert first.exit_code() == 1
    second = reconciled(store, proof(state=ProofState.PROVED, listed=Decimal(100)))
    assert second.exit_code() == 0
    assert second.changes is not None
    assert second.changes.resolved_breaks == 1
    assert store.rows("select state from v_breaks") == [{"state": "resolved"}]


def test_nothing_to_match_at_all(store: SqlStore) -> None:
    """A store that holds payouts alone is reconciled too."""
    report = reconciled(store, proof())
    assert report.breaks.num_rows == 1
    assert store.records(Movement).num_rows == store.records(Entry).num_rows == 0


def test_the_checks_over_proofs_read_either_database(store: SqlStore) -> None:
    """Their queries run on both, and give moments, amounts and states as they are."""
    gap = BookingGap(
        connector="cards",
        object_id="txn_9",
        reason="?",
        moved_at=MOMENT,
        since=MOMENT,
        amount=None,
        asset=None,
        closed=False,
    )
    balance = BalanceProof(
        connector="cards",
        asset="USD",
        state=ProofState.MISMATCH,
        since=MOMENT,
        difference=Decimal("-0.01"),
        attempts=3,
    )
    payout = Payout(
        connector="cards",
        payout_id="po_2",
        status="in_transit",
        amount=Decimal(7),
        asset="USD",
        automatic=True,
        created_at=MOMENT,
        arrival_at=MOMENT + timedelta(days=2),
    )
    waiting = [proof("po_2", state=ProofState.WAITING, listed=None), proof("po_3", state=ProofState.WAITING)]
    proofs = [*waiting, proof("po_4", state=ProofState.PROVED), proof()]
    records: dict[type[Record], Any] = {
        BookingGap: [gap, replace(gap, object_id="txn_8", closed=True)],
        BalanceProof: [balance],
        Payout: [payout],
        PayoutProof: proofs,
    }
    store.commit("cards", Batch(stream="payout_proofs", records=records))
    pipeline.reconcile(store, [], parse_rules({}), as_of=LATER, history=False)
    books = balance_identity.load(store, context(last_ok={("cards", "balance"): LATER}), {})
    assert books.read
    assert [(each.state, each.since, each.difference) for each in books.proofs] == [
        ("mismatch", MOMENT, Decimal("-0.01"))
    ]
    assert [(each.object_id, each.since) for each in books.gaps] == [("txn_9", MOMENT)]
    payouts = payout_recon.load(store, context(last_ok={("cards", "payouts"): LATER}), {})
    assert payouts.proved == 1
    assert [(each.payout_id, each.due_at) for each in payouts.waiting] == [
        ("po_3", MOMENT),
        ("po_2", MOMENT + timedelta(days=2)),
    ]
    assert [each.at_risk for each in payouts.mismatches.breaks] == [Decimal("0.5")]
