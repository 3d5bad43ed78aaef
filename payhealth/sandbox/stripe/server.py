"""The simulated account over HTTP, in the shape of Stripe's API: lists, single objects, refusals.

Only reading: whatever happens to the account happens in process. The lists are newest first, by
(created, order of making), which never changes; new objects shift the pages as they do at Stripe.
Source: https://docs.stripe.com/api and https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import math
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from payhealth.sandbox.stripe.errors import StripeRefusedError, missing, rate_limited, unauthenticated
from payhealth.sandbox.stripe.ids import Ids
from payhealth.sandbox.stripe.queries import expanded, read_list, read_single

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from payhealth.sandbox.stripe.account import StripeAccount
    from payhealth.sandbox.stripe.store import Collection

    Handler = Callable[[Request], Awaitable[Response]]
    Intercept = Callable[[Request], Response | None]

RESOURCES: Final = {
    "balance_transactions": "balance_transaction",
    "charges": "charge",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "payment_intents": "payment_intent",
    "payouts": "payout",
    "radar/early_fraud_warnings": "radar.early_fraud_warning",
    "refunds": "refund",
    "setup_intents": "setup_intent",
}
"""The lists that are served, by path under ``/v1/``, with the name of the object in them."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def build_app(
    account: StripeAccount,
    *,
    rate_limit_per_s: float | None = 25,
    rate_burst: float | None = None,
    page_delay_s: float = 0.0,
    intercept: Intercept | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Starlette:
    """The HTTP application that shows an account.

    Args:
        account: what is shown; it may change meanwhile.
        rate_limit_per_s: requests a second that each endpoint answers, None for no limit.
        rate_burst: how many it answers at once after a rest; one second's worth by default.
        page_delay_s: how long each answer is held back.
        intercept: sees each authenticated request first; a response it returns is sent instead (to
            simulate outages, broken bodies, unknown objects).
        monotonic: the clock of the rate limit, in seconds.

    Returns:
        The app; ``app.state.requests`` counts the requests by endpoint, ``app.state.refused`` those
        answered 429.
    """
    service = _Service(
        account=account,
        buckets=_Buckets(rate_limit_per_s, rate_burst, monotonic),
        page_delay_s=page_delay_s,
        intercept=intercept,
        requests=Counter(),
        refused=Counter(),
        request_ids=Ids(account.seed),
    )
    routes = [
        Route("/v1/balance", service.endpoint("balance", service.balance), methods=["GET"]),
        Route("/v1/account", service.endpoint("account", service.account_object), methods=["GET"]),
    ]
    for path in RESOURCES:
        routes += [
            Route(f"/v1/{path}", service.endpoint(path, service.lister(path)), methods=["GET"]),
            Route(
                f"/v1/{path}/{{id}}", service.endpoint(f"{path}/id", service.getter(path)), methods=["GET"]
            ),
        ]
    nowhere = service.endpoint("unknown", _unknown_url)
    routes.append(Route("/{path:path}", nowhere, methods=list(_METHODS)))
    app = Starlette(routes=routes)
    app.state.requests = service.requests
    app.state.refused = service.refused
    return app


class _Buckets:
    """One token bucket an endpoint: so many requests a second, and a burst after a rest."""

    def __init__(self, per_s: float | None, burst: float | None, monotonic: Callable[[], float]) -> None:
        if per_s is not None and per_s <= 0:
            raise ValueError("a rate limit is above 0 requests a second")
        self._per_s = per_s
        self._burst = max(1.0, burst if burst is not None else per_s or 1.0)
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, endpoint: str) -> float:
        """Take a token: 0 when there was one, otherwise the seconds until there is one again."""
        if self._per_s is None:
            return 0.0
        now = self._monotonic()
        tokens, since = self._left.get(endpoint, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_s)
        if tokens >= 1:
            self._left[endpoint] = (tokens - 1, now)
            return 0.0
        self._left[endpoint] = (tokens, now)
        return (1 - tokens) / self._per_s


