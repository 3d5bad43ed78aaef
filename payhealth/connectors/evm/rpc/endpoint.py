"""One JSON-RPC endpoint over HTTP: bounded, retried, and silent about its URL.

An RPC URL holds its key in the path, the query or the user part, so that errors name the host alone,
and words of the URL are taken out of what the node says.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault, classify
from payhealth.domain.errors import SourceRefusedError, SourceUnavailableError
from payhealth.secrets import MASK, Secret

_SHORTEST_SECRET = 5
"""Words of a URL this long or longer are taken for secrets; ``v2`` and ``rpc`` are not."""


@dataclass(frozen=True, slots=True)
class Call:
    """One JSON-RPC call."""

    method: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one request; see the settings of the same names."""

    timeout_s: int
    max_body_bytes: int
    attempts: int
    backoff_ms: int
    max_pause_s: int


class _TryAgainError(Exception):
    """A failure that another attempt may mend; ``after_s`` is how long the server asked to wait."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Endpoint:
    """Sends calls to one URL and puts the answers in the order of the calls.

    Args:
        sleep: how to wait between attempts, in seconds.
    """

    def __init__(
        self, url: Secret, limits: Limits, http: httpx.Client, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._url = url
        self._limits = limits
        self._http = http
        self._sleep = sleep
        self._secrets = _secret_words(url.reveal())
        self.host = urlsplit(url.reveal()).hostname or "the RPC endpoint"
        self.requests = 0

    def exchange(self, calls: Sequence[Call]) -> list[Any]:
        """One request, repeated while that may help.

        Returns:
            An answer a call: its result, or the fault that the node reported for it.

        Raises:
            SourceUnavailableError: no usable answer within the attempts.
            SourceRefusedError: the key was refused.
        """
        problem = _TryAgainError("not tried")
        for attempt in range(self._limits.attempts):
            if attempt:
                self._sleep(self.pause_s(attempt, problem.after_s))
            try:
                return self._once(calls)
            except _TryAgainError as error:
                problem = error
        raise SourceUnavailableError(
            f"{self.host}: {problem} ({self._limits.attempts} attempts)",
            hint="check the RPC endpoint, or give a second one in rpc_urls",
        )

    def pause_s(self, attempt: int, asked_s: float | None = None) -> float:
        """How long to wait before an attempt: what the server asked for, else doubling, both bounded."""
        doubled = self._limits.backoff_ms / 1000 * 2.0 ** (attempt - 1)
        return min(float(self._limits.max_pause_s), doubled if asked_s is None else max(0.0, asked_s))

    def _once(self, calls: Sequence[Call]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
            for number, call in enumerate(calls, start=1)
        ]
        self.requests += 1
        status, headers, content = self._post(orjson.dumps(body[0] if len(body) == 1 else body))
        answer = _parsed(content)
        self._refuse_status(status, headers, answer)
        if answer is None:
            raise _TryAgainError(f"answered {_described(content)} instead of JSON-RPC (HTTP {status})")
        return self._in_order(calls, answer)

    def _post(self, content: bytes) -> tuple[int, Mapping[str, str], bytes]:
        deadline = time.monotonic() + self._limits.timeout_s
        received = bytearray()
        try:
            with self._http.stream(
                "POST", self._url.reveal(), content=content, headers={"content-type": "application/json"}
            ) as response:
                for chunk in response.iter_bytes():
                    received += chunk
                    if len(received) > self._limits.max_body_bytes:
                        raise RpcFault(FaultKind.RESULT_LIMIT, f"an answer of over {len(received)} bytes")
                    if time.monotonic() > deadline:
                        raise _TryAgainError(f"took longer than {self._limits.timeout_s} s to answer")
                return response.status_code, response.headers, bytes(received)
        except httpx.TimeoutException:
            # Not chained: the library's exceptions carry the request, and with it the URL.
            raise _TryAgainError(f"no answer within {self._limits.timeout_s} s") from None
        except httpx.HTTPError as error:
            raise _TryAgainError(f"the connection failed ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise SourceUnavailableError(f"the RPC URL of {self._url.reference} is not valid") from None

    def _refuse_status(self, status: int, headers: Mapping[str, str], answer: Any) -> None:
        if status < 300:
            return
        if status == 429:
            raise _TryAgainError("too many requests (HTTP 429)", _retry_after_s(headers))
        fault = self._whole_fault(answer)
        if fault is not None and fault.kind not in (FaultKind.OTHER, FaultKind.REFUSED, FaultKind.THROTTLED):
            return
        if status in (401, 403):
            raise SourceRefusedError(
                f"{self.host}: the key in the RPC URL was refused (HTTP {status})",
                hint="check the URL that rpc_urls names",
            )
        if status == 413:
            raise RpcFault(FaultKind.BATCH_LIMIT, "the request is too large (HTTP 413)")
        if status >= 500 or status == 408:
            raise _TryAgainError(f"failed (HTTP {status})", _retry_after_s(headers))
        if fault is None:
            raise SourceUnavailableError(f"{self.host}: answered HTTP {status} instead of JSON-RPC")

    def _in_order(self, calls: Sequence[Call], answer: Any) -> list[Any]:
        fault = self._whole_fault(answer)
        items = answer if isinstance(answer, list) else [answer]
        if fault is not None:
            return self._checked([fault] * len(calls))
        by_id: dict[str, Any] = {}
        for item in items:
            if isinstance(item, dict) and ("result" in item or "error" in item):
                by_id[str(item.get("id"))] = item
        missing = sum(str(number) not in by_id for number in range(1, len(calls) + 1))
        if missing:
            raise _TryAgainError(f"answered {len(calls) - missing} of {len(calls)} calls")
        return self._checked([self._item(by_id[str(number)]) for number in range(1, len(calls) + 1)])

    def _checked(self, answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer, RpcFault) and answer.kind is FaultKind.THROTTLED:
                raise _TryAgainError(f"throttled: {answer.message}")
            if isinstance(answer, RpcFault) and answer.kind is FaultKind.REFUSED:
                raise SourceRefusedError(f"{self.host}: the key in the RPC URL was refused: {answer.message}")
        return answers

    def _item(self, item: Mapping[str, Any]) -> Any:
        error = item.get("error")
        return item.get("result") if error is None else self._fault(error)

    def _whole_fault(self, answer: Any) -> RpcFault | None:
        # One error object in answer to a batch speaks of the batch; with an id it answers one call.
        if isinstance(answer, dict) and answer.get("error") is not None and answer.get("result") is None:
            return self._fault(answer["error"])
        return None

    def _fault(self, error: Any) -> RpcFault:
        words = error.get("message") if isinstance(error, dict) else error
        details = error.get("data") if isinstance(error, dict) else None
        text = words if isinstance(words, str) else "an error without a message"
        if isinstance(details, str) and not details.startswith("0x"):
            text = f"{text}: {details}"
        return classify(text[:2000], self._scrubbed(text[:2000]))

    def _scrubbed(self, text: str) -> str:
        for word in self._secrets:
            text = re.sub(re.escape(word), MASK, text, flags=re.IGNORECASE)
        return text


def _secret_words(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    rest = [parts.path, parts.query, parts.fragment, parts.username or "", parts.password or ""]
    words = {piece for text in rest for piece in re.split(r"[/&=?#:@]", f"{text}/{unquote(text)}")}
    return tuple(sorted((word for word in words if len(word) >= _SHORTEST_SECRET), key=len, reverse=True))


def _parsed(content: bytes) -> Any:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict | list) else None


def _described(content: bytes) -> str:
    start = content[:200].lstrip().lower()
    if not start:
        return "nothing"
    return "HTML" if start.startswith((b"<!doctype", b"<html", b"<head", b"<body")) else "something"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
