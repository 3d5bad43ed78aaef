"""The simulated account over HTTP, in the shape of Stripe's API: lists, single objects, refusals.

Only reading, but for report runs: whatever else happens to the account happens in process. Answers carry
a ``Date`` by the account's clock, so serve the app without the server's own (``LoopbackServer`` does).
Source: https://docs.stripe.com/api and https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from payhealth.sandbox.stripe import answers
from payhealth.sandbox.stripe.access import Doors
from payhealth.sandbox.stripe.answers import RESOURCES, Call
from payhealth.sandbox.stripe.errors import StripeRefusedError, rate_limited
from payhealth.sandbox.stripe.ids import Ids
from payhealth.sandbox.stripe.limits import Buckets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request

    from payhealth.sandbox.stripe.account import StripeAccount

    Handler = Callable[[Request], Awaitable[Response]]
    Intercept = Callable[[Request], Response | None]
    Answer = Callable[[Call], bytes | list[bytes]]

__all__ = ["RESOURCES", "build_app"]

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def build_app(
    account: StripeAccount,
    *,
    rate_limit_per_s: float | None = 25,
    rate_burst: float | None = None,
    page_delay_s: float = 0.0,
    intercept: Intercept | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    now_s: Callable[[], int] | None = None,
    other_mode: StripeAccount | None = None,
    connected: Iterable[StripeAccount] = (),
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
        now_s: the clock of the ``Date`` header in unix seconds; the account's own by default. A moment
            before the account's is never told.
        other_mode: the same account in the other mode: its own keys open it, and it alone. Without it
            keys of the other mode are unknown (401).
        connected: accounts that the ``Stripe-Account`` header leads to, each in its own mode.

    Returns:
        The app; ``app.state.requests`` counts the requests by endpoint, ``app.state.refused`` those
        answered 429.
    """
    homes = (account,) if other_mode is None else (account, other_mode)
    service = _Service(
        doors=Doors(homes, connected),
        home=account,
        buckets=Buckets(rate_limit_per_s, rate_burst, monotonic),
        page_delay_s=page_delay_s,
        intercept=intercept,
        now_s=now_s,
        requests=Counter(),
        refused=Counter(),
        request_ids=Ids(account.seed),
    )
    app = Starlette(routes=_routes(service))
    app.state.requests = service.requests
    app.state.refused = service.refused
    return app


def _routes(service: _Service) -> list[Route]:
    def get(path: str, resource: str, answer: Answer, name: str | None = None) -> Route:
        return Route(f"/v1/{path}", service.endpoint(name or path, resource, answer), methods=["GET"])

    def post(path: str, answer: Answer) -> Route:
        return Route(f"/v1/{path}", service.endpoint(path, path, answer, write=True), methods=["POST"])

    types = "reporting/report_types"
    routes = [
        get("balance", "balance", answers.balance),
        get("account", "account", answers.account_object),
        get("accounts/{id}", "accounts", answers.account_by_id(service.doors), "accounts/id"),
        get(types, types, answers.report_types),
        get(f"{types}/{{id}}", types, answers.report_type, f"{types}/id"),
        get("files/{id}/contents", "files", answers.file_contents, "files/id/contents"),
        post("reporting/report_runs", answers.create_report_run),
        post("refunds", answers.refuse_refund),
    ]
    for path in RESOURCES:
        routes.append(get(path, path, answers.lister(path)))
        routes.append(get(f"{path}/{{id}}", path, answers.getter(path), f"{path}/id"))
    nowhere = service.endpoint("unknown", "", answers.unknown_url)
    routes.append(Route("/{path:path}", nowhere, methods=list(_METHODS)))
    return routes


@dataclass(frozen=True, kw_only=True)
class _Service:
    doors: Doors
    home: StripeAccount
    buckets: Buckets
    page_delay_s: float
    intercept: Intercept | None
    now_s: Callable[[], int] | None
    requests: Counter[str]
    refused: Counter[str]
    request_ids: Ids

    def endpoint(self, name: str, resource: str, answer: Answer, *, write: bool = False) -> Handler:
        """Wrap what answers an endpoint in what all of them share.

        Args:
            name: the rate limit's and the counters'.
            resource: what a restricted key needs a permission for.
            answer: what to answer.
            write: whether the key must be one that may write.
        """

        async def handle(request: Request) -> Response:
            self.requests[name] += 1
            headers = {
                "Request-Id": self.request_ids.new("req"),
                "Stripe-Version": request.headers.get("stripe-version", self.home.api_version),
            }
            account = self.home
            try:
                account, key = self.doors.enter(
                    request.headers.get("authorization"), request.headers.get("stripe-account")
                )
                self.doors.check(key, account, resource, write=write)
                self._admit(name, headers)
                if self.page_delay_s > 0:
                    await asyncio.sleep(self.page_delay_s)
                instead = self.intercept(request) if self.intercept is not None else None
                if instead is not None:
                    instead.headers.setdefault("Date", self._date(account))
                    return instead
                call = await _call(request, account, key)
                # One hold for both: what is in the answer is never younger than its date.
                with account.lock:
                    body = answer(call)
                    headers["Date"] = self._date(account)
                return _response(body, 200, headers)
            except StripeRefusedError as error:
                body = _refusal(error, headers["Request-Id"])
                headers["Date"] = self._date(account)
                return _response(body, error.status, headers)

        return handle

    def _admit(self, name: str, headers: dict[str, str]) -> None:
        wait_s = self.buckets.wait_s(name)
        if wait_s > 0:
            self.refused[name] += 1
            headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
            headers["Stripe-Rate-Limited-Reason"] = "endpoint-rate"
            raise rate_limited()

    def _date(self, account: StripeAccount) -> str:
        injected_s = self.now_s() if self.now_s is not None else 0
        return formatdate(max(injected_s, account.now_s), usegmt=True)


async def _call(request: Request, account: StripeAccount, key: str) -> Call:
    parameters = request.query_params.multi_items()
    if request.method == "POST":
        parameters += parse_qsl((await request.body()).decode(), keep_blank_values=True)
    return Call(
        account=account,
        key=key,
        parameters=parameters,
        object_id=request.path_params.get("id", ""),
        base_url=str(request.base_url).rstrip("/"),
        asked=f"{request.method}: {request.url.path}",
        idempotency_key=request.headers.get("idempotency-key"),
    )


def _refusal(error: StripeRefusedError, request_id: str) -> bytes:
    body = error.as_json()
    body["error"]["request_log_url"] = f"https://dashboard.stripe.com/logs/{request_id}"
    return orjson.dumps(body)


def _response(body: bytes | list[bytes], status: int, headers: dict[str, str]) -> Response:
    if isinstance(body, list):
        return StreamingResponse(iter(body), status_code=status, headers=headers, media_type="text/csv")
    return Response(body, status_code=status, headers=headers, media_type="application/json")
