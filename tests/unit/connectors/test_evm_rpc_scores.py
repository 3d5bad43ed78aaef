"""A provider's score: bounded, forgetful, and harder on lies than on anything else."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.rpc.scores import Lie, Score, order

Deed = Callable[[Score, float], None]

DEEDS: st.SearchStrategy[Deed] = st.one_of(
    st.floats(min_value=-1, max_value=1e6).map(lambda taken: lambda score, _: score.answered(taken)),
    st.just(lambda score, _: score.failed()),
    st.sampled_from(Lie).map(lambda kind: lambda score, now: score.lied(kind, now)),
    st.floats(min_value=0, max_value=1e9).map(lambda asked: lambda score, now: score.rest(now, asked)),
)
LIVES = st.lists(st.tuples(DEEDS, st.floats(min_value=-1, max_value=1e5)), max_size=40)


def lived(life: list[tuple[Deed, float]]) -> tuple[Score, float]:
    """A score after some deeds, and the time by then; a clock may even go back."""
    score, now_s = Score(), 1000.0
    for deed, passed_s in life:
        deed(score, now_s)
        now_s += passed_s
    return score, now_s


@given(LIVES)
def test_a_score_lies_between_nothing_and_one(life: list[tuple[Deed, float]]) -> None:
    """Whatever a provider does, its value is a number from 0 to 1."""
    score, now_s = lived(life)
    assert 0 <= score.value(now_s) <= 1 + 1e-12
    assert math.isfinite(score.value(now_s))


@given(LIVES)
def test_a_lie_costs_more_than_a_failure(life: list[tuple[Deed, float]]) -> None:
    """Of two providers with one past, the one that lied stands below the one that failed, or was slow."""
    score, now_s = lived(life)
    failing, slow = copy.copy(score), copy.copy(score)
    failing.failed()
    slow.answered(1e6)
    for kind in Lie:
        lying = copy.copy(score)
        lying.lied(kind, now_s)
        assert lying.value(now_s) < failing.value(now_s)
        assert lying.value(now_s) < slow.value(now_s)


@given(LIVES)
def test_a_rest_is_bounded_and_ends(life: list[tuple[Deed, float]]) -> None:
    """No provider is left alone for more than five minutes on account of what it did."""
    score, now_s = lived([(deed, abs(passed)) for deed, passed in life])
    assert not score.resting(now_s + 300)
    score.rest(now_s)
    assert score.resting(now_s)
    assert not score.resting(now_s + 300)


def test_rests_grow_until_an_answer_comes() -> None:
    """5, 10, 20 … 300 seconds; one answer, and it starts from the beginning."""
    score, now_s, lengths = Score(), 0.0, []
    for _ in range(8):
        score.rest(now_s)
        length = next(seconds for seconds in range(1, 400) if not score.resting(now_s + seconds))
        lengths.append(length)
        now_s += 1000
    assert lengths == [5, 10, 20, 40, 80, 160, 300, 300]
    score.answered(0.1)
    score.rest(now_s)
    assert not score.resting(now_s + 5)


def test_trust_comes_back_with_time() -> None:
    """Half of what a lie took is back after an hour, and nearly all after a day."""
    score = Score()
    score.lied(Lie.MISSING_LOGS, 0)
    assert score.value(0) == pytest.approx(0.25)
    assert score.value(3600) == pytest.approx(0.625)
    assert score.value(86_400) > 0.99


@given(
    st.lists(LIVES, min_size=1, max_size=5),
    st.integers(min_value=-1, max_value=4),
    st.floats(min_value=0, max_value=1e5),
)
def test_every_provider_has_its_turn(
    lives: list[list[tuple[Deed, float]]], active: int, now_s: float
) -> None:
    """The order holds each provider once, those at rest behind the others."""
    scores = [lived(life)[0] for life in lives]
    queue = order(scores, active, now_s)
    assert sorted(queue) == list(range(len(scores)))
    resting = [scores[at].resting(now_s) for at in queue]
    assert resting == sorted(resting)


def test_the_active_provider_stays_while_it_is_good() -> None:
    """A little slower is no reason to change, a lie is; equals stand in the order of the configuration."""
    scores = [Score(), Score(), Score()]
    scores[1].answered(1.5)
    assert order(scores, 1, 0) == [1, 0, 2]
    scores[1].lied(Lie.DISAGREES, 0)
    assert order(scores, 1, 0) == [0, 2, 1]
    scores[0].rest(0)
    assert order(scores, 0, 0) == [2, 1, 0]
