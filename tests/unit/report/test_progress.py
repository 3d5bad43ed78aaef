"""The line of progress on a terminal."""

from __future__ import annotations

import pytest

from payhealth.outcomes import PullProgress
from payhealth.ports import StreamProgress
from payhealth.report.show import progress_line


@pytest.mark.parametrize(
    ("objects", "seconds", "part", "line"),
    [
        (0, 0.0, None, "reading cards.charges: 0 objects"),
        (120_300, 24.5, None, "reading cards.charges: 120,300 objects, 4,910/s"),
        (
            120_300,
            60.0,
            StreamProgress(done=3, total=12, windows=12),
            "reading cards.charges: 12 windows, 120,300 objects, 2,005/s, 0:03:00 left",
        ),
        (
            7,
            60.0,
            StreamProgress(done=12, total=12, windows=48),
            "reading cards.charges: 48 windows, 7 objects, 0/s",
        ),
        (
            900,
            10.0,
            StreamProgress(done=1, total=4, windows=0, detail="100 of 400 blocks, 950 logs"),
            "reading cards.charges: 100 of 400 blocks, 950 logs, 900 objects, 90/s, 0:00:30 left",
        ),
    ],
)
def test_it_says_windows_objects_rate_and_time_left(
    objects: int, seconds: float, part: StreamProgress | None, line: str
) -> None:
    """Time left only where the length is known and some of it was read."""
    progress = PullProgress(connector="cards", stream="charges", objects=objects, seconds=seconds, part=part)
    assert progress_line(progress) == line
