"""What each endpoint of the simulated API answers, without HTTP's own business.

Lists are newest first, by (created, order of making), which never changes; new objects shift the pages
as they do at Stripe.
Source: https://docs.stripe.com/api
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from payhealth.sandbox.stripe.errors import StripeRefusedError, missing
from payhealth.sandbox.stripe.queries import expanded, read_list, read_single, unknown_parameter
from payhealth.sandbox.stripe.reports import FILES_URL, REPORT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from payhealth.sandbox.stripe.access import Doors
    from payhealth.sandbox.stripe.account import StripeAccount
    from payhealth.sandbox.stripe.store import Collection, Query

RESOURCES: Final = {
    "balance_transactions": "balance_transaction",
    "charges": "charge",
    "checkout/sessions": "checkout.session",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "files": "file",
    "invoice_payments": "invoice_payment",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payouts": "payout",
    "radar/early_fraud_warnings": "radar.early_fraud_warning",
    "refunds": "refund",
    "reporting/report_runs": "reporting.report_run",
    "setup_intents": "setup_intent",
}
"""The lists that are served, by path under ``/v1/``, with the name of the object in them."""

_COLLECTIONS: Final = {"checkout/sessions": "checkout_sessions"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One admitted request: whose account it is for, and what it asks."""

    account: StripeAccount
    key: str
    parameters: list[tuple[str, str]]
    """Of the query, or of the form that was posted."""
    object_id: str
    base_url: str
    """The server's own address, without a slash at the end: where its files are."""
    asked: str
    """Method and path, for messages."""
    idempotency_key: str | None


def lister(path: str) -> Callable[[Call], bytes]:
    """What answers ``GET /v1/<path>``."""

    def answer(call: Call) -> bytes:
        account, collection = call.account, _collection(call, path)
        # Every delivery of the sandbox counts as one that succeeded.
        own = {"delivery_success"} if path == "events" else set()
        query, tree = read_list(
            call.parameters,
            filters=collection.filters | own,
            ranges=collection.ranges,
            by_types=path == "events",
        )
        if path == "events":
            query, undelivered = _events_query(query, account.oldest_event_s)
            if undelivered:
                return _list([], has_more=False, path=path)
        for cursor in ("starting_after", "ending_before"):
            object_id = getattr(query, cursor)
            if object_id is not None and not collection.is_cursor(object_id):
                raise missing(RESOURCES[path], object_id, param=cursor, status=400)
        if path == "balance_transactions" and not _is_reconciled(account, query):
            return _list([], has_more=False, path=path)
        page = collection.page(query, now_s=account.now_s)
        rows = [_addressed(expanded(row, tree, account.shown), path, call) for row in page.rows]
        return _list(rows, has_more=page.has_more, path=path)

    return answer


def getter(path: str) -> Callable[[Call], bytes]:
    """What answers ``GET /v1/<path>/<id>``."""

    def answer(call: Call) -> bytes:
        tree = read_single(call.parameters)
        if path == "reporting/report_runs":
            call.account.poll_report_run(call.object_id)
        body = _collection(call, path).shown(call.object_id)
        if body is None or (path == "events" and _expired(body, call.account)):
            raise missing(RESOURCES[path], call.object_id)
        return _addressed(expanded(body, tree, call.account.shown), path, call)

    return answer


def balance(call: Call) -> bytes:
    """What answers ``GET /v1/balance``."""
    read_single(call.parameters)
    return orjson.dumps(call.account.balance())


def account_object(call: Call) -> bytes:
    """What answers ``GET /v1/account``."""
    read_single(call.parameters)
    return orjson.dumps(call.account.account())


def account_by_id(doors: Doors) -> Callable[[Call], bytes]:
    """What answers ``GET /v1/accounts/<id>``, of the account itself or a connected one."""

    def answer(call: Call) -> bytes:
        read_single(call.parameters)
        return orjson.dumps(doors.account(call.account, call.key, call.object_id).account())

    return answer


def report_types(call: Call) -> bytes:
    """What answers ``GET /v1/reporting/report_types``."""
    read_single(call.parameters)
    rows = [orjson.dumps(call.account.report_type(name)) for name in REPORT_TYPES]
    return _list(rows, has_more=False, path="reporting/report_types")


def report_type(call: Call) -> bytes:
    """What answers ``GET /v1/reporting/report_types/<id>``."""
    read_single(call.parameters)
    return orjson.dumps(call.account.report_type(call.object_id))


