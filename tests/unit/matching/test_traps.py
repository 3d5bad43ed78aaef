"""The traps in which other reconciliation systems were caught; each is named after its find."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payhealth.matching.exact import WIDE
from tests.unit.matching.helpers import (
    AS_OF,
    START,
    breaks,
    entry,
    matched,
    moment,
    only_break,
    open_why,
    paid,
    run,
    statement_row,
)

DAY = 86_400
TINY, HUGE = "0.000000000000000001", "99999999999999999999.999999999999999999"


def test_blnk_one_credit_answers_one_payment() -> None:
    """Two external records never match one credit: the second payment is a break."""
    found = only_break(run([paid("c1", "10"), paid("c2", "10", second=3)], [entry("e1", "10")]))
    assert found["primary_reason"] == "duplicate_payment"
    assert found["movement_ids"] == ["c1", "c2"]


def test_blnk_internal_rows_without_a_payment_are_reported() -> None:
    """An entry that nobody paid for is a break, not silence."""
    assert only_break(run([], [entry("e1", "10")]))["primary_reason"] == "credited_not_paid"


def test_formance_a_surplus_is_a_break_too() -> None:
    """The signed residual counts: one unit too much is as much a break as one too little."""
    assert only_break(run([paid("c1", "10")], [entry("e1", "10.01")]))["primary_reason"] == "amount_over"
    assert only_break(run([paid("c1", "10")], [entry("e1", "9.99")]))["primary_reason"] == "amount_under"


def test_matcher_a_group_is_checked_for_its_sum() -> None:
    """Rows that share a reference are a match only where they add up."""
    payments = [paid("c1", "10"), paid("c2", "7")]
    assert matched(run(payments, [entry("e1", "12"), entry("e2", "5")])) == {(("c1", "c2"), ("e1", "e2"))}
    assert breaks(run(payments, [entry("e1", "12"), entry("e2", "4")]))


def test_matcher_more_than_five_thousand_rows() -> None:
    """There is no cap on the number of rows."""
    rows = range(5_500)
    payments = [paid(f"c{number}", "10", reference=f"r{number}") for number in rows]
    ledger = [entry(f"e{number}", "10", reference=f"r{number}") for number in rows]
    outcome = run(payments, ledger)
    assert (outcome.matches.num_rows, outcome.breaks.num_rows) == (5_500, 0)


def test_matcher_assets_of_any_length_and_eighteen_places() -> None:
    """A token's id and its last unit survive."""
    asset = "eip155:8453/erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
    payments = [paid("t1", "1.000000000000000001", kind="transfer", asset=asset)]
    found = only_break(run(payments, [entry("e1", "1", asset=asset)]))
    assert found["amount"] == Decimal(TINY)
    assert found["asset"] == asset


def test_oca_an_overpayment_is_held_against_the_tolerance() -> None:
    """Both directions are tolerated alike, to the last unit of the bound."""
    rules = [{"pass": "reference", "absolute": "0.02"}]
    for amount, breaks_found in (("10.02", 0), ("9.98", 0), ("10.03", 1), ("9.97", 1)):
        outcome = run([paid("c1", "10")], [entry("e1", amount)], rules=rules)
        assert outcome.breaks.num_rows == breaks_found, amount


def test_autogpt_10672_a_webhook_retry_credits_twice() -> None:
    """The double credit of a retried webhook is found and named."""
    found = only_break(run([paid("c1", "10")], [entry("e1", "10"), entry("e2", "10", second=12)]))
    assert found["primary_reason"] == "duplicate_credit"


def test_eliza_10920_no_clawback_after_a_refund() -> None:
    """A refund without its clawback is found."""
    payments = [paid("c1", "10"), paid("f1", "10", kind="refund", second=DAY)]
    assert only_break(run(payments, [entry("e1", "10")]))["primary_reason"] == "refund_not_clawed_back"


