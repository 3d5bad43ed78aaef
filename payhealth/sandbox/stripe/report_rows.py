"""The rows of Stripe's CSV reports: which columns there are, and what stands in them.

Amounts are in major units: as many decimals as the API's unit has, none for yen.
Source: https://docs.stripe.com/reports/report-types/balance and …/payout-reconciliation
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from payhealth.sandbox.interfaces import StripeObject

_NO_DECIMALS: Final = frozenset(
    {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
)
_THREE_DECIMALS: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_ROWS_A_CHUNK: Final = 500


@dataclass(frozen=True, kw_only=True)
class Line:
    """One balance transaction and what belongs to it; what there is not is an empty object."""

    transaction: StripeObject
    source: StripeObject
    charge: StripeObject
    intent: StripeObject
    customer: StripeObject
    payout: StripeObject
    """The automatic payout that the transaction is in."""
    invoice: str
    zone: tzinfo


def major(amount_minor: int, currency: str) -> str:
    """An amount of the API in major units, exact: 1050 of ``usd`` is 10.50, of ``jpy`` 1050."""
    decimals = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    digits = str(abs(amount_minor)).rjust(decimals + 1, "0")
    whole = digits[: len(digits) - decimals]
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{digits[-decimals:]}" if decimals else f"{sign}{whole}"


def _at(at_s: int | None, zone: tzinfo = UTC) -> str:
    return "" if at_s is None else datetime.fromtimestamp(at_s, zone).strftime("%Y-%m-%d %H:%M:%S")


def _money(name: str) -> Callable[[Line], str]:
    return lambda line: major(line.transaction[name], line.transaction["currency"])


def _facing_amount(line: Line) -> str:
    """What the customer saw, in their own currency, with the sign of the movement."""
    if line.source.get("object") not in {"charge", "refund", "dispute"}:
        return ""
    sign = -1 if line.transaction["amount"] < 0 else 1
    of_charge = line.source["object"] == "charge"
    amount_minor: int = line.source["amount_captured" if of_charge else "amount"]
    return major(sign * amount_minor, line.source["currency"])


def _facing_currency(line: Line) -> str:
    return line.source["currency"] if _facing_amount(line) else ""


def _card(line: Line) -> Mapping[str, Any]:
    card: Mapping[str, Any] = (line.charge.get("payment_method_details") or {}).get("card") or {}
    return card


_COLUMNS: Final[Mapping[str, Callable[[Line], Any]]] = {
    "automatic_payout_effective_at": lambda line: _at(line.payout.get("arrival_date"), line.zone),
    "automatic_payout_effective_at_utc": lambda line: _at(line.payout.get("arrival_date")),
    "automatic_payout_id": lambda line: line.payout.get("id"),
    "available_on": lambda line: _at(line.transaction["available_on"], line.zone),
    "available_on_utc": lambda line: _at(line.transaction["available_on"]),
    "balance_transaction_id": lambda line: line.transaction["id"],
    "card_brand": lambda line: _card(line).get("brand"),
    "card_country": lambda line: _card(line).get("country"),
    "card_funding": lambda line: _card(line).get("funding"),
    "charge_created": lambda line: _at(line.charge.get("created"), line.zone),
    "charge_created_utc": lambda line: _at(line.charge.get("created")),
    "charge_id": lambda line: line.charge.get("id"),
    "created": lambda line: _at(line.transaction["created"], line.zone),
    "created_utc": lambda line: _at(line.transaction["created"]),
    "currency": lambda line: line.transaction["currency"],
    "customer_email": lambda line: line.customer.get("email"),
    "customer_facing_amount": _facing_amount,
    "customer_facing_currency": _facing_currency,
    "customer_id": lambda line: line.customer.get("id"),
    "description": lambda line: line.transaction["description"],
    "dispute_reason": lambda line: line.source.get("reason") if "evidence" in line.source else None,
    "fee": _money("fee"),
    "gross": _money("amount"),
    "invoice_id": lambda line: line.invoice,
    "net": _money("net"),
    "payment_intent_id": lambda line: line.intent.get("id"),
    "payment_method_type": lambda line: (line.charge.get("payment_method_details") or {}).get("type"),
    "reporting_category": lambda line: line.transaction["reporting_category"],
    "source_id": lambda line: line.transaction["source"],
    "statement_descriptor": lambda line: line.charge.get("statement_descriptor"),
}
_ALWAYS_EMPTY: Final = frozenset(
    {
        *("connected_account", "connected_account_name", "customer_description", "customer_name"),
        *("invoice_number", "is_link", "order_id", "regulatory_tag", "subscription_id", "trace_id"),
        *(
            f"{whose}_address_{part}"
            for whose in ("card", "customer", "customer_shipping", "shipping")
            for part in ("city", "country", "line1", "line2", "postal_code", "state")
        ),
    }
)
"""Columns that Stripe documents and that nothing in the sandbox fills."""


def value_of(column: str) -> Callable[[Line], Any] | None:
    """What stands in a column, such as ``net`` or ``payment_metadata[order]``; None: no such column."""
    found = _COLUMNS.get(column)
    if found is not None:
        return found
    if column in _ALWAYS_EMPTY:
        return lambda _: None
    kind, bracket, key = column.removesuffix("]").partition("[")
    if not bracket or not column.endswith("]"):
        return None
    if kind == "payment_metadata":
        return lambda line: ((line.intent or line.charge).get("metadata") or {}).get(key)
    if kind == "refund_metadata":
        return lambda line: (
            line.source["metadata"].get(key) if line.source.get("object") == "refund" else None
        )
    return None


def csv_chunks(columns: Sequence[str], lines: Iterable[Line]) -> Iterator[bytes]:
    """The report's CSV, header first, in chunks of some hundred rows.

    Args:
        columns: names that ``value_of`` knows.
        lines: one a row.
    """
    values = [value for value in map(value_of, columns) if value is not None]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for number, line in enumerate(lines, start=1):
        writer.writerow([value(line) for value in values])
        if number % _ROWS_A_CHUNK == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()
