"""Which payment a refund or dispute belongs to: from this pull, from the store, else from Stripe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from payhealth.connectors.stripe.streams import STREAMS, to_records
from payhealth.connectors.stripe.translate import Payment, Rules, payment_of
from payhealth.domain.records import Movement, MovementKind, MovementStatus, Record

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.connectors.stripe.client import StripeClient
    from payhealth.ports import StoreReader

REMEMBERED_MAX = 50_000
"""Charges kept from this pull; older ones are in the store."""

_COLUMNS = ("movement_id", "payment_key", "account", "handle", "reference", "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Payments by charge id, and the records of charges that had to be fetched for it."""

    payments: dict[str, Payment] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    objects: int = 0


class Payments:
    """Looks up charges.

    A charge that is older than the connector's ``start`` is fetched by its id and recorded with its own
    movement: what was refunded of it in all can only be judged beside what was paid.
    """

    def __init__(self, client: StripeClient, rules: Rules) -> None:
        self._client = client
        self._rules = rules
        self._recent: dict[str, Payment] = {}

    def remember(self, records: Iterable[Record]) -> None:
        """Keep the payments of charges that were just read, the newest so many."""
        for record in records:
            if isinstance(record, Movement) and record.kind == MovementKind.CHARGE:
                self._recent.pop(record.movement_id, None)
                self._recent[record.movement_id] = payment_of(record)
        while len(self._recent) > REMEMBERED_MAX:
            del self._recent[next(iter(self._recent))]

    def find(self, charge_ids: set[str], reader: StoreReader) -> Found:
        """The payments of some charges; one that nobody knows is not in the answer.

        Raises:
            SourceError: a charge could not be fetched.
        """
        found = Found(payments={key: self._recent[key] for key in charge_ids if key in self._recent})
        missing = charge_ids - found.payments.keys()
        if missing:
            found.payments.update(self._stored(missing, reader))
        for charge_id in sorted(charge_ids - found.payments.keys()):
            self._fetch(charge_id, found)
        return found

    def _fetch(self, charge_id: str, found: Found) -> None:
        stream = STREAMS["charges"]
        body = self._client.fetch(stream.resource, charge_id, expand=stream.expand)
        if body is None:
            return
        records = to_records(stream, body, self._rules)
        self.remember(records)
        found.records.extend(records)
        found.payments.update({charge_id: self._recent[charge_id]} if charge_id in self._recent else {})

    def _stored(self, charge_ids: set[str], reader: StoreReader) -> dict[str, Payment]:
        import pyarrow.compute as pc

        table: pa.Table = reader.records(Movement)
        wanted = pc.and_(
            pc.equal(table["connector"], self._rules.connector),
            pc.is_in(table["movement_id"], value_set=_strings(charge_ids)),
        )
        rows: list[dict[str, Any]] = table.filter(wanted).select(_COLUMNS).to_pylist()
        return {row["movement_id"]: _payment(row) for row in rows}


def _strings(values: Iterable[str]) -> Any:
    import pyarrow as pa

    return pa.array(sorted(values), type=pa.string())


def _payment(row: dict[str, Any]) -> Payment:
    return Payment(
        payment_key=row["payment_key"],
        account=row["account"] or "",
        handle=row["handle"] or "",
        reference=row["reference"] or "",
        captured=row["status"] == MovementStatus.SUCCEEDED,
    )
