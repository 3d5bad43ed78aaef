"""The Stripe source: which streams an account has, and who reads each.

Lists bring what is new (:mod:`lists`), balance and bookings prove it (:mod:`balance`, :mod:`bookings`), and
events tell what changed since (:mod:`events`).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from payhealth.connectors.stripe import (
    ahead,
    balance,
    bookings,
    events,
    payout_proofs,
    permissions,
    report_history,
)
from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.errors import NotPermittedError
from payhealth.connectors.stripe.lists import ListPull
from payhealth.connectors.stripe.payouts import Composition
from payhealth.connectors.stripe.reading import Reading
from payhealth.connectors.stripe.reports import Waiting
from payhealth.connectors.stripe.settings import API_VERSION, StripeSettings
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.connectors.stripe.translate import Rules
from payhealth.domain.coverage import CoverageUnit
from payhealth.domain.errors import SourceRefusedError
from payhealth.domain.records import SourceAccount
from payhealth.domain.times import to_us
from payhealth.ports import Advice, Batch, Level, StoreReader, StreamPlan

_MODE = re.compile(r"(?:sk|rk)_(live|test)_")

_LONG_OBJECTS = 2_000
_LEFT_AT_MOST = 0.7
"""A second's start is worth it where this share of the list, or less, was read with so many objects."""

_CLOCK = ("sleep", "monotonic")
_CLOCKS_APART_S = 300

_log = logging.getLogger(__name__)

Pull = Callable[[Reading, str | None, datetime, StoreReader], Iterator[Batch]]

_PROOFS: dict[str, Pull] = {balance.STREAM: balance.pull, bookings.STREAM: bookings.pull}


