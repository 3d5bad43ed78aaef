"""A lying proxy before real chains: whatever it says, a pull ends exact or in a clear refusal.

What is claimed as read, and not refuted by a balance, is held against the auditor's walk of the honest node:
every transfer of a claimed block is there, and none that is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from payhealth.bootstrap import application
from payhealth.connectors.evm.rpc.faults import FaultKind, table
from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.chain_records import AddressBalance, ProviderScore
from payhealth.domain.errors import SourceDataError, SourceError
from payhealth.domain.records import Movement
from payhealth.domain.results import Outcome
from payhealth.sandbox.chain.contract_user import ContractUser
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.chain.sending import Sending
from payhealth.sandbox.serve import LoopbackServer
from tests.auditor.evm import audit_chain
from tests.auditor.evm_facts import Audit
from tests.auditor.evm_facts import Business as Books
from tests.sandbox.chains import ETHER, GENESIS_AT, young_anvil
from tests.simulation.evm_proxy import (
    SECRET,
    SENDERS,
    Lie,
    Proxy,
    Upstream,
    another_branch,
    capped,
    half_batches,
    hiding,
    lagging,
    nulls,
    plain_http,
    sent,
    shuffled,
    with_a_log_of,
    without_logs,
)
from tests.simulation.test_evm_devchain import TOKEN, Business
from tests.simulation.test_evm_fake_node import NOW
from tests.simulation.test_evm_shelf import Shelf

RANGES = (FaultKind.RANGE_LIMIT, FaultKind.RESULT_LIMIT)
Row = tuple[str, str, str, str, str, int]


@dataclass
class Place:
    """A business on a real chain, its honest node, and what is true there."""

    business: Business
    known: dict[str, Audit] = field(default_factory=dict)

    def audit(self) -> Audit:
        """What the auditor says of the chain as it is now; of each head once."""
        node = Upstream(self.business.url)
        head = node.ask("eth_getBlockByNumber", "latest", False)["hash"]
        node.close()
        if head not in self.known:
            self.known[head] = self._audited()
        return self.known[head]

    def _audited(self) -> Audit:
        made = self.business
        books = Books(
            chain_id=made.chain.chain_id,
            addresses=frozenset((*made.deposits, made.treasury)),
            operators=frozenset({made.operator}),
            tokens={made.chain.token_address: ("USDX", 6)},
            native=("ETH", f"eip155:{made.chain.chain_id}/slip44:60"),
        )
        return audit_chain(made.url, books)

    def live_on(self, chance: random.Random, acts: int) -> None:
        """Payments, sweeps, coins and empty blocks, as chance has it."""
        made = self.business
        for _ in range(acts):
            to, act = chance.choice(made.deposits), chance.random()
            if act < 0.5:
                made.token(made.customer, to, chance.randrange(1, 99) * TOKEN)
            elif act < 0.7:
                made.native(made.customer, to, chance.randrange(1, 99) * ETHER // 1000)
            elif act < 0.8:
                made.token(made.customer, made.operator, TOKEN)
            elif act < 0.9:
                made.native(to, made.treasury, ETHER // 10_000)
            else:
                made.chain.mine(at=made.later(), blocks=2)


def lived(chain: Any, url: str, *, seed: int = 5, acts: int = 45) -> Place:
    """A business that has lived for a while."""
    place = Place(Business(chain=chain, url=url))
    place.live_on(random.Random(seed), acts)
    several(place)
    place.live_on(random.Random(seed + 1), 4)
    return place


def several(place: Place) -> list[str]:
    """Mine several payments in one block; gives their transactions."""
    made, chain = place.business, cast("ContractUser", place.business.chain)
    calls = [chain.call_data("DevToken", "transfer", to, 7 * TOKEN) for to in made.deposits]
    orders = [Sending(sender=made.customer, to=made.chain.token_address, data=call) for call in calls]
    return [receipt["transactionHash"] for receipt in chain.mine_block(orders, at=made.later())]


@contextmanager
def on_py_evm(*, seed: int = 3, acts: int = 6, **node: Any) -> Iterator[Place]:
    """A young chain in process; blocks are final 12 below the head."""
    chain = DevChain(seed=seed, genesis_at=GENESIS_AT)
    with LoopbackServer(build_app(chain, **node)) as server:
        yield lived(chain, server.url, acts=acts)


@pytest.fixture(scope="module")
def py_evm() -> Iterator[Place]:
    """A chain in process that stands still."""
    with on_py_evm(acts=45) as place:
        yield place


@pytest.fixture(scope="module")
def anvil() -> Iterator[Place]:
    """The same on anvil."""
    with young_anvil(seed=3) as chain:
        yield lived(chain, chain.rpc_url)


@pytest.fixture(params=["py_evm", "anvil"])
def place(request: pytest.FixtureRequest) -> Place:
    """Either chain."""
    found: Place = request.getfixturevalue(request.param)
    return found


def pull(place: Place, proxy: Proxy, shelf: Shelf, **changes: Any) -> SourceError | None:
    """Pull once through a proxy; a refusal is one clear line without the URL's secret."""
    base = {"rpc_urls": [proxy.url], "attempts": 3, "timeout_s": 5}
    settings = place.business.settings(**{**base, **changes})
    source = EvmSource("chain", settings, transport=plain_http(), sleep=lambda _: None)
    try:
        for batch in source.pull("transfers", shelf.cursors.get("transfers"), NOW, shelf):
            shelf.commit(batch)
    except SourceError as error:
        told = f"{error} {error.hint}"
        assert "\n" not in told
        assert SECRET not in told
        assert "127.0.0.1" in told
        return error
    finally:
        source.close()
        assert SECRET not in "".join(f"{row.last_fault}{row.lies}" for row in shelf.all(ProviderScore))
    return None


