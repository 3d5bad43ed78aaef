"""Keeps requests inside a server's limits: a token bucket, and several of them under one.

Stripe has one pace per endpoint and one over all of them (https://docs.stripe.com/rate-limits); a chain's
RPC provider has one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_BURST_S = 0.2
_SLOWEST = 16.0
_RECOVERY = 0.98
"""Each answer that goes well takes this much off: some 35 of them double the pace again."""


class Pace:
    """A token bucket: so many a second, with a fifth of a second's worth ahead of time.

    Args:
        rate_per_s: requests a second.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._fastest_s = self._interval_s = 1 / rate_per_s
        self._next_s = float("-inf")

    def reserve(self, now_s: float) -> float:
        """Take the next slot.

        Args:
            now_s: a monotonic clock, in seconds.

        Returns:
            How long to wait for it, in seconds.
        """
        slot_s = max(self._next_s, now_s - _BURST_S)
        self._next_s = slot_s + self._interval_s
        return max(0.0, slot_s - now_s)

    def slow_down(self, until_s: float) -> None:
        """Give out no slot before a moment, and half as many after it: the server said that it had enough."""
        self._next_s = max(self._next_s, until_s)
        self._interval_s = min(self._interval_s * 2, self._fastest_s * _SLOWEST)

    def speed_up(self) -> None:
        """Come back to the full pace, answer by answer."""
        self._interval_s = max(self._interval_s * _RECOVERY, self._fastest_s)


class RateLimiter:
    """The paces of one key, shared by all that read with it; safe between threads.

    Args:
        total_per_s: requests a second over all endpoints.
        endpoint_per_s: requests a second on each.
        monotonic: a clock in seconds that never goes back.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        *,
        total_per_s: float,
        endpoint_per_s: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._total = Pace(total_per_s)
        self._endpoint_per_s = endpoint_per_s
        self._endpoints: dict[str, Pace] = {}
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()

    def wait(self, endpoint: str) -> None:
        """Block until one request to the endpoint may go out."""
        with self._lock:
            now_s = self._monotonic()
            delay_s = max(self._total.reserve(now_s), self._pace(endpoint).reserve(now_s))
        if delay_s > 0:
            self._sleep(delay_s)

    def slow_down(self, endpoint: str, seconds: float) -> None:
        """Send nothing to the endpoint for a while, and less after it."""
        with self._lock:
            self._pace(endpoint).slow_down(self._monotonic() + seconds)

    def went_well(self, endpoint: str) -> None:
        """An answer came: the endpoint may be asked a little faster again, up to its limit."""
        with self._lock:
            self._pace(endpoint).speed_up()

    def _pace(self, endpoint: str) -> Pace:
        return self._endpoints.setdefault(endpoint, Pace(self._endpoint_per_s))
