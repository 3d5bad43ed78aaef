"""The state behind a simulated account: its objects, its clock, its balance and what it tells.

The classes that stand on this one (payments, undoings, the account) say what happens; this one keeps
the promises that hold whatever happens: time never goes back, the balance moves by the ``net`` of
balance transactions and by nothing else, and every change leaves an event.
"""

from __future__ import annotations

import heapq
import threading
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

import orjson

from payhealth.sandbox.stripe import money_objects
from payhealth.sandbox.stripe.errors import StripeRefusedError, missing
from payhealth.sandbox.stripe.ids import Ids, draw, unix_s
from payhealth.sandbox.stripe.money_objects import DAY_S
from payhealth.sandbox.stripe.store import Collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from payhealth.sandbox.interfaces import StripeObject

API_VERSION: Final = "2026-10-28.endive"
_TELLS_WHAT_WAS: Final = ("updated", "refunded", "escalated")


class Books:
    """Objects, clock, balance and events of one account.

    Args:
        seed: the same seed and the same calls give the same objects, ids included.
        start: the account's first moment (aware).
        currency: the currency that the balance is kept in.
        exchange_rates: for other currencies, how many minor units of ``currency`` one minor unit is
            worth; exact.
        fee_rate: Stripe's share of a charge, such as ``Decimal("0.029")``.
        fee_fixed_minor: what comes on top of it, in minor units of ``currency``.
        available_after_days: days until a charge's money can be paid out.
        event_retention_days: how long events can be read.
        keep_events: False saves a third of the memory where nobody reads events.
        api_version: what events and answers are rendered at.
        livemode: what objects say of themselves.
    """

    def __init__(
        self,
        *,
        seed: int,
        start: datetime,
        currency: str,
        exchange_rates: Mapping[str, Decimal],
        fee_rate: Decimal,
        fee_fixed_minor: int,
        available_after_days: int,
        event_retention_days: int,
        keep_events: bool,
        api_version: str,
        livemode: bool,
    ) -> None:
        self.seed = seed
        self.lock = threading.RLock()
        self.currency = currency
        self.livemode = livemode
        self.api_version = api_version
        self.start_s = unix_s(start)
        self._exchange_rates = dict(exchange_rates)
        self._fee_rate = fee_rate
        self._fee_fixed_minor = fee_fixed_minor
        self._available_after_s = available_after_days * DAY_S
        self._event_retention_s = event_retention_days * DAY_S
        self._keep_events = keep_events
        self._ids = Ids(seed)
        self._now_s = self.start_s
        self._due: list[tuple[int, int, Callable[[int], object]]] = []
        self._duties_made = 0
        self._available_minor = 0
        self._pending_minor = 0
        self._payable: list[str] = []
        self.customers = Collection(["email"])
        self.payment_intents = Collection(["customer"])
        self.charges = Collection(["customer", "payment_intent"])
        self.refunds = Collection(["charge", "payment_intent"])
        self.disputes = Collection(["charge", "payment_intent"])
        self.early_fraud_warnings = Collection(["charge", "payment_intent"])
        self.setup_intents = Collection(["customer", "payment_method"])
        self.checkout_sessions = Collection(["customer", "payment_intent", "status"])
        self.invoices = Collection(["collection_method", "customer", "status"], ["due_date"])
        self.invoice_payments = Collection(["invoice", "payment[payment_intent]", "payment[type]", "status"])
        self.balance_transactions = Collection(["currency", "payout", "source", "type"])
        self.payouts = Collection(["destination", "status"], ["arrival_date"])
        self.report_runs = Collection()
        self.files = Collection(["purpose"])
        self.events = Collection(["type"])

    def collection_of(self, object_id: str) -> Collection | None:
        """Where an object with such an id would be, None for ids of other things."""
        return {
            "ch": self.charges,
            "cs": self.checkout_sessions,
            "cus": self.customers,
            "dp": self.disputes,
            "evt": self.events,
            "file": self.files,
            "frr": self.report_runs,
            "in": self.invoices,
            "inpay": self.invoice_payments,
            "issfr": self.early_fraud_warnings,
            "pi": self.payment_intents,
            "po": self.payouts,
            "re": self.refunds,
            "seti": self.setup_intents,
            "txn": self.balance_transactions,
        }.get(object_id.partition("_")[0])

    @property
    def now_s(self) -> int:
        """The account's now (unix seconds): nothing in it is younger."""
        return self._now_s

    @property
    def oldest_event_s(self) -> int:
        """Events made before this (unix seconds) can no longer be read."""
        return self._now_s - self._event_retention_s

    def advance_to(self, at: datetime) -> None:
        """Move the clock; what was due by then happens, each thing at its own moment.

        Raises:
            ValueError: ``at`` is naive or before the account's now.
        """
        with self._moment(at):
            pass

    @contextmanager
    def _moment(self, at: datetime) -> Iterator[int]:
        """Hold the lock at a moment (given as unix seconds), with everything due by then done."""
        at_s = unix_s(at)
        with self.lock:
            if at_s < self._now_s:
                raise ValueError(f"moments never go back: {at.isoformat()} is before the account's now")
            while self._due and self._due[0][0] <= at_s:
                due_s, _, duty = heapq.heappop(self._due)
                self._now_s = due_s
                duty(due_s)
            self._now_s = at_s
            yield at_s

    def _later(self, due_s: int, duty: Callable[[int], object]) -> None:
        self._duties_made += 1
        heapq.heappush(self._due, (due_s, self._duties_made, duty))

    def _chance(self, *what: object) -> int:
        return draw(self.seed, *what)

    def _read(self, collection: Collection, object_id: str, kind: str) -> StripeObject:
        if object_id not in collection:
            raise missing(kind, object_id)
        return collection.get(object_id)

    def _add(self, collection: Collection, value: StripeObject, *event_types: str) -> StripeObject:
        """Keep a new object and tell of it."""
        collection.add(value)
        for event_type in event_types:
            self._tell(event_type, collection, value["id"], previous=None)
        return value

    def _change(
        self, collection: Collection, object_id: str, fields: Mapping[str, object], *event_types: str
    ) -> StripeObject:
        """Set fields of an object and tell of it; returns the object as it is now."""
        value = collection.get(object_id)
        previous = {name: value.get(name) for name, new in fields.items() if value.get(name) != new}
        value.update(fields)
        collection.replace(value)
        for event_type in event_types:
            self._tell(event_type, collection, object_id, previous=previous)
        return value

    def _tell(
        self,
        event_type: str,
        collection: Collection,
        object_id: str,
        *,
        previous: Mapping[str, object] | None,
    ) -> None:
        if not self._keep_events:
            return
        shown = collection.body(object_id)
        if shown is None:
            raise KeyError(object_id)
        head: StripeObject = {
            "id": self._ids.new("evt"),
            "object": "event",
            "api_version": self.api_version,
            "created": self._now_s,
        }
        tail: StripeObject = {
            "livemode": self.livemode,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": event_type,
        }
        before = b""
        if previous and event_type.endswith(_TELLS_WHAT_WAS):
            before = b',"previous_attributes":' + orjson.dumps(previous)
        # The object's own bytes are shared, not copied: they never change, an update makes new ones.
        body = (
            orjson.dumps(head)[:-1] + b',"data":{"object":',
            shown,
            before + b"}," + orjson.dumps(tail)[1:],
        )
        self.events.add(head | tail, body=body)

    def _post(
        self,
        *,
        kind: str,
        source: str,
        amount_minor: int,
        currency: str,
        description: str,
        reporting_category: str | None = None,
        fee_minor: int = 0,
        fee_description: str = "Stripe processing fees",
        since_s: int | None = None,
    ) -> StripeObject:
        """Write a balance transaction and move the balance by its net.

        Args:
            amount_minor: signed, in ``currency``; the transaction is in the account's own.
            fee_minor: in the account's currency.
            since_s: when the money starts its way to available, None when it is there at once.
        """
        settled_minor, rate = self._settled(amount_minor, currency)
        available_on_s = self._now_s if since_s is None else self._day_after(since_s)
        available = available_on_s <= self._now_s
        transaction = money_objects.balance_transaction(
            object_id=self._ids.new("txn"),
            created_s=self._now_s,
            available_on_s=available_on_s,
            available=available,
            amount_minor=settled_minor,
            fee_minor=fee_minor,
            fee_description=fee_description,
            currency=self.currency,
            exchange_rate=rate,
            kind=kind,
            reporting_category=reporting_category or kind,
            source=source,
            description=description,
        )
        self.balance_transactions.add(transaction)
        if available:
            self._available_minor += transaction["net"]
            self._payable.append(transaction["id"])
        else:
            self._pending_minor += transaction["net"]
            object_id = transaction["id"]
            self._later(available_on_s, lambda _: self._make_available(object_id))
        return transaction

    def _make_available(self, transaction_id: str) -> None:
        fields = {"status": "available"}
        net_minor = self._change(self.balance_transactions, transaction_id, fields)["net"]
        self._pending_minor -= net_minor
        self._available_minor += net_minor
        self._payable.append(transaction_id)

    def _day_after(self, since_s: int) -> int:
        return since_s // DAY_S * DAY_S + self._available_after_s

    def _fee_minor(self, amount_minor: int, currency: str) -> int:
        settled_minor, _ = self._settled(amount_minor, currency)
        share = (settled_minor * self._fee_rate).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return int(share) + self._fee_fixed_minor

    def _settled(self, amount_minor: int, currency: str) -> tuple[int, float | None]:
        """An amount in the account's currency, and the rate as Stripe shows it (a JSON number)."""
        if currency == self.currency:
            return amount_minor, None
        rate = self._exchange_rates.get(currency)
        if rate is None:
            raise StripeRefusedError(f"Invalid currency: {currency}.", param="currency")
        settled = (amount_minor * rate).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return int(settled), float(rate)