def live(shelf: Shelf) -> set[Row]:
    """What stands in the store."""
    return {
        (
            row.movement_id,
            row.kind,
            str(row.amount.normalize()),
            str(row.sender),
            str(row.block_hash),
            row.block_number or 0,
        )
        for row in shelf.all(Movement)
        if row.status == "seen"
    }


def truth(audit: Audit) -> set[Row]:
    """What stands on the chain."""
    return {
        (
            move.id,
            move.kind,
            str(move.amount.normalize()),
            move.sender,
            move.place.block_hash,
            move.place.block_number,
        )
        for move in audit.movements
    }


def claimed(shelf: Shelf) -> set[int]:
    """The blocks that the coverage says were read, without those that a balance refutes."""
    said: dict[str, set[int]] = {"read": set(), "refuted": set(), "proved": set()}
    for window in shelf.coverage:
        kind = "refuted" if window.refuted else "read" if window.unproved else "proved"
        said[kind] |= set(range(window.lower, window.upper))
    return (said["read"] | said["proved"]) - (said["refuted"] - said["proved"])


def assert_never_short(shelf: Shelf, audit: Audit) -> None:
    """Of each claimed block every transfer is there as it is, and nothing was made up."""
    blocks = claimed(shelf)
    assert {row for row in live(shelf) if row[-1] in blocks} == {
        row for row in truth(audit) if row[-1] in blocks
    }
    assert live(shelf) <= truth(audit)


def assert_exact(shelf: Shelf, audit: Audit) -> None:
    """All of the chain is claimed, and there as it is."""
    assert claimed(shelf) == {number for number, _ in audit.blocks}
    assert live(shelf) == truth(audit)


LIES: dict[str, Callable[[], Lie]] = {
    **{name: (lambda how=how: sent(0.25, how)) for name, how in SENDERS.items()},  # type: ignore[misc]
    "half batches": lambda: half_batches(0.3),
    "another order": lambda: shuffled(0.8),
    "lags by one": lambda: lagging(1, 0.3),
    "lags by twenty": lambda: lagging(20, 0.3),
    "a cap of 3": lambda: capped(3, "exceeds the maximum of 3 blocks per logs request"),
    "a cap without a number": lambda: capped(5, "block range too high"),
    "nulls": lambda: nulls(0.2),
    "no logs near the head": lambda: without_logs(0.3, by_hash=True),
}
"""What a second attempt, another answer or a smaller range mends, one at a time."""


