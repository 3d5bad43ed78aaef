"""What movements expect: policies, cumulative reversals, valuation."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from payhealth.domain.errors import InputError
from payhealth.matching.engine import reconcile
from payhealth.matching.inputs import RATES, MatchInputs, MatchOutcome
from payhealth.matching.model import parse_rules
from tests.unit.matching.helpers import (
    AS_OF,
    START,
    Row,
    breaks,
    entry,
    inputs_of,
    matched,
    moment,
    only_break,
    open_why,
    paid,
    run,
    statement_row,
)

DAY = 86_400
FEES = {"fee_rate": "0.029", "fee_fixed": "0.30", "quantum": "0.01"}


def test_partial_reversals_expect_what_earlier_ones_left() -> None:
    """The k-th expects round(C * cumulative / gross) less the earlier ones; all of them give back C."""
    payments = [
        paid("c1", "10"),
        *(paid(f"f{number}", "3.33", kind="refund", second=DAY + number) for number in range(3)),
        paid("f9", "0.01", kind="refund", second=DAY + 9),
    ]
    parts = ("-3.13", "-3.14", "-3.13")
    ledger = [
        entry("e1", "9.41"),
        *(entry(f"b{number}", amount, second=DAY + number) for number, amount in enumerate(parts)),
        entry("b9", "-0.01", second=DAY + 9),
    ]
    outcome = run(payments, ledger, policy=FEES)
    assert not breaks(outcome)
    assert statement_row(outcome)["within_tolerance"] == "0"
    assert statement_row(outcome)["fees_kept"] == "0"


def test_a_failed_refund_gives_back_what_the_refund_took() -> None:
    """Cumulative is over all undoing kinds less their reversals."""
    payments = [
        paid("c1", "100"),
        paid("f1", "40", kind="refund", second=DAY),
        paid("v1", "40", kind="refund_reversal", second=2 * DAY),
    ]
    ledger = [entry("e1", "96.80"), entry("b1", "-38.72", second=DAY), entry("b2", "38.72", second=2 * DAY)]
    assert not breaks(run(payments, ledger, policy=FEES))


def test_reversing_more_than_was_paid_is_flagged_and_expected_in_full() -> None:
    """Cumulative is not capped at the gross."""
    payments = [paid("c1", "10"), *(paid(f"f{n}", "10", kind="refund", second=DAY + n) for n in (0, 1))]
    ledger = [entry("e1", "10"), *(entry(f"b{n}", "-10", second=DAY + n) for n in (0, 1))]
    reasons = run(payments, ledger).matches.to_pylist()[0]["reasons"]
    assert "over_refunded" in reasons
    assert only_break(run(payments, ledger[:2]))["reasons"][-1] == "over_refunded"


def test_a_reversal_takes_the_policy_and_rail_of_its_payment() -> None:
    """A refund of a transfer counts on the chain under the transfer's fees, whatever fits the refund."""
    policy = {
        "refunds": {"when": {"kind": "refund"}, "fee_fixed": "1"},
        "default": {"fee_rate": "0.1"},
    }
    payments = [paid("t1", "10", kind="transfer"), paid("f1", "10", kind="refund", second=DAY)]
    ledger = [entry("e1", "9"), entry("b1", "-9", second=DAY)]
    outcome = run(payments, ledger, policy=policy)
    assert matched(outcome) == {(("t1", "f1"), ("e1", "b1"))}
    assert statement_row(outcome, rail="chain")["credited"] == "0"


def test_a_reversal_without_its_payment_expects_its_own_amount() -> None:
    """The sign of the amount's credit is turned."""
    policy = {"fee_fixed": "1"}
    assert matched(run([paid("f1", "10", kind="refund")], [entry("b1", "-9")], policy=policy))


def test_a_reversal_of_nothing_expects_its_own_amount() -> None:
    """A payment of 0 leaves no share to take: expecting 0 would confirm a refund of nothing."""
    found = only_break(run([paid("c1", "0"), paid("f1", "5", kind="refund", second=DAY)], []))
    assert found["primary_reason"] == "refund_not_clawed_back"
    assert "over_refunded" in found["reasons"]


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ({"kind": "charge"}, True),
        ({"kind": "transfer"}, False),
        ({"account_prefix": "al"}, True),
        ({"account_prefix": "bo"}, False),
        ({"asset": "USD"}, True),
        ({"asset": "EUR"}, False),
        ({"from": moment(0)}, True),
        ({"from": moment(1)}, False),
        ({"to": moment(1)}, True),
        ({"to": moment(0)}, False),
        ({"connector": "cards"}, False),
    ],
)
def test_the_first_policy_that_fits_counts(when: Row, fits: bool) -> None:
    """Each key of `when` picks, `from` included and `to` excluded; a file's rows have no connector."""
    policy = {"special": {"when": when, "fee_fixed": "1"}, "default": {}}
    assert bool(matched(run([paid("c1", "10")], [entry("e1", "9" if fits else "10")], policy=policy)))


