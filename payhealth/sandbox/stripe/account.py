"""A simulated Stripe account: the card processor of the sandbox's business."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import orjson

from payhealth.sandbox.stripe import money_objects, webhooks
from payhealth.sandbox.stripe.books import API_VERSION
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.ids import Ids
from payhealth.sandbox.stripe.money_objects import DAY_S
from payhealth.sandbox.stripe.undoings import Undoings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from payhealth.sandbox.interfaces import CardProcessor, StripeObject

_FEE_RATE: Final = Decimal("0.029")
_PAYOUT_TRANSIT_DAYS: Final = 2


class StripeAccount(Undoings):
    """One account in memory: a ``CardProcessor`` in process, the server's data over HTTP.

    Safe to read from other threads while the simulation writes. Returned objects are copies.

    Args:
        seed: the same seed and the same calls give the same objects, ids included.
        api_key: the key that the server accepts; ``_live_`` in it makes the objects live ones.
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
        self.account_id = Ids(seed).new("acct")
        self._dispute_fee_minor = dispute_fee_minor
        self._dispute_fee_returned = dispute_fee_returned

    def pay_out(self, *, at: datetime) -> StripeObject | None:
        """Pay the available balance out to the bank; nothing happens when there is none.

        The payout is in transit until two midnights later, then paid and its reconciliation complete.
        """
        with self._moment(at) as now_s:
            amount_minor = self._available_minor
            if amount_minor <= 0:
                return None
            payout = money_objects.payout(
                object_id=self._ids.new("po"),
                created_s=now_s,
                amount_minor=amount_minor,
                currency=self.currency,
                arrival_s=(now_s // DAY_S + _PAYOUT_TRANSIT_DAYS) * DAY_S,
                livemode=self.livemode,
            )
            payout["balance_transaction"] = self._post_payout(payout["id"], "payout", -amount_minor)
            # The payout's own transaction is one of those that its list shows, as at Stripe.
            for transaction in self._payable:
                self.balance_transactions.tag(transaction, "payout", payout["id"])
            self._payable = []
            self._add(self.payouts, payout, "payout.created")
            self._later(payout["arrival_date"], lambda _: self._arrive(payout["id"]))
            return payout

    def fail_payout(self, payout: str, *, at: datetime) -> StripeObject:
        """The bank sends a payout back, even one that was already paid; the balance gets the money."""
        with self._moment(at):
            current = self._read(self.payouts, payout, "payout")
            if current["status"] not in {"in_transit", "paid"}:
                raise StripeRefusedError(f"Payout {payout} is {current['status']} already.")
            back = self._post_payout(payout, "payout_failure", current["amount"])
            fields = {
                "failure_balance_transaction": back,
                "failure_code": "account_closed",
                "failure_message": "The bank account has been closed.",
                "status": "failed",
            }
            return self._change(self.payouts, payout, fields, "payout.failed", "payout.updated")

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

    def deliver_webhooks(
        self, url: str, events: Iterable[StripeObject], *, sent_at_s: int | None = None
    ) -> list[webhooks.Delivery]:
        """Post events to an endpoint, signed with the account's secret; see ``webhooks``."""
        return webhooks.deliver_webhooks(url, events, secret=self.webhook_secret, sent_at_s=sent_at_s)

    def _post_payout(self, payout: str, kind: str, amount_minor: int) -> str:
        transaction = self._post(
            kind=kind,
            reporting_category="payout" if kind == "payout" else "payout_reversal",
            source=payout,
            amount_minor=amount_minor,
            currency=self.currency,
            description="STRIPE PAYOUT" if kind == "payout" else "STRIPE PAYOUT FAILURE",
        )
        return str(transaction["id"])

    def _arrive(self, payout: str) -> None:
        if self.payouts.get(payout)["status"] != "in_transit":
            return
        fields = {
            "reconciliation_status": "completed",
            "status": "paid",
            "trace_id": {"status": "supported", "value": f"{self._chance('trace', payout) % 10**15:015d}"},
        }
        event_types = ("payout.updated", "payout.paid", "payout.reconciliation_completed")
        self._change(self.payouts, payout, fields, *event_types)


if TYPE_CHECKING:

    def _is_a_card_processor(account: StripeAccount) -> CardProcessor:
        return account