class StripeSource:
    """Reads one Stripe account.

    Args:
        name: the connector's name in the configuration.
        transport: what carries requests, the network unless told otherwise.
        client_options: clock and jitter for tests, see :class:`StripeHttp`.
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
        self._settings = settings
        self._live = live_of(settings.api_key.reveal())
        client = StripeClient(name, settings, transport=transport, **client_options)
        self.reading = Reading(
            name=name, settings=settings, client=client, rules=rules_of(name, settings, self._live)
        )
        self._verified = False
        clock: dict[str, Any] = {name: client_options[name] for name in _CLOCK if name in client_options}
        self._waiting = Waiting(**clock)
        # A transport or a clock of somebody's own cannot be taken along into another process.
        self._goes_ahead = transport is None and not client_options and ahead.is_possible(settings)

    @property
    def unknown(self) -> Counter[str]:
        """Values of Stripe's open lists that this version does not know, ``<object>.<field>=<value>``."""
        return self.reading.unknown

    def streams(self) -> Sequence[StreamPlan]:
        """Every stream in the order in which it must be read: lists, proofs, events."""
        lower = to_us(self._settings.start)
        lists = [name for name in STREAMS if name not in (events.STREAM, *self._settings.skip_streams)]
        return [
            StreamPlan(stream=name, unit=CoverageUnit.TIME_US, required_lower=lower)
            for name in (*lists, *_PROOFS, payout_proofs.STREAM, events.STREAM)
        ]

    def verify(self) -> None:
        """Refuse a wrong key or server, or a missing permission, before anything is written.

        Every list is asked for one object the first time; later the account alone is asked for, because a
        permission that was taken away shows itself when the list is read.

        Raises:
            SourceError: with one clear line.
        """
        self.reading.account_id = self._account_id()
        if not self._verified:
            permissions.verify(self.name, self.reading.client, self._settings, self._stream_names())
        self._verified = True

    def diagnose(self, reader: StoreReader | None) -> Sequence[Advice]:
        """Name every permission that is missing and every one too many, and an account that is another.

        Raises:
            SourceError: a wrong key or account, or no answer.
        """
        advice = permissions.examine(self.name, self.reading.client, self._settings, self._stream_names())
        if reader is not None:
            self.reading.account_id = self._account_id()
            advice += _blind_spots(self.reading)
            try:
                self._account(reader)
            except SourceRefusedError as refused:
                advice.append(Advice(level=Level.FAIL, message=refused.message, hint=refused.hint))
        return advice

    def _stream_names(self) -> list[str]:
        return [plan.stream for plan in self.streams()]

    def _account_id(self) -> str:
        """The account's id, empty where the key may not see it; also what time it is at Stripe."""
        try:
            answer = self.reading.client.single("account", missing_ok=True)
        except NotPermittedError:
            self.reading.tick(self.reading.client.single("balance").read_at)
            return ""
        self.reading.tick(answer.read_at)
        account_id = answer.body.get("id") if isinstance(answer.body, dict) else None
        return account_id if isinstance(account_id, str) else ""

    def close(self) -> None:
        """Give connections back."""
        self.reading.client.close()

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read a stream from behind its cursor to the present, cut to the second and exclusive.

        The present is what Stripe's own clock last showed; ``now`` where it has not shown anything yet.

        Raises:
            SourceError: the stream could not be read on; what was yielded stays valid.
        """
        if stream not in {plan.stream for plan in self.streams()}:
            raise ValueError(f"this Stripe account has no stream {stream!r}")
        account = self._account(reader)
        moment = self.reading.present(now)
        for batch in self._batches(stream, cursor, moment, reader):
            if account is not None:
                yield replace(batch, records={**batch.records, SourceAccount: [account]})
                account = None
            else:
                yield batch
        if stream == events.STREAM:
            events.tell_unknown(self.name, self.unknown)

    def _batches(
        self, stream: str, cursor: str | None, now: datetime, reader: StoreReader
    ) -> Iterator[Batch]:
        if stream == events.STREAM:
            return events.pull(self.reading, cursor, now, reader)
        if stream == payout_proofs.STREAM:
            return payout_proofs.pull(self.reading, cursor, now, reader, known=self._composed(cursor, now))
        if stream in _PROOFS:
            return _PROOFS[stream](self.reading, cursor, now, reader)
        if stream == balance.LINES and self._settings.history == "reports":
            return self._told(stream, cursor, now, reader)
        return self._listed(stream, cursor, now, reader)

    def _composed(self, cursor: str | None, now: datetime) -> Mapping[str, Composition]:
        """What a report says old payouts are made of, before the first of them is proved."""
        if cursor is not None or self._settings.history != "reports":
            return {}
        return report_history.payouts_made_of(self.reading, now, waiting=self._waiting)

    def _told(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """The balance's transactions, by reports as far as those reach, and by lists from there on."""
        told = report_history.backfill(self.reading, cursor, now, reader, waiting=self._waiting)
        for batch in told:
            yield batch
            cursor = batch.cursor or cursor
        yield from self._listed(stream, cursor, now, reader)

    def _listed(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """A list, read on by a process of its own once it turns out to be long."""
        read = 0
        for batch in ListPull(self.reading, STREAMS[stream], cursor, now, reader).batches():
            yield batch
            cursor, read = batch.cursor, read + batch.objects_read
            if self._goes_ahead and _is_long(stream, batch, read):
                break
        else:
            return
        try:
            for batch in ahead.batches(self.reading, stream, cursor, now):
                yield batch
                cursor = batch.cursor
        except ahead.ChildEndedError as ended:
            _log.warning("%s; it is read on without", ended.message)
            self._goes_ahead = False
            yield from ListPull(self.reading, STREAMS[stream], cursor, now, reader).batches()

    def _account(self, reader: StoreReader) -> SourceAccount | None:
        """Which account this is, where the store does not know it yet.

        Raises:
            SourceRefusedError: the connector was read with another account, or in another mode.
        """
        here = SourceAccount(connector=self.name, account_id=self.reading.account_id, live=self._live)
        stored = reader.lookup(SourceAccount, self.name, "connector", [self.name]).to_pylist()
        if not stored:
            return here
        known_id, known_live = stored[0]["account_id"], stored[0]["live"]
        if None not in (self._live, known_live) and known_live != self._live:
            modes = [("live" if live else "test") for live in (known_live, self._live)]
            raise SourceRefusedError(
                f"{self.name} was read in {modes[0]} mode before, and this key is of {modes[1]} mode",
                hint="give the other mode a connector of its own",
            )
        if known_id and here.account_id and known_id != here.account_id:
            raise SourceRefusedError(
                f"{self.name} was read from the account {known_id} before, and this key is of another one",
                hint="give the other account a connector of its own",
            )
        return here if here.account_id and not known_id else None


def _is_long(stream: str, batch: Batch, read: int) -> bool:
    """Whether so much is left of a list that starting a process for it pays."""
    part = batch.progress
    left = part is not None and part.done < part.total * _LEFT_AT_MOST
    return read >= _LONG_OBJECTS and left and not STREAMS[stream].of_payment


def _blind_spots(reading: Reading) -> Iterator[Advice]:
    """What cannot be told of this account, and what is odd about its clock."""
    if not reading.account_id:
        yield Advice(
            level=Level.WARN,
            message=f"{reading.name}: the key may not see its account, so one of another is not refused",
            hint="allow reading the account for this key",
        )
    apart_s = abs((datetime.now(UTC) - reading.clock).total_seconds()) if reading.clock else 0
    if apart_s > _CLOCKS_APART_S:
        yield Advice(
            level=Level.WARN,
            message=f"{reading.name}: this machine's clock and Stripe's are {apart_s / 60:.0f} minutes apart",
            hint="set this machine's clock; ages and time limits are counted by it",
        )


def live_of(key: str) -> bool | None:
    """Whether a key is of live mode, None where its form does not say."""
    found = _MODE.match(key)
    return None if found is None else found[1] == "live"


def rules_of(name: str, settings: StripeSettings, live: bool | None) -> Rules:
    """What the configuration says about translating."""
    return Rules(
        connector=name,
        account_key=settings.account_metadata_key,
        reference_keys=settings.reference_metadata_keys,
        client_reference_is=settings.client_reference_is,
        ip_keys=settings.ip_metadata_keys,
        hash_key=settings.hash_key.reveal().encode() if settings.hash_key else None,
        live=live,
        api_version=API_VERSION,
    )
