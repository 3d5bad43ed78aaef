"""What counts of the store's records, since when, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from payhealth.domain.chain_records import AssetPrice, ChainMark
from payhealth.domain.errors import InputError
from payhealth.domain.record import Record
from payhealth.domain.records import BalanceTransaction, Entry, Handle, Link, Movement, PaymentClaim
from payhealth.domain.times import to_us
from payhealth.matching.engine import reconcile
from payhealth.matching.inputs import MONEY, MatchInputs, MatchOutcome
from payhealth.matching.model import parse_rules
from payhealth.matching.store_inputs import from_store
from tests.unit.matching.helpers import AS_OF, START, Row, only_break, open_why

CHAIN = "eip155:8453"
USDC = f"{CHAIN}/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
MOMENT = pa.timestamp("us", tz="UTC")
_TYPES = (
    dict.fromkeys(("amount", "fee", "net", "exchange_rate", "price"), MONEY)
    | {"deleted": pa.bool_()}
    | dict.fromkeys(
        (
            *("effective_at", "ledger_recorded_at", "valid_from", "valid_to"),
            *("head_at", "created_at", "block_at", "round_at"),
        ),
        MOMENT,
    )
)
_TYPES |= dict.fromkeys(("block_number", "finality_s", "safe", "final", "head"), pa.int64())


def stored(kind: type[Record], rows: Sequence[Row]) -> pa.Table:
    """Records as the store gives them."""
    schema = pa.schema([(field.name, _TYPES.get(field.name, pa.string())) for field in fields(kind)])
    return pa.Table.from_pylist(
        [{field: row.get(field) for field in schema.names} for row in rows], schema=schema
    )


def transfer(id_: str, *, block: int, **columns: Any) -> Row:
    """A transfer of 10 USDC to alice."""
    usual = {
        "connector": "base",
        "movement_id": id_,
        "rail": "chain",
        "kind": "transfer",
        "status": "seen",
        "account": "alice",
        "handle": "",
        "payment_key": id_,
        "reference": "",
        "amount": Decimal(10),
        "asset": USDC,
        "symbol": "USDC",
        "effective_at": START,
        "chain": CHAIN,
        "block_number": block,
        "finality_s": 0,
        "finality": "final",
    }
    return {**usual, **columns}


def credit(id_: str, reference: str, **columns: Any) -> Row:
    """A credit of 10 USDC for alice."""
    usual = {
        "connector": "credits",
        "entry_id": id_,
        "kind": "purchase",
        "account": "alice",
        "reference": reference,
        "amount": Decimal(10),
        "asset": USDC,
        "effective_at": START + timedelta(seconds=10),
        "deleted": False,
    }
    return {**usual, **columns}


def inputs(
    movements: Sequence[Row],
    entries: Sequence[Row] = (),
    *,
    links: Sequence[Row] = (),
    handles: Sequence[Row] = (),
    claims: Sequence[Row] = (),
    booked: Sequence[Row] = (),
    prices: Sequence[Row] = (),
    rates: pa.Table | None = None,
    rules: dict[str, Any] | None = None,
    starts: dict[str, int] | None = None,
) -> MatchInputs:
    """What the engine is handed, on a chain that is safe to block 90 and final to block 50."""
    mark = {"connector": "base", "chain": CHAIN, "head": 100, "safe": 90, "final": 50, "head_at": START}
    tables = {
        Movement: stored(Movement, movements),
        Entry: stored(Entry, entries),
        Link: stored(Link, links),
        ChainMark: stored(ChainMark, [mark]),
        Handle: stored(Handle, handles),
        PaymentClaim: stored(PaymentClaim, claims),
        BalanceTransaction: stored(BalanceTransaction, booked),
        AssetPrice: stored(AssetPrice, prices),
    }
    return from_store(tables, parse_rules(rules or {}), starts=starts or {}, rates=rates)


def judged(*args: Any, **options: Any) -> MatchOutcome:
    """A run over the store's records."""
    return reconcile(inputs(*args, **options), parse_rules(options.get("rules") or {}), as_of=AS_OF)


@pytest.mark.parametrize(
    ("block", "finality", "counts"),
    [(50, "final", True), (51, "final", False), (90, "safe", True), (91, "safe", False)],
)
def test_a_transfer_counts_once_its_block_is_under_the_mark(block: int, finality: str, counts: bool) -> None:
    """Before, it is in flight."""
    outcome = judged([transfer("t1", block=block, finality=finality)], [credit("e1", "t1")])
    assert bool(outcome.matches.num_rows) == counts
    assert open_why(outcome) == ({} if counts else {"t1": "in_flight"})


def test_an_entry_against_a_transfer_that_is_not_final_is_flagged() -> None:
    """Credited before final, found as soon as the entry's own time is over."""
    found = only_break(judged([transfer("t1", block=99)], [credit("e1", "t1")]))
    assert found["reasons"] == ["credited_not_paid", "credited_before_final"]


def test_a_retracted_transfer_counts_beside_its_retraction() -> None:
    """Seen, retracted and never credited is no break; credited, it is one."""
    movements = [
        transfer("t1", block=99, status="retracted"),
        transfer("t1:retraction", block=99, kind="retraction", status="succeeded", payment_key="t1"),
    ]
    assert judged(movements).matches.num_rows == 1
    assert only_break(judged(movements, [credit("e1", "t1")]))["primary_reason"] == "reorg_not_clawed_back"


