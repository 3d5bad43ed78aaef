"""The providers of one chain: which is asked, which rests, which lied, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from payhealth.connectors.evm.rpc.batching import NoBatchesError
from payhealth.connectors.evm.rpc.endpoint import Call, Endpoint, ThrottledError
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.scores import Lie, Scorecard, order
from payhealth.connectors.evm.wire.values import WireError, quantity
from payhealth.domain.errors import (
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)

Answer = TypeVar("Answer")
CHAIN_ID = Call("eth_chainId")
_LONG_REST_S = 300.0
"""Of a provider that refused the key or takes no batches: that does not change in a minute."""


class Provider:
    """An endpoint, and what was found out about who stands behind it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.lies: Counter[Lie] = Counter()
        self.proved = False
        self.wrong_chain: SourceDataError | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.endpoint.host

    def prove(self, chain_id: int, *, patient: bool = True, attempts: int | None = None) -> None:
        """Make sure, once, that it serves the chain.

        Raises:
            SourceDataError: it serves another; it is not asked again.
            SourceUnavailableError: it does not say.
        """
        if self.wrong_chain is not None:
            raise self.wrong_chain
        if self.proved:
            return
        answer = self.endpoint.exchange([CHAIN_ID], patient=patient, attempts=attempts)[0]
        try:
            told = quantity(answer, "eth_chainId")
        except WireError as error:
            why = answer.message if isinstance(answer, RpcFault) else error
            raise SourceUnavailableError(f"{self.name}: does not say its chain id: {why}") from None
        if told != chain_id:
            self.wrong_chain = SourceDataError(
                f"{self.name}: serves chain {told}, but chain_id = {chain_id} is configured",
                hint="correct chain_id or rpc_urls",
            )
            raise self.wrong_chain
        self.proved = True


Work = Callable[[Endpoint, bool], Answer]
"""Asks an endpoint; the flag says whether to wait where it was asked too often."""


