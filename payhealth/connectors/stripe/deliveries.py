"""Deliveries on their way into the store: all that wait are written in one transaction.

A database that allows one writer at a time, which a pull may hold for a second, cannot commit two hundred
times a second. So one worker commits whatever came in while it was busy, and answers everybody at once.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from payhealth.connectors.stripe.fields import is_id
from payhealth.domain.errors import StoreError
from payhealth.domain.record import Record
from payhealth.domain.records import Rejected, SourceEvent
from payhealth.domain.times import EPOCH
from payhealth.plugins import WebhookOutcome
from payhealth.ports import Batch, Store

if TYPE_CHECKING:
    import pyarrow as pa

STREAM = "events"
WAITING_MAX = 4_000
"""Deliveries that wait at most: twenty seconds' worth at the pace that is promised."""

GROUP_MAX = 500
"""Deliveries in one transaction, so that a pull is not kept waiting in its turn."""

GATHER_S = 0.02
"""How long the first of a group waits for others: a transaction costs the same for one as for many."""

_log = logging.getLogger(__name__)

Records = Mapping[type[Record], "Sequence[Record] | pa.Table"]
Translation = Callable[[Sequence[Any]], Records]


class FullError(Exception):
    """More waits than may be held in memory, or nothing is taken any more."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One signed delivery.

    Args:
        body: as it came.
        event: parsed; None where it is no JSON object, or not one that can be written as JSON again.
        unfit: why it is no event of ours, empty where it may be one.
    """

    body: bytes
    event: dict[str, Any] | None
    unfit: str
    done: Future[WebhookOutcome] = field(default_factory=Future, compare=False)

    @classmethod
    def read(cls, body: bytes) -> Delivery:
        """Parse a body, which may hold anything at all."""
        try:
            event = orjson.loads(body)
            # What was nested deeper than can be written again could not be hashed or kept either.
            orjson.dumps(event)
        except orjson.JSONDecodeError:
            return cls(body, None, "it is no JSON")
        except (orjson.JSONEncodeError, RecursionError):
            return cls(body, None, "it is nested too deep")
        if not isinstance(event, dict):
            return cls(body, None, "it is no JSON object")
        return cls(body, event, "" if isinstance(event.get("livemode"), bool) else "livemode is missing")

    @property
    def event_id(self) -> str:
        """Its id, empty where it has none that could be one."""
        found = self.event.get("id") if self.event else None
        return found if isinstance(found, str) and is_id(found) else ""

    def rejected(self, connector: str, reason: str) -> Rejected:
        """The delivery as something that was not understood; who knows what stands in it, so none is kept."""
        raw = f"{len(self.body)} bytes"
        object_id = self.event_id or f"sha256:{hashlib.sha256(self.body).hexdigest()}"
        return Rejected(connector=connector, stream=STREAM, object_id=object_id, reason=reason, raw=raw)


class Deliveries:
    """Commits what is given to it, in groups, one group at a time; threads may share it.

    Args:
        connector: the connector's name.
        translate: events -> records; pure.
    """

    def __init__(self, connector: str, store: Store, translate: Translation) -> None:
        self._connector = connector
        self._store = store
        self._translate = translate
        self._lock = threading.Lock()
        self._waiting: list[Delivery] = []
        self._working = False
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="payhealth-webhooks")

    def add(self, delivery: Delivery) -> Future[WebhookOutcome]:
        """Put a delivery in line.

        Returns:
            What became of it, once its transaction ended.

        Raises:
            FullError: try again later.
        """
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                raise FullError
            if not self._working:
                try:
                    self._worker.submit(self._work)
                except RuntimeError as closed:
                    raise FullError from closed
                self._working = True
            self._waiting.append(delivery)
        return delivery.done

    def close(self) -> None:
        """Commit what waits, and take no more."""
        self._worker.shutdown(wait=True)

    def _work(self) -> None:
        while True:
            time.sleep(GATHER_S)
            group = self._next()
            if not group:
                return
            # One that nobody waits for any more was told to come again, and will.
            wanted = [each for each in group if each.done.set_running_or_notify_cancel()]
            if wanted:
                self._settle(wanted)

    def _next(self) -> list[Delivery]:
        with self._lock:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            self._working = bool(group)
        return group

    def _settle(self, group: Sequence[Delivery]) -> None:
        """Commit a group and tell everybody in it; one that cannot be kept spoils it for nobody else."""
        try:
            outcomes = self._commit(group)
        except StoreError as error:
            _log.error("%s: webhooks were not stored: %s", self._connector, error.message)
            outcomes = [WebhookOutcome.NOT_STORED] * len(group)
        except Exception as error:  # noqa: BLE001 - a payload of any shape must neither be lost nor stop others
            if len(group) > 1:
                for each in group:
                    self._settle([each])
                return
            outcomes = [self._keep_odd(group[0], type(error).__name__)]
        for each, outcome in zip(group, outcomes, strict=True):
            each.done.set_result(outcome)

    def _keep_odd(self, delivery: Delivery, fault: str) -> WebhookOutcome:
        """Keep a delivery that translation or the store stumbled over: Stripe would only send it again."""
        # The exception's own text may repeat what was received.
        _log.error("%s: a signed webhook could not be translated (%s)", self._connector, fault)
        odd = delivery.rejected(self._connector, "it could not be translated")
        try:
            self._store.commit(
                self._connector, Batch(stream=STREAM, records={Rejected: [odd]}, read_at=EPOCH)
            )
        except Exception as error:  # noqa: BLE001 - whoever waits must hear that it is not there
            _log.error("%s: a signed webhook could not be kept (%s)", self._connector, type(error).__name__)
            return WebhookOutcome.NOT_STORED
        return WebhookOutcome.REJECTED

    def _commit(self, group: Sequence[Delivery]) -> list[WebhookOutcome]:
        events = [each.event for each in group if each.event is not None and not each.unfit]
        records = dict(self._translate(events)) if events else {}
        known = _event_ids(records.get(SourceEvent, ()))
        unfit = [each.rejected(self._connector, each.unfit) for each in group if each.unfit]
        if unfit:
            records[Rejected] = [*_rows(records.get(Rejected, ())), *unfit]
        # Neither cursor nor window: a delivery proves nothing about what was not delivered. And it may come
        # days later, in its endpoint's own API version: what the list showed of the same event stays.
        batch = Batch(stream=STREAM, records=records, objects_read=len(group), read_at=EPOCH)
        self._store.commit(self._connector, batch)
        return [
            WebhookOutcome.STORED if not each.unfit and each.event_id in known else WebhookOutcome.REJECTED
            for each in group
        ]


def _event_ids(found: Sequence[Record] | pa.Table) -> frozenset[str]:
    if isinstance(found, Sequence):
        return frozenset(each.event_id for each in found if isinstance(each, SourceEvent))
    return frozenset(found["event_id"].to_pylist())


def _rows(found: Sequence[Record] | pa.Table) -> list[Record]:
    if isinstance(found, Sequence):
        return list(found)
    return [Rejected(**row) for row in found.select(list(Rejected.__dataclass_fields__)).to_pylist()]
