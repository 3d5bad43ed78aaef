"""What a Stripe account's own objects say must be known about it: plain dicts in, plain facts out.

Written from the text alone (see the README beside this file); it shares no code with the connector.
Amounts leave it as exact decimals of major units, moments as unix seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Raw = dict[str, Any]

LISTS = (
    *("charges", "refunds", "disputes", "payment_intents", "setup_intents", "early_fraud_warnings"),
    *("checkout_sessions", "invoices", "invoice_payments", "payouts", "balance_transactions"),
)
"""The account's collections by their name in memory; one that the sandbox lacks is empty."""

_NO_DECIMALS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905
)
_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


def major(minor: int, currency: str) -> Decimal:
    """An integer of minor units in major ones; ISK and UGX have two digits at Stripe like most."""
    digits = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    return Decimal(minor).scaleb(-digits)


def id_of(value: Any) -> str | None:
    """The id that a link field holds, whether the object was put in its place or not."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One movement that must count.

    Args:
        movement_id: fixed by the text for charges and refunds, None where it is not.
        payment: the payment's name inside the auditor (its intent, else its charge).
        seconds: the moments at which it may be said to have happened.
    """

    kind: str
    movement_id: str | None
    payment: str
    amount: Decimal
    asset: str
    account: str
    seconds: frozenset[int]


@dataclass(kw_only=True)
class Facts:
    """An account's objects by list and id, and what follows from them."""

    lists: dict[str, dict[str, Raw]]
    account_key: str
    payment_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Any id of Stripe's that belongs to payments -> those payments."""

    @property
    def every_id(self) -> set[str]:
        """Every id of every list."""
        return {object_id for rows in self.lists.values() for object_id in rows}


def facts_of(account: Any, *, account_key: str = "account_id") -> Facts:
    """Read an account in memory as it stands now.

    Args:
        account: an object with the collections of ``LISTS``, each with ``since(None)``.
        account_key: the metadata key that names the business's account.
    """
    lists = {name: _rows(getattr(account, name, None)) for name in LISTS}
    facts = Facts(lists=lists, account_key=account_key)
    _link(facts)
    return facts


def _rows(collection: Any) -> dict[str, Raw]:
    return {} if collection is None else {row["id"]: row for row in collection.since(None)}


def _link(facts: Facts) -> None:
    """Every id that is Stripe's own is gathered under the payment it belongs to."""
    names = facts.payment_of
    for intent in facts.lists["payment_intents"]:
        names[intent].add(intent)
    for charge in facts.lists["charges"].values():
        names[charge["id"]].add(id_of(charge["payment_intent"]) or charge["id"])
    for undoing in ("refunds", "disputes"):
        for row in facts.lists[undoing].values():
            names[row["id"]] |= _payments_behind(facts, row)
    for invoice in facts.lists["invoices"].values():
        names[invoice["id"]] |= invoice_payments(facts, invoice)
    for session in facts.lists["checkout_sessions"].values():
        names[session["id"]] |= _session_payments(facts, session)


def _payments_behind(facts: Facts, row: Raw) -> set[str]:
    charge, intent = id_of(row.get("charge")), id_of(row.get("payment_intent"))
    if charge is not None and charge in facts.payment_of:
        return set(facts.payment_of[charge])
    return {name for name in (intent or charge,) if name}


def invoice_payments(facts: Facts, invoice: Raw) -> set[str]:
    """The payments that an invoice names: its list of payments, or the single one of older versions."""
    found = {id_of(invoice.get("payment_intent")), id_of(invoice.get("charge"))}
    for line in facts.lists["invoice_payments"].values():
        paid = line["payment"] if line["invoice"] == invoice["id"] else {}
        found |= {id_of(paid.get("payment_intent")), id_of(paid.get("charge"))}
    return {name for one in found if one for name in facts.payment_of.get(one) or {one}}


def _session_payments(facts: Facts, session: Raw) -> set[str]:
    intent, invoice = id_of(session.get("payment_intent")), id_of(session.get("invoice"))
    if intent:
        return {intent}
    return set(facts.payment_of.get(invoice, ())) if invoice else set()


def expected_movements(facts: Facts) -> Iterator[Expected]:
    """Everything that must count, from the text of 5.1."""
    for charge in facts.lists["charges"].values():
        yield from _of_charge(facts, charge)
    for refund in facts.lists["refunds"].values():
        yield from _of_refund(facts, refund)
    for dispute in facts.lists["disputes"].values():
        yield from _of_dispute(facts, dispute)


def owner(facts: Facts, row: Raw | None) -> str:
    """Whose an object is by its metadata; empty where it does not say."""
    return str(((row or {}).get("metadata") or {}).get(facts.account_key) or "")


