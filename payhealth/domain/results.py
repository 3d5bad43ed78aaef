"""What a check says: an outcome, the value behind it, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """``pass``, ``warn`` and ``fail`` are verdicts on data that was read; the others are none."""

    PASS = "pass"  # noqa: S105 - an outcome, no secret
    WARN = "warn"
    FAIL = "fail"
    STALE = "stale"
    NO_DATA = "no_data"
    ERROR = "error"


JUDGED = frozenset({Outcome.PASS, Outcome.WARN, Outcome.FAIL})
NOT_JUDGED = frozenset({Outcome.STALE, Outcome.ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the data that is responsible for a value; ``share`` is between 0 and 1."""

    name: str
    value: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One verdict.

    Args:
        value: the measured figure as text (exact for money), with ``unit``.
        interval: its lower and upper bound, where it is an estimate.
        thresholds: the thresholds used, by severity.
        examples: ids to look at, at most ten.
        inputs: what was read: streams, window.
        not_seen: what the check could not see, in words.
        next_step: what to do now, in words.
    """

    check: str
    outcome: Outcome
    message: str
    evaluated_at: datetime
    value: str | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    baseline: str | None = None
    thresholds: Mapping[str, object] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()
    examples: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    not_seen: str = ""
    next_step: str = ""


def exit_code(
    outcomes: Iterable[Outcome],
    *,
    breaks: int = 0,
    holes: int = 0,
    fail_on_warn: bool = False,
    require_data: bool = False,
) -> int:
    """The process's exit code, by the first rule that applies.

    Args:
        outcomes: of the checks that ran.
        breaks: how many breaks a reconciliation without checks found.
        holes: how many holes coverage has.

    Returns:
        1 something failed, 3 something could not be judged, 2 a warning that was asked to count, else 0.
    """
    seen = set(outcomes)
    if Outcome.FAIL in seen or breaks:
        return 1
    if seen & NOT_JUDGED or holes or (require_data and Outcome.NO_DATA in seen):
        return 3
    if fail_on_warn and Outcome.WARN in seen:
        return 2
    return 0
