"""The views over what Stripe's whole account brings: the same rows on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from payhealth.domain.record import Record
from payhealth.domain.records import (
    BalanceProof,
    BalanceTransaction,
    BookingGap,
    CheckoutSession,
    Dispute,
    EarlyFraudWarning,
    Handle,
    Invoice,
    Movement,
    PaymentClaim,
    PaymentIntent,
    Payout,
    PayoutProof,
    ProofState,
    Refund,
    SetupIntent,
    SourceEvent,
)
from payhealth.ports import Batch
from payhealth.store import SqlStore, open_store
from payhealth.testing import samples

AT = "2026-01-01T12:00:00.000000Z"
MOMENT = samples.MOMENT
COMMON: dict[str, Any] = {"connector": "cards", "created_at": MOMENT}
MONEY: dict[str, Any] = {"amount": Decimal("12.5"), "asset": "USD"}


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """Empty, on either database."""
    opened = open_store(store_url)
    yield opened
    opened.close()


def _kept(store: SqlStore, *records: Record) -> None:
    store.commit("cards", Batch(stream="charges", records={type(record): [record] for record in records}))


def _only(store: SqlStore, view: str) -> dict[str, Any]:
    [row] = store.rows(f"select * from {view}")
    return row


def _holds(row: dict[str, Any], **expected: Any) -> None:
    assert {name: row[name] for name in expected} == expected


def test_new_columns_of_known_views(store: SqlStore) -> None:
    """What the checks on cards need stands at the end of the views that were there before."""
    charge = {
        "advice_code": "do_not_try_again",
        "network_decline_code": "51",
        "cvc_check": "fail",
        "payment_method_type": "card",
        "email_domain": "example.com",
        "email_hash": "h1",
        "ip_hash": "h2",
        "statement_descriptor": "SHOP",
        "invoice_id": "in_1",
    }
    intent = {
        "capture_method": "manual",
        "cancellation_reason": "abandoned",
        "setup_future_usage": "off_session",
        "last_failure_code": "card_declined",
        "last_decline_code": "generic_decline",
    }
    dispute = {
        "has_evidence": True,
        "past_due": False,
        "submission_count": 1,
        "is_charge_refundable": False,
        "network_reason_code": "10.4",
        "brand": "visa",
    }
    payout = {
        "failure_balance_transaction": "txn_2",
        "failure_code": "account_closed",
        "method": "instant",
        "reconciliation_status": "completed",
    }
    object_of = {"charge_id": "ch_1", "intent_id": None, "reason": None, **COMMON, **MONEY}
    _kept(
        store,
        samples.charge(**charge),
        PaymentIntent(
            intent_id="pi_1", status="canceled", amount_received=Decimal(0), **COMMON, **MONEY, **intent
        ),
        Refund(refund_id="re_1", status="failed", failure_reason="expired_or_canceled_card", **object_of),
        Dispute(
            dispute_id="dp_1",
            status="lost",
            withdrawn=Decimal("12.5"),
            reinstated=Decimal(0),
            **object_of,
            **dispute,
        ),
        Payout(payout_id="po_1", status="failed", automatic=True, **COMMON, **MONEY, **payout),
    )
    _holds(_only(store, "v_charges"), **charge)
    _holds(_only(store, "v_intents"), **intent)
    _holds(_only(store, "v_refunds"), failure_reason="expired_or_canceled_card")
    _holds(_only(store, "v_disputes"), **dispute)
    _holds(_only(store, "v_payouts"), **payout)


def test_views_of_the_selling_objects(store: SqlStore) -> None:
    """Setup intents, sessions, invoices, warnings, events and claims have a view each, its id first."""
    _kept(
        store,
        SetupIntent(setup_intent_id="seti_1", status="canceled", decline_code="lost_card", **COMMON),
        CheckoutSession(
            session_id="cs_1",
            intent_id=None,
            invoice_id=None,
            status="complete",
            payment_status="paid",
            mode="setup",
            client_reference="alice",
            customer=None,
            account="alice",
            amount=None,
            asset=None,
            **COMMON,
        ),
        Invoice(
            invoice_id="in_1",
            intent_id="pi_1",
            charge_id=None,
            status="paid",
            billing_reason="subscription_cycle",
            customer="cus_1",
            account="",
            amount_due=Decimal(-3),
            amount_paid=Decimal("0.01"),
            asset="USD",
            **COMMON,
        ),
        EarlyFraudWarning(
            warning_id="issfr_1",
            charge_id="ch_1",
            intent_id="pi_1",
            fraud_type="misc",
            actionable=True,
            **COMMON,
        ),
        SourceEvent(
            event_id="evt_1",
            type="charge.refunded",
            object_type="charge",
            object_id="ch_1",
            object_created_at=None,
            **COMMON,
        ),
        PaymentClaim(connector="cards", payment_key="pi_1", object_id="cs_1", account="alice"),
    )
    firsts = {
        "v_setup_intents": "seti_1",
        "v_sessions": "cs_1",
        "v_invoices": "in_1",
        "v_fraud_warnings": "issfr_1",
        "v_events": "evt_1",
        "v_payment_claims": "pi_1:cs_1",
    }
    for view, object_id in firsts.items():
        assert next(iter(_only(store, view).values())) == object_id
    _holds(_only(store, "v_setup_intents"), decline_code="lost_card", account="", created_at=AT)
    _holds(_only(store, "v_sessions"), amount=None, amount_key=None, asset=None, client_reference="alice")
    _holds(_only(store, "v_invoices"), amount_due="-3", amount_paid="0.01", intent_id="pi_1")
    _holds(_only(store, "v_fraud_warnings"), actionable=True, fraud_type="misc")
    _holds(_only(store, "v_events"), object_id="ch_1", object_created_at=None)
    _holds(_only(store, "v_payment_claims"), account="alice", payment_key="pi_1")


def test_views_of_the_proofs(store: SqlStore) -> None:
    """Amounts that are not known are NULL, on SQLite too: nothing found is not zero found."""
    _kept(
        store,
        PayoutProof(
            payout_id="po_1",
            state=ProofState.WAITING,
            method="list",
            listed=None,
            transactions=0,
            **COMMON,
            **MONEY,
        ),
        BalanceProof(
            connector="cards",
            asset="USD",
            state=ProofState.MISMATCH,
            since=MOMENT,
            difference=Decimal("-0.01"),
            attempts=3,
        ),
        BookingGap(
            connector="cards",
            object_id="txn_1",
            reason="?",
            moved_at=MOMENT,
            since=MOMENT,
            amount=None,
            asset=None,
        ),
    )
    _holds(_only(store, "v_payout_proofs"), payout_id="po_1", amount="12.5", listed=None, listed_key=None)
    _holds(_only(store, "v_balance_proofs"), proof_id="cards:USD", difference="-0.01", since=AT, attempts=3)
    _holds(_only(store, "v_booking_gaps"), object_id="txn_1", amount=None, asset=None, closed=False)
    assert len(store.rows("select object_id from v_booking_gaps where not closed")) == 1


def test_a_rate_that_is_not_there_is_null(store: SqlStore) -> None:
    """Of two lines, one without an exchange rate, only that one's is NULL."""
    line: dict[str, Any] = {
        "source_id": None,
        "type": "charge",
        "reporting_category": "charge",
        "fee": Decimal(0),
        "net": Decimal("12.5"),
        "available_at": None,
        **COMMON,
        **MONEY,
    }
    rates = {"txn_1": None, "txn_2": Decimal("1.1"), "txn_3": Decimal(0)}
    rows = [BalanceTransaction(balance_transaction_id=i, exchange_rate=r, **line) for i, r in rates.items()]
    store.commit("cards", Batch(stream="balance_transactions", records={BalanceTransaction: rows}))
    found = store.rows("select exchange_rate from v_balance_transactions order by balance_transaction_id")
    assert [row["exchange_rate"] for row in found] == [None, "1.1", "0"]


