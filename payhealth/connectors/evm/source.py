"""The source of one EVM chain: what ``payhealth pull`` drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.session import Session
from payhealth.connectors.evm.reading.translate import STREAM, book_of
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.coverage import CoverageUnit
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.domain.times import utc
from payhealth.ports import Batch, StreamPlan

if TYPE_CHECKING:
    import httpx

    from payhealth.ports import StoreReader

_MOST_RESTARTS = 5
"""How often a pull looks again when the chain moves under it; each time something was read."""


class EvmSource:
    """Transfers of one chain to and from our addresses.

    Args:
        name: the connector's name in the configuration.
        settings: the checked configuration.
        transport: replaces the network, for tests.
        sleep: how to wait between attempts, in seconds.
    """

    kind = "evm"

    def __init__(
        self,
        name: str,
        settings: EvmSettings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._settings = settings
        self._transport = transport
        self._sleep = sleep
        self._opened: RpcClient | None = None

    def streams(self) -> Sequence[StreamPlan]:
        """One stream, counted in blocks."""
        return (
            StreamPlan(stream=STREAM, unit=CoverageUnit.BLOCK, required_lower=self._settings.start_block),
        )

    def verify(self) -> None:
        """Hold the configuration against the chain: chain id, code at each token, its decimals.

        Raises:
            SourceDataError: something on the chain is not as configured.
            SourceError: no endpoint answers.
        """
        client = self._client()
        client.check_chains()
        node = Node(client, self._settings)
        for token in self._settings.registered:
            where = f"{token.symbol} at {token.address} on {self._settings.info.name}"
            try:
                code, decimals = node.token_answers(token.address)
            except RpcFault as fault:
                raise SourceDataError(f"{client.provider}: cannot read {where}: {fault.message}") from None
            if not code.removeprefix("0x"):
                raise SourceDataError(f"{client.provider}: there is no contract for {where}")
            if decimals is None:
                raise SourceDataError(f"{client.provider}: {where} does not answer decimals()")
            if decimals != token.decimals:
                raise SourceDataError(
                    f"{client.provider}: {where} has {decimals} decimals, but {token.decimals} are configured"
                )

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read on from the last block to the head, a bounded step at a time.

        Raises:
            SourceError: the chain could not be read on; what was yielded stays valid.
        """
        if stream != STREAM:
            raise SourceDataError(f"the connector {self.name} has no stream {stream!r}")
        client = self._client()
        session = Session(
            node=Node(client, self._settings),
            settings=self._settings,
            book=book_of(self.name, self._settings),
            reader=reader,
            cursor=cursor,
            now=utc(now),
        )
        for attempt in range(1, _MOST_RESTARTS + 1):
            try:
                yield from session.steps()
            except ChainMovedError as moved:
                problem = str(moved)
            except RpcFault as fault:
                raise SourceDataError(f"{client.provider}: {fault.message}") from None
            else:
                return
            if attempt < _MOST_RESTARTS:
                client.pause(attempt)
        raise SourceUnavailableError(
            f"{client.provider}: the chain keeps moving under the reading: {problem}"
        )

    def pegs(self) -> dict[str, str]:
        """Stablecoins of this chain and the currencies that they follow."""
        return self._settings.pegs()

    def close(self) -> None:
        """Give the connections back."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _client(self) -> RpcClient:
        if self._opened is None:
            self._opened = RpcClient(self._settings, transport=self._transport, sleep=self._sleep)
        return self._opened