class Pool:
    """Providers in the order of the configuration, one of them active. Not for several threads.

    Args:
        endpoints: at least one, each with a name of its own.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(self, chain_id: int, endpoints: Sequence[Endpoint], monotonic: Callable[[], float]) -> None:
        self._chain_id = chain_id
        self._monotonic = monotonic
        self.providers = tuple(Provider(endpoint) for endpoint in endpoints)
        self._active = 0

    @property
    def active(self) -> Provider:
        """The one that answered last, or is asked first."""
        return self.providers[self._active]

    def run(self, work: Work[Answer]) -> Answer:
        """Do some work with the best provider that can; all of it with one.

        Raises:
            SourceError: none of them can.
            RpcFault: the one that answered says no.
        """
        failures: list[SourceError] = []
        throttled: list[int] = []
        queue = self._queue()
        for at in queue:
            try:
                return self._with(at, work, patient=at == queue[-1])
            except ThrottledError:
                throttled.append(at)
            except SourceError as error:
                failures.append(error)
        for at in throttled:
            try:
                return self._with(at, work, patient=True)
            except SourceError as error:
                failures.append(error)
        raise self._none_answered(failures)

    def other(self, work: Callable[[Endpoint, int | None], Answer]) -> tuple[str, Answer] | None:
        """Do some work with the best provider that is not the active one.

        Args:
            work: asks an endpoint, so many times at most; None is the configured number.

        Returns:
            Its name and its answer; None where no other answers.
        """
        now_s = self._monotonic()
        for at in self._queue():
            provider = self.providers[at]
            if at == self._active:
                continue
            # Of one that did not answer a moment ago a single question is enough.
            attempts = 1 if provider.endpoint.score.resting(now_s) else None
            try:
                self._prove(provider, patient=True, attempts=attempts)
                return provider.name, work(provider.endpoint, attempts)
            except SourceError as error:
                self._rest(provider, error)
        return None

    def fail_over(self) -> None:
        """Turn to the next provider that is neither at rest nor of another chain, where there is one."""
        now_s = self._monotonic()
        following = [(self._active + step) % len(self.providers) for step in range(1, len(self.providers))]
        usable = [at for at in following if self.providers[at].wrong_chain is None]
        awake = [at for at in usable if not self.providers[at].endpoint.score.resting(now_s)]
        if awake:
            self._active = awake[0]
        elif usable and self.active.endpoint.score.resting(now_s):
            self._active = usable[0]

    def check_chains(self) -> None:
        """Ask every provider for its chain id.

        Raises:
            SourceDataError: none of them serves the right chain, and one serves another.
            SourceError: none of them answers.
        """
        failures: list[SourceError] = []
        for provider in self.providers:
            try:
                self._prove(provider)
            except SourceError as error:
                self._rest(provider, error)
                failures.append(error)
        if len(failures) == len(self.providers):
            raise self._none_answered(failures)

    def blame(self, kind: Lie | str, detail: str, name: str | None = None) -> None:
        """Note a lie of a provider, the active one by default.

        Raises:
            ValueError: there is no provider of that name, or no lie of that kind.
        """
        kind = Lie(kind)
        found = [one for one in self.providers if one.name == name] if name is not None else [self.active]
        if not found:
            raise ValueError(f"there is no provider {name!r}")
        provider = found[0]
        provider.lies[kind] += 1
        provider.endpoint.score.lied(kind, self._monotonic())
        told = f"{kind.words}: {detail}" if detail else kind.words
        provider.endpoint.last_fault = provider.endpoint.scrubbed(told)

    def scorecards(self) -> tuple[Scorecard, ...]:
        """What is known of each provider, in the order of the configuration."""
        now_s = self._monotonic()
        return tuple(
            Scorecard(
                provider=one.name,
                requests=one.endpoint.requests,
                calls=one.endpoint.calls,
                failures=one.endpoint.failures,
                lies=MappingProxyType(dict(one.lies)),
                last_fault=one.endpoint.last_fault,
                resting=one.wrong_chain is not None or one.endpoint.score.resting(now_s),
            )
            for one in self.providers
        )

    def liars(self) -> tuple[str, ...]:
        """In words, who said what cannot be true: ``node-b.example: missing logs x2, stale head x1``."""
        return tuple(
            f"{one.name}: {', '.join(f'{kind.words} x{one.lies[kind]}' for kind in Lie if one.lies[kind])}"
            for one in self.providers
            if one.lies
        )

    def _queue(self) -> list[int]:
        usable = [at for at, one in enumerate(self.providers) if one.wrong_chain is None]
        scores = [self.providers[at].endpoint.score for at in usable]
        active = usable.index(self._active) if self._active in usable else -1
        return [usable[place] for place in order(scores, active, self._monotonic())]

    def _with(self, at: int, work: Work[Answer], *, patient: bool) -> Answer:
        provider = self.providers[at]
        try:
            self._prove(provider, patient=patient)
            answer = work(provider.endpoint, patient)
        except RpcFault:
            self._active = at
            raise
        except SourceError as error:
            self._rest(provider, error)
            raise
        self._active = at
        return answer

    def _prove(self, provider: Provider, **how: Any) -> None:
        known = provider.wrong_chain is not None
        try:
            provider.prove(self._chain_id, **how)
        except SourceDataError as error:
            if not known:
                self.blame(Lie.WRONG_CHAIN, error.message.removeprefix(f"{provider.name}: "), provider.name)
            raise

    def _rest(self, provider: Provider, error: SourceError) -> None:
        if isinstance(error, ThrottledError):
            return  # it said itself how long, and rests for that long already
        long = isinstance(error, SourceRefusedError | NoBatchesError)
        provider.endpoint.score.rest(self._monotonic(), _LONG_REST_S if long else 0.0)

    def _none_answered(self, failures: Sequence[SourceError]) -> SourceError:
        known = [one.wrong_chain for one in self.providers if one.wrong_chain is not None]
        told = [*failures, *(error for error in known if error not in failures)]
        if len(told) == 1:
            return told[0]
        line = f"no RPC endpoint answered: {'; '.join(failure.message for failure in told)}"
        if known and not any(one.proved for one in self.providers):
            return SourceDataError(line, hint=known[0].hint)
        kinds = {type(failure) for failure in told}
        kind = kinds.pop() if len(kinds) == 1 else SourceUnavailableError
        return kind(line, hint=told[0].hint)