def test_entries_wait_by_the_first_policy_that_may_fit_them() -> None:
    """A policy with a kind or connector never fits an entry."""
    late = {
        "late": {"when": {"kind": "charge"}, "time_to_clear_s": 90_000},
        "default": {"time_to_clear_s": 10},
    }
    assert breaks(run([], [entry("e1", "10", second=0)], policy=late, as_of=moment(11)))
    for_all = {
        "late": {"when": {"asset": "USD"}, "time_to_clear_s": 90_000},
        "default": {"time_to_clear_s": 10},
    }
    assert not breaks(run([], [entry("e1", "10", second=0)], policy=for_all, as_of=moment(11)))


def priced(payments: list[Row], ledger: list[Row], rates: list[tuple[str, str, str, float]]) -> MatchOutcome:
    """A run with a policy in USD and a table of rates."""
    rows = [
        {"asset": asset, "quote": quote, "price": Decimal(price), "valid_from": moment(second)}
        for asset, quote, price, second in rates
    ]
    inputs = inputs_of(payments, ledger)
    inputs = MatchInputs(
        movements=inputs.movements, entries=inputs.entries, rates=pa.Table.from_pylist(rows, schema=RATES)
    )
    tables: dict[str, Any] = {"policy": {"default": {"asset": "USD", "quantum": "0.01"}}}
    return reconcile(inputs, parse_rules(tables), as_of=AS_OF)


def test_the_latest_valid_price_values_a_movement() -> None:
    """A price counts from its moment on; later ones change nothing of earlier payments."""
    rates = [("EUR", "USD", "1.10", -10.0), ("EUR", "USD", "2", 5.0)]
    outcome = priced([paid("c1", "10", asset="EUR")], [entry("e1", "11")], rates)
    assert matched(outcome)
    assert statement_row(outcome)["paid_in"] == "11"


def test_no_price_yet_is_no_price() -> None:
    """A price that is valid from later on, or of another pair, is none."""
    rates = [("EUR", "USD", "1.10", 5.0), ("USD", "EUR", "0.9", -10.0)]
    outcome = priced([paid("c1", "10", asset="EUR")], [], rates)
    assert open_why(outcome) == {"c1": "unpriced"}


def test_a_refund_is_valued_as_its_payment_was() -> None:
    """A full refund gives back exactly what the payment was worth, whatever the price is by then."""
    rates = [("EUR", "USD", "1.10", -10.0), ("EUR", "USD", "2", 5.0)]
    payments = [paid("c1", "10", asset="EUR"), paid("f1", "10", kind="refund", asset="EUR", second=DAY)]
    outcome = priced(payments, [entry("e1", "11"), entry("b1", "-11", second=DAY)], rates)
    assert matched(outcome)
    assert statement_row(outcome)["paid_in"] == "0"


def test_reversals_of_an_unpriced_payment_wait_with_it() -> None:
    """They are never tried under their own policy."""
    payments = [paid("c1", "10", asset="EUR"), paid("f1", "10", kind="refund", asset="EUR", second=DAY)]
    assert open_why(priced(payments, [], [("EUR", "USD", "2", 5.0)])) == {"c1": "unpriced", "f1": "unpriced"}


def test_two_prices_at_one_moment_are_refused() -> None:
    """Which of them holds cannot be known."""
    rates = [("EUR", "USD", "1.10", -10.0), ("EUR", "USD", "1.20", -10.0)]
    with pytest.raises(InputError, match="two prices of EUR in USD"):
        priced([paid("c1", "10", asset="EUR")], [], rates)


def test_an_expectation_outside_narrow_numbers_is_exact() -> None:
    """Where a quantum lifts an expectation out of int64, the run goes on in wide numbers."""
    payments = [paid("c1", "0.01"), paid("f1", "9000000000", kind="refund", second=DAY)]
    policy = {"quantum": "1000000", "rounding": "up"}
    found = only_break(run(payments, [entry("e1", "1000000")], policy=policy))
    assert found["amount"] == Decimal(-900000000000000000)


def test_a_group_whose_sum_leaves_the_domain_is_refused() -> None:
    """An amount of 39 digits cannot be shown: one clear line, never a wrapped amount."""
    huge = "99999999999999999999"
    with pytest.raises(InputError, match="more than 38 digits"):
        run([paid("c1", huge), paid("c2", huge)], [])


def test_moments_before_the_epoch_are_ordinary() -> None:
    """Time is counted in signed microseconds."""
    old = START - timedelta(days=365 * 80)
    payments, ledger = [paid("c1", "10", occurred_at=old)], [entry("e1", "10", occurred_at=old)]
    assert matched(run(payments, ledger))


def test_undoing_all_payments_of_several_policies_gives_back_all() -> None:
    """Their credits are summed; the first one's quantum does not round the sum away."""
    policy = {"early": {"when": {"to": moment(1)}, "quantum": "5"}, "default": {}}
    payments = [
        paid("c1", "2"),
        paid("c2", "2", second=5),
        paid("f1", "4", kind="refund", second=DAY),
    ]
    ledger = [entry("e1", "2"), entry("b1", "-2", second=DAY)]
    assert matched(run(payments, ledger, policy=policy))
    assert only_break(run(payments, ledger[:1], policy=policy))["amount"] == Decimal(-2)
