"""What the streams of one account share while they are read: client, rules, and what was seen when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.errors import NotGivenError
from payhealth.connectors.stripe.http import Answer
from payhealth.connectors.stripe.not_given import rejected
from payhealth.connectors.stripe.parallel import as_they_come
from payhealth.connectors.stripe.payments import Payments
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.streams import STREAMS, Stream, charge_of, needs_booking, translate
from payhealth.connectors.stripe.translate import Rules
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.record import Record
from payhealth.domain.times import from_us, to_us
from payhealth.ports import Batch, StoreReader

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_OBJECTS = 2_000
"""Objects committed at once: small enough that a kill loses little and others are not kept waiting."""

FETCHED_AT_ONCE = 200
"""Single objects committed at once: each costs a request, so less is lost by a kill."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A stretch of a list that this process read, and Stripe's clock when it began to."""

    lower_s: int
    upper_s: int
    read_at_s: int


@dataclass(slots=True, kw_only=True)
class Reading:
    """One account's reader.

    Args:
        unknown: values of Stripe's open lists that this version does not know, and how often they came.
        seen: stream -> what this process read of it, so that events about it are not followed in vain.
        account_id: the account, empty where the key may not see it.
    """

    name: str
    settings: StripeSettings
    client: StripeClient
    rules: Rules
    unknown: Counter[str] = field(default_factory=Counter)
    seen: dict[str, list[Seen]] = field(default_factory=dict)
    account_id: str = ""
    clock: datetime | None = None
    """The newest moment that Stripe's clock showed."""

    _asked_at: datetime | None = None
    _ticked: bool = False

    def tick(self, read_at: datetime | None) -> None:
        """Learn how late it is at Stripe."""
        if read_at is not None and (self.clock is None or read_at >= self.clock):
            self.clock, self._ticked = read_at, True

    def present(self, now: datetime) -> datetime:
        """The present moment by Stripe's clock, by ours where it has not shown any yet.

        Ours may be wrong either way, and what was read up to a wrong moment stays wrong. Where nothing was
        heard of Stripe's since it was last asked here, it has gone on as ours has.
        """
        clock, asked_at, heard = self.clock, self._asked_at, self._ticked
        self._asked_at, self._ticked = now, False
        if clock is None:
            return now
        return clock if heard or asked_at is None else clock + max(now - asked_at, timedelta(0))

    @property
    def start_s(self) -> int:
        """From when on everything must be covered, in unix seconds."""
        return seconds(self.settings.start)

    def records(
        self, stream: Stream, objects: Sequence[Any], reader: StoreReader | None
    ) -> dict[type[Record], pa.Table]:
        """Objects of a list as records, with those of the payments that had to be fetched for them."""
        if not stream.of_payment or reader is None:
            return self.translated(stream, objects)
        charges = {charge for charge in map(charge_of, objects) if charge}
        found = Payments(self.client, self.rules).find(charges, reader)
        whole = [self._with_booking(each) for each in objects]
        translated = self.translated(stream, whole, found.payments)
        return joined([*found.tables, translated])

    def translated(
        self, stream: Stream, objects: Sequence[Any], payments: Mapping[str, Any] | None = None
    ) -> dict[type[Record], pa.Table]:
        """Objects of a list as records, with the payments that they belong to."""
        translated = translate(stream, objects, self.rules, payments or {})
        self.unknown.update(translated.unknown)
        return dict(translated.records)

    def _with_booking(self, found: Any) -> Any:
        """The refund with its failure's balance transaction in whole, fetched where Stripe left it out."""
        transaction = needs_booking(found)
        if transaction is None:
            return found
        try:
            booked = self.client.fetch("balance_transactions", transaction).body
        except NotGivenError:
            # Without it the refund is not understood, and is recorded as such.
            return found
        return found if booked is None else {**found, "failure_balance_transaction": booked}

    def fetched(
        self, stream: Stream, object_ids: Collection[str], batch_stream: str, reader: StoreReader
    ) -> Iterator[Batch]:
        """Objects by their ids, several at once, in batches without a cursor.

        One that Stripe no longer has is left as it was last seen: its removal is no news about money. One
        that it refuses to give for a reason of that object's own becomes a rejected record, and the others
        go on.

        Raises:
            SourceError: nobody answered, or the key may not.
        """
        ids = sorted(object_ids)
        for start in range(0, len(ids), FETCHED_AT_ONCE):
            answers, failures = self._singles(stream, ids[start : start + FETCHED_AT_ONCE])
            objects = [answer.body for answer in answers if answer.body is not None]
            records = self.records(stream, objects, reader) if objects else {}
            yield Batch(
                stream=batch_stream,
                records=joined([records, rejected(self.name, stream.resource, failures)]),
                objects_read=len(objects),
                requests=sum(answer.requests for answer in answers) + len(failures),
                read_at=earliest(answer.read_at for answer in answers if answer.requests),
            )

    def _singles(self, stream: Stream, ids: Sequence[str]) -> tuple[list[Answer], dict[str, NotGivenError]]:
        """The answers to some ids, and those that Stripe did not give."""

        def read(object_id: str) -> Iterator[Answer | NotGivenError]:
            try:
                yield self.client.fetch(stream.resource, object_id, expand=stream.expand)
            except NotGivenError as error:
                yield error

        part = iter(ids)
        coming = as_they_come(lambda: next(part, None), read, workers=self.settings.parallel_windows)
        brought = [(each, found) for each, found in coming if found is not None]
        answers = [found for _, found in brought if isinstance(found, Answer)]
        return answers, {each: found for each, found in brought if isinstance(found, NotGivenError)}

    def covered(
        self,
        stream: str,
        lower_s: int,
        upper_s: int,
        now: datetime,
        *,
        objects: int = 0,
        pages: int = 0,
        unproved: bool = True,
    ) -> CoverageWindow:
        """The claim that a stretch of a stream was read whole, with this account's key."""
        return CoverageWindow(
            connector=self.name,
            stream=stream,
            unit=CoverageUnit.TIME_US,
            lower=lower_s * 1_000_000,
            upper=upper_s * 1_000_000,
            provider=self.client.provider,
            objects=objects,
            read_at=now,
            unproved=unproved,
            pages=pages,
            account=self.account_id,
        )

    def stream_of(self, object_type: str) -> Stream | None:
        """The list that objects of a type are in, None where it is not read."""
        skipped = self.settings.skip_streams
        return next(
            (
                stream
                for stream in STREAMS.values()
                if stream.object_type == object_type and stream.resource not in skipped
            ),
            None,
        )


def joined(parts: Iterable[Mapping[type[Record], pa.Table]]) -> dict[type[Record], pa.Table]:
    """Tables of several translations as one set; later rows come later, and so win."""
    import pyarrow as pa

    found: dict[type[Record], list[pa.Table]] = {}
    for part in parts:
        for kind, table in part.items():
            found.setdefault(kind, []).append(table)
    return {kind: pa.concat_tables(tables, promote_options="default") for kind, tables in found.items()}


def earliest(moments: Iterable[datetime | None]) -> datetime | None:
    """The first of some moments, None where one is not known: then nothing can be said of all of them."""
    known = list(moments)
    return None if not known or None in known else min(moment for moment in known if moment)


def seconds(moment: datetime) -> int:
    """Whole unix seconds."""
    return to_us(moment) // 1_000_000


def moment_of(moment_s: int) -> datetime:
    """Unix seconds as a moment."""
    return from_us(moment_s * 1_000_000)
