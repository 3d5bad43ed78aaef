"""What an entry point of payhealth offers: connectors, checks and notifiers, built-in ones alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from payhealth.domain.coverage import Hole
    from payhealth.domain.results import CheckResult
    from payhealth.ports import Notifier, Source, StoreReader


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorPlugin:
    """One kind of source.

    Args:
        kind: as in ``[connectors.NAME] kind``.
        settings: a pydantic model that forbids unknown keys; secrets in it are resolved.
        build: makes the source from the connector's name and its settings; opens nothing yet.
    """

    kind: str
    settings: type[BaseModel]
    build: Callable[[str, Any], Source]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What a check may know besides the store.

    Args:
        now: the moment to judge at.
        holes: what was not read; a check that reads such a stream is stale.
        time_to_clear_s: the shortest time to clear of all policies, in seconds.
        intervals_s: connector -> how often it is pulled, in seconds.
        last_ok: (connector, stream) -> when its last pull ended well, None if never.
        failures: (connector, stream) -> the newest pull's error.
    """

    now: datetime
    holes: Sequence[Hole]
    intervals_s: Mapping[str, float]
    last_ok: Mapping[tuple[str, str], datetime | None]
    failures: Mapping[tuple[str, str], str]
    connector_kinds: Mapping[str, str]
    time_to_clear_s: float = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPlugin:
    """One check: a question with thresholds, a loader and a pure verdict.

    Args:
        defaults: ``{"warn": {...}, "fail": {...}, ...}``, overridden by ``[checks.NAME]``.
        reads: kinds of connectors (by prefix: ``stripe``, ``evm``, ``ledger``) and their streams (``*``
            for all) whose holes make the check stale.
        reasons: the break reasons that this check alone reads.
        load: reads what it needs through the views; no verdict in it.
        evaluate: ``(data, thresholds, now) -> CheckResult``, pure.
    """

    name: str
    question: str
    tags: tuple[str, ...]
    defaults: Mapping[str, Any]
    reads: tuple[tuple[str, str], ...]
    load: Callable[[StoreReader, CheckContext, Mapping[str, Any]], Any]
    evaluate: Callable[[Any, Mapping[str, Any], datetime], CheckResult]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierPlugin:
    """One way to tell somebody; ``build`` gets the resolved target."""

    scheme: str
    build: Callable[[str], Notifier]
