"""What all translations of Stripe's objects share: the rules, the payment behind an object, and its rows.

Each kind of object has one pure function, without I/O or clock: ``(object, rules[, payment]) -> rows``. It
raises :class:`~payhealth.connectors.stripe.fields.UnfitError` where the object cannot be understood.
:mod:`streams` calls them and makes tables of the rows.

Source: https://docs.stripe.com/api
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from payhealth.connectors.stripe.fields import TEXT_CHARS_MAX, JsonObject, linked_id, part
from payhealth.domain.assets import normalise_hex
from payhealth.domain.record import Record
from payhealth.domain.records import Link, PaymentClaim, Rail

Row = dict[str, Any]
"""A record's fields without the connector: amounts in minor units, moments in unix seconds."""

Made = list[tuple[type[Record], Row]]
"""What one object becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says about translating.

    Args:
        connector: the connector's name.
        account_key: the metadata key of the business's account.
        reference_keys: metadata keys of the business's reference, the first that is set wins.
        client_reference_is: what ``client_reference_id`` of a checkout session holds.
        ip_keys: metadata keys of the customer's IP address, the first valid one wins.
        hash_key: what emails and IPs are hashed with; without one they are not kept at all.
        live: the only mode whose objects are read; None reads both.
        api_version: the version that objects were asked for in.
        kept_metadata: the metadata keys whose values may be kept as they are.
    """

    connector: str
    account_key: str
    reference_keys: tuple[str, ...]
    client_reference_is: Literal["account", "reference", "nothing"] = "account"
    ip_keys: tuple[str, ...] = ()
    hash_key: bytes | None = field(default=None, repr=False)
    live: bool | None = None
    api_version: str = ""

    kept_metadata: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept_metadata", (self.account_key, *self.reference_keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """What a refund or a dispute takes over from the charge it belongs to.

    Args:
        captured: whether the charge ever took money; releasing one that did not gives nothing back.
        in_part: whether it took less than was authorised; what was not taken is released as a refund.
    """

    payment_key: str
    account: str
    handle: str
    reference: str
    captured: bool
    in_part: bool = False


def account_of(found: JsonObject, rules: Rules) -> str:
    """Whose payment it is by metadata, empty where that does not say."""
    return normalised(part(found, "metadata").get(rules.account_key))


def reference_of(found: JsonObject, rules: Rules) -> str:
    """The business's own reference by metadata, empty where that does not say."""
    metadata = part(found, "metadata")
    for key in rules.reference_keys:
        reference = normalised(metadata.get(key))
        if reference:
            return reference
    return ""


def normalised(value: Any) -> str:
    """An account or reference in its one form, empty for what is none."""
    if type(value) is not str:
        return ""
    value = value[:TEXT_CHARS_MAX]
    # Most hold no hexadecimal, and the expression that looks for it costs more than all else here.
    return normalise_hex(value) if "0x" in value or "0X" in value else value.strip()


def links(payment_key: str, *aliases: str | None) -> Made:
    """Other ids of a payment; its own key needs no link to itself, and doubles are the table's affair."""
    return [
        (Link, {"alias": alias, "payment_key": payment_key})
        for alias in aliases
        if alias and alias != payment_key
    ]


def claims(object_id: str, account: str, payment_keys: list[str]) -> Made:
    """Whose some payments are, as an object beside them says; nothing where it does not say."""
    if not account:
        return []
    return [
        (PaymentClaim, {"payment_key": key, "object_id": object_id, "account": account})
        for key in payment_keys
    ]


def movement(
    *,
    movement_id: str,
    kind: str,
    status: str,
    account: str,
    handle: str,
    payment_key: str,
    reference: str,
    amount: int,
    money: tuple[str, int],
    at_s: int,
) -> Row:
    """The row of a movement by card.

    Args:
        amount: minor units, unsigned.
        money: the asset and the digits of its amounts.
        at_s: when it happened, unix seconds.
    """
    asset, digits = money
    return {
        "movement_id": movement_id,
        "rail": Rail.CARD,
        "kind": kind,
        "status": status,
        "account": account,
        "handle": handle,
        "payment_key": payment_key,
        "reference": reference,
        "amount": amount,
        "asset": asset,
        "symbol": asset,
        "effective_at": at_s,
        "digits": digits,
    }


def payment_values(found: JsonObject, rules: Rules, payment: Payment | None) -> Row:
    """What the movement of a refund or dispute takes over from its payment, or says itself.

    Args:
        payment: the charge it belongs to; None where Stripe does not have it any more.
    """
    if payment is None:
        return {
            "account": account_of(found, rules),
            "handle": linked_id(found, "customer") or "",
            "reference": reference_of(found, rules),
        }
    return {
        "account": payment.account,
        "handle": payment.handle,
        "reference": reference_of(found, rules) or payment.reference,
    }
