"""JSON-RPC over the configured endpoints: batches, and the next endpoint when one does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import httpx

from payhealth.connectors.evm.rpc.endpoint import Call, Endpoint, Limits
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import WireError, quantity
from payhealth.domain.errors import (
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)

Answer = TypeVar("Answer")
CHAIN_ID = Call("eth_chainId")
_FEWEST_CALLS = 2
"""A range is only believed with the head in the same request, so a batch of two must be possible."""


class RpcClient:
    """Asks the first endpoint that answers, and keeps to it until it fails.

    Every endpoint must say the configured chain id before anything it says is used.

    Args:
        transport: replaces the network, for tests.
        sleep: how to wait, in seconds.
    """

    def __init__(
        self,
        settings: EvmSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._chain_id = settings.chain_id
        self._http = httpx.Client(
            transport=transport,
            # A node on this machine is never reached through a proxy of the environment.
            mounts={f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")},
            timeout=httpx.Timeout(settings.timeout_s, connect=min(10, settings.timeout_s)),
            headers={"user-agent": "payhealth"},
        )
        limits = Limits(
            timeout_s=settings.timeout_s,
            max_body_bytes=settings.max_body_bytes,
            attempts=settings.attempts,
            backoff_ms=settings.backoff_ms,
            max_pause_s=settings.max_pause_s,
        )
        self._endpoints = [Endpoint(url, limits, self._http, sleep) for url in settings.rpc_urls]
        self._proved: set[int] = set()
        self._active = 0
        self._sleep = sleep
        self.attempts = settings.attempts
        self.batch_calls = settings.batch_calls

    @property
    def provider(self) -> str:
        """The host that answers at present."""
        return self._endpoints[self._active].host

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return sum(endpoint.requests for endpoint in self._endpoints)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def check_chains(self) -> None:
        """Ask every endpoint for its chain id.

        Raises:
            SourceDataError: one of them serves another chain.
            SourceError: none of them answers.
        """
        failures: list[SourceError] = []
        for number in range(len(self._endpoints)):
            try:
                self._prove(number)
            except (SourceUnavailableError, SourceRefusedError) as error:
                failures.append(error)
        if len(failures) == len(self._endpoints):
            raise _all_failed(failures)

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """One request; an answer a call, faults as values.

        Raises:
            SourceUnavailableError: no endpoint gave a usable answer.
            SourceRefusedError: the key was refused.
            SourceDataError: an endpoint serves another chain.
            RpcFault: the request as a whole is too large.
        """
        return self._with_failover(lambda endpoint: endpoint.exchange(calls))

    def many(self, calls: Sequence[Call], tail: Call | None = None) -> tuple[list[Any], list[Any]]:
        """As many requests as the calls need.

        Args:
            tail: a call added to the end of every request.

        Returns:
            A result a call, and the tail's result of each request.

        Raises:
            RpcFault: the first fault of any call.
        """
        results: list[Any] = []
        tails: list[Any] = []
        position = 0
        while position < len(calls):
            part = list(calls[position : position + self.batch_calls - (tail is not None)])
            try:
                answers = _without_faults(self.ask([*part, tail] if tail is not None else part))
            except RpcFault as fault:
                if fault.kind is not FaultKind.BATCH_LIMIT:
                    raise
                self._halve(len(part), fault)
                continue
            if tail is not None:
                tails.append(answers.pop())
            results += answers
            position += len(part)
        return results, tails

    def fail_over(self) -> None:
        """Turn to the next endpoint: the present one answers, but not usefully."""
        self._active = (self._active + 1) % len(self._endpoints)

    def pause(self, attempt: int) -> None:
        """Wait before another attempt, longer each time."""
        self._sleep(self._endpoints[self._active].pause_s(attempt))

    def _halve(self, calls: int, fault: RpcFault) -> None:
        smaller = min(self.batch_calls, max(calls, _FEWEST_CALLS)) // 2
        if smaller < _FEWEST_CALLS:
            raise SourceDataError(
                f"{self.provider}: does not answer JSON-RPC batches: {fault.message}",
                hint="payhealth needs an endpoint that takes at least two calls in one request",
            )
        self.batch_calls = smaller

    def _with_failover(self, work: Callable[[Endpoint], Answer]) -> Answer:
        failures: list[SourceError] = []
        for _ in self._endpoints:
            try:
                self._prove(self._active)
                return work(self._endpoints[self._active])
            except (SourceUnavailableError, SourceRefusedError) as error:
                failures.append(error)
                self.fail_over()
        raise _all_failed(failures)

    def _prove(self, number: int) -> None:
        if number in self._proved:
            return
        endpoint = self._endpoints[number]
        answer = endpoint.exchange([CHAIN_ID])[0]
        try:
            chain_id = quantity(answer, "eth_chainId")
        except WireError as error:
            told = answer.message if isinstance(answer, RpcFault) else error
            raise SourceUnavailableError(f"{endpoint.host}: does not say its chain id: {told}") from None
        if chain_id != self._chain_id:
            raise SourceDataError(
                f"{endpoint.host}: serves chain {chain_id}, but chain_id = {self._chain_id} is configured",
                hint="correct chain_id or rpc_urls",
            )
        self._proved.add(number)


def _without_faults(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, RpcFault):
            raise answer
    return answers


def _all_failed(failures: Sequence[SourceError]) -> SourceError:
    first = failures[0]
    if len(failures) == 1:
        return first
    told = "; ".join(failure.message for failure in failures)
    kind = type(first) if len({type(failure) for failure in failures}) == 1 else SourceUnavailableError
    return kind(f"no RPC endpoint answered: {told}", hint=first.hint)
