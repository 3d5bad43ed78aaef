"""EVM chains: ERC-20 and native transfers to and from the business's addresses.

``registry`` (chains, addresses), ``rpc`` (the client: I/O), ``wire`` (what it says: pure), ``reading`` (from
blocks to records), ``proofs`` (balances and prices), ``source``. Importing this package imports neither
httpx nor web3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.plugins import ConnectorPlugin

if TYPE_CHECKING:
    from payhealth.ports import Source


def build(name: str, settings: EvmSettings) -> Source:
    """Make the source of one chain; nothing is opened before its first read.

    Args:
        name: the connector's name in the configuration.
    """
    from payhealth.connectors.evm.source import EvmSource

    return EvmSource(name, settings)


PLUGIN = ConnectorPlugin(kind="evm", settings=EvmSettings, build=build)
