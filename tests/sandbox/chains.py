"""Young chains of each kind, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from payhealth.sandbox.chain.anvil import AnvilChain, find_anvil
from payhealth.sandbox.chain.devchain import DevChain

GENESIS_AT = datetime(2026, 1, 5, tzinfo=UTC)
ETHER = 10**18
PY_EVM, ANVIL = "py-evm", "anvil"


@dataclass
class Node:
    """A chain and a clock that goes on by a minute each time it is read."""

    chain: DevChain | AnvilChain
    at: datetime = GENESIS_AT

    def later(self) -> datetime:
        """The next moment."""
        self.at += timedelta(minutes=1)
        return self.at

    def funded(self, *, native: int = ETHER, token: int = 0) -> str:
        """A new address with coins and tokens."""
        address = self.chain.new_address()
        self.chain.faucet(address, at=self.later(), native=native, token=token)
        return address


def skip_without_anvil() -> None:
    """Leave out the test that asks where anvil is not installed."""
    if find_anvil() is None:
        pytest.skip("anvil is not installed ($ANVIL, the PATH and node_modules were searched)")


@contextmanager
def young_anvil(*, seed: int = 7, **options: Any) -> Iterator[AnvilChain]:
    """An anvil of a test's own, where it is installed."""
    skip_without_anvil()
    with AnvilChain(seed=seed, genesis_at=GENESIS_AT, **options) as chain:
        yield chain


@contextmanager
def young_chain(kind: str, **py_evm: Any) -> Iterator[DevChain | AnvilChain]:
    """A chain of either kind; the options are for py-evm alone, where anvil has them from the start."""
    if kind == PY_EVM:
        yield DevChain(seed=7, genesis_at=GENESIS_AT, **py_evm)
        return
    with young_anvil() as chain:
        yield chain
