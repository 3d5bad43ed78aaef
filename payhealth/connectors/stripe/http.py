"""Requests to Stripe: inside limits, bounded in size and time, with bounded retries, and clear refusals.

The vendor's package is not used for bulk pages: building its objects costs more than reading the wire.

Source: https://docs.stripe.com/api/errors, https://docs.stripe.com/rate-limits
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson

from payhealth.connectors.limiter import RateLimiter
from payhealth.connectors.stripe.answers import cursor_is_gone, host_of, read_at, retry_after_s
from payhealth.connectors.stripe.errors import NotGivenError, from_status
from payhealth.connectors.stripe.settings import API_VERSION, StripeSettings
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.secrets import Secret

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A page of a hundred charges is some 0.3 MB; more than fifty times that is no page of ours."""

_ANSWER_S_MAX_FACTOR = 4
_FILE_S_MAX = 3_600.0
"""For how long a whole file is waited for; what its reader does with the lines does not count."""

_BACKOFF_S = 0.5
_BACKOFF_S_MAX = 8.0
_RETRY_AFTER_S_MAX = 60.0
_RETRIED_STATUS = frozenset({408, 409, 425, 429})
_LINE_BYTES_MAX = 64 * 1024
_FILE_HOSTS = frozenset({("https", "files.stripe.com")})

