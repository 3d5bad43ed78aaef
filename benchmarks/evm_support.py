"""What the parts about chains share: an anvil full of transfers, settings, and a count of what is asked."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.source import EvmSource
from payhealth.secrets import Secret
from payhealth.store import SqlStore, open_store

if TYPE_CHECKING:
    from payhealth.sandbox.chain.anvil import AnvilChain

START = datetime(2026, 1, 1, tzinfo=UTC)
STREAM, CONNECTOR = "transfers", "chain"
BLOCK_S = 12
FIRST = 700_000_000_000
"""The first recipient as a number; the others follow it."""

_METHOD = re.compile(rb'"method":"(\w+)"')
_SPARE_BLOCKS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Transfers on an anvil, as many to a block as a transaction or two hold.

    Args:
        lower, upper: the blocks that hold them, both ends included; those after them make them final.
    """

    chain: AnvilChain
    token: str
    lower: int
    upper: int

    def ranges(self, blocks: int) -> Iterator[tuple[int, int]]:
        """Stretches of so many blocks, from the first to the last that holds transfers."""
        for lower in range(self.lower, self.upper + 1, blocks):
            yield lower, min(lower + blocks - 1, self.upper)


@contextmanager
def anvil(*, gas_limit: int | None = None) -> Iterator[AnvilChain]:
    """A fresh anvil with Multicall3 where nearly every chain has it."""
    # Here, so that the memory part does without the libraries that sign transactions.
    from payhealth.sandbox.chain.anvil import AnvilChain
    from payhealth.sandbox.chain.artifacts import MULTICALL_ADDRESS

    with AnvilChain(seed=4, genesis_at=START, gas_limit=gas_limit) as chain:
        chain.set_code(MULTICALL_ADDRESS, "Multicall3")
        yield chain


@contextmanager
def burst(logs: int, blocks: int) -> Iterator[Burst]:
    """An anvil with so many transfers to neighbours, the first of them :data:`FIRST`; all are final."""
    with anvil(gas_limit=400_000_000) as chain:
        at = START + timedelta(seconds=BLOCK_S)
        token = chain.deploy("BurstToken", "Burst", "BRST", 6, at=at)
        lower = chain.head() + 1
        at += timedelta(seconds=BLOCK_S * blocks)
        chain.burst(token, first=FIRST, count=logs, value=25_000_000, at=at, blocks=blocks)
        upper = chain.head()
        chain.mine(at=at + timedelta(seconds=BLOCK_S * _SPARE_BLOCKS), blocks=_SPARE_BLOCKS)
        yield Burst(chain=chain, token=token, lower=lower, upper=upper)


def head_at(chain: AnvilChain) -> datetime:
    """The moment of the newest block."""
    block = chain.rpc("eth_getBlockByNumber", "latest", False)
    return datetime.fromtimestamp(int(block["timestamp"], 16), UTC)


def settings(url: str, addresses: Iterable[str], folder: Path, **more: Any) -> EvmSettings:
    """A connector's settings with the addresses in a file, as many have them."""
    listed = folder / "addresses.txt"
    listed.write_text("\n".join(addresses) + "\n", encoding="ascii")
    given = {"chain_id": 31337, "rpc_urls": (Secret(url, "env:RPC_URL"),), "addresses_file": listed}
    made = EvmSettings.model_validate({**given, **more})
    assert made.ours  # read here: a pull of a running process finds them read
    return made


def burst_token(token: str, decimals: int = 6) -> dict[str, Any]:
    """The token as it stands in a configuration."""
    return {"address": token, "symbol": "BRST", "decimals": decimals}


@dataclass(slots=True)
class Asked:
    """Requests over HTTP, and the calls inside them by method."""

    requests: int = 0
    methods: Counter[str] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """Calls in all."""
        return self.methods.total()

    def __str__(self) -> str:
        return f"{self.requests} HTTP requests with {self.calls} calls"


class CountingTransport(httpx.HTTPTransport):
    """The network, and a count of what goes over it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = Asked()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Count, and pass on."""
        self.asked.requests += 1
        self.asked.methods.update(name.decode() for name in _METHOD.findall(request.read()))
        return super().handle_request(request)


@contextmanager
def empty_store() -> Iterator[SqlStore]:
    """A store on a disk of its own folder."""
    with TemporaryDirectory() as folder, closing(open_store(f"sqlite:///{Path(folder)}/store.db")) as store:
        yield store


def pulled(
    source: EvmSource, store: SqlStore, now: datetime, after_batch: Callable[[], None] = lambda: None
) -> int:
    """Pull from where the store stands and commit; how many objects were read."""
    objects = 0
    for batch in source.pull(STREAM, store.cursor(CONNECTOR, STREAM), now, store):
        store.commit(CONNECTOR, batch)
        objects += batch.objects_read
        after_batch()
    return objects


@dataclass(frozen=True, slots=True)
class Spent:
    """What something took: on the clock, and of this process."""

    wall_s: float
    cpu_s: float


def timed(action: Callable[[], object]) -> Spent:
    """Run it once."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    action()
    return Spent(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def median(spent: list[Spent]) -> Spent:
    """The middle one by the clock, of an odd number."""
    return sorted(spent, key=lambda one: one.wall_s)[len(spent) // 2]
