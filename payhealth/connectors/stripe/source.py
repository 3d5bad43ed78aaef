"""The Stripe source: windows of ``created`` read whole, committed one by one, resumable at any moment.

Stripe has no filter for what changed. Every pull therefore reads again from ``repull_days`` behind its
cursor, so that captures, refunds, failures and reversals of recent objects are seen; the store adds a
version only where something did change. Changes of older objects come with events, in a later version;
disputes, which take months, have a longer reach of their own.

Source: https://docs.stripe.com/api/pagination
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

import httpx

from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.payments import Payments
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.streams import (
    STREAMS,
    Stream,
    charge_of,
    needs_booking,
    to_records,
    unknown_status,
)
from payhealth.connectors.stripe.translate import Rules
from payhealth.connectors.stripe.windows import FIRST_S, Cursor, next_span_s
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.errors import SourceDataError
from payhealth.domain.records import Record
from payhealth.domain.times import to_us
from payhealth.ports import Batch, StoreReader, StreamPlan

BATCH_OBJECTS = 2_000
"""Objects committed at once: small enough that a kill loses little and others are not kept waiting."""

_DAY_S = 86_400

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A stretch of a stream, ``[lower_s, upper_s)`` unix seconds, and the cursors around it."""

    lower_s: int
    upper_s: int
    cursor_before: str | None
    cursor_after: str


