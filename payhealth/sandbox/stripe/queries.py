"""Reads what a list request asks for, refusing what Stripe refuses, and follows ``expand``.

Source: https://docs.stripe.com/api/pagination and https://docs.stripe.com/expand
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from payhealth.sandbox.stripe.errors import StripeRefusedError
from payhealth.sandbox.stripe.store import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Parameters = list[tuple[str, str]]

ExpandTree = dict[str, "ExpandTree"]

_LIMIT_MAX: Final = 100
_EXPAND_DEPTH_MAX: Final = 4
_TYPES_MAX: Final = 20
_TIME: Final = re.compile(r"([a-z_]+)(?:\[(gt|gte|lt|lte)\])?")
_LIST_ITEM: Final = re.compile(r"(expand|types)\[\d*\]")
_EXPANDABLE: Final = {
    "balance_transaction": {"source"},
    "checkout.session": {"customer", "invoice", "payment_intent", "payment_link", "setup_intent"}
    | {"subscription"},
    "charge": {"application", "application_fee", "balance_transaction", "customer", "invoice", "review"}
    | {"failure_balance_transaction", "on_behalf_of", "payment_intent", "refunds", "source_transfer"},
    "customer": {"default_source", "test_clock"},
    "dispute": {"charge", "payment_intent"},
    "invoice": {"customer", "default_payment_method", "default_source", "latest_revision", "payments"}
    | {"application", "on_behalf_of", "test_clock"},
    "invoice_payment": {"invoice"},
    "payment_intent": {"application", "customer", "invoice", "latest_charge", "on_behalf_of"}
    | {"payment_method", "review"},
    "payout": {"balance_transaction", "destination", "failure_balance_transaction", "original_payout"}
    | {"reversed_by"},
    "radar.early_fraud_warning": {"charge", "payment_intent"},
    "refund": {"balance_transaction", "charge", "customer", "failure_balance_transaction"}
    | {"payment_intent", "payment_method", "source_transfer_reversal", "transfer_reversal"},
    "setup_intent": {"application", "customer", "latest_attempt", "mandate", "on_behalf_of"}
    | {"payment_method", "single_use_mandate"},
}


def read_list(
    parameters: Parameters,
    *,
    filters: frozenset[str],
    ranges: frozenset[str] = frozenset(),
    by_types: bool = False,
) -> tuple[Query, ExpandTree]:
    """A list request's query, and what to expand inside ``data``.

    Args:
        parameters: names and values as they were sent.
        filters: the names that the endpoint takes a value of.
        ranges: the names with a time, besides ``created``, that it takes bounds of.
        by_types: whether it takes several event types at once.

    Raises:
        StripeRefusedError: a parameter that the endpoint does not know, or a value that it refuses.
    """
    plain: dict[str, str] = {}
    wanted: dict[str, frozenset[str]] = {}
    bounds: dict[str, list[tuple[str | None, int]]] = {}
    expand: list[str] = []
    types: set[str] = set()
    for name, value in parameters:
        item = _LIST_ITEM.fullmatch(name)
        time = _TIME.fullmatch(name)
        if item is not None and (item[1] == "expand" or by_types):
            (expand.append if item[1] == "expand" else types.add)(value)
        elif time is not None and time[1] in {"created", *ranges}:
            bounds.setdefault(time[1], []).append((time[2], _integer(name, value)))
        elif name in {"limit", "starting_after", "ending_before"}:
            plain[name] = value
        elif name in filters:
            wanted[name] = frozenset({value})
        else:
            raise unknown_parameter(name)
    if len(types) > _TYPES_MAX:
        raise StripeRefusedError("You may pass at most 20 event types.", param="types")
    if types:
        wanted["type"] = frozenset(types)
    return _query(plain, wanted, bounds), _tree(expand, under="data")


def unknown_parameter(name: str) -> StripeRefusedError:
    """A parameter that an endpoint does not know."""
    return StripeRefusedError(f"Received unknown parameter: {name}", code="parameter_unknown", param=name)


def read_single(parameters: Parameters) -> ExpandTree:
    """What to expand in a single object; any other parameter is refused."""
    for name, _ in parameters:
        item = _LIST_ITEM.fullmatch(name)
        if item is None or item[1] != "expand":
            raise unknown_parameter(name)
    return _tree([value for _, value in parameters], under=None)


def expanded(body: bytes, tree: ExpandTree, find: Callable[[str], bytes | None]) -> bytes:
    """An object's JSON with the ids that ``tree`` names replaced by their objects.

    Args:
        find: any object's JSON by its id, None when it is not known (the id then stays); it also
            answers ``in_…/payments``, the list of an invoice's payments.
    """
    if not tree:
        return body
    value: dict[str, Any] = orjson.loads(body)
    allowed = _EXPANDABLE.get(value["object"], set())
    for name, below in tree.items():
        if name not in allowed and not isinstance(value.get(name), (dict, list)):
            raise StripeRefusedError(f"This property cannot be expanded ({name}).", param="expand")
        if (value["object"], name) == ("invoice", "payments"):
            # No field of the plain invoice: the list is added only where it is asked for.
            payments = find(f"{value['id']}/payments")
            value[name] = None if payments is None else orjson.loads(payments)
        value[name] = _expanded_value(value.get(name), below, find)
    return orjson.dumps(value)


def _expanded_value(value: Any, tree: ExpandTree, find: Callable[[str], bytes | None]) -> Any:
    if isinstance(value, str):
        body = find(value)
        return value if body is None else orjson.Fragment(expanded(body, tree, find))
    if isinstance(value, list):
        return [_expanded_value(item, tree, find) for item in value]
    if isinstance(value, dict) and tree:
        if value.get("object") == "list":
            return value | {"data": _expanded_value(value["data"], tree.get("data", {}), find)}
        if "object" in value:
            return orjson.Fragment(expanded(orjson.dumps(value), tree, find))
        return value | {name: _expanded_value(value.get(name), below, find) for name, below in tree.items()}
    return value


def _query(
    plain: dict[str, str],
    wanted: dict[str, frozenset[str]],
    bounds: Mapping[str, list[tuple[str | None, int]]],
) -> Query:
    limit = _integer("limit", plain.get("limit", "10"))
    if not 1 <= limit <= _LIMIT_MAX:
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {_LIMIT_MAX}"
        raise StripeRefusedError(
            f"This value must be {bound} (it currently is '{limit}').",
            code="parameter_invalid_integer",
            param="limit",
        )
    if "starting_after" in plain and "ending_before" in plain:
        raise StripeRefusedError("You cannot parameterize both starting_after and ending_before.")
    between = {name: _range(found) for name, found in bounds.items()}
    low_s, high_s = between.pop("created", (None, None))
    return Query(
        limit=limit,
        created_from_s=low_s,
        created_to_s=high_s,
        wanted=wanted,
        between=between,
        starting_after=plain.get("starting_after"),
        ending_before=plain.get("ending_before"),
    )


def _range(bounds: Iterable[tuple[str | None, int]]) -> tuple[int | None, int | None]:
    lows: list[int] = []
    highs: list[int] = []
    for kind, value in bounds:
        if kind in {"gt", "gte", None}:
            lows.append(value + 1 if kind == "gt" else value)
        if kind in {"lt", "lte", None}:
            highs.append(value - 1 if kind == "lt" else value)
    return max(lows, default=None), min(highs, default=None)


def _integer(name: str, value: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,15}", value) is None:
        raise StripeRefusedError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def _tree(paths: Iterable[str], *, under: str | None) -> ExpandTree:
    """The paths as nested names; in a list every path starts with ``data``."""
    tree: ExpandTree = {}
    for path in paths:
        names = path.split(".")
        if len(names) > _EXPAND_DEPTH_MAX:
            raise StripeRefusedError(
                f"You cannot expand more than {_EXPAND_DEPTH_MAX} levels of a property ({path}).",
                param="expand",
            )
        if under is not None and (names[0] != under or len(names) == 1):
            raise StripeRefusedError(
                f"This property cannot be expanded ({path}). You may want to try expanding "
                f"'{under}.{path}' instead.",
                param="expand",
            )
        branch = tree
        for name in names[1:] if under is not None else names:
            branch = branch.setdefault(name, {})
    return tree
