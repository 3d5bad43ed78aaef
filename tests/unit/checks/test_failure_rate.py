"""failure_rate: a count floor, a minimum effect and an interval that leaves the baseline behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.checks.failure_rate import Attempts, FailureData, evaluate
from payhealth.checks.stats import wilson_interval
from payhealth.domain.results import CheckResult, Outcome
from tests.unit.checks.support import CHECKS, EMPTY, NOW, FakeStore, ago, complete, context, judge

DEFAULTS = CHECKS["failure_rate"].defaults


def run(recent: tuple[int, int], baseline: tuple[int, int], **thresholds: object) -> CheckResult:
    """The verdict on failed attempts of all, recent and before."""
    data = FailureData(
        recent=Attempts(failed=recent[0], total=recent[1]),
        baseline=Attempts(failed=baseline[0], total=baseline[1]),
        payments=Attempts(failed=recent[0], total=recent[1]),
        causes={"card_declined": recent[0]} if recent[0] else {},
        examples=("ch_1",),
    )
    return evaluate(data, {**DEFAULTS, **thresholds}, NOW)


@pytest.mark.parametrize(
    ("recent", "baseline", "expected"),
    [
        ((0, 0), (0, 0), "no_data"),
        ((0, 0), (50, 1000), "no_data"),
        ((49, 49), (50, 1000), "no_data"),
        ((50, 50), (0, 99), "no_data"),
        ((50, 50), (0, 100), "fail"),
        ((0, 50), (50, 1000), "pass"),
        ((500, 10_000), (500, 10_000), "pass"),
        ((799, 10_000), (500, 10_000), "pass"),
        ((800, 10_000), (500, 10_000), "warn"),
        ((1299, 10_000), (500, 10_000), "warn"),
        ((1300, 10_000), (500, 10_000), "fail"),
        ((9, 100), (5, 100), "pass"),
        ((5700, 10_000), (5400, 10_000), "warn"),
        ((10_000, 10_000), (10_000, 10_000), "pass"),
    ],
)
def test_around_every_threshold(recent: tuple[int, int], baseline: tuple[int, int], expected: str) -> None:
    """Too few attempts judge nothing; a shift must be large, exactly so, and more than chance."""
    result = run(recent, baseline)
    assert result.outcome == expected
    assert complete(result)
    assert bool(result.examples) == (expected in ("warn", "fail"))


@given(st.integers(50, 3000), st.integers(0, 3000), st.integers(100, 3000), st.integers(0, 3000))
def test_a_verdict_needs_effect_and_significance(
    total: int, failed: int, base: int, base_failed: int
) -> None:
    """Whenever it warns or fails, the shift reaches the limit and the lower bound lies above the baseline."""
    failed, base_failed = min(failed, total), min(base_failed, base)
    result = run((failed, total), (base_failed, base))
    shift = (failed * base - base_failed * total) * 100
    significant = wilson_interval(failed, total)[0] > base_failed / base
    limits = (("fail", 8), ("warn", 3))
    expected = next((name for name, limit in limits if significant and shift >= limit * total * base), "pass")
    assert result.outcome == expected


def test_causes_are_shares_of_the_failures() -> None:
    """Decline codes are segments that sum to no more than all."""
    result = run((60, 100), (5, 1000))
    assert [(part.value, part.share) for part in result.segments] == [("card_declined", 1.0)]


def test_the_loader_leaves_the_tested_period_out_of_the_baseline() -> None:
    """Recent attempts are judged against what came before them, and against nothing later than now."""
    row = {"status": "failed", "cause": "", "attempts": 60}
    store = FakeStore(
        {
            "as paid": [{"payments": 80, "failed": 40}],
            "charge_id from": [{"charge_id": "ch_9"}],
            "as recent": [
                {**row, "recent": 1},
                {**row, "recent": 1, "status": "succeeded", "attempts": 40},
                {**row, "recent": 0, "attempts": 5},
                {**row, "recent": 0, "status": "succeeded", "attempts": 95},
            ],
        }
    )
    result = judge("failure_rate", store, context())
    assert result.outcome is Outcome.FAIL
    assert result.inputs == {"attempts": "100", "baseline_attempts": "100"}
    assert result.examples == ("ch_9",)
    assert [part.value for part in result.segments] == ["unknown"]
    bounds = next(parameters for sql, parameters in store.asked if "as recent" in sql)
    assert bounds == {"since": ago(86_400), "baseline_since": ago(86_400 + 2_419_200), "now": NOW}


def test_an_empty_store_is_no_data() -> None:
    """A new install has nothing to say about cards."""
    result = judge("failure_rate", FakeStore(EMPTY), context())
    assert result.outcome is Outcome.NO_DATA
    assert result.value is None
    assert complete(result)