@pytest.mark.parametrize("name", LIES)
def test_each_lie_alone_ends_exact_or_in_a_refusal(py_evm: Place, name: str) -> None:
    """Never short; and what does not last is mended: one of a few pulls ends exact."""
    _one_lie(py_evm, name)


@pytest.mark.parametrize("name", list(LIES)[-6:])
def test_each_lie_about_the_chain_on_anvil(anvil: Place, name: str) -> None:
    """The same of the lies that depend on what a node says."""
    _one_lie(anvil, name)


def _one_lie(place: Place, name: str) -> None:
    audit, shelf, exact = place.audit(), Shelf(), 0
    with Proxy(place.business.url, [LIES[name]()], seed=1) as proxy:
        for _ in range(6):
            exact += pull(place, proxy, shelf) is None and len(claimed(shelf)) == len(audit.blocks)
            assert_never_short(shelf, audit)
            if exact:
                break
    assert exact
    assert_exact(shelf, audit)


@pytest.mark.parametrize("seed", range(8))
def test_all_lies_at_once_end_exact_or_in_a_refusal(py_evm: Place, seed: int) -> None:
    """Whatever is combined: never short while it lies, and exact once it is honest."""
    _many_lies(py_evm, seed)


@pytest.mark.parametrize("seed", range(8, 11))
def test_all_lies_at_once_on_anvil(anvil: Place, seed: int) -> None:
    """The same on a node with traces."""
    _many_lies(anvil, seed)


def _many_lies(place: Place, seed: int) -> None:
    chance = random.Random(seed)
    audit, shelf = place.audit(), Shelf()
    steps = {"step_blocks": chance.choice([3, 200]), "batch_calls": chance.choice([4, 100])}
    with Proxy(place.business.url, seed=seed) as proxy:
        for _ in range(3):
            proxy.lies = [LIES[name]() for name in chance.sample(sorted(LIES), 3)]
            pull(place, proxy, shelf, **steps)
            assert_never_short(shelf, audit)
        proxy.lies = []
        assert pull(place, proxy, shelf, **steps) is None
    assert_exact(shelf, audit)


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_that_goes_on_under_lies(seed: int) -> None:
    """With reorgs, new blocks and lies between and under pulls, the end is the chain's truth."""
    chance, chain = random.Random(seed), DevChain(seed=seed, genesis_at=GENESIS_AT)
    with LoopbackServer(build_app(chain)) as server:
        place, shelf = Place(Business(chain=chain, url=server.url)), Shelf()
        with Proxy(server.url, seed=seed) as proxy:
            for _ in range(5):
                place.live_on(chance, 4)
                proxy.lies = [LIES[name]() for name in chance.sample(sorted(LIES), 2)]
                pull(place, proxy, shelf)
                if chance.random() < 0.6:
                    _reorganise(chain, place, chance)
            proxy.lies = []
            place.live_on(chance, 2)
            assert pull(place, proxy, shelf) is None
            assert_exact(shelf, place.audit())


def _reorganise(chain: DevChain, place: Place, chance: random.Random) -> None:
    """Lose up to four blocks; some of their transactions come back, where their nonces allow that."""
    for transaction in chain.drop(chance.randrange(1, 5), at=place.business.later()):
        if chance.random() < 0.7:
            with suppress(TransactionRefusedError):
                chain.resend(transaction, at=place.business.later())