def test_octopus_577_cumulative_refunds_are_not_deducted_twice() -> None:
    """Two partial refunds expect their own parts; a ledger that deducts the cumulative amount is a break."""
    payments = [
        paid("c1", "10"),
        paid("f1", "3", kind="refund", second=DAY),
        paid("f2", "4", kind="refund", second=DAY + 100),
    ]
    right = [entry("e1", "10"), entry("e2", "-3", second=DAY), entry("e3", "-4", second=DAY + 100)]
    wrong = [entry("e1", "10"), entry("e2", "-3", second=DAY), entry("e3", "-7", second=DAY + 100)]
    assert not breaks(run(payments, right))
    assert only_break(run(payments, wrong))["primary_reason"] == "clawed_back_not_refunded"


def test_octopus_577_a_payment_seen_before_the_grant_succeeded() -> None:
    """A missing credit is derived from the rows of today: it heals when the entry arrives, and not before."""
    assert breaks(run([paid("c1", "10")], []))
    assert not breaks(run([paid("c1", "10")], [entry("e1", "10", second=DAY)]))


def test_btcpay_4146_late_and_over_at_once() -> None:
    """One status cannot say both; a break carries flags."""
    found = only_break(run([paid("c1", "10")], [entry("e1", "12", second=DAY)]))
    assert found["reasons"] == ["amount_over", "late"]


def test_sure_3309_strangers_are_not_linked() -> None:
    """Equal amounts and times without a common reference match nothing in the reference pass."""
    payments = [paid("c1", "10", reference="a")]
    assert not matched(run(payments, [entry("e1", "10", reference="b")]))


def test_hyperswitch_5233_the_field_that_differs_is_named() -> None:
    """Every explanation says which field differs and by how much."""
    for ledger, words in (
        ([entry("e1", "7")], ("amount differs", "expected 10 USD", "entered 7 USD", "3 USD too little")),
        ([entry("e1", "10", account="bob")], ("account differs", "account alice", "account bob")),
        ([entry("e1", "10", asset="EUR")], ("asset differs: paid in USD, entered in EUR",)),
    ):
        explanation = only_break(run([paid("c1", "10")], ledger))["explanation"]
        assert all(word in explanation for word in words), explanation


@pytest.mark.parametrize("amount", [TINY, HUGE])
def test_extremes_match_and_break_unchanged(amount: str) -> None:
    """The smallest and the largest amount go through whole, credited and clawed back."""
    payments = [paid("c1", amount), paid("f1", amount, kind="refund", second=DAY)]
    ledger = [entry("e1", amount), entry("e2", f"-{amount}", second=DAY)]
    outcome = run(payments, ledger)
    assert matched(outcome) == {(("c1", "f1"), ("e1", "e2"))}
    assert statement_row(outcome)["paid_in"] == "0"
    broken = only_break(run([paid("c1", amount)], []))
    assert broken["amount"] == broken["at_risk"] == broken["legs"][0]["residual"] == Decimal(amount)
    assert only_break(run([], [entry("e1", f"-{amount}")]))["amount"] == Decimal(amount)
    assert only_break(run([], [entry("e1", amount)]))["amount"] == Decimal(amount).copy_negate()


def test_one_unit_short_of_the_largest_amount_is_seen() -> None:
    """No rounding hides the last of 38 digits."""
    short = WIDE.text(10**38 - 2)
    assert only_break(run([paid("c1", HUGE)], [entry("e1", short)]))["amount"] == Decimal(TINY)


def test_statement_sums_may_be_larger_than_any_amount() -> None:
    """Sums that leave the domain of an amount are shown whole."""
    payments = [paid("c1", HUGE, reference="a"), paid("c2", HUGE, reference="b")]
    row = statement_row(run(payments, []))
    assert row["paid_in"] == row["breaks"]["paid_not_credited"] == "199999999999999999999.999999999999999998"


