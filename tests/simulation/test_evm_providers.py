"""Several providers of one chain: who is asked, believed and named; and what a node that forgets costs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from eth_bloom import BloomFilter

from payhealth.connectors.evm.source import EvmSource
from payhealth.domain.chain_records import AddressBalance, ProviderScore
from payhealth.domain.errors import SourceDataError, SourceError, SourceUnavailableError
from payhealth.domain.records import Movement
from tests.simulation.evm_proxy import SENDERS, Proxy, sent, without_logs
from tests.simulation.test_evm_fake_node import (
    OURS,
    TOKEN,
    FakeNode,
    NodeError,
    Tx,
    assert_exact,
    deposit,
    pull,
    seen,
    settings,
    source,
    truth,
)
from tests.simulation.test_evm_proxy import assert_exact as assert_exact_on_py_evm
from tests.simulation.test_evm_proxy import on_py_evm
from tests.simulation.test_evm_proxy import pull as pull_through
from tests.simulation.test_evm_shelf import Shelf

A, B = "a.invalid", "b.invalid"


class Blooming(FakeNode):
    """A fake node whose blocks have true bloom filters."""

    def _block(self, number: int, *, full: bool) -> dict[str, Any] | None:
        raw = super()._block(number, full=full)
        if raw is None:
            return None
        bloom = BloomFilter()
        for log in self.blocks[number].logs():
            for word in (log["address"], *log["topics"]):
                bloom.add(bytes.fromhex(word[2:]))
        return {**raw, "logsBloom": f"0x{int(bloom):0512x}"}


@dataclass
class World:
    """Providers by host, over one chain at first, and a store that outlives processes."""

    nodes: dict[str, FakeNode]
    shelf: Shelf = field(default_factory=Shelf)
    broken: dict[str, Callable[[httpx.Request], httpx.Response]] = field(default_factory=dict)

    def mine(self, *txs: Tx) -> None:
        """Add a block to the chain that all share."""
        first, *others = self.nodes.values()
        first.mine(*txs)
        for other in others:
            other.finalized = first.finalized

    def part(self, host: str) -> FakeNode:
        """Give a provider a chain of its own from now on, equal to the shared one as yet."""
        node = self.nodes[host]
        node.blocks, node.known = list(node.blocks), dict(node.known)
        return node

    def source(self, **changes: Any) -> EvmSource:
        """A new process's source."""
        base = {"rpc_urls": [f"http://{host}/v2/secret-key-{host}" for host in self.nodes], "assets": []}
        transport = httpx.MockTransport(self._respond)
        return EvmSource("chain", settings(**{**base, **changes}), transport=transport, sleep=lambda _: None)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        return self.broken[host](request) if host in self.broken else self.nodes[host]._respond(request)

    def pull(self, warm: EvmSource | None = None, **changes: Any) -> SourceError | None:
        """Pull once, in a new process where no source is given; what it ends with where it fails."""
        used = warm or self.source(**changes)
        cursor = self.shelf.cursors.get("transfers")
        at = max(node.blocks[-1].timestamp for node in self.nodes.values()) + 5
        try:
            for batch in used.pull("transfers", cursor, datetime.fromtimestamp(at, UTC), self.shelf):
                self.shelf.commit(batch)
        except SourceError as error:
            return _clear(error)
        return None

    @property
    def scores(self) -> Mapping[str, ProviderScore]:
        """What the store knows of each provider."""
        return {row.provider: row for row in self.shelf.all(ProviderScore)}

    def doubts(self) -> str:
        """What the coverage says of the providers."""
        return "; ".join(sorted({window.doubts for window in self.shelf.coverage}))

    def assert_exact(self, host: str = B) -> None:
        """The store holds the chain of a provider, to its head."""
        assert_exact(self.shelf, self.nodes[host], native=False)


def _clear(error: SourceError) -> SourceError:
    """The error, one line without a key."""
    assert "\n" not in str(error)
    assert "secret-key" not in f"{error} {error.hint}"
    return error


def world(blocks: int = 60, **changes: Any) -> World:
    """Two providers of one chain with a deposit in every block."""
    node = Blooming(**changes)
    for number in range(blocks):
        node.mine(deposit(f"d{number}", number + 1, to=OURS[number % 4]))
    twin = copy.copy(node)
    twin.calls = []
    return World({A: node, B: twin})


def _refused(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


BROKEN: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "down": _refused,
    "a bad gateway": lambda _: httpx.Response(502, html="<html>bad gateway</html>"),
    "throttling": lambda _: httpx.Response(429, headers={"retry-after": "60"}),
    "HTML": lambda _: httpx.Response(200, html="<html>maintenance</html>"),
    "refusing the key": lambda _: httpx.Response(401),
}


