"""One JSON-RPC endpoint over HTTP: bounded, paced, retried, and silent about its URL.

An RPC URL holds its key in the path, the query or the user part, so that errors name the host alone,
and words of the URL are taken out of what the node says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx
import orjson

from payhealth.connectors.evm.rpc.answers import (
    MISSING,
    Unpacker,
    UnpackError,
    by_call,
    described,
    parsed,
    retry_after_s,
    whole_fault,
    words_of,
)
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault, classify
from payhealth.connectors.evm.rpc.scores import Score
from payhealth.connectors.evm.rpc.urls import Scrubber, host_of
from payhealth.connectors.limiter import Pace
from payhealth.domain.errors import SourceRefusedError, SourceUnavailableError
from payhealth.secrets import Secret

_HEADERS = {"content-type": "application/json", "accept-encoding": "gzip"}


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
    rate_per_s: float | None = None


class ThrottledError(SourceUnavailableError):
    """It was asked too often, and another may be asked meanwhile."""


class _TryAgainError(Exception):
    """A failure that another attempt may mend; ``after_s`` is how long the server asked to wait."""

    def __init__(self, message: str, after_s: float | None = None, *, busy: bool = False) -> None:
        super().__init__(message)
        self.after_s = after_s
        self.busy = busy


class Endpoint:
    """Sends calls to one URL and puts the answers in the order of the calls. Not for several threads.

    Args:
        sleep: how to wait, in seconds.
        name: what it is called; its host by default.
        monotonic: a clock in seconds that never goes back.
        batch_calls: most calls in one request, until it says that it takes fewer.
    """

    def __init__(
        self,
        url: Secret,
        limits: Limits,
        http: httpx.Client,
        sleep: Callable[[float], None] = time.sleep,
        *,
        name: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        batch_calls: int = 100,
    ) -> None:
        self._url = url
        self._limits = limits
        self._http = http
        self._sleep, self._monotonic = sleep, monotonic
        self.scrubbed = Scrubber(url)
        self._pace = Pace(limits.rate_per_s) if limits.rate_per_s is not None else None
        self._paused_until_s = float("-inf")
        self.host = name or host_of(url)
        self.attempts = limits.attempts
        self.batch_calls = batch_calls
        self.score = Score()
        self.requests = self.calls = self.failures = 0
        self.last_fault = ""

    def exchange(
        self,
        calls: Sequence[Call],
        *,
        patient: bool = True,
        partial: bool = False,
        attempts: int | None = None,
    ) -> list[Any]:
        """One request, repeated while that may help.

        Args:
            patient: wait where it wants to be asked less often, rather than give up at once.
            partial: answers without some of the calls are taken, MISSING in their places; without it the
                whole request is repeated, so that all answers come from one response.
            attempts: how often it is tried; the configured number by default.

        Returns:
            An answer a call: its result, or the fault that the node reported for it.

        Raises:
            ThrottledError: it was asked too often, and nobody wants to wait.
            SourceUnavailableError: no usable answer within the attempts.
            SourceRefusedError: the key was refused.
            RpcFault: the answer as a whole is too large.
        """
        self._wait_for_its_pause(patient=patient)
        problem = _TryAgainError("not tried")
        most = attempts or self.attempts
        for attempt in range(most):
            if attempt:
                self._sleep(self.pause_s(attempt, problem.after_s))
            try:
                return self._once(calls, partial=partial)
            except _TryAgainError as error:
                problem = error
                self._failed(str(error))
                if error.busy and self._pace is not None:
                    self._pace.slow_down(self._monotonic())
                if error.busy and not patient:
                    self._keep_away(attempt + 1, error)
                    raise ThrottledError(f"{self.host}: {error}") from None
        if problem.busy:
            self._keep_away(most, problem)
        raise SourceUnavailableError(
            f"{self.host}: {problem} ({most} attempts)",
            hint="check the RPC endpoint, or give a second one in rpc_urls",
        )

    def pause_s(self, attempt: int, asked_s: float | None = None) -> float:
        """How long to wait before an attempt: what the server asked for, else doubling, both bounded."""
        doubled = self._limits.backoff_ms / 1000 * 2.0 ** (min(attempt, 64) - 1)
        return min(float(self._limits.max_pause_s), doubled if asked_s is None else max(0.0, asked_s))

    def pause(self, attempt: int) -> None:
        """Wait before another attempt, longer each time."""
        self._sleep(self.pause_s(attempt))

    def _wait_for_its_pause(self, *, patient: bool) -> None:
        left_s = self._paused_until_s - self._monotonic()
        if left_s <= 0:
            return
        if not patient:
            raise ThrottledError(f"{self.host}: asked to be left alone for a while")
        self._sleep(left_s)

    def _keep_away(self, attempt: int, problem: _TryAgainError) -> None:
        until_s = self._monotonic() + self.pause_s(attempt, problem.after_s)
        self._paused_until_s = max(self._paused_until_s, until_s)
        self.score.pause(self._paused_until_s)

    def _failed(self, why: str) -> None:
        self.failures += 1
        self.last_fault = why
        self.score.failed()

    def _once(self, calls: Sequence[Call], *, partial: bool) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
            for number, call in enumerate(calls, start=1)
        ]
        if self._pace is not None:
            wait_s = self._pace.reserve(self._monotonic())
            if wait_s > 0:
                self._sleep(wait_s)
        self.requests += 1
        self.calls += len(calls)
        began_s = self._monotonic()
        try:
            status, headers, content = self._post(orjson.dumps(body[0] if len(body) == 1 else body))
            answers = self._read(status, headers, content, len(calls), partial=partial)
        except (SourceRefusedError, SourceUnavailableError) as error:
            self._failed(error.message.removeprefix(f"{self.host}: "))
            raise
        except RpcFault as fault:
            self.last_fault = fault.message
            self.score.answered(self._monotonic() - began_s)
            raise
        if MISSING in answers:
            self._failed(f"answered {len(calls) - answers.count(MISSING)} of {len(calls)} calls")
        else:
            self.score.answered(self._monotonic() - began_s)
            if self._pace is not None:
                self._pace.speed_up()
        return answers

    def _post(self, content: bytes) -> tuple[int, Mapping[str, str], bytearray]:
        deadline_s = self._monotonic() + self._limits.timeout_s
        try:
            with self._http.stream("POST", self._url.reveal(), content=content, headers=_HEADERS) as response:
                unpacker = Unpacker(response.headers.get("content-encoding", ""), self._limits.max_body_bytes)
                # The stream as it comes, packed: a server that drips bytes which unpack to none is timed too.
                for piece in cast("Iterable[bytes]", response.stream):
                    unpacker.add(piece)
                    if self._monotonic() > deadline_s:
                        raise _TryAgainError(f"took longer than {self._limits.timeout_s} s to answer")
                unpacker.end()
                return response.status_code, response.headers, unpacker.body
        except UnpackError as error:
            raise _TryAgainError(str(error)) from None
        except httpx.TimeoutException:
            # Not chained: the library's exceptions carry the request, and with it the URL.
            raise _TryAgainError(f"no answer within {self._limits.timeout_s} s") from None
        except httpx.HTTPError as error:
            raise _TryAgainError(f"the connection failed ({type(error).__name__})") from None
        except httpx.InvalidURL:
            raise SourceUnavailableError(f"the RPC URL of {self._url.reference} is not valid") from None

    def _read(
        self, status: int, headers: Mapping[str, str], content: bytearray, calls: int, *, partial: bool
    ) -> list[Any]:
        answer = parsed(content)
        fault = None if answer is None else whole_fault(answer, calls, self._fault)
        self._refuse_status(status, headers, fault)
        if answer is None:
            raise _TryAgainError(f"answered {described(content)} instead of JSON-RPC (HTTP {status})")
        answers = [fault] * calls if fault is not None else by_call(answer, calls, self._fault)
        return self._checked(answers, partial=partial)

    def _refuse_status(self, status: int, headers: Mapping[str, str], fault: RpcFault | None) -> None:
        if status < 300:
            return
        asked_s = retry_after_s(headers)
        if status == 429:
            raise _TryAgainError("too many requests (HTTP 429)", asked_s, busy=True)
        if fault is not None and fault.kind is FaultKind.THROTTLED:
            raise _TryAgainError(f"throttled: {fault.message} (HTTP {status})", asked_s, busy=True)
        if fault is not None and fault.kind not in (FaultKind.OTHER, FaultKind.REFUSED):
            return
        if status in (401, 403):
            raise SourceRefusedError(
                f"{self.host}: the key in the RPC URL was refused (HTTP {status})",
                hint="check the URL that rpc_urls names",
            )
        if status == 413:
            raise RpcFault(FaultKind.BATCH_LIMIT, "the request is too large (HTTP 413)", whole=True)
        if status >= 500 or status == 408:
            raise _TryAgainError(f"failed (HTTP {status})", asked_s)
        if fault is None:
            # A redirect among them: the URL's key is for this host alone.
            raise SourceUnavailableError(f"{self.host}: answered HTTP {status} instead of JSON-RPC")

    def _checked(self, answers: list[Any], *, partial: bool) -> list[Any]:
        checked = [self._unless_refused(answer) for answer in answers]
        throttled = next((one for one in checked if _is_throttled(one)), None)
        kept = [MISSING if _is_throttled(one) else one for one in checked]
        missing = kept.count(MISSING)
        if missing == 0 or (partial and missing < len(kept)):
            return kept
        if throttled is not None:
            raise _TryAgainError(f"throttled: {throttled.message}", busy=True)
        raise _TryAgainError(f"answered {len(kept) - missing} of {len(kept)} calls")

    def _unless_refused(self, answer: Any) -> Any:
        if isinstance(answer, RpcFault) and answer.kind is FaultKind.REFUSED:
            raise SourceRefusedError(f"{self.host}: the key in the RPC URL was refused: {answer.message}")
        return answer

    def _fault(self, error: Any, whole: bool) -> RpcFault:
        text = words_of(error)[:2000]
        return classify(text, self.scrubbed(text), whole=whole)


def _is_throttled(answer: Any) -> bool:
    return isinstance(answer, RpcFault) and answer.kind is FaultKind.THROTTLED