def _wordings() -> list[tuple[str, str]]:
    rows = table()["fault"]
    return [(one.get("class", row["class"]), one["message"]) for row in rows for one in row["example"]]


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in _wordings()}))
def test_every_providers_refusal_of_a_range(py_evm: Place, kind: str) -> None:
    """Each wording of the table, with a cap behind it: too much is asked again smaller, the rest refuses."""
    audit, start = py_evm.audit(), 44
    only = {"assets": [], "balances": False, "start_block": start, "attempts": 2}
    expected = {row for row in truth(audit) if row[-1] >= start and not row[0].endswith(":native")}
    with Proxy(py_evm.business.url) as proxy:
        for at, message in enumerate(message for its, message in _wordings() if its == kind):
            # The numbers in the words are those of another question: the cap behind them is what holds.
            shelf, cap = Shelf(), (1, 2, 5)[at % 3]
            proxy.lies = [capped(cap, message)]
            proxy.calls.clear()
            error = pull(py_evm, proxy, shelf, **only)
            read = claimed(shelf)
            assert live(shelf) == {row for row in expected if row[-1] in read}, message
            assert (error is None) is (kind in RANGES), message
            if error is None:
                assert read == set(range(start, audit.last + 1)), message
                # A range is refused once or twice, and each recent block is asked for by its hash.
                calls = [call["method"] for call in proxy.calls].count("eth_getLogs")
                assert calls < 4 * (audit.last - start) + 40, message


# What balances, blooms and receipts are for.


def test_logs_missing_near_the_head_are_refused(place: Place) -> None:
    """A node that lasts in saying [] of a block whose receipts hold ours is refused, and named for it."""
    audit, shelf = place.audit(), Shelf()
    with Proxy(place.business.url, [without_logs(1.0, by_hash=True)]) as proxy:
        error = pull(place, proxy, shelf)
    assert error is not None
    assert "whose receipts hold" in str(error)
    assert_never_short(shelf, audit)
    (score,) = shelf.all(ProviderScore)
    assert "missing logs" in score.lies


def test_one_of_several_logs_missing_near_the_head_is_found_once_final() -> None:
    """An answer with some logs may lack others: the settling pass reads them before they count as final."""
    with on_py_evm() as place, Proxy(place.business.url) as proxy:
        shelf, hidden = Shelf(), several(place)[1]
        place.business.chain.mine(at=place.business.later(), blocks=3)
        proxy.lies = [hiding(hidden)]
        pull(place, proxy, shelf)
        proxy.lies = []
        place.business.chain.mine(at=place.business.later(), blocks=20)
        assert pull(place, proxy, shelf) is None
        assert_exact(shelf, place.audit())


@pytest.mark.parametrize("near", [True, False], ids=["from the head on", "in final ranges"])
def test_a_log_that_no_filter_ever_shows_is_a_hole(near: bool) -> None:
    """Its receipt is whole and nobody asks for it: the balance says in which block something is missing."""
    with on_py_evm() as place, Proxy(place.business.url) as proxy:
        made, shelf = place.business, Shelf()
        if near:
            pull(place, proxy, shelf)
        hidden = several(place)[1]
        made.chain.mine(at=made.later(), blocks=2 if near else 20)
        proxy.lies = [hiding(hidden)]
        for _ in range(3):
            pull(place, proxy, shelf)
            made.chain.mine(at=made.later(), blocks=13)
        pull(place, proxy, shelf)
        (block,) = {move.place.block_number for move in place.audit().movements if hidden in move.id}
        (row,) = [row for row in shelf.all(AddressBalance) if row.state == "mismatch"]
        assert (row.gap_lower, row.gap_upper) == (block, block)
        assert block not in claimed(shelf)
        assert_never_short(shelf, place.audit())
        proxy.lies = []
        for _ in range(3):
            assert pull(place, proxy, shelf) is None
            made.chain.mine(at=made.later(), blocks=13)
        assert pull(place, proxy, shelf) is None
        assert_exact(shelf, place.audit())


