"""coverage_gap: a hole fails, a stream that is unread or refused leaves the question open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payhealth.domain.coverage import REFUTED, CoverageUnit, Hole, HoleKind
from tests.unit.checks.support import EMPTY, FakeStore, complete, context, hole, judge

GAP, UNREAD, FAILED = hole(), hole(kind=HoleKind.UNREAD), hole(kind=HoleKind.FAILED)


@pytest.mark.parametrize(
    ("holes", "expected", "value"),
    [
        ((), "pass", "0"),
        ((GAP,), "fail", "1"),
        ((GAP, UNREAD, FAILED), "fail", "1"),
        ((UNREAD,), "stale", "0"),
        ((FAILED,), "stale", "0"),
        ((UNREAD, FAILED), "stale", "0"),
        ((GAP,) * 9, "fail", "9"),
    ],
)
def test_any_gap_fails_and_any_other_hole_is_stale(
    holes: tuple[Hole, ...], expected: str, value: str
) -> None:
    """A hole never passes, and what stands beside it is named."""
    result = judge("coverage_gap", FakeStore(EMPTY), context(holes=holes))
    assert (result.outcome, result.value) == (expected, value)
    assert complete(result)
    if holes:
        assert "cards.charges" in result.message
        assert result.not_seen


@pytest.mark.parametrize(
    ("holes", "expected"),
    [((), "warn"), ((UNREAD,), "stale"), ((GAP,), "fail")],
    ids=["alone", "unread", "gap"],
)
def test_what_was_not_understood_warns(holes: tuple[Hole, ...], expected: str) -> None:
    """Rejected objects are told with their number, and make nothing milder."""
    store = FakeStore({"v_rejected": [{"rejected": 3}]})
    result = judge("coverage_gap", store, context(holes=holes))
    assert result.outcome == expected
    assert "3 objects" in result.message
    assert complete(result)


def test_without_a_source_there_is_no_data() -> None:
    """Nothing configured is not everything read."""
    assert judge("coverage_gap", FakeStore(EMPTY), context(last_ok={})).outcome == "no_data"


def test_a_gap_is_told_in_the_words_of_its_stream() -> None:
    """Blocks are told by number, the last one included; time as moments."""
    assert "blocks 10 to 19" in judge("coverage_gap", FakeStore(EMPTY), context(holes=[GAP])).message
    timed = Hole(
        connector="cards",
        stream="charges",
        kind=HoleKind.GAP,
        unit=CoverageUnit.TIME_US,
        lower=0,
        upper=1_000_000,
        reason="not read",
    )
    message = judge("coverage_gap", FakeStore(EMPTY), context(holes=[timed])).message
    assert "1970-01-01T00:00:00Z to 1970-01-01T00:00:01Z" in message


def test_a_stretch_that_a_balance_refutes_fails_and_says_so() -> None:
    """It was read, so that ``not read`` would send people looking for the wrong thing."""
    found = judge("coverage_gap", FakeStore(EMPTY), context(holes=[replace(GAP, reason=REFUTED)]))
    assert found.outcome == "fail"
    assert f"blocks 10 to 19 were {REFUTED}" in found.message
    assert "not read" not in found.message
