"""The EVM source keeps the contract that every source keeps, on a chain that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.chain_records import Block
from payhealth.domain.records import Movement
from payhealth.ports import Source
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.serve import LoopbackServer
from payhealth.testing import MemoryStore
from payhealth.testing.contract import SourceContract, pull
from tests.sandbox.chains import ETHER, GENESIS_AT
from tests.simulation.test_evm_devchain import TOKEN, Business
from tests.simulation.test_evm_fake_node import NOW


@pytest.fixture(scope="module")
def business() -> Iterator[Business]:
    """A business with a few payments, and one that a reorg removes later."""
    chain = DevChain(seed=11, genesis_at=GENESIS_AT)
    with LoopbackServer(build_app(chain, max_block_range=7)) as server:
        made = Business(chain=chain, url=server.url)
        for to in made.deposits:
            made.token(made.customer, to, 5 * TOKEN)
            made.native(made.customer, to, ETHER // 7)
            made.token(to, made.treasury, 2 * TOKEN)
        chain.mine(at=made.later(), blocks=20)
        made.token(made.customer, made.deposits[0], 3 * TOKEN)
        yield made


@pytest.fixture
def now() -> datetime:
    """The moment of the pull."""
    return NOW


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


@pytest.fixture
def source(business: Business) -> Iterator[Source]:
    """The source, in small steps."""
    made = EvmSource("chain", business.settings(step_blocks=4))
    yield made
    made.close()


@pytest.fixture
def nonsense_source(business: Business) -> Source:
    """The same node under another chain's id."""
    return EvmSource("chain", business.settings(chain_id=1))


class TestEvmContract(SourceContract):
    """Everything that ``SourceContract`` asks."""


def test_a_reorg_in_the_real_store_double(business: Business, store: MemoryStore) -> None:
    """What a lost block held is retracted in the store, history kept, and its blocks are told apart."""
    snapshot = business.chain.snapshot()
    business.token(business.customer, business.deposits[1], 9 * TOKEN)
    lost = EvmSource("chain", business.settings())
    pull(lost, store, NOW)
    business.chain.reorg(snapshot, at=business.later(), blocks=2)
    pull(lost, store, NOW)
    lost.close()
    rows = [row for row in store.records(Movement).to_pylist() if row["amount"] == 9]
    assert {row["kind"]: row["status"] for row in rows} == {
        "transfer": "retracted",
        "retraction": "succeeded",
    }
    assert store.records(Block)["canonical"].to_pylist() == [False]