Params = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The parsed body of one answer, and what came beside it; ``body`` is None where there is no object."""

    body: Any
    read_at: datetime | None
    requests: int


class CursorGoneError(Exception):
    """The object that a page was to start after is not there any more."""


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


class StripeHttp:
    """Sends requests with one key, for as many threads as there are.

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
        headers = {"Stripe-Version": API_VERSION, "Accept": "application/json"}
        if settings.stripe_account:
            headers["Stripe-Account"] = settings.stripe_account
        self._http = httpx.Client(
            base_url=settings.api_base,
            auth=_Bearer(settings.api_key),
            headers=headers,
            timeout=settings.timeout_s,
            follow_redirects=False,
            transport=transport,
        )
        self._counter = itertools.count(1)
        self.requests = 0
        """How many requests went out, repeated ones included; of all threads."""

    @property
    def provider(self) -> str:
        """Who answers: the server's host name."""
        return self._http.base_url.host

    @property
    def connector(self) -> str:
        """The connector's name."""
        return self._connector

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def lines(self, url: str) -> Iterator[bytes]:
        """The lines of a file of Stripe's, without line ends, as they arrive.

        Args:
            url: as Stripe gave it; the key is sent to Stripe's own hosts alone.

        Raises:
            SourceError: the file could not be read to its end.
        """
        own = (self._http.base_url.scheme, self._http.base_url.netloc.decode())
        if host_of(url) not in {own, *_FILE_HOSTS}:
            raise SourceDataError(f"{self._connector}: Stripe's file lies on a host that is not Stripe's")
        self._limiter.wait("files")
        self._count()
        try:
            with self._http.stream("GET", url) as response:
                if response.status_code != 200:
                    raise from_status(response.status_code, None, connector=self._connector, endpoint="files")
                yield from self._cut(response)
        except httpx.InvalidURL as error:
            raise SourceDataError(f"{self._connector}: the address of Stripe's file is none") from error
        except httpx.HTTPError as error:
            raise SourceUnavailableError(
                f"{self._connector}: a file of {self.provider} broke off ({type(error).__name__})",
                hint="the next pull asks for it anew",
            ) from error

    def _cut(self, response: httpx.Response) -> Iterator[bytes]:
        """The lines, bounded in length and in the time that they are waited for, each and all together."""
        rest = b""
        line_s = file_s = 0.0
        asked_s = self._monotonic()
        for chunk in response.iter_bytes():
            waited_s = self._monotonic() - asked_s
            line_s, file_s = line_s + waited_s, file_s + waited_s
            if line_s > self._answer_s_max or file_s > _FILE_S_MAX:
                raise SourceUnavailableError(
                    f"{self._connector}: a file of {self.provider} takes too long",
                    hint="the next pull asks for it anew",
                )
            *lines, rest = (rest + chunk).split(b"\n")
            line_s = 0.0 if lines else line_s
            yield from lines
            if len(rest) > _LINE_BYTES_MAX:
                raise SourceDataError(f"{self._connector}: a line of Stripe's file has no end")
            asked_s = self._monotonic()
        if rest:
            yield rest

    def send(
        self,
        endpoint: str,
        path: str,
        params: Params,
        *,
        missing_ok: bool = False,
        form: Mapping[str, Any] | None = None,
    ) -> Answer:
        """One request and its answer, tried again within bounds.

        Args:
            endpoint: whose pace it keeps, and what messages call it.
            missing_ok: an object that is not there is no error; the answer's body is None then.
            form: what is posted; without one it is a GET.

        Raises:
            SourceError: refused, no answer, or one that is not Stripe's.
            CursorGoneError: the page's cursor names an object that is not there any more.
        """
        for attempt in range(1, self._max_attempts + 1):
            self._limiter.wait(endpoint)
            try:
                body, answered_at = self._attempt(endpoint, path, params, missing_ok=missing_ok, form=form)
                self._limiter.went_well(endpoint)
                return Answer(body=body, read_at=answered_at, requests=attempt)
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
            self._limiter.slow_down(endpoint, delay_s)
        self._sleep(delay_s)

    def _count(self) -> None:
        # The counter's step is atomic between threads, an addition would not be.
        self.requests = next(self._counter)

    def _attempt(
        self, endpoint: str, path: str, params: Params, *, missing_ok: bool, form: Mapping[str, Any] | None
    ) -> tuple[Any, datetime | None]:
        self._count()
        method = "GET" if form is None else "POST"
        try:
            with self._http.stream(method, path, params=params, data=form) as response:
                body = self._read(endpoint, response)
        except httpx.InvalidURL as error:
            raise NotGivenError(
                f"{self._connector}: what is asked of {endpoint} fits no address", why="it fits no address"
            ) from error
        except httpx.TimeoutException as error:
            raise _TryAgainError("no answer in time") from error
        except httpx.TransportError as error:
            raise _TryAgainError(f"the connection failed ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            # What is left are answers that cannot be decoded, such as a broken gzip stream.
            raise _TryAgainError(f"an answer that cannot be read ({type(error).__name__})") from error
        if response.status_code == 200:
            return _parsed(body), read_at(response)
        if response.status_code == 404 and missing_ok:
            return None, read_at(response)
        self._refuse(endpoint, response, body, after_cursor="starting_after" in params)
        raise AssertionError("refuse always raises")

    def _read(self, endpoint: str, response: httpx.Response) -> bytes:
        """The body, bounded in size and in time: a server that drips must not hold a pull for ever."""
        deadline_s = self._monotonic() + self._answer_s_max
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise NotGivenError(
                    f"{self._connector}: the answer to {endpoint} is larger than {MAX_BODY_BYTES} bytes",
                    why="it is too large",
                )
            if self._monotonic() > deadline_s:
                raise _TryAgainError("the answer takes too long")
        return bytes(body)

    def _refuse(self, endpoint: str, response: httpx.Response, body: bytes, *, after_cursor: bool) -> None:
        status = response.status_code
        should_retry = response.headers.get("stripe-should-retry")
        if should_retry != "false" and (status >= 500 or status in _RETRIED_STATUS or should_retry == "true"):
            raise _TryAgainError(f"it answered {status}", retry_after_s(response), busy=status == 429)
        if status == 429 or status >= 500:
            raise SourceUnavailableError(
                f"{self._connector}: {endpoint} of {self.provider} answered {status}"
            )
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if status == 400 and after_cursor and cursor_is_gone(answer):
            raise CursorGoneError
        raise from_status(status, answer, connector=self._connector, endpoint=endpoint)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        kind = "a web page" if body.lstrip()[:1] == b"<" else "broken JSON"
        raise _TryAgainError(f"it answered with {kind}") from error