def test_a_hidden_log_fails_the_check_of_the_whole_program(tmp_path: Path) -> None:
    """From the configuration to the verdict: a log that the provider omits is no "all is well"."""
    with on_py_evm() as place, Proxy(place.business.url) as proxy:
        hidden = several(place)[1]
        proxy.lies = [hiding(hidden)]
        app = application(_config(place, proxy, tmp_path))
        try:
            for _ in range(2):
                assert not app.pull().failed
                place.business.chain.mine(at=place.business.later(), blocks=13)
            results = {result.check: result for result in app.check()}
        finally:
            app.close()
    assert results["balance_identity"].outcome is Outcome.FAIL
    assert results["coverage_gap"].outcome is Outcome.FAIL


def _config(place: Place, proxy: Proxy, folder: Path) -> Path:
    made = place.business
    ours = ", ".join(f'"{address}"' for address in (*made.deposits, made.treasury))
    path = folder / "payhealth.toml"
    path.write_text(
        f"""
[store]
url = "sqlite:///{folder}/store.db"

[connectors.chain]
kind = "evm"
chain_id = {made.chain.chain_id}
rpc_urls = ["{proxy.url}"]
addresses = [{ours}]
operators = ["{made.operator}"]
assets = ["native"]
tokens = [{{ address = "{made.chain.token_address}", symbol = "USDX", decimals = 6 }}]
""",
        encoding="utf-8",
    )
    return path


# What was not asked for.


@pytest.mark.parametrize("seed", range(3))
def test_a_log_of_another_block_is_refused(py_evm: Place, seed: int) -> None:
    """A log of a block that was not asked for makes the answer worthless, and is never a movement."""
    audit, shelf = py_evm.audit(), Shelf()
    other = dict(_any_log(py_evm), blockNumber=hex(audit.last + 5), blockHash="0x" + "ab" * 32)
    with Proxy(py_evm.business.url, [with_a_log_of(other, 0.5)], seed=seed) as proxy:
        for _ in range(3):
            error = pull(py_evm, proxy, shelf)
            if error is not None:
                assert isinstance(error, SourceDataError)
                assert "another block than was asked for" in str(error)
            assert_never_short(shelf, audit)
        proxy.lies = []
        assert pull(py_evm, proxy, shelf) is None
    assert_exact(shelf, audit)


def _any_log(place: Place) -> dict[str, Any]:
    node = Upstream(place.business.url)
    token = place.business.chain.token_address
    (log, *_) = node.ask("eth_getLogs", {"fromBlock": "0x2", "toBlock": hex(12), "address": token})
    node.close()
    return dict(log)


@pytest.mark.parametrize("seed", range(3, 6))
def test_another_branch_behind_the_same_url(seed: int) -> None:
    """Two nodes of two branches behind one URL: each pull ends on one branch, whole, or refuses."""
    with on_py_evm(seed=seed) as place, on_py_evm(seed=seed) as twin:
        chance = random.Random(seed)
        twin.business.chain.drop(chance.randrange(1, 5), at=twin.business.later())  # type: ignore[attr-defined]
        for both in (place, twin):
            both.live_on(random.Random(seed + 100), chance.randrange(1, 4))
        node, shelf = Upstream(twin.business.url), Shelf()
        truths = [place.audit(), twin.audit()]
        assert len({one.blocks[15] for one in truths}) == 1
        assert len({one.blocks[-1] for one in truths}) == 2
        with Proxy(place.business.url, [another_branch(node, 0.3)], seed=seed) as proxy:
            for _ in range(5):
                if pull(place, proxy, shelf) is None:
                    assert live(shelf) in [_until(truth(one), shelf) for one in truths]
            proxy.lies = []
            place.live_on(chance, 3)
            assert pull(place, proxy, shelf) is None
        node.close()
        assert live(shelf) == truth(place.audit())


def _until(rows: set[Row], shelf: Shelf) -> set[Row]:
    """Of rows those up to the last block read."""
    read = orjson.loads(shelf.cursors["transfers"])["block"]
    return {row for row in rows if row[-1] <= read}
