"""What an entry point of payhealth offers: connectors, checks and notifiers, built-in ones alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from payhealth.domain.coverage import Hole
    from payhealth.domain.results import CheckResult
    from payhealth.ports import Notifier, Source, Store, StoreReader

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application as ASGI servers and frameworks take it."""


class WebhookOutcome(StrEnum):
    """What became of a request to a webhook's address; a closed list, because it labels metrics."""

    STORED = "stored"
    """A signed event is in the store, new or repeated."""
    REJECTED = "rejected"
    """Signed, but not understood: it is kept as a rejected record."""
    OTHER_ACCOUNT = "other_account"
    """Signed, but of an account that this connector does not read: left to that account's connector."""
    WRONG_METHOD = "wrong_method"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    CUT_OFF = "cut_off"
    """The sender went away before all of it had come."""
    MALFORMED_SIGNATURE = "malformed_signature"
    WRONG_SIGNATURE = "wrong_signature"
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    """Signed at a moment that has not come yet: one of the two clocks is wrong."""
    WRONG_MODE = "wrong_mode"
    """A live event at a connector of test mode, or the other way round."""
    BUSY = "busy"
    """More waits than is held in memory: the sender is to come again."""
    NOT_STORED = "not_stored"
    """The store did not take it: the sender is to come again."""


Heard = Callable[[WebhookOutcome], None]
"""Told what became of each request, in the event loop or a worker thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorPlugin:
    """One kind of source.

    Args:
        kind: as in ``[connectors.NAME] kind``.
        settings: a pydantic model that forbids unknown keys; secrets in it are resolved.
        build: makes the source from the connector's name and its settings; opens nothing yet.
        webhooks: makes what takes the vendor's deliveries, from the connector's name, its settings, the
            store and whom to tell; it gives None where the settings name no webhook. None where the kind
            has no webhooks at all.
    """

    kind: str
    settings: type[BaseModel]
    build: Callable[[str, Any], Source]
    webhooks: Callable[[str, Any, Store, Heard], AsgiApp | None] | None = None


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
        proves: it judges by the very proof that refutes coverage, so that such a hole does not make it stale.
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
    proves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierPlugin:
    """One way to tell somebody; ``build`` gets the resolved target."""

    scheme: str
    build: Callable[[str], Notifier]
