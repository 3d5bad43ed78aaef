"""How far a provider is to be trusted and preferred: from what it did, at a clock that is handed in. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

_WEIGHT = 0.2
"""Of the latest request in the averages: after five of them the past counts for a third."""
_SLOW_S = 2.0
"""An answer that takes this long is worth half of an instant one, as far as speed counts."""
_LIE_LEAVES = 0.25
_LAG_LEAVES = 0.6
"""Of the trust after a stale head: behind a load balancer that happens to honest nodes too."""
_TRUST_HALF_LIFE_S = 3600.0
_FIRST_REST_S = 5.0
_LONGEST_REST_S = 300.0
_MOST_DOUBLINGS = 16
_KEEP_RATIO = 1.5
"""The active provider stays until another is better by this factor: a change has its cost too."""


class Lie(StrEnum):
    """How an answer was found to be untrue."""

    MISSING_LOGS = "missing_logs"
    STALE_HEAD = "stale_head"
    WRONG_CHAIN = "wrong_chain"
    OTHER_BLOCKS = "other_blocks"
    MALFORMED = "malformed"
    DISAGREES = "disagrees"

    @property
    def words(self) -> str:
        """As a coverage record says it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """What is known of one provider, to be shown.

    Args:
        provider: its host, never its URL.
        requests: HTTP requests sent to it.
        calls: JSON-RPC calls inside them.
        failures: requests without a usable answer.
        lies: how often it was found to say what cannot be true, by kind.
        last_fault: in its own words where it had any, empty where there was none.
        resting: it is left alone for a while.
    """

    provider: str
    requests: int
    calls: int
    failures: int
    lies: Mapping[Lie, int]
    last_fault: str
    resting: bool


@dataclass(slots=True)
class Score:
    """One provider's record: the share of requests that went well, how quick they were, and its lies.

    Averages forget: the latest request weighs a fifth. A lie takes three quarters of the trust away, and half
    of what is missing comes back in an hour; no failure and no slowness costs as much.
    """

    _success: float = 1.0
    _latency_s: float | None = None
    _trust: float = 1.0
    _trust_at_s: float = 0.0
    _rests: int = 0
    _rests_until_s: float = float("-inf")

    def answered(self, latency_s: float) -> None:
        """A request got a usable answer, an error in words included.

        Args:
            latency_s: from the first byte sent to the last one received, in seconds.
        """
        taken_s = max(0.0, latency_s)
        before_s = taken_s if self._latency_s is None else self._latency_s
        self._latency_s = before_s + _WEIGHT * (taken_s - before_s)
        self._success += _WEIGHT * (1.0 - self._success)
        self._rests = 0

    def failed(self) -> None:
        """A request got no usable answer, or the word that it was one too many."""
        self._success -= _WEIGHT * self._success

    def lied(self, kind: Lie, now_s: float) -> None:
        """What it answered cannot be true."""
        leaves = _LAG_LEAVES if kind is Lie.STALE_HEAD else _LIE_LEAVES
        self._trust = self._trust_at(now_s) * leaves
        self._trust_at_s = now_s

    def rest(self, now_s: float, at_least_s: float = 0.0) -> None:
        """Leave it alone for a while: twice as long as the last time, unless it answered since."""
        doubled_s = _FIRST_REST_S * 2.0 ** min(self._rests, _MOST_DOUBLINGS)
        self._rests += 1
        self._rests_until_s = max(
            self._rests_until_s, now_s + min(_LONGEST_REST_S, max(doubled_s, at_least_s))
        )

    def pause(self, until_s: float) -> None:
        """Ask nothing before a moment: it said how long it wants to be left alone."""
        self._rests_until_s = max(self._rests_until_s, until_s)

    def resting(self, now_s: float) -> bool:
        """Whether it is to be left alone, where another can be asked."""
        return now_s < self._rests_until_s

    def value(self, now_s: float) -> float:
        """From 0 (useless) to 1 (always answers, at once, and never lied)."""
        speed = 1.0 if self._latency_s is None else _SLOW_S / (_SLOW_S + self._latency_s)
        return self._trust_at(now_s) * (0.2 + 0.6 * self._success + 0.2 * speed)

    def _trust_at(self, now_s: float) -> float:
        passed_s = max(0.0, now_s - self._trust_at_s)
        return 1.0 - (1.0 - self._trust) * float(0.5 ** (passed_s / _TRUST_HALF_LIFE_S))


def order(scores: Sequence[Score], active: int, now_s: float) -> list[int]:
    """In which order providers are asked: the active one first while it is good, those at rest last.

    Args:
        scores: in the order of the configuration, which decides between equals.
        active: the one that answered last, by its place in ``scores``.
    """
    values = [score.value(now_s) for score in scores]
    awake = [at for at, score in enumerate(scores) if not score.resting(now_s)]
    asleep = [at for at, score in enumerate(scores) if score.resting(now_s)]
    ranked = sorted(awake, key=lambda at: -values[at])
    if ranked and active in awake and values[ranked[0]] <= values[active] * _KEEP_RATIO:
        ranked.remove(active)
        ranked.insert(0, active)
    return ranked + sorted(asleep, key=lambda at: -values[at])
