"""A simulated Stripe account: the card processor of the sandbox's business."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import orjson

from payhealth.sandbox.stripe import money_objects, webhooks
from payhealth.sandbox.stripe.access import Keys
from payhealth.sandbox.stripe.books import API_VERSION
from payhealth.sandbox.stripe.errors import missing
from payhealth.sandbox.stripe.ids import Ids
from payhealth.sandbox.stripe.reports import Reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from payhealth.sandbox.interfaces import CardProcessor, StripeObject
    from payhealth.sandbox.stripe.store import Collection

_FEE_RATE: Final = Decimal("0.029")


class StripeAccount(Reports):
    """One account in memory: a ``CardProcessor`` in process, the server's data over HTTP.

    Safe to read from other threads while the simulation writes. Returned objects are copies.

    Args:
        seed: the same seed and the same calls give the same objects, ids included.
        api_key: the key that may do everything; ``_live_`` in it makes the objects live ones. An account
            has one mode; for the same account's other mode see ``build_app``.
        webhook_secret: what deliveries are signed with.
        start: the account's first moment (aware).
        currency: the currency that the balance is kept in.
        exchange_rates: for other currencies, how many minor units of ``currency`` one of theirs is
            worth; an intent in any other currency is refused.
        fee_rate: Stripe's share of a charge.
        fee_fixed_minor: what comes on top of it.
        dispute_fee_minor: the fee of a dispute (none for an inquiry).
        dispute_fee_returned: whether winning gives that fee back.
        available_after_days: days until a charge's money can be paid out.
        event_retention_days: how long events can be read.
        keep_events: False saves a third of the memory where nobody reads events.
        api_version: what events and answers are rendered at.
        api_keys: more keys, each with the permissions it has, such as ``{"charge_read"}`` (``access``
            lists them), or None for all.
        account_id: ``acct_…``; made from the seed by default.
        report_polls: how often a report run is said to be pending before it is done.
    """

    def __init__(
        self,
        *,
        seed: int,
        api_key: str,
        webhook_secret: str,
        start: datetime,
        currency: str = "usd",
        exchange_rates: Mapping[str, Decimal] | None = None,
        fee_rate: Decimal = _FEE_RATE,
        fee_fixed_minor: int = 30,
        dispute_fee_minor: int = 1500,
        dispute_fee_returned: bool = True,
        available_after_days: int = 2,
        event_retention_days: int = 30,
        keep_events: bool = True,
        api_version: str = API_VERSION,
        api_keys: Mapping[str, Iterable[str] | None] | None = None,
        account_id: str | None = None,
        report_polls: int = 1,
    ) -> None:
        super().__init__(
            seed=seed,
            start=start,
            currency=currency,
            exchange_rates=exchange_rates or {},
            fee_rate=fee_rate,
            fee_fixed_minor=fee_fixed_minor,
            available_after_days=available_after_days,
            event_retention_days=event_retention_days,
            keep_events=keep_events,
            api_version=api_version,
            livemode="_live_" in api_key,
        )
        self.api_key = api_key
        self.webhook_secret = webhook_secret
        self.keys = Keys({api_key: None, **(api_keys or {})}, livemode=self.livemode)
        self.account_id = account_id or Ids(seed).new("acct")
        self._dispute_fee_minor = dispute_fee_minor
        self._dispute_fee_returned = dispute_fee_returned
        self._session_intents = {}
        self._report_polls = report_polls
        self._report_polls_left = {}
        self._report_keys = {}
        self._report_error = None
        self._file_contents = {}

    def balance(self) -> StripeObject:
        """The balance object, as it stands now."""
        with self.lock:
            currencies = [(self.currency, self._available_minor, self._pending_minor)]
            return money_objects.balance(currencies=currencies, livemode=self.livemode)

    def account(self) -> StripeObject:
        """The account object."""
        return {
            "id": self.account_id,
            "object": "account",
            "business_type": "company",
            "capabilities": {"card_payments": "active", "transfers": "active"},
            "charges_enabled": True,
            "country": "US",
            "created": self.start_s,
            "default_currency": self.currency,
            "details_submitted": True,
            "email": None,
            "metadata": {},
            "payouts_enabled": True,
            "settings": {"dashboard": {"display_name": "Credits sandbox", "timezone": "Etc/UTC"}},
            "type": "standard",
        }

    def events_since(self, event: str | None = None) -> list[StripeObject]:
        """Events made after one of them (None: all), oldest first: what to deliver next."""
        with self.lock:
            return self.events.since(event)

    def retrieve(self, object_id: str) -> StripeObject | None:
        """A copy of any object as it is now, None when there is no such id."""
        with self.lock:
            body = self.body(object_id)
        return None if body is None else orjson.loads(body)

    def body(self, object_id: str) -> bytes | None:
        """Any object's JSON as it is now, None when there is no such id; hold the lock to read several."""
        collection = self.collection_of(object_id)
        return None if collection is None else collection.body(object_id)

    def shown(self, object_id: str) -> bytes | None:
        """An object's JSON as a reader gets it, None where it is lost or deleted; hold the lock.

        ``in_…/payments`` gives the list of an invoice's payments.
        """
        invoice, _, below = object_id.partition("/")
        if below == "payments":
            return self.payments_of(invoice)
        collection = self.collection_of(object_id)
        return None if collection is None else collection.shown(object_id)

    def hide(self, object_id: str) -> None:
        """Lose an object: lists leave it out and by its id it is missing; the balance stays as it is."""
        with self.lock:
            self._holder(object_id).lose(object_id)

    def delay(self, object_id: str, *, for_s: int) -> None:
        """Let an object appear in lists only so many seconds after the account's now."""
        with self.lock:
            self._holder(object_id).hold_back(object_id, self._now_s + for_s)

    def delete(self, object_id: str) -> None:
        """Take an object away: a page that starts after it is refused as well."""
        with self.lock:
            self._holder(object_id).delete(object_id)

    def reveal(self, object_id: str) -> None:
        """Undo ``hide``, ``delay`` and ``delete``."""
        with self.lock:
            self._holder(object_id).find_again(object_id)

    def deliver_webhooks(
        self, url: str, events: Iterable[StripeObject], *, sent_at_s: int | None = None
    ) -> list[webhooks.Delivery]:
        """Post events to an endpoint, signed with the account's secret; see ``webhooks``."""
        return webhooks.deliver_webhooks(url, events, secret=self.webhook_secret, sent_at_s=sent_at_s)

    def _holder(self, object_id: str) -> Collection:
        collection = self.collection_of(object_id)
        if collection is None or object_id not in collection:
            raise missing("object", object_id)
        return collection


if TYPE_CHECKING:

    def _is_a_card_processor(account: StripeAccount) -> CardProcessor:
        return account