@dataclass(frozen=True, kw_only=True)
class _Service:
    account: StripeAccount
    buckets: _Buckets
    page_delay_s: float
    intercept: Intercept | None
    requests: Counter[str]
    refused: Counter[str]
    request_ids: Ids

    def endpoint(self, name: str, answer: Callable[[Request], bytes]) -> Handler:
        """Wrap what answers an endpoint in what all of them share; ``name`` is its rate limit's."""

        async def handle(request: Request) -> Response:
            self.requests[name] += 1
            headers = {
                "Request-Id": self.request_ids.new("req"),
                "Stripe-Version": request.headers.get("stripe-version", self.account.api_version),
            }
            try:
                self._admit(request, name, headers)
                if self.page_delay_s > 0:
                    await asyncio.sleep(self.page_delay_s)
                instead = self.intercept(request) if self.intercept is not None else None
                if instead is not None:
                    return instead
                return _json(answer(request), 200, headers)
            except StripeRefusedError as error:
                body = error.as_json()
                body["error"]["request_log_url"] = (
                    f"https://dashboard.stripe.com/logs/{headers['Request-Id']}"
                )
                return _json(orjson.dumps(body), error.status, headers)

        return handle

    def _admit(self, request: Request, name: str, headers: dict[str, str]) -> None:
        _authenticate(request.headers.get("authorization"), self.account.api_key)
        wait_s = self.buckets.wait_s(name)
        if wait_s > 0:
            self.refused[name] += 1
            headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
            headers["Stripe-Rate-Limited-Reason"] = "endpoint-rate"
            raise rate_limited()

    def lister(self, path: str) -> Callable[[Request], bytes]:
        """What answers ``GET /v1/<path>``."""
        collection = self._collection(path)
        # Every delivery of the sandbox counts as one that succeeded.
        extra = {"delivery_success"} if path == "events" else set()
        filters = collection.filters | extra

        def answer(request: Request) -> bytes:
            query, tree = read_list(request.query_params.multi_items(), filters=filters)
            delivered = query.wanted.get("delivery_success", frozenset())
            if "delivery_success" in query.wanted:
                kept = {name: want for name, want in query.wanted.items() if name != "delivery_success"}
                query = replace(query, wanted=kept)
            if "false" in delivered:
                return _list([], has_more=False, path=path)
            with self.account.lock:
                if path == "events":
                    oldest_s = max(self.account.oldest_event_s, query.created_from_s or 0)
                    query = replace(query, created_from_s=oldest_s)
                for cursor in ("starting_after", "ending_before"):
                    object_id = getattr(query, cursor)
                    if object_id is not None and object_id not in collection:
                        raise missing(RESOURCES[path], object_id, param=cursor, status=400)
                page = collection.page(query)
                rows = [expanded(row, tree, self.account.body) for row in page.rows]
            return _list(rows, has_more=page.has_more, path=path)

        return answer

    def getter(self, path: str) -> Callable[[Request], bytes]:
        """What answers ``GET /v1/<path>/<id>``."""
        collection = self._collection(path)

        def answer(request: Request) -> bytes:
            tree = read_single(request.query_params.multi_items())
            object_id = request.path_params["id"]
            with self.account.lock:
                body = collection.body(object_id)
                if body is None or (path == "events" and self._expired(body)):
                    raise missing(RESOURCES[path], object_id)
                return expanded(body, tree, self.account.body)

        return answer

    def balance(self, request: Request) -> bytes:
        """What answers ``GET /v1/balance``."""
        read_single(request.query_params.multi_items())
        return orjson.dumps(self.account.balance())

    def account_object(self, request: Request) -> bytes:
        """What answers ``GET /v1/account``."""
        read_single(request.query_params.multi_items())
        return orjson.dumps(self.account.account())

    def _expired(self, event: bytes) -> bool:
        return bool(orjson.loads(event)["created"] < self.account.oldest_event_s)

    def _collection(self, path: str) -> Collection:
        collection: Collection = getattr(self.account, path.rpartition("/")[2])
        return collection


def _unknown_url(request: Request) -> bytes:
    raise StripeRefusedError(
        f"Unrecognized request URL ({request.method}: {request.url.path}). If you are trying to list "
        "objects, remove the trailing slash. If you are trying to retrieve an object, make sure you "
        "passed a valid (non-empty) identifier in your code.",
        status=404,
    )


def _list(rows: list[bytes], *, has_more: bool, path: str) -> bytes:
    # Joined rather than serialised: the rows are JSON already.
    tail = b'],"has_more":%s,"url":"/v1/%s"}' % (b"true" if has_more else b"false", path.encode())
    return b'{"object":"list","data":[' + b",".join(rows) + tail


def _json(body: bytes, status: int, headers: dict[str, str]) -> Response:
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _authenticate(header: str | None, api_key: str) -> None:
    given = _key_of(header)
    if not given:
        raise unauthenticated(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    if not hmac.compare_digest(given.encode(), api_key.encode()):
        shown = f"{given[:8]}{'*' * 8}{given[-4:]}" if len(given) > 16 else "*" * len(given)
        raise unauthenticated(f"Invalid API Key provided: {shown}")


def _key_of(header: str | None) -> str:
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
