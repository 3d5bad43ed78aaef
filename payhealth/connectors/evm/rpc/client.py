"""JSON-RPC over the configured endpoints: batches, the best provider first, and a second opinion."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from payhealth.connectors.evm.rpc.batching import ask_all, in_one
from payhealth.connectors.evm.rpc.endpoint import Call, Endpoint, Limits
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.pool import Pool
from payhealth.connectors.evm.rpc.scores import Lie, Scorecard
from payhealth.connectors.evm.rpc.urls import names_of
from payhealth.connectors.evm.settings import EvmSettings


class RpcClient:
    """Asks the best provider that answers, and keeps to it while it is good.

    Every provider must say the configured chain id before anything it says is used; one of another chain is
    named and never asked again. All answers to one question come from one provider, which ``provider``
    names afterwards. Not for several threads.

    Args:
        transport: replaces the network, for tests.
        sleep: how to wait, in seconds.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        settings: EvmSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = httpx.Client(
            transport=transport,
            # A node on this machine is never reached through a proxy of the environment.
            mounts={f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")},
            timeout=httpx.Timeout(settings.timeout_s, connect=min(10, settings.timeout_s)),
            headers={"user-agent": "payhealth"},
            # Another address would get the key that stands in the URL, or in its user part.
            follow_redirects=False,
        )
        limits = Limits(
            timeout_s=settings.timeout_s,
            max_body_bytes=settings.max_body_bytes,
            attempts=settings.attempts,
            backoff_ms=settings.backoff_ms,
            max_pause_s=settings.max_pause_s,
            rate_per_s=settings.rate_limit_per_s,
        )
        endpoints = [
            Endpoint(
                url,
                limits,
                self._http,
                sleep,
                name=name,
                monotonic=monotonic,
                batch_calls=settings.batch_calls,
            )
            for url, name in zip(settings.rpc_urls, names_of(settings.rpc_urls), strict=True)
        ]
        self._pool = Pool(settings.chain_id, endpoints, monotonic)
        self.attempts = settings.attempts

    @property
    def provider(self) -> str:
        """Who answered last, or is asked first: a host, numbered where several URLs share it."""
        return self._pool.active.name

    @property
    def providers(self) -> tuple[str, ...]:
        """All names, in the order of the configuration."""
        return tuple(one.name for one in self._pool.providers)

    @property
    def batch_calls(self) -> int:
        """Most calls in one request to the active provider, as far as it is known."""
        return self._pool.active.endpoint.batch_calls

    @property
    def requests(self) -> int:
        """HTTP requests made so far."""
        return sum(one.endpoint.requests for one in self._pool.providers)

    @property
    def calls(self) -> int:
        """JSON-RPC calls made so far, inside the requests; repeated ones count again."""
        return sum(one.endpoint.calls for one in self._pool.providers)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def check_chains(self) -> None:
        """Ask every provider for its chain id; one of another chain is a liar from then on.

        Raises:
            SourceDataError: none serves the right chain, and one serves another.
            SourceError: none of them answers.
        """
        self._pool.check_chains()

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """One request, and all answers from one response to it; faults as values.

        Raises:
            SourceUnavailableError: no provider gave a usable answer.
            SourceRefusedError: the key was refused.
            SourceDataError: no provider serves the right chain.
            RpcFault: the request as a whole is too large.
        """
        return self._pool.run(lambda endpoint, patient: in_one(endpoint, calls, patient=patient))

    def many(
        self,
        calls: Sequence[Call],
        tail: Call | None = None,
        *,
        keep_faults: bool = False,
        most: int | None = None,
    ) -> tuple[list[Any], list[Any]]:
        """As many requests as the calls need, to one provider.

        A call that an answer leaves out is asked again; one error for a whole batch is looked for in its
        parts; a batch that is too large is halved, and that is remembered.

        Args:
            tail: a call added to the end of every request; a response without it counts for nothing.
            keep_faults: faults stand among the results and the tails instead of being raised.
            most: most calls in one request, where fewer are wanted than the provider takes.

        Returns:
            A result a call, and the tail's result of each request that results were taken from.

        Raises:
            RpcFault: the first fault of any call, or of the tail.
            SourceError: as ``ask`` does.
        """
        results, tails = self._pool.run(
            lambda endpoint, patient: ask_all(endpoint, calls, tail, most=most, patient=patient)
        )
        faults = (one for one in itertools.chain(results, tails) if isinstance(one, RpcFault))
        first = None if keep_faults else next(faults, None)
        if first is not None:
            raise first
        return results, tails

    def second_opinion(self, calls: Sequence[Call]) -> tuple[str, list[Any]] | None:
        """What the best other provider says to one request; faults as values.

        Returns:
            Its name and an answer a call, all of one response; None where no other provider answers.

        Raises:
            RpcFault: the request as a whole is too large for it.
        """
        return self._pool.other(lambda endpoint, attempts: in_one(endpoint, calls, attempts=attempts))

    def second_many(
        self, calls: Sequence[Call], tail: Call | None = None
    ) -> tuple[str, list[Any], list[Any]] | None:
        """What the best other provider says, in as many requests as that takes; faults as values.

        Returns:
            Its name, a result a call, the tail's results; None where no other provider answers.
        """
        found = self._pool.other(lambda endpoint, _: ask_all(endpoint, calls, tail))
        return None if found is None else (found[0], *found[1])

    def fail_over(self) -> None:
        """Turn to the next provider: the present one answers, but not usefully."""
        self._pool.fail_over()

    def pause(self, attempt: int) -> None:
        """Wait before another attempt, longer each time."""
        self._pool.active.endpoint.pause(attempt)

    def blame(self, kind: Lie | str, detail: str, provider: str | None = None) -> None:
        """Note that a provider said what cannot be true; the active one by default.

        Its score falls, so that another is asked from now on where there is one, and ``liars`` names it.

        Args:
            detail: what it said, in words; shown in its scorecard.

        Raises:
            ValueError: there is no provider of that name, or no lie of that kind.
        """
        self._pool.blame(kind, detail, provider)

    def scorecards(self) -> tuple[Scorecard, ...]:
        """What is known of each provider, in the order of the configuration."""
        return self._pool.scorecards()

    def liars(self) -> tuple[str, ...]:
        """Who said what cannot be true, in words for the coverage record."""
        return self._pool.liars()
