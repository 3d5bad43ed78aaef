"""The next stretch is fetched while the one before it is being stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from payhealth.connectors.evm.reading.scan import Fetched


class Ahead:
    """Fetches one stretch in another thread.

    A node is not asked by two threads at once: whoever starts it asks nothing until it has taken what came.

    Args:
        fetch: reads from a block as far as one range goes, at most to another one.
    """

    def __init__(self, fetch: Callable[[int, int], Fetched]) -> None:
        self._fetch = fetch
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chain-ahead")
        self._coming: Future[Fetched] | None = None

    def start(self, lower: int, last: int) -> None:
        """Begin to fetch."""
        self._coming = self._threads.submit(self._fetch, lower, last)

    def take(self) -> Fetched:
        """What was fetched.

        Raises:
            SourceError: as the fetching does.
            RuntimeError: nothing was started.
        """
        if self._coming is None:
            raise RuntimeError("nothing was started")
        coming, self._coming = self._coming, None
        return coming.result()

    def close(self) -> None:
        """Let go of the thread; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
