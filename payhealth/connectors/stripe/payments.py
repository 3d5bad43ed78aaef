"""Which payment a refund or dispute belongs to: from this pull, from the store, else from Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from payhealth.connectors.stripe.errors import NotGivenError
from payhealth.connectors.stripe.not_given import rejected
from payhealth.connectors.stripe.streams import STREAMS, translate
from payhealth.connectors.stripe.translate import Payment, Rules
from payhealth.domain.record import Record
from payhealth.domain.records import Charge, Movement, MovementKind, MovementStatus

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.connectors.stripe.client import StripeClient
    from payhealth.ports import StoreReader

_COLUMNS = ("movement_id", "kind", "payment_key", "account", "handle", "reference", "status")


@dataclass(slots=True)
class Found:
    """Payments by charge id, and the records of charges that had to be fetched for it."""

    payments: dict[str, Payment] = field(default_factory=dict)
    tables: list[Mapping[type[Record], pa.Table]] = field(default_factory=list)


class Payments:
    """Looks up charges.

    A charge that is older than the connector's ``start`` is fetched by its id and recorded with its own
    movement: what was refunded of it in all can only be judged beside what was paid.
    """

    def __init__(self, client: StripeClient, rules: Rules) -> None:
        self._client = client
        self._rules = rules

    def find(self, charge_ids: set[str], reader: StoreReader) -> Found:
        """The payments of some charges; one that nobody knows is not in the answer.

        Raises:
            SourceError: a charge could not be fetched.
        """
        stored = reader.lookup(Movement, self._rules.connector, "movement_id", charge_ids)
        charges = reader.lookup(Charge, self._rules.connector, "charge_id", charge_ids)
        found = Found(payments=_payments(stored, charges))
        for charge_id in sorted(charge_ids - found.payments.keys()):
            self._fetch(charge_id, found)
        return found

    def _fetch(self, charge_id: str, found: Found) -> None:
        stream = STREAMS["charges"]
        try:
            answer = self._client.fetch(stream.resource, charge_id, expand=stream.expand)
        except NotGivenError as error:
            # What is known of the charge's refunds and disputes must not wait for it.
            found.tables.append(rejected(self._rules.connector, stream.resource, {charge_id: error}))
            return
        if answer.body is None:
            return
        tables = translate(stream, [answer.body], self._rules).records
        found.tables.append(tables)
        if Movement in tables:
            found.payments.update(_payments(tables[Movement], tables[Charge]))


def _payments(movements: pa.Table, charges: pa.Table) -> dict[str, Payment]:
    amounts = charges.select(["charge_id", "amount", "amount_captured"]).to_pylist()
    in_part = {row["charge_id"] for row in amounts if row["amount_captured"] < row["amount"]}
    rows: list[dict[str, Any]] = movements.select(_COLUMNS).to_pylist()
    return {
        row["movement_id"]: _payment(row, in_part=row["movement_id"] in in_part)
        for row in rows
        if row["kind"] == MovementKind.CHARGE
    }


def _payment(row: dict[str, Any], *, in_part: bool) -> Payment:
    return Payment(
        payment_key=row["payment_key"],
        account=row["account"] or "",
        handle=row["handle"] or "",
        reference=row["reference"] or "",
        captured=row["status"] == MovementStatus.SUCCEEDED,
        in_part=in_part,
    )
