"""The next stretch is fetched while the one before it is being stored: by a thread, then by a process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from payhealth.connectors.evm.reading.ahead_process import AheadProcess
from payhealth.connectors.evm.reading.scan import Fetched

_MANY_LOGS = 5_000
"""A stretch with so many logs is worth a process, where several more like it follow."""
_MORE_STRETCHES = 4


class Ahead:
    """Fetches one stretch in the background.

    A node is not asked by two threads at once: whoever starts it asks nothing until it has taken what came. A
    long and busy backfill is handed to a process as soon as that is ready; if it fails, the thread goes on.

    Args:
        fetch: reads from a block as far as one range goes, at most to another one.
        process: starts the process; None where there can be none.
    """

    def __init__(
        self, fetch: Callable[[int, int], Fetched], process: Callable[[], AheadProcess] | None = None
    ) -> None:
        self._fetch = fetch
        self._start_process = process
        self._process: AheadProcess | None = None
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chain-ahead")
        self._coming: Future[Fetched] | None = None
        self._next = (0, -1)

    def start(self, fetched: Fetched, last: int) -> None:
        """Begin to fetch what follows a stretch, at most to ``last``."""
        self._next = (fetched.upper + 1, last)
        if self._process is not None and self._process.running:
            return
        if self._start_process is not None and self._process is None and _is_worth_it(fetched, last):
            self._process = self._start_process()
        if self._process is None or not self._process.take_over(*self._next):
            self._coming = self._threads.submit(self._fetch, *self._next)

    def take(self) -> Fetched:
        """What was fetched.

        Raises:
            SourceError: as the fetching does.
        """
        if self._process is not None and self._process.running:
            found = self._process.take()
            return self._fetch(*self._next) if found is None else found
        if self._coming is None:
            raise RuntimeError("nothing was started")
        coming, self._coming = self._coming, None
        return coming.result()

    def close(self) -> None:
        """Let go of thread and process; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._process is not None:
            self._process.close()


def _is_worth_it(fetched: Fetched, last: int) -> bool:
    blocks = fetched.upper - fetched.lower + 1
    return fetched.logs.reading.raw_logs >= _MANY_LOGS and last - fetched.upper >= _MORE_STRETCHES * blocks