# Who is asked.


@pytest.mark.parametrize("how", BROKEN)
def test_another_provider_stands_in(how: str) -> None:
    """One that is of no use costs the pull nothing, is left alone afterwards, and its failures are kept."""
    made = world()
    asked: list[int] = []

    def counted(request: httpx.Request) -> httpx.Response:
        asked.append(1)
        return BROKEN[how](request)

    made.broken[A] = counted
    warm = made.source()
    assert made.pull(warm) is None
    made.assert_exact()
    assert {window.provider for window in made.shelf.coverage} == {B}
    assert made.scores[A].failures > 0
    assert made.scores[A].lies == ""
    before = len(asked)
    made.mine(deposit("later"))
    assert made.pull(warm) is None
    made.assert_exact()
    assert len(asked) == before, "the healthy one is preferred"


def test_one_that_comes_back_is_of_use_again() -> None:
    """When the other fails in its turn, the first is asked again."""
    made = world()
    made.broken[A] = _refused
    warm = made.source()
    assert made.pull(warm) is None
    made.broken = {B: _refused}
    made.mine(deposit("later"))
    assert made.pull(warm) is None
    made.assert_exact(A)


def test_all_down_is_one_line_that_names_each() -> None:
    """Where nobody answers the pull says so of every provider, and claims nothing."""
    made = world()
    made.broken = {A: _refused, B: BROKEN["a bad gateway"]}
    error = made.pull()
    assert isinstance(error, SourceUnavailableError)
    assert A in str(error)
    assert B in str(error)
    assert made.shelf.coverage == []
    assert set(made.scores) == {A, B}


def test_one_behind_what_was_final_is_named_and_not_used() -> None:
    """A head below a block that was final before is a stale head; the other is asked."""
    made = world()
    assert made.pull() is None
    lagging = made.part(A)
    del lagging.blocks[30:]
    lagging.finalized = 18
    made.nodes[B].mine(deposit("later"))
    assert made.pull() is None
    made.assert_exact()
    assert "stale head" in made.scores[A].lies
    assert f"{A}: stale head" in made.doubts()


def test_one_that_stands_still_does_not_hide_the_others_blocks() -> None:
    """A provider stuck at our tip while the other goes on: what is paid there is read, or it is an error."""
    made = world()
    assert made.pull() is None
    made.part(A)
    for number in range(40):
        made.nodes[B].mine(deposit(f"later{number}"))
    if made.pull() is None:
        made.assert_exact()


def test_one_of_another_chain_is_named_and_never_used() -> None:
    """The pull succeeds through the other; of the wrong one nothing but its chain id was asked."""
    made = world()
    made.nodes[A].chain_id = 5
    assert made.pull() is None
    made.assert_exact()
    assert set(made.nodes[A].calls) == {"eth_chainId"}
    assert made.scores[A].lies == "wrong chain x1"
    assert "serves chain 5" in made.scores[A].last_fault
    assert f"{A}: wrong chain" in made.doubts()


# Who is believed.


def _without_logs(node: FakeNode) -> None:
    node.on_call = lambda method, params: [] if method == "eth_getLogs" and "blockHash" in params[0] else None


def test_one_that_omits_logs_is_named_and_the_pull_is_exact() -> None:
    """Blooms and receipts deny its empty answers; coverage and scorecard say who gave them."""
    made = world()
    _without_logs(made.nodes[A])
    assert made.pull() is None
    made.assert_exact()
    assert "missing logs" in made.scores[A].lies
    assert f"{A}: missing logs" in made.doubts()
    assert B not in made.doubts()


def test_liars_are_named_also_where_the_pull_fails() -> None:
    """Both omit logs: the pull is refused, and what they did is kept."""
    made = world()
    for node in made.nodes.values():
        _without_logs(node)
    error = made.pull()
    assert isinstance(error, SourceUnavailableError)
    assert "whose receipts hold" in str(error)
    assert all("missing logs" in made.scores[host].lies for host in (A, B))
    assert seen(made.shelf) <= truth(made.nodes[B], native=False)


def _lacking(node: FakeNode, number: int) -> None:
    def told(method: str, params: list[Any]) -> Any:
        if method != "eth_getLogs" or "blockHash" in params[0]:
            return None
        return [log for log in node.answer(method, params) if log["blockNumber"] != hex(number)]

    node.on_call = told


def test_a_quorum_that_agrees_passes() -> None:
    """Two that say the same of final blocks are one pull as any other; both were asked for their logs."""
    made = world()
    assert made.pull(quorum=2) is None
    made.assert_exact()
    assert all("eth_getLogs" in node.calls for node in made.nodes.values())
    assert made.doubts() == ""


