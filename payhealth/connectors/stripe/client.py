"""Reading Stripe's lists and objects: raw JSON over httpx, inside limits, with bounded retries.

The vendor's package is not used for bulk pages: building its objects costs more than reading the wire.

Source: https://docs.stripe.com/api/pagination, https://docs.stripe.com/api/errors
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from payhealth.connectors.stripe.errors import from_status
from payhealth.connectors.stripe.limiter import RateLimiter
from payhealth.connectors.stripe.settings import API_VERSION, StripeSettings
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.secrets import Secret

PAGE_OBJECTS = 100
"""Stripe's largest page; its default is ten."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A page of a hundred charges is some 0.3 MB; more than fifty times that is no page of ours."""

_ANSWER_S_MAX_FACTOR = 4
_BACKOFF_S = 0.5
_BACKOFF_S_MAX = 8.0
_RETRY_AFTER_S_MAX = 60.0
_RETRIED_STATUS = frozenset({408, 409, 425, 429})

Params = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, newest first."""

    objects: list[Any]
    has_more: bool


class _TryAgainError(Exception):
    """One attempt failed in a way that another may mend."""

    def __init__(self, reason: str, retry_after_s: float | None = None, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.busy = busy


class _Bearer(httpx.Auth):
    """Puts the key on a request as it leaves, so that no client or header keeps it."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.reveal()}"
        yield request