def _of_charge(facts: Facts, charge: Raw) -> Iterator[Expected]:
    """The text: "a charge by ``amount_captured`` once succeeded"."""
    if charge["status"] != "succeeded" or not charge["captured"] or charge["amount_captured"] == 0:
        return
    yield Expected(
        kind="charge",
        movement_id=charge["id"],
        payment=_only(facts, charge["id"]),
        amount=major(charge["amount_captured"], charge["currency"]),
        asset=charge["currency"].upper(),
        account=owner(facts, charge),
        seconds=frozenset({charge["created"], *_booked_s(facts, charge)}),
    )


def _of_refund(facts: Facts, refund: Raw) -> Iterator[Expected]:
    """The text: "a refund once succeeded (a failed one is ``refund_reversal``)"."""
    charge = facts.lists["charges"].get(id_of(refund.get("charge")) or "")
    if _is_release(facts, refund, charge):
        return
    moved = id_of(refund.get("balance_transaction"))
    if refund["status"] != "succeeded" and moved is None:
        return
    common: dict[str, Any] = {
        "payment": _only(facts, refund["id"]),
        "amount": major(refund["amount"], refund["currency"]),
        "asset": refund["currency"].upper(),
        "account": owner(facts, charge),
    }
    seconds = frozenset({refund["created"], *_booked_s(facts, refund)})
    yield Expected(kind="refund", movement_id=refund["id"], seconds=seconds, **common)
    back = id_of(refund.get("failure_balance_transaction"))
    if back is not None:
        seconds = frozenset({facts.lists["balance_transactions"][back]["created"]})
        yield Expected(kind="refund_reversal", movement_id=None, seconds=seconds, **common)


def _is_release(facts: Facts, refund: Raw, charge: Raw | None) -> bool:
    """Whether it lets go of what was only held, or its booking may still turn out to say so."""
    if charge is not None and not charge["captured"]:
        return True
    booked = facts.lists["balance_transactions"].get(id_of(refund.get("balance_transaction")) or "")
    if booked is not None:
        return bool(booked["reporting_category"] == "partial_capture_reversal")
    in_part = charge is not None and charge["amount_captured"] < charge["amount"]
    return in_part or refund.get("reason") == "expired_uncaptured_charge"


def _of_dispute(facts: Facts, dispute: Raw) -> Iterator[Expected]:
    """The text: "when funds are withdrawn, an inquiry never, reinstated funds are ``dispute_reversal``"."""
    charge = facts.lists["charges"].get(id_of(dispute.get("charge")) or "")
    for line in dispute["balance_transactions"]:
        amount = dispute_amount(dispute, line)
        if amount:
            yield Expected(
                kind="dispute" if amount < 0 else "dispute_reversal",
                movement_id=None,
                payment=_only(facts, dispute["id"]),
                amount=abs(amount),
                asset=dispute["currency"].upper(),
                account=owner(facts, charge),
                seconds=frozenset({line["created"]}),
            )


def dispute_amount(dispute: Raw, line: Raw) -> Decimal:
    """A booking of a dispute, signed, in the currency of the payment.

    In another currency than the account's a dispute's bookings do not say how much of the payment they
    are; with one booking a direction it is the dispute's whole amount.
    """
    if line["currency"] == dispute["currency"]:
        return major(line["amount"], line["currency"])
    alike = [each for each in dispute["balance_transactions"] if each["amount"] * line["amount"] > 0]
    if len(alike) > 1:
        raise ValueError(f"the text does not say what each booking of {dispute['id']} comes to")
    sign = (line["amount"] > 0) - (line["amount"] < 0)
    return sign * major(dispute["amount"], dispute["currency"])


def _booked_s(facts: Facts, row: Raw) -> set[int]:
    booked = facts.lists["balance_transactions"].get(id_of(row.get("balance_transaction")) or "")
    return {booked["created"]} if booked else set()


def _only(facts: Facts, object_id: str) -> str:
    (payment,) = facts.payment_of[object_id]
    return payment


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What an object beside a payment says about whose it is."""

    payment: str
    object_id: str
    account: str


def expected_claims(facts: Facts) -> set[Claim]:
    """Sessions and invoices that name an account: metadata first, then ``client_reference_id``."""
    found = set()
    for name in ("checkout_sessions", "invoices"):
        for row in facts.lists[name].values():
            account = owner(facts, row) or str(row.get("client_reference_id") or "")
            for payment in facts.payment_of[row["id"]] if account else ():
                found.add(Claim(payment=payment, object_id=row["id"], account=account))
    return found
