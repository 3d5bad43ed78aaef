"""Exit codes by the design's order: failed, not judged, warned, healthy."""

from __future__ import annotations

import itertools

import pytest

from payhealth.domain.results import JUDGED, NOT_JUDGED, Outcome, exit_code

PASS, WARN, FAIL = Outcome.PASS, Outcome.WARN, Outcome.FAIL
STALE, NO_DATA, ERROR = Outcome.STALE, Outcome.NO_DATA, Outcome.ERROR


@pytest.mark.parametrize(
    ("outcomes", "options", "expected"),
    [
        ([], {}, 0),
        ([PASS], {}, 0),
        ([PASS, WARN], {}, 0),
        ([PASS, WARN], {"fail_on_warn": True}, 2),
        ([NO_DATA], {}, 0),
        ([NO_DATA], {"require_data": True}, 3),
        ([NO_DATA, WARN], {"require_data": True, "fail_on_warn": True}, 3),
        ([PASS], {"require_data": True}, 0),
        ([STALE], {}, 3),
        ([ERROR], {}, 3),
        ([STALE, WARN], {"fail_on_warn": True}, 3),
        ([FAIL], {}, 1),
        ([FAIL, STALE, ERROR, WARN, NO_DATA], {"fail_on_warn": True, "require_data": True}, 1),
        ([], {"breaks": 1}, 1),
        ([], {"holes": 1}, 3),
        ([], {"breaks": 1, "holes": 1}, 1),
        ([PASS], {"holes": 2}, 3),
        ([STALE], {"breaks": 3}, 1),
    ],
)
def test_the_first_rule_that_applies_decides(
    outcomes: list[Outcome], options: dict[str, int], expected: int
) -> None:
    """1 before 3 before 2 before 0, as design 6 says."""
    assert exit_code(outcomes, **options) == expected


def test_nothing_that_was_not_judged_ever_exits_0() -> None:
    """Whatever stands beside it, a stale or broken check, a break or a hole is never healthy."""
    for size in range(4):
        for outcomes in itertools.product(Outcome, repeat=size):
            bad = {FAIL, STALE, ERROR} & set(outcomes)
            assert (exit_code(outcomes) == 0) == (not bad)
            assert exit_code(outcomes, holes=1) != 0
            assert exit_code(outcomes, breaks=1) == 1


def test_every_outcome_is_a_verdict_or_none() -> None:
    """Verdicts, missing verdicts and no data are apart and together all there is."""
    assert JUDGED | NOT_JUDGED | {NO_DATA} == set(Outcome)
    assert not JUDGED & NOT_JUDGED