class StripeClient:
    """The reading half of Stripe's API.

    Args:
        connector: the connector's name, for messages.
        transport: what carries requests, the network unless told otherwise.
        sleep: waits so many seconds.
        monotonic: a clock in seconds that never goes back.
        jitter: a number between 0 and 1, so that many readers do not come back at once.
    """

    def __init__(
        self,
        connector: str,
        settings: StripeSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connector = connector
        self._max_attempts = settings.max_attempts
        self._answer_s_max = settings.timeout_s * _ANSWER_S_MAX_FACTOR
        self._sleep, self._monotonic, self._jitter = sleep, monotonic, jitter
        self._limiter = RateLimiter(
            total_per_s=settings.rate_limit_per_s,
            endpoint_per_s=settings.per_endpoint_rate_limit_per_s,
            monotonic=monotonic,
            sleep=sleep,
        )
        self._http = httpx.Client(
            base_url=settings.api_base,
            auth=_Bearer(settings.api_key),
            headers={"Stripe-Version": API_VERSION, "Accept": "application/json"},
            timeout=settings.timeout_s,
            follow_redirects=False,
            transport=transport,
        )
        self.requests = 0
        """How many requests went out, repeated ones included."""

    @property
    def provider(self) -> str:
        """Who answers: the server's host name."""
        return self._http.base_url.host

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def pages(
        self, resource: str, *, created_from_s: int, created_to_s: int, expand: tuple[str, ...] = ()
    ) -> Iterator[Page]:
        """Every page of a list whose objects were created in ``[from, to)`` unix seconds.

        Raises:
            SourceError: a page could not be read.
        """
        after: str | None = None
        while True:
            params: dict[str, str | list[str]] = {
                "limit": str(PAGE_OBJECTS),
                "created[gte]": str(created_from_s),
                "created[lt]": str(created_to_s),
            }
            if after is not None:
                params["starting_after"] = after
            if expand:
                params["expand[]"] = [f"data.{name}" for name in expand]
            page = self._page(resource, params)
            yield page
            if not page.has_more:
                return
            after = self._next_cursor(resource, page, after)

    def first(self, resource: str) -> None:
        """Ask for one object of a list, to learn whether the key may.

        Raises:
            SourceError: it may not, or nobody answered.
        """
        self._page(resource, {"limit": "1"})

    def fetch(self, resource: str, object_id: str, *, expand: tuple[str, ...] = ()) -> Any | None:
        """One object by its id, None where there is none."""
        path = f"/v1/{resource}/{_path_part(object_id)}"
        return self._get(resource, path, {"expand[]": list(expand)} if expand else {}, missing_ok=True)

    def _page(self, resource: str, params: Params) -> Page:
        body = self._get(resource, f"/v1/{resource}", params)
        objects = body.get("data") if isinstance(body, dict) else None
        has_more = body.get("has_more") if isinstance(body, dict) else None
        if not isinstance(objects, list) or not isinstance(has_more, bool):
            raise SourceDataError(
                f"{self._connector}: the answer to {resource} is no list of Stripe's", hint="check api_base"
            )
        return Page(objects=objects, has_more=has_more)

    def _next_cursor(self, resource: str, page: Page, before: str | None) -> str:
        ids = [
            item["id"] for item in page.objects if isinstance(item, dict) and isinstance(item.get("id"), str)
        ]
        # A page that ends where it began would be asked for without end.
        if not ids or ids[-1] == before:
            raise SourceDataError(
                f"{self._connector}: the list of {resource} does not go on after {before!r}"
            )
        return str(ids[-1])

    def _get(self, endpoint: str, path: str, params: Params, *, missing_ok: bool = False) -> Any:
        for attempt in range(1, self._max_attempts + 1):
            self._limiter.wait(endpoint)
            try:
                return self._attempt(endpoint, path, params, missing_ok=missing_ok)
            except _TryAgainError as failure:
                if attempt == self._max_attempts:
                    raise SourceUnavailableError(
                        f"{self._connector}: {endpoint} of {self.provider}: {failure.reason}"
                        f" ({attempt} attempts)",
                        hint="the next pull goes on from here",
                    ) from failure
                self._back_off(endpoint, attempt, failure)
        raise AssertionError("max_attempts is at least 1")

    def _back_off(self, endpoint: str, attempt: int, failure: _TryAgainError) -> None:
        delay_s = min(_BACKOFF_S * 2 ** (attempt - 1), _BACKOFF_S_MAX) * (0.5 + self._jitter() / 2)
        if failure.retry_after_s is not None:
            # The server's word is a floor; the jitter comes on top, so that nobody comes too early.
            delay_s += min(failure.retry_after_s, _RETRY_AFTER_S_MAX)
        if failure.busy:
            self._limiter.hold(endpoint, delay_s)
        self._sleep(delay_s)

    def _attempt(self, endpoint: str, path: str, params: Params, *, missing_ok: bool) -> Any:
        self.requests += 1
        try:
            with self._http.stream("GET", path, params=params) as response:
                body = self._read(endpoint, response)
        except httpx.TimeoutException as error:
            raise _TryAgainError("no answer in time") from error
        except httpx.TransportError as error:
            raise _TryAgainError(f"the connection failed ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            # What is left are answers that cannot be decoded, such as a broken gzip stream.
            raise _TryAgainError(f"an answer that cannot be read ({type(error).__name__})") from error
        if response.status_code == 200:
            return _parsed(body)
        if response.status_code == 404 and missing_ok:
            return None
        self._refuse(endpoint, response, body)
        raise AssertionError("refuse always raises")

    def _read(self, endpoint: str, response: httpx.Response) -> bytes:
        """The body, bounded in size and in time: a server that drips must not hold a pull for ever."""
        deadline_s = self._monotonic() + self._answer_s_max
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise SourceDataError(
                    f"{self._connector}: the answer to {endpoint} is larger than {MAX_BODY_BYTES} bytes"
                )
            if self._monotonic() > deadline_s:
                raise _TryAgainError("the answer takes too long")
        return bytes(body)

    def _refuse(self, endpoint: str, response: httpx.Response, body: bytes) -> None:
        status = response.status_code
        should_retry = response.headers.get("stripe-should-retry")
        if should_retry != "false" and (status >= 500 or status in _RETRIED_STATUS or should_retry == "true"):
            raise _TryAgainError(f"it answered {status}", _retry_after_s(response), busy=status == 429)
        if status == 429 or status >= 500:
            raise SourceUnavailableError(
                f"{self._connector}: {endpoint} of {self.provider} answered {status}"
            )
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        raise from_status(status, answer, connector=self._connector, endpoint=endpoint)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        kind = "a web page" if body.lstrip()[:1] == b"<" else "broken JSON"
        raise _TryAgainError(f"it answered with {kind}") from error


def _retry_after_s(response: httpx.Response) -> float | None:
    """The server's wish in seconds; the form with a date is not used by Stripe."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _path_part(object_id: str) -> str:
    """An id as a part of a path: a hostile one must not reach another endpoint."""
    return quote(object_id, safe="")