def test_ids_that_differ_in_case_alone_are_two() -> None:
    """Stripe's ids are case-sensitive; hexadecimal is not."""
    outcome = run([paid("c1", "10", reference="ch_A")], [entry("e1", "10", reference="ch_a")])
    assert outcome.breaks.num_rows == 2
    assert "in other upper and lower case" in breaks(outcome)[0]["explanation"]
    assert matched(run([paid("c1", "10", reference="0xAB")], [entry("e1", "10", reference="0xab")]))


def test_an_account_that_is_empty_joins_the_only_one() -> None:
    """A row without an account counts on the group's only account, on either side."""
    assert matched(run([paid("c1", "10", account="")], [entry("e1", "10")]))
    assert matched(run([paid("c1", "10")], [entry("e1", "10", account="")]))


def test_one_reference_shared_by_many_is_none() -> None:
    """A reference of more movements than max_reference_share gathers nothing and is listed with its count."""
    payments = [paid(f"c{number}", "10", reference="order") for number in range(51)]
    outcome = run(payments, [entry("e1", "510", reference="order")])
    assert outcome.summary["counts"]["shared_references"] == {"order": 51}
    assert outcome.breaks.num_rows == 52
    assert run(payments[:50], [entry("e1", "500", reference="order")]).matches.num_rows == 1


def test_rows_that_cancel_before_any_credit_are_a_match() -> None:
    """Paid and refunded, seen and retracted: nobody is owed anything."""
    for payment, undo in (("charge", "refund"), ("transfer", "retraction")):
        payments = [paid("p1", "10", kind=payment), paid("u1", "10", kind=undo, second=60)]
        assert matched(run(payments, [])) == {(("p1", "u1"), ())}


def test_a_lone_row_that_expects_nothing_is_a_match() -> None:
    """A payment that the fee eats whole needs no entry."""
    assert matched(run([paid("c1", "0.50")], [], policy={"fee_minimum": "0.80"})) == {(("c1",), ())}


def test_rows_after_the_moment_of_judgement_stay_out() -> None:
    """What happened later is open as after_as_of and changes nothing."""
    outcome = run([paid("c1", "10")], [entry("e1", "10", second=100)], as_of=moment(50))
    assert open_why(outcome) == {"c1": "in_flight", "e1": "after_as_of"}
    assert statement_row(outcome)["in_flight"] == "10"


def test_time_to_clear_runs_both_ways_and_ends_sharply() -> None:
    """A lone row waits while it is younger than its time to clear, on either side."""
    for payments, ledger in (([paid("c1", "10")], []), ([], [entry("e1", "10", second=0)])):
        assert not breaks(run(payments, ledger, as_of=moment(899.999999)))
        assert breaks(run(payments, ledger, as_of=moment(900)))


def test_a_part_in_flight_is_no_break() -> None:
    """A new credit that came early waits for its payment; an old one beside it does not."""
    ledger = [entry("e1", "10"), entry("e2", "5", second=30 * DAY - 1)]
    outcome = run([paid("c1", "10")], ledger)
    assert not breaks(outcome)
    assert set(open_why(outcome).values()) == {"in_flight"}


def test_entries_that_are_not_reconciled_are_ignored_by_name() -> None:
    """Grants and usage stand beside the statement, none of them is dropped."""
    outcome = run([], [entry("g1", "5", kind="grant"), entry("u1", "-5", kind="usage")])
    assert open_why(outcome) == {"g1": "ignored", "u1": "ignored"}
    assert outcome.summary["statement"] == []


def test_a_movement_without_a_price_waits() -> None:
    """A policy in another asset and no rate: shown as unpriced, never guessed."""
    outcome = run([paid("c1", "10", asset="EUR")], [], policy={"asset": "USD"})
    assert open_why(outcome) == {"c1": "unpriced"}
    assert not breaks(outcome)


def test_nothing_at_all_is_a_result() -> None:
    """Two empty sides give empty tables and an empty statement."""
    outcome = run([], [], as_of=AS_OF)
    assert outcome.matches.num_rows == outcome.breaks.num_rows == outcome.open.num_rows == 0
    assert outcome.summary["explained"] is None
    assert START < AS_OF
