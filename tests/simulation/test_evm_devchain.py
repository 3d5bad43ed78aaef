"""The connector on real EVMs over HTTP: py-evm in process, and anvil where it is installed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.chain_records import ChainMark, TransferObservation
from payhealth.domain.errors import SourceDataError, SourceUnavailableError
from payhealth.domain.records import Movement
from payhealth.sandbox.chain.anvil import AnvilChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.interfaces import Chain
from payhealth.sandbox.serve import LoopbackServer
from tests.sandbox.chains import ANVIL, ETHER, GENESIS_AT, PY_EVM, young_chain
from tests.simulation.test_evm_fake_node import NOW
from tests.simulation.test_evm_shelf import Shelf

TOKEN = 10**6


@dataclass
class Business:
    """A business on a chain: deposit addresses, a treasury, a gas funder, and customers.

    Args:
        at: goes on by a minute with each act.
        lasting: acts that end in a block that stays, as far as is known.
    """

    chain: Chain
    url: str
    at: datetime = GENESIS_AT
    shelf: Shelf = field(default_factory=Shelf)

    def __post_init__(self) -> None:
        self.deposits = [self.chain.new_address() for _ in range(3)]
        self.treasury, self.operator, self.customer = (self.chain.new_address() for _ in range(3))
        for address in (self.operator, self.customer, self.treasury):
            self.chain.faucet(address, at=self.later(), native=1000 * ETHER)
        self.chain.faucet(self.customer, at=self.later(), token=10**6 * TOKEN)
        for address in self.deposits:
            self.native(self.operator, address, ETHER)

    def later(self) -> datetime:
        """The next moment."""
        self.at += timedelta(minutes=1)
        return self.at

    def token(self, sender: str, recipient: str, amount: int) -> Any:
        """Mine a token transfer."""
        return self.chain.send_token(at=self.later(), sender=sender, recipient=recipient, amount=amount)

    def native(self, sender: str, recipient: str, amount: int) -> Any:
        """Mine a native transfer."""
        return self.chain.send_native(at=self.later(), sender=sender, recipient=recipient, amount=amount)

    def settings(self, **changes: Any) -> EvmSettings:
        """The business's configuration."""
        base = {
            "chain_id": self.chain.chain_id,
            "rpc_urls": [self.url],
            "addresses": [*self.deposits, self.treasury],
            "operators": [self.operator],
            "assets": ["native"],
            "tokens": [{"address": self.chain.token_address, "symbol": "USDX", "decimals": 6}],
            "backoff_ms": 1,
        }
        return EvmSettings.model_validate({**base, **changes})

    def pull(self, **changes: Any) -> None:
        """Pull once, over HTTP."""
        source = EvmSource("chain", self.settings(**changes))
        source.verify()
        cursor = self.shelf.cursors.get("transfers")
        for batch in source.pull("transfers", cursor, NOW, self.shelf):
            self.shelf.commit(batch)
        source.close()

    def live(self) -> dict[str, tuple[str, int, str, str]]:
        """Movements that stand: id -> kind, units (or wei), sender, recipient."""
        digits = {"USDX": 6, "ETH": 18}
        return {
            row.movement_id: (
                row.kind,
                int(row.amount.scaleb(digits[row.symbol])),
                str(row.sender),
                str(row.recipient),
            )
            for row in self.shelf.all(Movement)
            if row.status == "seen"
        }

    def truth(self) -> dict[str, tuple[str, int, str, str]]:
        """The same, naively: block by block, transaction by transaction, receipt by receipt."""
        ours = {address.lower() for address in (*self.deposits, self.treasury)}
        found: dict[str, tuple[str, int, str, str]] = {}
        with httpx.Client(trust_env=False) as http:

            def ask(method: str, *params: Any) -> Any:
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                return http.post(self.url, json=body).json()["result"]

            for number in range(int(ask("eth_blockNumber"), 16) + 1):
                for tx in ask("eth_getBlockByNumber", hex(number), True)["transactions"]:
                    receipt = ask("eth_getTransactionReceipt", tx["hash"])
                    for name, units, sender, recipient in self._moves(tx, receipt):
                        if {sender, recipient} & ours:
                            found[name] = (self._kind(sender, recipient, ours), units, sender, recipient)
        return found

    def _moves(self, tx: dict[str, Any], receipt: dict[str, Any]) -> Iterator[tuple[str, int, str, str]]:
        prefix = f"eip155:{self.chain.chain_id}:{tx['hash']}"
        if int(tx["value"], 16) and receipt["status"] == "0x1" and tx["to"]:
            yield f"{prefix}:native", int(tx["value"], 16), tx["from"].lower(), tx["to"].lower()
        for log in receipt["logs"]:
            if log["address"].lower() == self.chain.token_address.lower() and int(log["data"], 16):
                ends = ["0x" + topic[-40:].lower() for topic in log["topics"][1:]]
                yield f"{prefix}:{int(log['logIndex'], 16)}", int(log["data"], 16), ends[0], ends[1]

    def _kind(self, sender: str, recipient: str, ours: set[str]) -> str:
        if sender in ours:
            return "internal" if recipient in ours else "outgoing"
        return "funding" if sender == self.operator.lower() else "transfer"

    def assert_exact(self) -> None:
        """What stands is the chain's truth; everything else is retracted, with a standing retraction."""
        live = self.live()
        truth = self.truth()
        assert live == truth
        for row in self.shelf.all(Movement):
            if row.status == "retracted":
                retractions = [
                    other.status
                    for other in self.shelf.all(Movement)
                    if other.movement_id == f"{row.movement_id}:retraction"
                ]
                assert retractions == (["succeeded"] if row.kind == "transfer" else [])