class StripeSource:
    """Reads one Stripe account.

    Args:
        name: the connector's name in the configuration.
        transport: what carries requests, the network unless told otherwise.
        client_options: clock and jitter for tests, see :class:`StripeClient`.
    """

    kind = "stripe"

    def __init__(
        self,
        name: str,
        settings: StripeSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        **client_options: Callable[..., Any],
    ) -> None:
        self.name = name
        self.unknown: Counter[str] = Counter()
        """Values of Stripe's open lists that this version does not know, ``<object>.status=<value>``."""
        self._settings = settings
        self._rules = Rules(
            connector=name,
            account_key=settings.account_metadata_key,
            reference_keys=settings.reference_metadata_keys,
        )
        self._client = StripeClient(name, settings, transport=transport, **client_options)
        self._payments = Payments(self._client, self._rules)

    def streams(self) -> Sequence[StreamPlan]:
        """Every list that is read, charges first."""
        lower = to_us(self._settings.start)
        return [StreamPlan(stream=name, unit=CoverageUnit.TIME_US, required_lower=lower) for name in STREAMS]

    def verify(self) -> None:
        """Ask every list for one object: a wrong key, a missing permission or a wrong server is told at once.

        Raises:
            SourceError: with one clear line.
        """
        for name in STREAMS:
            self._client.first(name)

    def close(self) -> None:
        """Give connections back."""
        self._client.close()

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read a stream from behind its cursor to ``now``, cut to the second and exclusive.

        Objects that Stripe still writes in the running second are left to the next pull, and so is what
        a clock ahead of Stripe's would hide: the next pull reads this stretch again.

        Raises:
            SourceError: the stream could not be read on; what was yielded stays valid.
        """
        if stream not in STREAMS:
            raise ValueError(f"Stripe has no stream {stream!r}")
        upper_s = _seconds(now)
        known = self._known(stream, cursor)
        position_s, span_s = self._lower_s(stream, known), FIRST_S
        known = known or Cursor(since_s=position_s, until_s=position_s)
        while position_s < upper_s:
            top_s = min(position_s + span_s, upper_s)
            known = known.read_until(top_s)
            window = _Window(
                lower_s=position_s, upper_s=top_s, cursor_before=cursor, cursor_after=known.text()
            )
            objects = yield from self._window(STREAMS[stream], window, now, reader)
            cursor, position_s = window.cursor_after, top_s
            span_s = next_span_s(span_s, objects)
        self._tell_unknown()

    def _known(self, stream: str, cursor: str | None) -> Cursor | None:
        """What was read before, None where reading must begin at the start (again)."""
        if cursor is None:
            return None
        try:
            known = Cursor.parse(cursor)
        except ValueError as error:
            raise SourceDataError(f"{self.name}: the cursor of {stream} is not one of Stripe's") from error
        return known if known.joins(_seconds(self._settings.start)) else None

    def _lower_s(self, stream: str, known: Cursor | None) -> int:
        start_s = _seconds(self._settings.start)
        if known is None:
            return start_s
        days = self._settings.repull_days
        if stream == "disputes":
            days = max(days, self._settings.dispute_repull_days)
        return max(start_s, known.until_s - days * _DAY_S)

    def _window(
        self, stream: Stream, window: _Window, now: datetime, reader: StoreReader
    ) -> Generator[Batch, None, int]:
        """Read one window whole; only its last batch claims it and moves the cursor."""
        seen: set[str] = set()
        waiting: list[Any] = []
        objects = 0
        before = self._client.requests
        for page in self._client.pages(
            stream.resource,
            created_from_s=window.lower_s,
            created_to_s=window.upper_s,
            expand=stream.expand,
        ):
            waiting += _fresh(page.objects, seen)
            if page.has_more and len(waiting) >= BATCH_OBJECTS:
                objects += len(waiting)
                records = self._records(stream, waiting, reader)
                yield self._batch(stream, window, records, objects=len(waiting), requests_before=before)
                before, waiting = self._client.requests, []
        objects += len(waiting)
        records = self._records(stream, waiting, reader)
        covered = CoverageWindow(
            connector=self.name,
            stream=stream.resource,
            unit=CoverageUnit.TIME_US,
            lower=window.lower_s * 1_000_000,
            upper=window.upper_s * 1_000_000,
            provider=self._client.provider,
            objects=objects,
            read_at=now,
        )
        yield self._batch(
            stream, window, records, objects=len(waiting), requests_before=before, covered=covered
        )
        return objects

    def _batch(
        self,
        stream: Stream,
        window: _Window,
        records: dict[type[Record], list[Record]],
        *,
        objects: int,
        requests_before: int,
        covered: CoverageWindow | None = None,
    ) -> Batch:
        return Batch(
            stream=stream.resource,
            records=records,
            windows=(covered,) if covered else (),
            cursor=window.cursor_after if covered else window.cursor_before,
            objects_read=objects,
            requests=self._client.requests - requests_before,
        )

    def _records(
        self, stream: Stream, objects: Sequence[Any], reader: StoreReader
    ) -> dict[type[Record], list[Record]]:
        self.unknown.update(filter(None, (unknown_status(stream, found) for found in objects)))
        if not stream.of_payment:
            records = [record for found in objects for record in to_records(stream, found, self._rules)]
            self._payments.remember(records)
            return by_type(records)
        charges = [charge_of(found) for found in objects]
        payments = self._payments.find({charge for charge in charges if charge}, reader)
        records = list(payments.records)
        for found, charge in zip(objects, charges, strict=True):
            payment = payments.payments.get(charge or "")
            records += to_records(stream, self._with_booking(found), self._rules, payment)
        return by_type(records)

    def _with_booking(self, found: Any) -> Any:
        """The refund with its failure's balance transaction in whole, fetched where Stripe left it out."""
        transaction = needs_booking(found)
        if transaction is None:
            return found
        booked = self._client.fetch("balance_transactions", transaction)
        return found if booked is None else {**found, "failure_balance_transaction": booked}

    def _tell_unknown(self) -> None:
        if self.unknown:
            _log.warning(
                "%s: values unknown to this version, kept as they are: %s", self.name, dict(self.unknown)
            )


def by_type(records: Iterable[Record]) -> dict[type[Record], list[Record]]:
    """Records by class, each natural key once: the last version wins."""
    found: dict[type[Record], dict[Any, Record]] = {}
    for record in records:
        found.setdefault(type(record), {})[_key(type(record))(record)] = record
    return {record_type: list(rows.values()) for record_type, rows in found.items()}


_KEYS: dict[type[Record], Callable[[Record], Any]] = {}


def _key(record_type: type[Record]) -> Callable[[Record], Any]:
    if record_type not in _KEYS:
        _KEYS[record_type] = attrgetter(*record_type.KEY)
    return _KEYS[record_type]


def _fresh(objects: Iterable[Any], seen: set[str]) -> list[Any]:
    """The objects whose id was not seen in this window: pages shift while new objects arrive."""
    fresh = []
    for found in objects:
        found_id = found.get("id") if isinstance(found, dict) else None
        if isinstance(found_id, str):
            if found_id in seen:
                continue
            seen.add(found_id)
        fresh.append(found)
    return fresh


def _seconds(moment: datetime) -> int:
    return to_us(moment) // 1_000_000