def file_contents(call: Call) -> list[bytes]:
    """What answers ``GET /v1/files/<id>/contents``: the file in chunks."""
    read_single(call.parameters)
    if call.account.files.shown(call.object_id) is None:
        raise missing("file", call.object_id)
    return call.account.file_contents(call.object_id)


def create_report_run(call: Call) -> bytes:
    """What answers ``POST /v1/reporting/report_runs``, the one request that makes something."""
    report_type = ""
    parameters: dict[str, Any] = {}
    for name, value in call.parameters:
        inner, _, place = name.removeprefix("parameters[").removesuffix("]").partition("][")
        if name == "report_type":
            report_type = value
        elif not name.startswith("parameters["):
            raise unknown_parameter(name)
        elif inner == "columns":
            parameters.setdefault("columns", []).append(value)
        elif place:
            raise unknown_parameter(name)
        else:
            parameters[inner] = _unix_s(name, value) if inner.startswith("interval_") else value
    if not report_type:
        raise StripeRefusedError(
            "Missing required param: report_type.", code="parameter_missing", param="report_type"
        )
    run = call.account.create_report_run(report_type, parameters, idempotency_key=call.idempotency_key)
    return orjson.dumps(run)


def refuse_refund(call: Call) -> bytes:
    """What answers ``POST /v1/refunds``: the refusals of Stripe, and never a refund.

    Raises:
        StripeRefusedError: always.
    """
    given = dict(call.parameters)
    for name, kind in (("charge", "charge"), ("payment_intent", "payment_intent")):
        if name in given:
            if call.account.shown(given[name]) is None:
                raise missing(kind, given[name], param=name)
            raise StripeRefusedError("The sandbox creates nothing over HTTP.", param=name)
    raise StripeRefusedError(
        "One of the following params should be provided for this request: payment_intent or charge.",
        code="parameter_missing",
    )


def unknown_url(call: Call) -> bytes:
    """What answers everything that is not served.

    Raises:
        StripeRefusedError: always.
    """
    raise StripeRefusedError(
        f"Unrecognized request URL ({call.asked}). If you are trying to list objects, remove the trailing "
        "slash. If you are trying to retrieve an object, make sure you passed a valid (non-empty) "
        "identifier in your code.",
        status=404,
    )


def _unix_s(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 12):
        raise StripeRefusedError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def _events_query(query: Query, oldest_s: int) -> tuple[Query, bool]:
    """The query without what no event has, and whether it asks for those that were not delivered."""
    delivered = query.wanted.get("delivery_success", frozenset())
    kept: Mapping[str, frozenset[str]] = {
        name: wanted for name, wanted in query.wanted.items() if name != "delivery_success"
    }
    from_s = max(oldest_s, query.created_from_s or 0)
    return replace(query, wanted=kept, created_from_s=from_s), "false" in delivered


def _is_reconciled(account: StripeAccount, query: Query) -> bool:
    """Whether the list behind ``payout`` (if it is asked for) can be read already.

    Raises:
        StripeRefusedError: there is no such payout, or it was made by hand.
    """
    for payout in query.wanted.get("payout", ()):
        body = account.payouts.shown(payout)
        if body is None:
            raise missing("payout", payout, param="payout")
        shown = orjson.loads(body)
        if not shown["automatic"]:
            raise StripeRefusedError(
                "Balance transaction history can only be filtered on automatic transfers, not manual.",
                param="payout",
            )
        if shown["reconciliation_status"] != "completed":
            return False
    return True


def _addressed(body: bytes, path: str, call: Call) -> bytes:
    """Files are served from here, whatever address Stripe's are at."""
    if path not in {"files", "reporting/report_runs", "events"}:
        return body
    return body.replace(FILES_URL.encode(), call.base_url.encode())


def _expired(event: bytes, account: StripeAccount) -> bool:
    return bool(orjson.loads(event)["created"] < account.oldest_event_s)


def _collection(call: Call, path: str) -> Collection:
    name = _COLLECTIONS.get(path, path.rpartition("/")[2])
    collection: Collection = getattr(call.account, name)
    return collection


def _list(rows: list[bytes], *, has_more: bool, path: str) -> bytes:
    # Joined rather than serialised: the rows are JSON already.
    tail = b'],"has_more":%s,"url":"/v1/%s"}' % (b"true" if has_more else b"false", path.encode())
    return b'{"object":"list","data":[' + b",".join(rows) + tail