@pytest.fixture(params=[PY_EVM, ANVIL])
def business(request: pytest.FixtureRequest) -> Iterator[Business]:
    """A business on a young chain of each kind; blocks are final 12 below the head."""
    with ExitStack() as stack:
        chain = stack.enter_context(young_chain(request.param))
        if isinstance(chain, AnvilChain):
            yield Business(chain=chain, url=chain.rpc_url)
            return
        server = stack.enter_context(LoopbackServer(build_app(chain, max_block_range=5)))
        yield Business(chain=chain, url=server.url)


def test_each_kind_of_transfer(business: Business) -> None:
    """Deposits, sweeps, payments out, gas top-ups, in tokens and in the coin, to the unit."""
    first, second, _ = business.deposits
    business.token(business.customer, first, 250 * TOKEN)
    business.native(business.customer, second, ETHER // 3)
    business.token(first, business.treasury, 200 * TOKEN)
    business.native(second, business.treasury, ETHER // 2)
    business.token(business.treasury, business.customer, 30 * TOKEN)
    business.token(first, first, TOKEN)
    business.token(business.customer, first, 0)
    business.pull()
    business.assert_exact()
    assert {kind for kind, *_ in business.live().values()} == {"transfer", "internal", "outgoing", "funding"}
    ignored = [row.ignored_reason for row in business.shelf.all(TransferObservation) if row.ignored_reason]
    assert ignored == ["zero value"]
    (mark,) = business.shelf.all(ChainMark)
    assert (mark.head - mark.safe, mark.head - mark.final) == (6, 12)
    versions = business.shelf.versions
    business.pull()
    assert business.shelf.versions == versions


@pytest.mark.parametrize("seed", range(3))
def test_reorgs_of_every_depth(business: Business, seed: int) -> None:
    """Reorgs of depth 1 to 10 between pulls: what was lost is retracted, what is sent again lives."""
    chance = random.Random(seed)
    for depth in chance.sample(range(1, 11), 4):
        business.chain.mine(at=business.later(), blocks=chance.randrange(1, 4))
        snapshot = business.chain.snapshot()
        acts = [(chance.choice(business.deposits), chance.randrange(1, 9) * TOKEN) for _ in range(depth)]
        for to, amount in acts:
            business.token(business.customer, to, amount)
        business.pull(step_blocks=chance.choice([2, 200]))
        business.chain.reorg(snapshot, at=business.later(), blocks=depth + 1)
        again = [act for act in acts if chance.random() < 0.5]
        if chance.random() < 0.5:
            business.pull()
        for to, amount in again:
            business.token(business.customer, to, amount)
        business.pull()
        business.assert_exact()
    assert any(row.status == "retracted" for row in business.shelf.all(Movement))


def test_verify_accepts_the_chain_and_refuses_what_is_wrong(business: Business) -> None:
    """Chain id, code at the token and its decimals are held against the chain."""
    EvmSource("chain", business.settings()).verify()
    token = {"address": business.chain.token_address, "symbol": "USDX", "decimals": 18}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"chain_id": 1}, f"serves chain {business.chain.chain_id}, but chain_id = 1 is configured"),
        ({"tokens": [token]}, "has 6 decimals, but 18 are configured"),
        ({"tokens": [{**token, "address": business.customer}]}, "there is no contract for USDX"),
    ]
    for changes, words in wrong:
        with pytest.raises(SourceDataError, match=words):
            EvmSource("chain", business.settings(**changes)).verify()
    with pytest.raises(SourceUnavailableError, match="connection failed"):
        EvmSource("chain", business.settings(rpc_urls=["http://127.0.0.1:9/"], attempts=1)).verify()
