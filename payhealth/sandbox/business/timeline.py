"""An event queue over simulated time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime

Action = Callable[[datetime], object]
"""What happens at a moment; it is told which moment it is, and what it returns is nobody's business."""


class Timeline:
    """Runs actions in the order of their moments, those of one moment in the order they were planned."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._planned = 0
        self._queue: list[tuple[datetime, int, Action]] = []

    @property
    def now(self) -> datetime:
        """The moment that the simulation has reached."""
        return self._now

    def at(self, moment: datetime, action: Action) -> None:
        """Plan an action.

        Raises:
            ValueError: the moment has passed.
        """
        if moment < self._now:
            raise ValueError(f"{moment.isoformat()} has passed, it is {self._now.isoformat()}")
        heapq.heappush(self._queue, (moment, self._planned, action))
        self._planned += 1

    def run_until(self, moment: datetime) -> None:
        """Run everything planned up to and including ``moment``, also what is planned meanwhile."""
        while self._queue and self._queue[0][0] <= moment:
            self._now, _, action = heapq.heappop(self._queue)
            action(self._now)
        self._now = max(self._now, moment)
