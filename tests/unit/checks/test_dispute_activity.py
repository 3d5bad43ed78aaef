"""dispute_activity: the lower Poisson bound of disputes over payments, by dispute date."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.checks.dispute_activity import DisputeData, evaluate
from payhealth.checks.stats import poisson_interval
from payhealth.domain.results import CheckResult, Outcome
from tests.unit.checks.support import CHECKS, EMPTY, NOW, FakeStore, ago, complete, context, judge

DEFAULTS = CHECKS["dispute_activity"].defaults


def run(disputes: int, payments: int) -> CheckResult:
    """The verdict on two counts."""
    data = DisputeData(
        disputes=disputes,
        payments=payments,
        reasons={"fraudulent": disputes} if disputes else {},
        examples=("dp_1",) if disputes else (),
    )
    return evaluate(data, DEFAULTS, NOW)


@pytest.mark.parametrize(
    ("disputes", "payments", "expected"),
    [
        (0, 0, "no_data"),
        (2, 0, "no_data"),
        (3, 0, "fail"),
        (0, 1, "pass"),
        (2, 2, "pass"),
        (3, 3, "fail"),
        (10, 2000, "pass"),
        (10, 960, "pass"),
        (10, 959, "warn"),
        (10, 640, "warn"),
        (10, 639, "fail"),
        (100, 10_848, "fail"),
        (100, 10_849, "warn"),
        (100, 16_273, "pass"),
        (100, 16_272, "warn"),
    ],
)
def test_around_every_threshold(disputes: int, payments: int, expected: str) -> None:
    """Few disputes never alarm; the bound, not the ratio, must reach the line."""
    result = run(disputes, payments)
    assert result.outcome == expected
    assert complete(result)
    assert bool(result.examples) == (expected in ("warn", "fail"))


@given(st.integers(0, 400), st.integers(1, 100_000))
def test_the_verdict_is_that_of_the_lower_bound(disputes: int, payments: int) -> None:
    """Fail and warn say exactly that the exact lower limit of the ratio reaches theirs."""
    bound = poisson_interval(disputes)[0] / payments
    expected = "pass"
    if disputes >= 3 and bound >= 0.005:
        expected = "fail" if bound >= 0.0075 else "warn"
    assert run(disputes, payments).outcome == expected


def test_the_loader_counts_disputes_by_their_own_date() -> None:
    """Both counts are of the same window, thirty days up to now."""
    disputes = [{"dispute_id": f"dp_{number}", "reason": None} for number in range(12)]
    store = FakeStore({**EMPTY, "v_disputes": disputes, "as payments from": [{"payments": 100}]})
    result = judge("dispute_activity", store, context())
    assert result.outcome is Outcome.FAIL
    assert result.inputs == {"disputes": "12", "payments": "100"}
    assert len(result.examples) == 10
    assert all(parameters == {"since": ago(2_592_000), "now": NOW} for _, parameters in store.asked)


def test_an_empty_store_is_no_data() -> None:
    """No dispute and no payment is nothing to judge."""
    result = judge("dispute_activity", FakeStore(EMPTY), context())
    assert (result.outcome, result.value, result.interval) == (Outcome.NO_DATA, None, None)
