"""Every reason has an example, and without its rule the example is misnamed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payhealth.domain.breaks import OUTSIDE_STATEMENT, BreakReason
from payhealth.matching.reasons import DEFAULT_REASON_RULES
from tests.unit.matching.helpers import Row, breaks, entry, only_break, paid, run

World = tuple[list[Row], list[Row]]
DAY = 86_400

EXAMPLES: dict[BreakReason, World] = {
    BreakReason.PAID_NOT_CREDITED: ([paid("c1", "10")], []),
    BreakReason.CREDITED_NOT_PAID: ([], [entry("e1", "10")]),
    BreakReason.WRONG_ACCOUNT: ([paid("c1", "10")], [entry("e1", "10", account="bob")]),
    BreakReason.WRONG_ASSET: ([paid("c1", "10")], [entry("e1", "10", asset="EUR")]),
    BreakReason.REFUND_NOT_CLAWED_BACK: (
        [paid("c1", "10"), paid("f1", "4", kind="refund", second=DAY)],
        [entry("e1", "10")],
    ),
    BreakReason.DISPUTE_NOT_CLAWED_BACK: (
        [paid("c1", "10"), paid("d1", "10", kind="dispute", second=DAY)],
        [entry("e1", "10")],
    ),
    BreakReason.REORG_NOT_CLAWED_BACK: (
        [paid("t1", "10", kind="transfer"), paid("x1", "10", kind="retraction", second=DAY)],
        [entry("e1", "10")],
    ),
    BreakReason.DUPLICATE_CREDIT: ([paid("c1", "10")], [entry("e1", "10"), entry("e2", "10", second=11)]),
    BreakReason.AMOUNT_OVER: ([paid("c1", "10")], [entry("e1", "12")]),
    BreakReason.DUPLICATE_PAYMENT: ([paid("c1", "10"), paid("c2", "10", second=5)], [entry("e1", "10")]),
    BreakReason.CLAWED_BACK_NOT_REFUNDED: ([paid("c1", "10")], [entry("e1", "10"), entry("e2", "-10")]),
    BreakReason.REVERSAL_NOT_RECREDITED: (
        [
            paid("c1", "10"),
            paid("d1", "10", kind="dispute", second=DAY),
            paid("w1", "10", kind="dispute_reversal", second=2 * DAY),
        ],
        [entry("e1", "10"), entry("e2", "-10", second=DAY)],
    ),
    BreakReason.AMOUNT_UNDER: ([paid("c1", "10")], [entry("e1", "7")]),
}
AMOUNTS = {
    BreakReason.PAID_NOT_CREDITED: "10",
    BreakReason.CREDITED_NOT_PAID: "-10",
    BreakReason.WRONG_ACCOUNT: "0",
    BreakReason.WRONG_ASSET: "10",
    BreakReason.REFUND_NOT_CLAWED_BACK: "-4",
    BreakReason.DISPUTE_NOT_CLAWED_BACK: "-10",
    BreakReason.REORG_NOT_CLAWED_BACK: "-10",
    BreakReason.DUPLICATE_CREDIT: "-10",
    BreakReason.AMOUNT_OVER: "-2",
    BreakReason.DUPLICATE_PAYMENT: "10",
    BreakReason.CLAWED_BACK_NOT_REFUNDED: "10",
    BreakReason.REVERSAL_NOT_RECREDITED: "10",
    BreakReason.AMOUNT_UNDER: "3",
}


def test_every_reason_has_an_example() -> None:
    """A reason that is added without an example here is not tested."""
    assert set(EXAMPLES) == set(BreakReason) - OUTSIDE_STATEMENT
    assert [rule.reason for rule in DEFAULT_REASON_RULES] == [
        reason for reason in BreakReason if reason not in OUTSIDE_STATEMENT
    ]


@pytest.mark.parametrize("reason", EXAMPLES)
def test_the_example_is_named_after_its_reason(reason: BreakReason) -> None:
    """Each fault gets its own name, and the break shows how much of the asset is broken."""
    found = only_break(run(*EXAMPLES[reason]))
    assert found["primary_reason"] == reason
    assert found["reasons"][0] == reason
    assert found["amount"] == Decimal(AMOUNTS[reason])
    assert found["at_risk"] >= abs(found["amount"])


@pytest.mark.parametrize("reason", EXAMPLES)
def test_without_its_rule_the_example_is_misnamed(reason: BreakReason) -> None:
    """Each rule is needed: taken out, its fault is still a break, but under a wrong name."""
    rules = [rule for rule in DEFAULT_REASON_RULES if rule.reason != reason]
    found = only_break(run(*EXAMPLES[reason], reason_rules=rules))
    assert found["primary_reason"] != reason


def test_at_least_one_rule_is_needed() -> None:
    """A break without any name cannot be shown."""
    with pytest.raises(ValueError, match="at least one reason rule"):
        run([paid("c1", "10")], [], reason_rules=[])


def reasons_of(payments: list[Row], ledger: list[Row]) -> list[str]:
    """The reasons of the only break; how late its rows were is tested elsewhere."""
    found: list[str] = only_break(run(payments, ledger))["reasons"]
    return [reason for reason in found if reason != "late"]


def test_a_lone_reversal_is_not_clawed_back() -> None:
    """An undoing movement without payment and entries is its own ...not_clawed_back."""
    assert reasons_of([paid("f1", "10", kind="refund")], []) == ["refund_not_clawed_back"]


def test_a_lone_negative_entry_is_clawed_back_without_a_refund() -> None:
    """A clawback that no movement asked for took money from a customer."""
    assert reasons_of([], [entry("e1", "-10")]) == ["clawed_back_not_refunded"]


def test_excess_beyond_a_missing_reversal_is_named_beside_it() -> None:
    """What an unanswered refund does not explain is amount_over."""
    payments = [paid("c1", "10"), paid("f1", "4", kind="refund", second=DAY)]
    assert reasons_of(payments, [entry("e1", "13")]) == ["refund_not_clawed_back", "amount_over"]


def test_a_reversal_answered_by_its_own_amount_is_answered() -> None:
    """A dispute that was taken back to the cent is not called unanswered because of an older refund."""
    payments = [
        paid("c1", "10"),
        paid("f1", "4", kind="refund", second=DAY),
        paid("d1", "6", kind="dispute", second=2 * DAY),
    ]
    ledger = [entry("e1", "10"), entry("e2", "-6", second=2 * DAY)]
    assert reasons_of(payments, ledger) == ["refund_not_clawed_back"]


def test_a_won_dispute_cancels_one_that_was_never_clawed_back() -> None:
    """Nothing was taken, so nothing has to be given again: the break is the double credit alone."""
    payments = [
        paid("c1", "10"),
        paid("d1", "10", kind="dispute", second=DAY),
        paid("w1", "10", kind="dispute_reversal", second=2 * DAY),
    ]
    assert reasons_of(payments, [entry("e1", "10"), entry("e2", "10")]) == ["duplicate_credit"]


def test_two_kinds_unanswered_are_both_named() -> None:
    """Each kind that was never clawed back stands among the reasons."""
    payments = [
        paid("t1", "10", kind="transfer"),
        paid("f1", "4", kind="refund", second=DAY),
        paid("x1", "6", kind="retraction", second=DAY + 1),
    ]
    assert reasons_of(payments, [entry("e1", "10")]) == ["refund_not_clawed_back", "reorg_not_clawed_back"]


def test_the_same_token_on_another_chain_is_flagged() -> None:
    """Paid on one chain and credited for another: wrong_asset, with wrong_chain beside it."""
    token = "erc20:0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
    payments = [paid("t1", "10", kind="transfer", asset=f"eip155:8453/{token}")]
    assert "wrong_chain" in reasons_of(payments, [entry("e1", "10", asset=f"eip155:1/{token}")])
    assert "wrong_chain" not in reasons_of(payments, [entry("e1", "10", asset="USD")])


def test_broken_parts_that_cancel_while_another_is_in_flight_are_a_wrong_account() -> None:
    """B cancels over the accounts and R does not: there is still a name for it."""
    as_of_s = 30 * DAY
    payments = [paid("c1", "10")]
    ledger = [
        entry("e1", "10", account="bob"),
        entry("e2", "5", account="bob", second=as_of_s - 10),
    ]
    assert reasons_of(payments, ledger)[0] == "wrong_account"


@pytest.mark.parametrize("count", [1, 2])
def test_a_credit_may_be_doubled_more_than_once(count: int) -> None:
    """-B may be several of the equal entries."""
    ledger = [entry(f"e{number}", "10", second=10 + number) for number in range(count + 1)]
    assert reasons_of([paid("c1", "10")], ledger) == ["duplicate_credit"]


def test_breaks_come_in_the_order_of_their_time_then_id() -> None:
    """The table's order does not depend on the order of the input."""
    payments = [paid(f"c{number}", "10", reference="", second=-number) for number in range(5)]
    found = breaks(run(payments, []))
    assert [row["effective_at"] for row in found] == sorted(row["effective_at"] for row in found)
