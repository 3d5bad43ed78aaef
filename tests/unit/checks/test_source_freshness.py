"""source_freshness: old, unread and failing sources around their thresholds."""

from __future__ import annotations

from datetime import datetime

import pytest

from payhealth.domain.results import Outcome
from tests.unit.checks.support import EMPTY, FakeStore, ago, complete, context, judge

STREAM = ("cards", "charges")
OTHER = ("base", "transfers")


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (0, "pass"),
        (60, "pass"),
        (120, "pass"),
        (121, "warn"),
        (240, "warn"),
        (241, "fail"),
        (10**8, "fail"),
        (-30, "pass"),
    ],
)
def test_the_age_is_held_against_the_interval(age_s: float, expected: str) -> None:
    """More than two intervals warn, more than four fail."""
    result = judge("source_freshness", FakeStore(EMPTY), context(last_ok={STREAM: ago(age_s)}))
    assert result.outcome == expected
    assert result.value == str(max(age_s, 0))
    assert complete(result)


@pytest.mark.parametrize(
    ("last_ok", "failures", "expected"),
    [
        ({}, {}, "no_data"),
        ({STREAM: None}, {}, "stale"),
        ({STREAM: ago(1), OTHER: None}, {}, "stale"),
        ({STREAM: ago(1)}, {STREAM: "refused"}, "stale"),
        ({STREAM: ago(130)}, {STREAM: "refused"}, "stale"),
        ({STREAM: ago(1000)}, {STREAM: "refused"}, "fail"),
        ({STREAM: ago(1000), OTHER: None}, {}, "fail"),
        ({STREAM: ago(1), OTHER: ago(1000)}, {}, "fail"),
    ],
)
def test_unread_and_failing_streams_are_no_pass(
    last_ok: dict[tuple[str, str], datetime | None], failures: dict[tuple[str, str], str], expected: str
) -> None:
    """A stream never read, or failed just now, leaves the verdict open; a failure elsewhere stands."""
    result = judge("source_freshness", FakeStore(EMPTY), context(last_ok=last_ok, failures=failures))
    assert result.outcome == expected
    assert complete(result)
    for connector, stream in failures:
        assert f"{connector}.{stream} (refused)" in result.message
    for (connector, stream), moment in last_ok.items():
        if moment is None:
            assert f"{connector}.{stream}" in result.message


def test_thresholds_come_from_the_configuration() -> None:
    """Other multiples move both lines."""
    given = context(last_ok={STREAM: ago(601)})
    outcome = judge(
        "source_freshness", FakeStore(EMPTY), given, warn={"intervals": 10}, fail={"intervals": 20}
    )
    assert outcome.outcome is Outcome.WARN