@pytest.mark.parametrize("liar", [A, B])
def test_a_quorum_that_disagrees_refuses_and_names(liar: str) -> None:
    """A log of a final block that one lacks: no claim of that range, and the one that lacks it is noted."""
    made = world()
    _lacking(made.nodes[liar], 30)
    error = made.pull(quorum=2)
    assert isinstance(error, SourceUnavailableError)
    assert "disagree" in str(error)
    assert A in str(error)
    assert B in str(error)
    assert made.scores[liar].lies == "disagrees x1"
    assert not any(window.lower <= 30 < window.upper for window in made.shelf.coverage)
    assert seen(made.shelf) <= truth(made.nodes[B], native=False)


@pytest.mark.parametrize("how", ["down", "HTML"])
def test_a_quorum_without_a_second_refuses(how: str) -> None:
    """One that answers alone is no quorum."""
    made = world()
    made.broken[B] = BROKEN[how]
    error = made.pull(quorum=2)
    assert isinstance(error, SourceUnavailableError)
    assert "quorum = 2" in str(error)
    assert made.shelf.coverage == []


def _reorganised(node: FakeNode, depth: int = 3) -> None:
    node.drop(depth)
    for number in range(depth + 2):
        node.mine(deposit(f"other{number}"))


def test_a_reorg_that_one_provider_invents_retracts_nothing() -> None:
    """The other still holds the lost block: a clear error, and nothing in the store changes."""
    made = world()
    warm = made.source()
    assert made.pull(warm) is None
    before = dict(made.shelf.current[Movement])
    _reorganised(made.part(A))
    error = made.pull(warm)
    assert isinstance(error, SourceUnavailableError)
    assert "a roll-back needs two" in str(error)
    assert A in str(error)
    assert B in str(error)
    assert made.shelf.current[Movement] == before
    assert "disagrees" in made.scores[A].lies
    made.nodes[B].mine(deposit("honest"))
    assert made.pull(warm) is None
    made.assert_exact(B)


def test_a_reorg_with_nobody_to_confirm_it_retracts_nothing() -> None:
    """The other provider does not answer: the roll-back waits for it."""
    made = world()
    assert made.pull() is None
    before = dict(made.shelf.current[Movement])
    _reorganised(made.part(A))
    made.broken[B] = _refused
    error = made.pull()
    assert isinstance(error, SourceUnavailableError)
    assert "no other provider answers" in str(error)
    assert made.shelf.current[Movement] == before


def test_a_reorg_that_both_tell_of_is_rolled_back() -> None:
    """What the lost blocks held is retracted, and what the new branch holds is there."""
    made = world()
    assert made.pull() is None
    _reorganised(made.nodes[A])
    made.nodes[B].finalized = made.nodes[A].finalized
    assert made.pull() is None
    made.assert_exact()
    assert sum(row.status == "retracted" for row in made.shelf.all(Movement)) == 3


# What is remembered.


def test_scorecards_add_up_over_restarts() -> None:
    """Each process knows its own failures and lies; the store has the sum."""
    made = world()
    _without_logs(made.nodes[A])
    counts: list[tuple[int, int]] = []
    for _ in range(3):
        failing = iter([True])
        made.broken[B] = lambda request, failing=failing: (
            BROKEN["HTML"](request) if next(failing, False) else made.nodes[B]._respond(request)
        )
        assert made.pull() is None
        score = made.scores
        lies = int(score[A].lies.removeprefix("missing logs x"))
        counts.append((score[B].failures, lies))
        made.mine(deposit(f"more{len(counts)}"))
    assert counts == sorted(counts)
    assert counts[-1][0] >= 3
    assert counts[-1][1] >= 3
    assert counts[0][1] < counts[1][1] < counts[2][1]


@pytest.mark.parametrize(
    ("words", "again"),
    [("range exceeds limit of 7", 0), ("block range too high", 40)],
    ids=["named", "found"],
)
def test_what_a_provider_takes_is_remembered_over_a_restart(words: str, again: int) -> None:
    """A capped provider is not asked for a large range again; the other's ranges stay large."""
    made = world(200)
    spans: dict[str, list[int]] = {A: [], B: []}
    refused: list[int] = []

    def watch(host: str, cap: int) -> None:
        def told(method: str, params: list[Any]) -> None:
            if method == "eth_getLogs" and "fromBlock" in params[0]:
                spans[host].append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
                if spans[host][-1] > cap:
                    refused.append(spans[host][-1])
                    raise NodeError(words)

        made.nodes[host].on_call = told

    watch(A, 7)
    watch(B, 1000)
    assert made.pull() is None
    assert max(spans[A]) > 100
    for number in range(200):
        made.mine(deposit(f"more{number}"))
    spans[A].clear()
    refused.clear()
    assert made.pull() is None
    made.assert_exact()
    assert max(spans[A]) <= 8
    assert len(refused) <= again
    made.broken[A] = _refused
    for number in range(200):
        made.mine(deposit(f"most{number}"))
    spans[B].clear()
    assert made.pull() is None
    assert max(spans[B]) > 100


