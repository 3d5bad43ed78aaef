"""Intervals for small counts, against published values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.checks.stats import poisson_interval, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (0, 40, 0.0, 0.0876),
        (40, 40, 0.9124, 1.0),
    ],
)
def test_wilson_gives_the_published_intervals(
    successes: int, trials: int, lower: float, upper: float
) -> None:
    """Newcombe (1998), table I, method 3; and 0 of 40, which the normal interval calls certain."""
    assert wilson_interval(successes, trials) == (
        pytest.approx(lower, abs=5e-5),
        pytest.approx(upper, abs=5e-5),
    )


@pytest.mark.parametrize(
    ("count", "lower", "upper"),
    [
        (0, 0.0, 3.6889),
        (1, 0.0253, 5.5716),
        (2, 0.2422, 7.2247),
        (5, 1.6235, 11.6683),
        (10, 4.7954, 18.3904),
        (20, 12.2165, 30.8884),
        (100, 81.3639, 121.6266),
    ],
)
def test_poisson_gives_the_published_intervals(count: int, lower: float, upper: float) -> None:
    """Garwood's exact limits at 95 %, as in Ulm (1990) and the usual tables."""
    assert poisson_interval(count) == (pytest.approx(lower, abs=5e-4), pytest.approx(upper, abs=5e-4))


@given(st.integers(0, 500), st.integers(0, 500), st.floats(0.5, 0.999))
def test_wilson_holds_the_rate_and_stays_between_0_and_1(failed: int, rest: int, confidence: float) -> None:
    """For any counts the interval is inside [0, 1], holds the observed rate, and is wider when surer."""
    total = failed + rest
    lower, upper = wilson_interval(failed, total, confidence=confidence)
    assert 0 <= lower <= upper <= 1
    if total:
        assert lower - 1e-9 <= failed / total <= upper + 1e-9
        wider = wilson_interval(failed, total, confidence=(1 + confidence) / 2)
        assert wider[0] <= lower + 1e-9
        assert wider[1] >= upper - 1e-9


def test_without_trials_nothing_is_known() -> None:
    """No attempt at all leaves every rate possible."""
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 2000))
def test_poisson_holds_the_count_and_grows_with_it(count: int) -> None:
    """The interval holds what was counted, and one more moves both ends up."""
    lower, upper = poisson_interval(count)
    assert lower <= count <= upper
    more = poisson_interval(count + 1)
    assert more[0] > lower
    assert more[1] > upper