def test_what_failed_or_expects_nothing_is_left_out() -> None:
    """Failed and pending payments, sweeps and gas are no movements of a reconciliation."""
    movements = [
        transfer("t1", block=1, kind="internal"),
        transfer("t2", block=1, kind="outgoing"),
        transfer("t3", block=1, kind="funding"),
        transfer("c1", block=1, kind="charge", rail="card", status="failed"),
        transfer("c2", block=1, kind="charge", rail="card", status="pending"),
        transfer("x1", block=1, kind="retraction", status="failed"),
    ]
    assert inputs(movements).movements.num_rows == 0


def test_deleted_entries_are_left_out() -> None:
    """An entry that the ledger no longer has is history."""
    assert inputs([], [credit("e1", "t1", deleted=True)]).entries.num_rows == 0


def owner(account: str, from_s: float, to_s: float | None = None) -> Row:
    """Whose the deposit address is, in a span of time."""
    valid_to = None if to_s is None else START + timedelta(seconds=to_s)
    span = {"valid_from": START + timedelta(seconds=from_s), "valid_to": valid_to}
    return {"connector": "map", "handle": "0xaa", "account": account, **span}


def test_a_handle_leads_to_the_account_of_its_time() -> None:
    """Addresses are reassigned; the end of a span is no part of it."""
    handles = [owner("bob", -100, 0), owner("alice", 0)]
    found = inputs([transfer("t1", block=1, account="", handle="0xaa")], handles=handles)
    assert found.movements["account"].to_pylist() == ["alice"]
    assert found.notes["unknown_handles"] == 0


def test_an_unknown_handle_is_counted() -> None:
    """Nobody's payment stays nobody's, and is counted."""
    found = inputs([transfer("t1", block=1, account="", handle="0xbb")], handles=[owner("alice", 0)])
    assert found.movements["account"].to_pylist() == [""]
    assert found.notes["unknown_handles"] == 1


def test_a_handle_of_two_accounts_at_one_time_is_refused() -> None:
    """Both are named."""
    with pytest.raises(InputError, match="two accounts at one time: alice and bob"):
        inputs(
            [transfer("t1", block=1, account="", handle="0xaa")],
            handles=[owner("bob", -1), owner("alice", -2)],
        )


def test_an_alias_leads_an_entry_to_its_payment() -> None:
    """A bare transaction stands for the deposit in it."""
    links = [{"connector": "base", "alias": "0xab", "payment_key": "t1"}]
    assert judged([transfer("t1", block=1)], [credit("e1", "0xAB")], links=links).matches.num_rows == 1


def test_payments_before_the_start_stand_aside() -> None:
    """They are open, and so are entries from before every start."""
    start = to_us(START + timedelta(days=1))
    outcome = judged([transfer("t1", block=1)], [credit("e1", "")], starts={"base": start})
    assert open_why(outcome) == {"t1": "before_start", "e1": "before_start"}


def claim(object_id: str, account: str, payment_key: str = "t1") -> Row:
    """An object beside a payment that says whose it is."""
    return {"connector": "base", "payment_key": payment_key, "object_id": object_id, "account": account}


@pytest.mark.parametrize(
    ("own", "claimed", "account"),
    [
        ("", ["alice"], "alice"),
        ("", ["alice", "alice"], "alice"),
        ("", ["alice", "bob"], ""),
        ("carol", ["alice"], "carol"),
        ("", [], ""),
    ],
)
def test_a_claim_counts_where_the_payment_is_silent(own: str, claimed: list[str], account: str) -> None:
    """The payment's own word goes first; claims count while all of them agree."""
    claims = [claim(f"cs_{number}", name) for number, name in enumerate(claimed)]
    others = [claim("cs_9", "mallory", payment_key="t2")]
    found = inputs([transfer("t1", block=1, account=own)], claims=[*claims, *others])
    assert found.movements["account"].to_pylist() == [account]


def euros(id_: str, **columns: Any) -> Row:
    """A card payment of 10 EUR."""
    usual = {"rail": "card", "asset": "EUR", "symbol": "EUR", "status": "succeeded", "kind": "charge"}
    return transfer(id_, block=1, **{**usual, "payment_key": "pi_1", **columns})


def settled(source_id: str, price: str, **columns: Any) -> Row:
    """Its line in the books, settled in dollars."""
    usual = {
        "connector": "base",
        "balance_transaction_id": f"txn_{source_id}",
        "source_id": source_id,
        "type": "charge",
        "amount": Decimal(1),
        "fee": Decimal(0),
        "net": Decimal(1),
        "asset": "USD",
        "exchange_rate": Decimal(price),
        "created_at": START,
    }
    return {**usual, **columns}


def test_a_foreign_charge_is_worth_what_it_was_settled_for() -> None:
    """Stripe's rate counts where it settled in the policy's asset; undoing is valued as the payment was."""
    rules = {"policy": {"default": {"asset": "USD"}}}
    movements = [euros("ch_1"), euros("re_1", kind="refund", amount=Decimal(4))]
    booked = [settled("ch_1", "1.08"), settled("re_1", "1.5", type="refund")]
    outcome = judged(
        movements, [credit("e1", "pi_1", asset="USD", amount=Decimal("6.48"))], booked=booked, rules=rules
    )
    assert [row["state"] for row in outcome.matches.to_pylist()] == ["confirmed"]
    assert [row["paid_in"] for row in outcome.summary["statement"]] == ["6.48"]


def test_a_rate_into_another_currency_is_no_price() -> None:
    """Settled in pounds says nothing of dollars: the payment waits, and is shown."""
    rules = {"policy": {"default": {"asset": "USD"}}}
    booked = [settled("ch_1", "0.85", asset="GBP")]
    assert open_why(judged([euros("ch_1")], booked=booked, rules=rules)) == {"ch_1": "unpriced"}
