"""Flags say what else is true of a match or a break; they change no verdict."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from payhealth.matching.engine import reconcile
from payhealth.matching.inputs import MatchInputs
from payhealth.matching.model import parse_rules
from tests.unit.matching.helpers import AS_OF, Row, entry, inputs_of, only_break, open_why, paid, run

DAY = 86_400


def flags(payments: list[Row], ledger: list[Row], **options: Any) -> list[str]:
    """The flags of the only match or break."""
    outcome = run(payments, ledger, **options)
    found = outcome.matches.to_pylist() + outcome.breaks.to_pylist()
    assert len(found) == 1
    return [
        text for text in found[0]["reasons"] if " " not in text and text != found[0].get("primary_reason")
    ]


@pytest.mark.parametrize(
    ("second", "late"), [(899, False), (900, True), (-899, False), (-900, True), (0, False)]
)
def test_late_is_at_or_after_the_end_of_the_time_to_clear(second: float, late: bool) -> None:
    """It runs both ways: an entry may come early or late."""
    assert flags([paid("c1", "10")], [entry("e1", "10", second=second)]) == (["late"] if late else [])


def test_a_refund_months_later_makes_nothing_late() -> None:
    """Payments are held against credits, refunds against clawbacks."""
    payments = [paid("c1", "10"), paid("f1", "4", kind="refund", second=20 * DAY)]
    assert flags(payments, [entry("e1", "10"), entry("b1", "-4", second=20 * DAY + 5)]) == []
    assert flags(payments, [entry("e1", "10"), entry("b1", "-4", second=21 * DAY)]) == ["late"]


def test_rows_that_share_no_part_are_not_held_against_each_other() -> None:
    """Two payments months apart, each credited at once, are not late."""
    payments = [paid("c1", "10"), paid("c2", "10", second=20 * DAY)]
    ledger = [entry("e1", "10"), entry("e2", "10", second=20 * DAY + 1)]
    assert flags(payments, ledger) == []
    assert flags(payments, [entry("e1", "10"), entry("e2", "10", second=20)]) == ["late"]


def test_dust_is_a_group_of_small_rows_alone() -> None:
    """Every row lies below the limit, so that dust never plays down something big."""
    policy = {"dust_below": "0.5"}
    assert flags([paid("c1", "0.4")], [], policy=policy) == ["dust"]
    assert flags([paid("c1", "0.4")], [entry("e1", "0.4")], policy=policy) == ["dust"]
    assert flags([paid("c1", "0.5")], [], policy=policy) == []
    assert flags([paid("c1", "100")], [entry("e1", "99.9")], policy=policy) == []


def test_a_payment_of_nobody_is_flagged() -> None:
    """A payment without an account that nobody credited has an unknown sender."""
    assert flags([paid("t1", "10", kind="transfer", account="", reference="")], []) == ["unknown_sender"]
    assert flags([paid("t1", "10", kind="transfer")], []) == []


def test_a_credit_before_the_transfer_is_final_is_flagged() -> None:
    """The transfer waits in flight; the entry beside it past its time to clear is a break with the flag."""
    inputs = inputs_of([paid("t1", "10", kind="transfer")], [entry("e1", "10")])
    at = inputs.movements.column_names.index("open_why")
    waiting = inputs.movements.set_column(at, "open_why", pa.array(["in_flight"]))
    outcome = reconcile(MatchInputs(movements=waiting, entries=inputs.entries), parse_rules({}), as_of=AS_OF)
    assert open_why(outcome) == {"t1": "in_flight"}
    assert only_break(outcome)["reasons"] == ["credited_not_paid", "credited_before_final"]


def test_flags_follow_the_reasons_in_a_fixed_order() -> None:
    """The primary reason first, then other reasons, then flags."""
    payments = [paid("c1", "0.1"), paid("f1", "0.3", kind="refund", second=DAY)]
    ledger = [entry("e1", "0.2", second=2 * DAY)]
    found = only_break(run(payments, ledger, policy={"dust_below": "1"}))
    assert found["reasons"] == ["refund_not_clawed_back", "amount_over", "late", "dust", "over_refunded"]
