"""The whole world: a real account, a real chain, both over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from payhealth.sandbox.business.ledger import read_entries, read_handles
from payhealth.sandbox.business.world import World, open_world
from payhealth.sandbox.interfaces import CardProcessor, Chain, ChainTransfer
from tests.oracle import reconcile
from tests.sandbox.test_business_books import Books, Seen, keep_books, observe_blocks
from tests.sandbox.test_business_truth import POLICIES, summed, truth_by_key

END = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)

Transfers = list[tuple[ChainTransfer, datetime]]


@dataclass(frozen=True)
class Played:
    """A world played to its end, and its chain's transfers before and after the reorg."""

    world: World
    before: Transfers
    after: Transfers


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Two days of a world, played once for all tests here."""
    with open_world(seed=8, days=2, end=END, folder=tmp_path_factory.mktemp("world")) as world:
        before = observe_blocks(world.chain)
        world.run_to_end()
        yield Played(world, before, observe_blocks(world.chain))


def rpc(world: World, method: str, *params: Any) -> Any:
    """One JSON-RPC call."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return httpx.post(world.rpc_url, json=request).raise_for_status().json()["result"]


def listed(world: World, path: str) -> list[dict[str, Any]]:
    """A whole list of the processor, page by page."""
    found: list[dict[str, Any]] = []
    with httpx.Client(base_url=world.stripe_url, auth=(world.stripe_api_key, "")) as client:
        while True:
            after = {"starting_after": found[-1]["id"]} if found else {}
            page = client.get(path, params={"limit": "100", **after}).raise_for_status().json()
            found += page["data"]
            if not page["has_more"]:
                return found


def observe(played: Played) -> Seen:
    """Look at a world: cards over HTTP, the chain from its blocks."""
    world = played.world
    kept = {one.transaction_hash for one, _ in played.after}
    gone = [(one, at) for one, at in played.before if one.transaction_hash not in kept]
    return Seen(
        charges=listed(world, "/v1/charges"),
        refunds=listed(world, "/v1/refunds"),
        disputes=listed(world, "/v1/disputes"),
        transfers=played.after,
        retracted=[(one, at, END - timedelta(minutes=45)) for one, at in gone],
        head=world.chain.head(),
        entries=read_entries(world.ledger_path),
        handles=read_handles(world.ledger_path),
        deposits=set(world.deposit_addresses),
        ours={*world.deposit_addresses, world.treasury_address, *world.operator_addresses},
        chain_id=world.chain_id,
        token_decimals=world.token_decimals,
    )


def books_of(played: Played) -> Books:
    """The naive bookkeeping of a world."""
    return keep_books(observe(played))


def test_the_real_things_are_what_the_business_asks_for(played: Played) -> None:
    """Mypy and a run hold the account and the chain to the Protocols."""
    processor: CardProcessor = played.world.account
    chain: Chain = played.world.chain
    assert processor is not None
    assert chain.head() > 50


def test_residuals_on_the_real_rails_are_the_planted_ones(played: Played) -> None:
    """Read over HTTP and from blocks, only planted faults leave a residual, each its own amount."""
    residuals = books_of(played).residuals()
    truth = truth_by_key(played.world.truth.faults, set(residuals))
    assert set(truth) == set(residuals)
    for key, fault in truth.items():
        assert summed(residuals[key], fault.asset) == Decimal(fault.amount)


def test_the_oracle_agrees_on_the_real_rails(played: Played) -> None:
    """The oracle finds the planted reasons and amounts and no others, and nothing is left open."""
    payments, ledger = books_of(played).for_oracle()
    result = reconcile(payments, ledger, policies=POLICIES, rules=None, as_of=END)
    found = sorted((one.primary_reason, one.amount) for one in result.breaks.values())
    assert found == sorted((one.reason, Decimal(one.amount)) for one in played.world.truth.faults)
    assert not result.open


def test_the_reorg_removed_one_deposit_and_everything_else_is_final(played: Played) -> None:
    """Exactly the doomed transfer is gone; what stands lies at least the finality depth deep."""
    world = played.world
    kept = {one.transaction_hash for one, _ in played.after}
    (doomed,) = [one for one, _ in played.before if one.transaction_hash not in kept]
    assert doomed.recipient.lower() in {address.lower() for address in world.deposit_addresses}
    finalized = rpc(world, "eth_getBlockByNumber", "finalized", False)
    assert max(one.block_number for one, _ in played.after) <= int(finalized["number"], 16)
    assert rpc(world, "eth_getTransactionReceipt", doomed.transaction_hash) is None
    latest = rpc(world, "eth_getBlockByNumber", "latest", False)
    assert int(latest["timestamp"], 16) == (END - timedelta(minutes=1)).timestamp()


def test_the_servers_show_the_world(played: Played) -> None:
    """Chain id, token and addresses are those that the chain itself answers with."""
    world = played.world
    assert int(rpc(world, "eth_chainId"), 16) == world.chain_id
    assert rpc(world, "eth_getCode", world.token_address, "latest") != "0x"
    assert len(set(world.deposit_addresses)) == len(world.deposit_addresses) >= 5
    assert world.treasury_address not in world.deposit_addresses
    assert len(listed(world, "/v1/charges")) == len(world.account.charges)
    for path in ("/v1/radar/early_fraud_warnings", "/v1/setup_intents", "/v1/payouts"):
        assert listed(world, path), path


def test_no_fee_is_still_missing_at_the_end(played: Played) -> None:
    """Late balance transactions appear before the end; only failed and uncaptured charges have none."""
    charges = listed(played.world, "/v1/charges")
    for charge in charges:
        assert (charge["balance_transaction"] is None) == (charge["amount_captured"] == 0)


def test_a_world_can_be_built_again(tmp_path: Path) -> None:
    """The same seed, days and end give the same ledger, truth and block hashes."""
    ends = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        with World(seed=3, days=1, end=END, folder=folder) as world:
            world.run_to_end()
            head = world.chain.block_at(world.chain.head())
            assert head is not None
            ends.append((read_entries(world.ledger_path), world.truth.document(), head.hash))
    assert ends[0] == ends[1]


def test_a_world_closes_what_it_opened(tmp_path: Path) -> None:
    """After the block the ports are free and the ledger is whole."""
    with World(seed=3, days=1, end=END, folder=tmp_path) as world:
        stripe_url = world.stripe_url
    with pytest.raises(httpx.ConnectError):
        httpx.get(stripe_url)
    assert read_entries(world.ledger_path) == []
