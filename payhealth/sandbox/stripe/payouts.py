"""Payouts: money on its way from the balance to the bank, on schedule, by hand or at once."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final

from payhealth.sandbox.stripe import money_objects
from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.money_objects import DAY_S
from payhealth.sandbox.stripe.selling import Selling

if TYPE_CHECKING:
    from datetime import datetime

    from payhealth.sandbox.interfaces import StripeObject

_TRANSIT_DAYS: Final = 2
_INSTANT_TRANSIT_S: Final = 1800
_INSTANT_FEE_RATE: Final = Decimal("0.01")


class Payouts(Selling):
    """What leaves the balance for the bank, and may come back."""

    def pay_out(self, *, at: datetime) -> StripeObject | None:
        """Pay the available balance out to the bank; nothing happens when there is none.

        The payout is in transit until two midnights later, then paid and its reconciliation complete.
        """
        with self._moment(at):
            amount_minor = self._available_minor
            if amount_minor <= 0:
                return None
            payout = self._new_payout(amount_minor, self._standard_arrival_s(), automatic=True)
            payout["balance_transaction"] = self._post_payout(payout["id"], "payout", -amount_minor)
            # The payout's own transaction is one of those that its list shows, as at Stripe.
            for transaction in self._payable:
                self.balance_transactions.tag(transaction, "payout", payout["id"])
            self._payable = []
            return self._send(payout)

    def pay_out_by_hand(
        self,
        *,
        at: datetime,
        amount_minor: int,
        instant: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> StripeObject:
        """Pay a part of the available balance out: nobody can say which transactions are in it.

        Args:
            at: now.
            amount_minor: what the bank gets.
            instant: there within half an hour, for one per cent, which the payout's balance transaction
                carries as its fee; otherwise two midnights later, without a fee.
            metadata: the payout's own.

        Raises:
            StripeRefusedError: more than is available.
        """
        with self._moment(at) as now_s:
            fee = (amount_minor * _INSTANT_FEE_RATE).quantize(Decimal(1), rounding=ROUND_HALF_UP)
            fee_minor = int(fee) if instant else 0
            if not 0 < amount_minor + fee_minor <= self._available_minor:
                raise StripeRefusedError(
                    "You have insufficient funds in your Stripe account for this transfer. Your card "
                    "balance is too low.",
                    code="balance_insufficient",
                    param="amount",
                )
            arrival_s = now_s + _INSTANT_TRANSIT_S if instant else self._standard_arrival_s()
            payout = self._new_payout(amount_minor, arrival_s, automatic=False)
            payout |= {"metadata": dict(metadata or {}), "reconciliation_status": "not_applicable"}
            if instant:
                payout |= {"destination": "card_sandbox", "method": "instant", "type": "card"}
            payout["balance_transaction"] = self._post_payout(
                payout["id"], "payout", -amount_minor, fee_minor=fee_minor
            )
            return self._send(payout)

    def fail_payout(self, payout: str, *, at: datetime) -> StripeObject:
        """The bank sends a payout back, even one that was already paid; the balance gets the money.

        The fee of an instant payout is not given back.
        """
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

    def _standard_arrival_s(self) -> int:
        return (self._now_s // DAY_S + _TRANSIT_DAYS) * DAY_S

    def _new_payout(self, amount_minor: int, arrival_s: int, *, automatic: bool) -> StripeObject:
        return money_objects.payout(
            object_id=self._ids.new("po"),
            created_s=self._now_s,
            amount_minor=amount_minor,
            currency=self.currency,
            arrival_s=arrival_s,
            livemode=self.livemode,
            automatic=automatic,
        )

    def _send(self, payout: StripeObject) -> StripeObject:
        self._add(self.payouts, payout, "payout.created")
        self._later(payout["arrival_date"], lambda _: self._arrive(payout["id"]))
        return payout

    def _post_payout(self, payout: str, kind: str, amount_minor: int, *, fee_minor: int = 0) -> str:
        transaction = self._post(
            kind=kind,
            reporting_category="payout" if kind == "payout" else "payout_reversal",
            source=payout,
            amount_minor=amount_minor,
            currency=self.currency,
            description="STRIPE PAYOUT" if kind == "payout" else "STRIPE PAYOUT FAILURE",
            fee_minor=fee_minor,
            fee_description="Instant payout fee",
        )
        return str(transaction["id"])

    def _arrive(self, payout: str) -> None:
        current = self.payouts.get(payout)
        if current["status"] != "in_transit":
            return
        fields: StripeObject = {
            "status": "paid",
            "trace_id": {"status": "supported", "value": f"{self._chance('trace', payout) % 10**15:015d}"},
        }
        event_types = ["payout.updated", "payout.paid"]
        if current["automatic"]:
            fields["reconciliation_status"] = "completed"
            event_types.append("payout.reconciliation_completed")
        self._change(self.payouts, payout, fields, *event_types)
