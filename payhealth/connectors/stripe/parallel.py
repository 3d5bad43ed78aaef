"""Several lists read at once by threads, their pages handed over as they come, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

WAITING_MAX = 16
"""Items that threads may be ahead of whoever takes them: enough to keep connections busy."""

_POLL_S = 0.05

Job = TypeVar("Job")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class _Brought(Generic[Job, Item]):
    """What a thread hands over: an item, or without one the end of its job, well or with a failure."""

    job: Job
    item: Item | None = None
    failure: BaseException | None = None


class _Threads(Generic[Job, Item]):
    """The threads at work and the one queue that they share."""

    def __init__(self, read: Callable[[Job], Iterator[Item]]) -> None:
        self._read = read
        self._stop = threading.Event()
        self._queue: queue.Queue[_Brought[Job, Item]] = queue.Queue(WAITING_MAX)

    def begin(self, job: Job) -> None:
        """Read a job in a thread of its own.

        The thread is a daemon: one that waits for an answer must not keep a stopped process alive.
        """
        threading.Thread(target=self._run, args=(job,), name="stripe-list", daemon=True).start()

    def _run(self, job: Job) -> None:
        failure: BaseException | None = None
        try:
            for item in self._read(job):
                if not self._put(_Brought(job, item)):
                    return
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asked, which raises it
            failure = error
        self._put(_Brought(job, failure=failure))

    def _put(self, brought: _Brought[Job, Item]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(brought, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def next(self) -> _Brought[Job, Item]:
        """What comes next, of whichever job."""
        return self._queue.get()

    def stop(self) -> None:
        """Let every thread end after what it is at."""
        self._stop.set()


def as_they_come(
    next_job: Callable[[], Job | None], read: Callable[[Job], Iterator[Item]], *, workers: int
) -> Iterator[tuple[Job, Item | None]]:
    """The items of many jobs, of each in their order, and None at the end of each job.

    After a failure no further job is begun, those under way are brought to their end, and then the failure
    is raised: what lies before it is not lost because of it. Once this iterator is closed nothing more is
    asked for.

    Args:
        next_job: asked when a thread is free, and again after every item; None where there is none now. All
            is over once there is none and none is under way.
        read: what is run in a thread; its items may not be None.
        workers: how many jobs are read at once.
    """
    threads: _Threads[Job, Item] = _Threads(read)
    failure: BaseException | None = None
    running = 0
    try:
        while True:
            while failure is None and running < workers and (job := next_job()) is not None:
                threads.begin(job)
                running += 1
            if not running:
                break
            brought = threads.next()
            failure = failure or brought.failure
            running -= brought.item is None
            if brought.failure is None:
                yield brought.job, brought.item
    finally:
        threads.stop()
    if failure is not None:
        raise failure
