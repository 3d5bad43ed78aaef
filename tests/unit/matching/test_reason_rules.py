"""Every reason rule is needed: without it, a break that it names is named otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from payhealth.domain.breaks import OUTSIDE_STATEMENT, BreakReason
from payhealth.matching import engine
from payhealth.matching.model import parse_rules
from payhealth.matching.prepare import from_tables
from payhealth.matching.reasons import DEFAULT_REASON_RULES
from payhealth.tabular import ledger_table, payments_table

LONG_AGO = "2026-01-01T00:00:00Z"
AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
Row = Mapping[str, Any]


def _paid(identifier: str, kind: str = "charge", amount: str = "10", asset: str = "USD") -> Row:
    return {
        "id": identifier,
        "kind": kind,
        "account": "ann",
        "reference": "r",
        "amount": amount,
        "asset": asset,
        "occurred_at": LONG_AGO,
    }


def _entered(identifier: str, amount: str = "10", account: str = "ann", asset: str = "USD") -> Row:
    return {
        "id": identifier,
        "account": account,
        "reference": "r",
        "amount": amount,
        "asset": asset,
        "occurred_at": LONG_AGO,
    }


WORLDS: dict[BreakReason, tuple[list[Row], list[Row]]] = {
    BreakReason.PAID_NOT_CREDITED: ([_paid("p")], []),
    BreakReason.CREDITED_NOT_PAID: ([], [_entered("e")]),
    BreakReason.WRONG_ACCOUNT: ([_paid("p")], [_entered("e", account="ben")]),
    BreakReason.WRONG_ASSET: ([_paid("p")], [_entered("e", amount="9", asset="EUR")]),
    BreakReason.REFUND_NOT_CLAWED_BACK: ([_paid("p"), _paid("x", "refund")], [_entered("e")]),
    BreakReason.DISPUTE_NOT_CLAWED_BACK: ([_paid("p"), _paid("x", "dispute")], [_entered("e")]),
    BreakReason.REORG_NOT_CLAWED_BACK: (
        [_paid("p", "transfer"), _paid("x", "retraction")],
        [_entered("e")],
    ),
    BreakReason.DUPLICATE_CREDIT: ([_paid("p")], [_entered("e"), _entered("f")]),
    BreakReason.AMOUNT_OVER: ([_paid("p")], [_entered("e", "13")]),
    BreakReason.DUPLICATE_PAYMENT: ([_paid("p"), _paid("q")], [_entered("e")]),
    BreakReason.CLAWED_BACK_NOT_REFUNDED: ([_paid("p")], [_entered("e"), _entered("f", "-10")]),
    BreakReason.REVERSAL_NOT_RECREDITED: (
        [_paid("p"), _paid("x", "dispute"), _paid("y", "dispute_reversal")],
        [_entered("e"), _entered("f", "-10")],
    ),
    BreakReason.AMOUNT_UNDER: ([_paid("p")], [_entered("e", "7")]),
}


def _primary(reason: BreakReason, left_out: BreakReason | None) -> list[str]:
    """The primary reasons found in a world, with one rule taken out."""
    payments, ledger = WORLDS[reason]
    rules = tuple(rule for rule in DEFAULT_REASON_RULES if rule.reason != left_out)
    inputs = from_tables(payments_table(payments).rows, ledger_table(ledger).rows)
    outcome = engine.reconcile(inputs, parse_rules({}), as_of=AS_OF, reason_rules=rules)
    found: list[str] = outcome.breaks["primary_reason"].to_pylist()
    return found


def test_every_reason_has_a_world() -> None:
    """No reason that a reconciliation can produce is left untried."""
    assert set(WORLDS) == set(BreakReason) - OUTSIDE_STATEMENT


@pytest.mark.parametrize("reason", WORLDS)
def test_with_its_rule_a_break_has_its_name(reason: BreakReason) -> None:
    """The world made for a reason has one break of that reason."""
    assert _primary(reason, None) == [reason]


@pytest.mark.parametrize("reason", WORLDS)
def test_without_its_rule_it_has_not(reason: BreakReason) -> None:
    """Taking out the one rule leaves the break without its name, not without the break."""
    found = _primary(reason, reason)
    assert len(found) == 1
    assert found != [reason]
