"""The rate limit of the simulated API: one token bucket an endpoint.

Source: https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Buckets:
    """So many requests a second at each endpoint, and a burst after a rest.

    Args:
        per_s: requests a second, None for no limit.
        burst: how many at once after a rest; one second's worth by default.
        monotonic: a clock in seconds.
    """

    def __init__(self, per_s: float | None, burst: float | None, monotonic: Callable[[], float]) -> None:
        if per_s is not None and per_s <= 0:
            raise ValueError("a rate limit is above 0 requests a second")
        self._per_s = per_s
        self._burst = max(1.0, burst if burst is not None else per_s or 1.0)
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, endpoint: str) -> float:
        """Take a token: 0 when there was one, otherwise the seconds until there is one again."""
        if self._per_s is None:
            return 0.0
        now = self._monotonic()
        tokens, since = self._left.get(endpoint, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_s)
        if tokens >= 1:
            self._left[endpoint] = (tokens - 1, now)
            return 0.0
        self._left[endpoint] = (tokens, now)
        return (1 - tokens) / self._per_s
