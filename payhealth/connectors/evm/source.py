"""The source of one EVM chain: what ``payhealth pull`` drives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from payhealth.connectors.evm.diagnosis import diagnosed
from payhealth.connectors.evm.proofs.closing import Proofs
from payhealth.connectors.evm.reading.book import STREAM
from payhealth.connectors.evm.reading.providers import Providers
from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.reading.session import Session
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.verify import must_be_as_configured
from payhealth.domain.coverage import CoverageUnit
from payhealth.domain.errors import SourceDataError, SourceError, SourceUnavailableError
from payhealth.domain.times import utc
from payhealth.ports import Advice, Batch, StreamPlan

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
        self._opened: tuple[RpcClient, Providers] | None = None
        self._verified = False
        self._ways: dict[str, str] = {}

    def streams(self) -> Sequence[StreamPlan]:
        """One stream, counted in blocks."""
        return (
            StreamPlan(stream=STREAM, unit=CoverageUnit.BLOCK, required_lower=self._settings.start_block),
        )

    def verify(self) -> None:
        """Hold the configuration against the chain: chain id, code at each token, its decimals.

        Asked of the chain once in the life of a source: contracts do not change their decimals.

        Raises:
            SourceDataError: something on the chain is not as configured.
            SourceError: no endpoint answers.
        """
        if self._verified:
            return
        client, _ = self._client()
        client.check_chains()
        must_be_as_configured(self._node(client), self._settings)
        self._verified = True

    def diagnose(self, reader: StoreReader | None) -> Sequence[Advice]:
        """Try everything that a pull needs, and name all that is wrong or worth knowing.

        Raises:
            SourceError: no endpoint answers.
        """
        client, _ = self._client()
        client.check_chains()
        return diagnosed(self._node(client), self._settings, self.name, reader)

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read on from the last block to the head, a bounded step at a time.

        Raises:
            SourceError: the chain could not be read on; what was yielded stays valid.
        """
        if stream != STREAM:
            raise SourceDataError(f"the connector {self.name} has no stream {stream!r}")
        client, providers = self._client()
        node, moment = self._node(client), utc(now)
        proofs = Proofs(node=node, settings=self._settings, connector=self.name, reader=reader, now=moment)
        session = Session(
            node=node,
            settings=self._settings,
            connector=self.name,
            reader=reader,
            cursor=cursor,
            now=moment,
            proofs=proofs,
            providers=providers,
            # A replaced network is not there for another process.
            may_start=self._transport is None,
        )
        try:
            yield from self._steps(session, client)
        except SourceError:
            # Who was caught at what is kept, though nothing else of this pull may be.
            parting = session.farewell()
            if parting is not None:
                yield parting
            raise

    def _steps(self, session: Session, client: RpcClient) -> Iterator[Batch]:
        problem = ""
        refused: dict[str, str] = {}
        for attempt in range(1, _MOST_RESTARTS + 1):
            try:
                yield from session.steps()
            except ChainMovedError as moved:
                problem = str(moved)
            except RpcFault as fault:
                # What one provider cannot answer another one may: each is asked once.
                refused[client.provider] = fault.message
                client.fail_over()
                if client.provider in refused:
                    raise SourceDataError(
                        "; ".join(f"{who}: {why}" for who, why in refused.items())
                    ) from None
                continue
            else:
                return
            if attempt < _MOST_RESTARTS:
                client.pause(attempt)
        raise SourceUnavailableError(
            f"{client.provider}: the chain keeps moving under the reading: {problem}"
        )

    def pegs(self) -> dict[str, str]:
        """Stablecoins of this chain that no feed tells of, and the currencies that they follow."""
        return self._settings.pegs()

    def close(self) -> None:
        """Give the connections back."""
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None

    def _node(self, client: RpcClient) -> Node:
        return Node(client, self._settings, full=self._settings.native, ways=self._ways)

    def _client(self) -> tuple[RpcClient, Providers]:
        if self._opened is None:
            client = RpcClient(self._settings, transport=self._transport, sleep=self._sleep)
            self._opened = client, Providers(client)
        return self._opened
