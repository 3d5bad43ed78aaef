"""The token bucket that Stripe and RPC providers share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.limiter import Pace

_AHEAD_S = 0.2


@given(
    st.floats(min_value=0.5, max_value=500),
    st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=60),
    st.sets(st.integers(min_value=0, max_value=59)),
)
def test_no_window_holds_more_than_the_rate(rate: float, gaps_s: list[float], refused: set[int]) -> None:
    """In any stretch of time at most its share of requests goes out, and a fifth of a second's ahead."""
    pace, now_s, sent = Pace(rate), 0.0, []
    for number, gap_s in enumerate(gaps_s):
        now_s += gap_s
        now_s += pace.reserve(now_s)
        sent.append(now_s)
        if number in refused:
            pace.slow_down(now_s + 1)
        else:
            pace.speed_up()
    for first, began_s in enumerate(sent):
        for last in range(first, len(sent)):
            most = (sent[last] - began_s + _AHEAD_S) * rate + 1
            assert last - first + 1 <= most + 1e-6


@given(st.floats(min_value=0.5, max_value=500), st.floats(min_value=0, max_value=60))
def test_nothing_goes_out_before_the_moment_that_was_asked_for(rate: float, asked_s: float) -> None:
    """After a refusal with a wait the next slot lies beyond it."""
    pace = Pace(rate)
    pace.reserve(100)
    pace.slow_down(100 + asked_s)
    assert 100 + pace.reserve(100) >= 100 + asked_s - 1e-9