def test_coverage_says_pages_and_account(store: SqlStore) -> None:
    """How many requests a window took, and whose key it was read with."""
    window = samples.window(0, 10, pages=7, account="acct_1")
    store.commit("cards", Batch(stream="charges", records={}, windows=[window]))
    _holds(_only(store, "v_coverage"), pages=7, account="acct_1")


def _claim(payment_key: str, object_id: str, account: str, connector: str = "cards") -> PaymentClaim:
    return PaymentClaim(connector=connector, payment_key=payment_key, object_id=object_id, account=account)


def _handle(handle: str, account: str) -> Handle:
    return Handle(
        connector="attribution",
        handle=handle,
        account=account,
        valid_from=MOMENT - timedelta(days=1),
        valid_to=None,
    )


def test_a_movement_is_whose_it_says_then_whose_is_claimed_then_its_handles(store: SqlStore) -> None:
    """Claims hold where the movement names nobody and all of them agree; only then the handle is asked."""
    given = {
        "own": {"account": "alice", "payment_key": "pi_claimed", "handle": "cus_1"},
        "claimed": {"account": "", "payment_key": "pi_claimed", "handle": "cus_1"},
        "claimed_no_handle": {"account": "", "payment_key": "pi_claimed"},
        "disputed": {"account": "", "payment_key": "pi_disputed", "handle": "cus_1"},
        "disputed_no_handle": {"account": "", "payment_key": "pi_disputed"},
        "handle": {"account": "", "payment_key": "pi_none", "handle": "cus_1"},
        "nobody": {"account": "", "payment_key": "pi_none"},
        "other_connector": {"account": "", "payment_key": "pi_elsewhere"},
    }
    movements = [samples.movement(name, **values) for name, values in given.items()]
    claims = [
        _claim("pi_claimed", "cs_1", "bob"),
        _claim("pi_claimed", "in_1", "bob"),
        _claim("pi_disputed", "cs_2", "bob"),
        _claim("pi_disputed", "in_2", "carol"),
        _claim("pi_elsewhere", "cs_3", "bob", connector="other"),
    ]
    records: dict[type[Record], Any] = {
        Movement: movements,
        PaymentClaim: claims,
        Handle: [_handle("cus_1", "dave")],
    }
    store.commit("cards", Batch(stream="charges", records=records))
    found = {row["movement_id"]: row["account"] for row in store.rows("select * from v_movements")}
    assert found == {
        "own": "alice",
        "claimed": "bob",
        "claimed_no_handle": "bob",
        "disputed": "dave",
        "disputed_no_handle": "",
        "handle": "dave",
        "nobody": "",
        "other_connector": "",
    }


def test_claims_are_looked_up_by_an_index(sqlite_url: str) -> None:
    """One movement's account must not cost a walk over all claims."""
    store = open_store(sqlite_url)
    try:
        plan = [row["detail"] for row in store.rows("explain query plan select account from v_movements")]
    finally:
        store.close()
    [step] = [detail for detail in plan if detail.startswith(("SEARCH c", "SCAN c"))]
    assert step.startswith("SEARCH c USING")
    assert "payment_key=?" in step
