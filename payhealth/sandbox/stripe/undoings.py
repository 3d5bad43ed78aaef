"""Refunds, disputes and fraud warnings: what takes collected money away again, or says it may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payhealth.sandbox.stripe import money_objects
from payhealth.sandbox.stripe.debits import Debits
from payhealth.sandbox.stripe.errors import StripeRefusedError

if TYPE_CHECKING:
    from datetime import datetime

    from payhealth.sandbox.interfaces import StripeObject

_OPEN_DISPUTES: Final = frozenset({"needs_response", "under_review", "lost"})
_SHOWN_REFUNDS: Final = 10


class Undoings(Debits):
    """What happens to money after it was collected."""

    _dispute_fee_minor: int
    _dispute_fee_returned: bool

    def refund(
        self, charge: str, *, at: datetime, amount_minor: int | None = None, pending: bool = False
    ) -> StripeObject:
        """Give money back, all that is left or a part.

        A pending refund counts in ``amount_refunded`` at once, but moves no money until it is settled.

        Raises:
            StripeRefusedError: not captured, disputed, already refunded, or more than is left.
        """
        with self._moment(at) as now_s:
            paid = self._read(self.charges, charge, "charge")
            left_minor = self._refundable_minor(paid)
            amount_minor = left_minor if amount_minor is None else amount_minor
            if not 0 < amount_minor <= left_minor:
                raise StripeRefusedError(
                    f"Refund amount ({amount_minor}) is greater than unrefunded amount on charge "
                    f"({left_minor}), or not positive.",
                    code="amount_too_large",
                    param="amount",
                )
            refund = money_objects.refund(
                object_id=self._ids.new("re"), created_s=now_s, charge=paid, amount_minor=amount_minor
            )
            if not pending:
                refund |= self._paid_back(refund)
            self._add(self.refunds, refund, "refund.created")
            self._count_refunds(charge, "charge.refunded")
            return refund

    def settle_refund(self, refund: str, *, at: datetime, failed: bool) -> StripeObject:
        """Bring a refund to its end: a pending one succeeds or fails, a succeeded one may still fail."""
        with self._moment(at):
            current = self._read(self.refunds, refund, "refund")
            if current["status"] not in {"pending", "succeeded"}:
                raise StripeRefusedError(f"Refund {refund} is {current['status']} already.")
            if not failed:
                if current["status"] == "succeeded":
                    return current
                return self._tell_refund(refund, self._paid_back(current))
            fields: StripeObject = {"status": "failed", "failure_reason": "lost_or_stolen_card"}
            if current["balance_transaction"] is not None:
                fields["failure_balance_transaction"] = self._post(
                    kind="refund_failure",
                    source=refund,
                    amount_minor=current["amount"],
                    currency=current["currency"],
                    description="REFUND FAILURE",
                )["id"]
            changed = self._tell_refund(refund, fields, "refund.failed")
            self._count_refunds(current["charge"], "charge.updated")
            return changed

    def open_dispute(
        self,
        charge: str,
        *,
        at: datetime,
        amount_minor: int | None = None,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> StripeObject:
        """The cardholder's bank contests a charge, whole or in part; an inquiry moves no money yet."""
        with self._moment(at) as now_s:
            paid = self._read(self.charges, charge, "charge")
            collected_minor = paid["amount_captured"] if paid["status"] == "succeeded" else 0
            left_minor = collected_minor - self._disputed_minor(charge)
            amount_minor = left_minor if amount_minor is None else amount_minor
            if not 0 < amount_minor <= left_minor:
                raise StripeRefusedError(f"Charge {charge} has {left_minor} left that can be disputed.")
            dispute = money_objects.dispute(
                object_id=self._ids.new("dp"),
                created_s=now_s,
                charge=paid,
                amount_minor=amount_minor,
                reason=reason,
                inquiry=inquiry,
            )
            if not inquiry:
                dispute |= self._withdrawn(dispute)
            self._add(self.disputes, dispute, "charge.dispute.created")
            fields = {"disputed": True, "dispute": dispute["id"]}
            self._change(self.charges, charge, fields, "charge.updated")
            if not inquiry:
                self._tell("charge.dispute.funds_withdrawn", self.disputes, dispute["id"], previous=None)
            self._review_warnings(charge)
            return dispute

    def submit_evidence(self, dispute: str, *, at: datetime) -> StripeObject:
        """Answer an open dispute or inquiry; Stripe passes the evidence on once."""
        with self._moment(at):
            current = self._read(self.disputes, dispute, "dispute")
            if not current["status"].endswith("needs_response"):
                raise StripeRefusedError(f"Dispute {dispute} is {current['status']}: nothing to answer.")
            details = {**current["evidence_details"], "has_evidence": True, "submission_count": 1}
            status = current["status"].replace("needs_response", "under_review")
            fields = {"evidence_details": details, "status": status}
            return self._change(self.disputes, dispute, fields, "charge.dispute.updated")

    def escalate_dispute(self, dispute: str, *, at: datetime) -> StripeObject:
        """An inquiry becomes a dispute: now the money is taken."""
        with self._moment(at):
            current = self._read(self.disputes, dispute, "dispute")
            if not current["status"].startswith("warning_") or current["status"] == "warning_closed":
                raise StripeRefusedError(f"Dispute {dispute} is no open inquiry.")
            fields = {"status": "needs_response", "is_charge_refundable": False}
            fields |= self._withdrawn(current)
            event_types = ("charge.dispute.updated", "charge.dispute.funds_withdrawn")
            return self._change(self.disputes, dispute, fields, *event_types)

    def close_dispute(self, dispute: str, *, at: datetime, status: str) -> StripeObject:
        """End a dispute: ``won`` (the money comes back), ``lost``, or of an inquiry ``warning_closed``."""
        with self._moment(at):
            current = self._read(self.disputes, dispute, "dispute")
            inquiry = current["status"].startswith("warning_")
            if current["status"] in {"won", "lost", "warning_closed"}:
                raise StripeRefusedError(f"Dispute {dispute} is closed already.")
            if status not in ({"warning_closed"} if inquiry else {"won", "lost"}):
                raise StripeRefusedError(f"A dispute in {current['status']} cannot become {status}.")
            fields: StripeObject = {"status": status}
            event_types = ["charge.dispute.updated", "charge.dispute.closed"]
            if status == "won":
                fields["balance_transactions"] = [
                    *current["balance_transactions"],
                    self._reinstated(current),
                ]
                event_types.append("charge.dispute.funds_reinstated")
            return self._change(self.disputes, dispute, fields, *event_types)

    def warn_of_fraud(self, charge: str, *, at: datetime) -> StripeObject:
        """The card's issuer says that a charge may be fraud."""
        with self._moment(at) as now_s:
            paid = self._read(self.charges, charge, "charge")
            warning = money_objects.early_fraud_warning(
                object_id=self._ids.new("issfr"), created_s=now_s, charge=paid
            )
            return self._add(self.early_fraud_warnings, warning, "radar.early_fraud_warning.created")

    def _refundable_minor(self, charge: StripeObject) -> int:
        if not charge["captured"] or charge["status"] != "succeeded":
            raise StripeRefusedError(f"Charge {charge['id']} has not been captured.")
        if self._disputed_minor(charge["id"], _OPEN_DISPUTES):
            raise StripeRefusedError(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
            )
        left_minor: int = charge["amount_captured"] - charge["amount_refunded"]
        if left_minor == 0:
            raise StripeRefusedError(
                f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
            )
        return left_minor

    def _disputed_minor(self, charge: str, statuses: frozenset[str] | None = None) -> int:
        disputes = [self.disputes.get(object_id) for object_id in self.disputes.found("charge", charge)]
        return sum(
            dispute["amount"]
            for dispute in disputes
            if dispute["status"] != "warning_closed" and (statuses is None or dispute["status"] in statuses)
        )

    def _paid_back(self, refund: StripeObject) -> StripeObject:
        transaction = self._post(
            kind="refund",
            source=refund["id"],
            amount_minor=-refund["amount"],
            currency=refund["currency"],
            description=f"REFUND FOR CHARGE ({refund['charge']})",
        )
        card = {
            "reference": f"{self._chance('arn', refund['id']) % 10**23:023d}",
            "reference_status": "available",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        }
        return {
            "balance_transaction": transaction["id"],
            "destination_details": {"card": card, "type": "card"},
            "status": "succeeded",
        }

    def _tell_refund(self, refund: str, fields: StripeObject, *also: str) -> StripeObject:
        return self._change(self.refunds, refund, fields, "refund.updated", "charge.refund.updated", *also)

    def _count_refunds(self, charge: str, event_type: str) -> None:
        """Bring a charge's cumulative ``amount_refunded`` and its list of refunds up to date."""
        refunds = [self.refunds.get(object_id) for object_id in self.refunds.found("charge", charge)]
        refunds.reverse()
        refunded_minor = sum(r["amount"] for r in refunds if r["status"] in {"pending", "succeeded"})
        current = self.charges.get(charge)
        fields = {
            "amount_refunded": refunded_minor,
            "refunded": refunded_minor == current["amount_captured"],
            "refunds": {
                **current["refunds"],
                "data": refunds[:_SHOWN_REFUNDS],
                "has_more": len(refunds) > _SHOWN_REFUNDS,
            },
        }
        self._change(self.charges, charge, fields, event_type)
        self._review_warnings(charge)

    def _withdrawn(self, dispute: StripeObject) -> StripeObject:
        transaction = self._post(
            kind="adjustment",
            reporting_category="dispute",
            source=dispute["id"],
            amount_minor=-dispute["amount"],
            currency=dispute["currency"],
            description=f"Chargeback withdrawal for {dispute['charge']}",
            fee_minor=self._dispute_fee_minor,
            fee_description="Dispute fee",
        )
        return {"balance_transaction": transaction["id"], "balance_transactions": [transaction]}

    def _reinstated(self, dispute: StripeObject) -> StripeObject:
        return self._post(
            kind="adjustment",
            reporting_category="dispute_reversal",
            source=dispute["id"],
            amount_minor=dispute["amount"],
            currency=dispute["currency"],
            description=f"Chargeback reversal for {dispute['charge']}",
            fee_minor=-self._dispute_fee_minor if self._dispute_fee_returned else 0,
            fee_description="Dispute fee refund",
        )

    def _review_warnings(self, charge: str) -> None:
        """A warning can be acted on only while the charge is neither disputed nor given back."""
        paid = self.charges.get(charge)
        actionable = not (paid["disputed"] or paid["refunded"])
        for warning in self.early_fraud_warnings.found("charge", charge):
            if self.early_fraud_warnings.get(warning)["actionable"] != actionable:
                fields = {"actionable": actionable}
                event_type = "radar.early_fraud_warning.updated"
                self._change(self.early_fraud_warnings, warning, fields, event_type)