# Over real sockets.


def test_two_real_providers_one_dead() -> None:
    """A port where nobody listens, and a node: the pull is the node's."""
    with on_py_evm() as place, Proxy(place.business.url) as proxy:
        shelf = Shelf()
        urls = ["http://127.0.0.1:9/", proxy.url]
        assert pull_through(place, proxy, shelf, rpc_urls=urls) is None
        assert_exact_on_py_evm(shelf, place.audit())
        assert {window.provider for window in shelf.coverage} == {"127.0.0.1#2"}


@pytest.mark.parametrize("how", ["omits logs", "429"])
def test_two_real_providers_one_of_no_use(how: str) -> None:
    """One that omits logs is named, one that throttles is not called a liar; both pulls are exact."""
    lies = {"omits logs": without_logs(1.0, by_hash=True), "429": sent(1.0, SENDERS["429"])}
    with (
        on_py_evm() as place,
        Proxy(place.business.url, [lies[how]]) as bad,
        Proxy(place.business.url) as good,
    ):
        shelf = Shelf()
        assert pull_through(place, bad, shelf, rpc_urls=[bad.url, good.url]) is None
        assert_exact_on_py_evm(shelf, place.audit())
        doubts = {window.doubts for window in shelf.coverage}
        named = any(doubt.startswith("127.0.0.1: missing logs") for doubt in doubts)
        assert named is (how == "omits logs")


# A node that forgets, and tokens that are not as configured.


@pytest.mark.parametrize("kept", [0, 3])
def test_a_pruned_node_leaves_balances_unproved_and_nothing_else(kept: int) -> None:
    """Without old states older ranges are unproved: no error, no hole, no difference."""
    node, shelf = FakeNode(states_kept=kept), Shelf()
    for number in range(60):
        node.mine(deposit(f"d{number}", number + 1, to=OURS[number % 4]))
    first = node.head
    for _ in range(3):
        pull(node, shelf)
        for number in range(13):
            node.mine(deposit(f"more{node.head}", number + 1))
    pull(node, shelf)
    assert_exact(shelf, node)
    assert not any(window.refuted for window in shelf.coverage)
    assert all(window.lower > first for window in shelf.coverage if not window.unproved)
    rows = shelf.all(AddressBalance)
    assert {row.state for row in rows} <= {"proved", "waiting"}
    assert all(row.proved_from is None or row.proved_from >= first for row in rows)


def test_a_pruned_real_node_leaves_balances_unproved_and_nothing_else() -> None:
    """The same in geth's words, on py-evm."""
    with on_py_evm(state_depth=4) as place, Proxy(place.business.url) as proxy:
        shelf = Shelf()
        for _ in range(3):
            assert pull_through(place, proxy, shelf) is None
            place.business.chain.mine(at=place.business.later(), blocks=13)
        assert pull_through(place, proxy, shelf) is None
        assert_exact_on_py_evm(shelf, place.audit())
        assert not any(window.refuted for window in shelf.coverage)
        assert not any(window.lower == 0 for window in shelf.coverage if not window.unproved)
        assert {row.state for row in shelf.all(AddressBalance)} <= {"proved", "waiting"}


def test_decimals_that_disagree_are_refused_with_both_numbers() -> None:
    """A wrong number of decimals would make every amount wrong: nothing is read."""
    node = FakeNode()
    wrong = [{"address": TOKEN, "symbol": "USDX", "decimals": 8}]
    with pytest.raises(SourceDataError, match=r"USDX at 0x7070.* has 6 decimals, but 8 are configured"):
        source(node, tokens=wrong).verify()


def test_a_token_without_decimals_is_refused() -> None:
    """A contract that does not answer ``decimals()`` is named; nothing stands in for its answer."""
    with on_py_evm() as place:
        made = place.business
        bare = made.chain.deploy("NoDecimals", at=made.later())  # type: ignore[attr-defined]
        tokens = [{"address": bare, "symbol": "BARE", "decimals": 6}]
        checked = EvmSource("chain", made.settings(tokens=tokens))
        with pytest.raises(SourceDataError, match=r"BARE at 0x\w+ on .* does not answer decimals\(\)"):
            checked.verify()
        checked.close()
