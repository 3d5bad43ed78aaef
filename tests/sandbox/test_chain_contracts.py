"""The sandbox's contracts do what the events and movements they stand for ask, on both kinds of chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.abi import event_abi_to_log_topic
from eth_utils.crypto import keccak

from payhealth.sandbox.chain import artifacts
from payhealth.sandbox.chain.anvil import AnvilChain, AnvilError
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.sending import Withdrawal
from payhealth.sandbox.chain.transfers import TransferFailedError
from tests.sandbox.chains import ANVIL, ETHER, GENESIS_AT, PY_EVM, Node, young_anvil, young_chain

NOBODY = "0x" + "00" * 20

# Events as the contracts on real chains emit them, with their topics as published.
TOPICS = {
    ("DevToken", "Transfer"): "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    ("CoinbaseTransfers", "Transferred"): "b7ee4fafa10d16ee883a136a3dcc9179d8e6041ba71cc29c2b0bce4f7bdd6e86",
    ("AuthToken", "AuthorizationUsed"): "98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5",
    ("Escrow", "PaymentAuthorized"): "1c81fb2e3bab27f6bb09bee9a0dddf61600b7cbaf2c12683e4864e0cbdb9d284",
    ("Escrow", "PaymentCharged"): "943ae4341dd799d7aeedc501f616cd26b134639e0bc2ec059581ba3ebbf1e7d0",
    ("Escrow", "PaymentCaptured"): "e749f7bbd01b49bb05abf26ca492cb4dfdea6bedeada8a40fdccd478c73a74e2",
    ("Escrow", "PaymentVoided"): "cadce8c3acb008e3e1c64ca7f60d22a3c87069183182b7dbb9e4d8cfb3a15842",
    ("Escrow", "PaymentReclaimed"): "78e1d723d17e13b7f40eeab9bf6dd9148a630bafde4203ab7bb5fca983516d17",
    ("Escrow", "PaymentRefunded"): "1bf415371b303ca6b8bbb4ce479b177cba5ad15dbe0c9a7750a588aa6bcd25b2",
}


@dataclass
class Contracts(Node):
    """A chain and what is called on it."""

    def deploy(self, name: str, *args: Any) -> str:
        """A new contract."""
        return self.chain.deploy(name, *args, at=self.later())

    def does(self, sender: str, to: str, *call: Any, value: int = 0) -> dict[str, Any]:
        """Mine one call: (contract's name, function, arguments ...)."""
        return self.chain.invoke(sender, to, call, at=self.later(), value=value)

    def approved(self, spender: str, *, token: int) -> str:
        """A new holder of tokens that lets a contract spend all of them."""
        holder = self.funded(token=token)
        self.does(holder, self.chain.token_address, "DevToken", "approve", spender, token)
        return holder

    def balances(self, *addresses: str) -> list[int]:
        """Tokens of each."""
        return [self.chain.token_balance(address) for address in addresses]


@pytest.fixture(params=[PY_EVM, ANVIL])
def node(request: pytest.FixtureRequest) -> Iterator[Contracts]:
    """A young chain of each kind."""
    with young_chain(request.param, multicall=True) as chain:
        yield Contracts(chain)


def _events(receipt: dict[str, Any], name: str) -> list[tuple[str, list[Any], list[Any]]]:
    """Each log as (event, indexed values as topics, the other values), by a contract's ABI."""
    known = {
        "0x" + event_abi_to_log_topic(entry).hex(): entry
        for entry in artifacts.load(name).abi
        if entry["type"] == "event"
    }
    found = []
    for log in receipt["logs"]:
        entry = known.get(log["topics"][0])
        if entry is None:
            continue
        types = [_type(each) for each in entry["inputs"] if not each["indexed"]]
        found.append((entry["name"], log["topics"][1:], list(decode(types, bytes.fromhex(log["data"][2:])))))
    return found


def _type(entry: dict[str, Any]) -> str:
    if entry["type"] != "tuple":
        return str(entry["type"])
    return "(" + ",".join(_type(each) for each in entry["components"]) + ")"


def _topic(address: str) -> str:
    return "0x" + address[2:].lower().rjust(64, "0")


@pytest.mark.parametrize(("name", "event"), TOPICS)
def test_events_have_the_published_topics(name: str, event: str) -> None:
    """keccak-256 of the signature in our ABI is the topic that real contracts emit."""
    (entry,) = (each for each in artifacts.load(name).abi if each.get("name") == event)
    signature = event + "(" + ",".join(_type(each) for each in entry["inputs"]) + ")"
    assert keccak(text=signature).hex() == TOPICS[name, event]


def test_a_forwarder_moves_coins_without_a_log(node: Contracts) -> None:
    """Inner calls move what was sent, in one or many; one that reverts moves nothing; none leaves a log."""
    chain, forwarder = node.chain, node.deploy("Forwarder")
    payer = node.funded(native=10 * ETHER)
    one, two, three = (chain.new_address() for _ in range(3))
    receipts = [
        node.does(payer, forwarder, "Forwarder", "forward", one, value=5),
        node.does(payer, forwarder, "Forwarder", "forwardMany", [one, two, two], [1, 2, 3], value=6),
        node.does(payer, forwarder, "Forwarder", "forwardAndRevertInside", three, value=7),
    ]
    assert [receipt["logs"] for receipt in receipts] == [[], [], []]
    assert [chain.native_balance(each) for each in (one, two, three, forwarder)] == [6, 5, 0, 7]
    node.does(payer, forwarder, "Forwarder", "destroy", three)
    assert [chain.native_balance(each) for each in (three, forwarder)] == [7, 0]


def test_anvil_shows_inner_calls_in_traces() -> None:
    """What a forwarder moved is a call below the transaction's own in the node's trace."""
    with young_anvil() as chain:
        node = Contracts(chain)
        forwarder, payer, ours = node.deploy("Forwarder"), node.funded(), chain.new_address()
        receipt = node.does(payer, forwarder, "Forwarder", "forward", ours, value=5)
        traces = chain.rpc("trace_block", receipt["blockNumber"])
        moved = [(each["action"]["to"], each["action"]["value"], each["traceAddress"]) for each in traces]
        assert (ours.lower(), "0x5", [0]) in moved


def test_authorised_transfers_name_their_authorisation_first(node: Contracts) -> None:
    """AuthorizationUsed(authorizer, nonce) precedes the Transfer it causes; a nonce serves once."""
    token = node.deploy("AuthToken", "Auth", "AUTH", 6)
    chain, payer, ours = node.chain, node.chain.new_address(), node.chain.new_address()
    node.does(chain.faucet_address, token, "AuthToken", "mint", payer, 100)
    nonces = [bytes([each]) * 32 for each in (1, 2, 3)]
    call = ("AuthToken", "transferWithAuthorization", payer, ours, 30, nonces[0])
    receipt = node.does(chain.faucet_address, token, *call)
    assert _events(receipt, "AuthToken") == [
        ("AuthorizationUsed", [_topic(payer), "0x" + nonces[0].hex()], []),
        ("Transfer", [_topic(payer), _topic(ours)], [30]),
    ]
    with pytest.raises(TransferFailedError):
        node.does(chain.faucet_address, token, *call)
    many = ("AuthToken", "transferManyWithAuthorization", [payer] * 2, [ours] * 2, [1, 2], nonces[1:])
    receipt = node.does(chain.faucet_address, token, *many)
    assert [each[0] for each in _events(receipt, "AuthToken")] == ["AuthorizationUsed", "Transfer"] * 2
    assert chain.read(token, "AuthToken", "balanceOf", ours) == 33


def test_coinbase_payments_tell_of_a_movement_or_are_forged(node: Contracts) -> None:
    """Paid ones move what they say (less the operator's fee); a forged one has the event and nothing else."""
    chain, transfers = node.chain, node.deploy("CoinbaseTransfers")
    token, ours, operator = chain.token_address, chain.new_address(), chain.new_address()
    payer = node.approved(transfers, token=1000)
    ident = b"\x07" * 16
    plain = node.does(payer, transfers, "CoinbaseTransfers", "pay", token, ours, 40, ident)
    fee = node.does(payer, transfers, "CoinbaseTransfers", "payFor", operator, token, ours, 50, 3, ident)
    native = node.does(payer, transfers, "CoinbaseTransfers", "payNative", ours, ident, value=9)
    forged = node.does(
        payer, transfers, "CoinbaseTransfers", "forge", operator, ident, ours, payer, 10**9, token
    )
    told = [ident, ours.lower(), payer.lower()]
    for receipt, by, spent, currency, logs in (
        (plain, payer, 40, token, 2),
        (fee, operator, 53, token, 3),
        (native, payer, 9, NOBODY, 1),
        (forged, operator, 10**9, token, 1),
    ):
        assert _events(receipt, "CoinbaseTransfers") == [
            ("Transferred", [_topic(by)], [*told, spent, currency.lower()])
        ]
        assert len(receipt["logs"]) == logs
    assert node.balances(payer, ours, operator) == [1000 - 93, 90, 3]
    assert chain.native_balance(ours) == 9
    other = node.does(payer, transfers, "CoinbaseTransfers", "payNativeFor", operator, ours, ident, value=1)
    assert _events(other, "CoinbaseTransfers")[0][1] == [_topic(operator)]


def test_an_escrow_moves_tokens_as_its_events_say(node: Contracts) -> None:
    """Authorise in, capture and void out, charge through, refund back; never more than was there."""
    chain, escrow = node.chain, node.deploy("Escrow")
    payer, ours = node.approved(escrow, token=1000), node.approved(escrow, token=500)
    operator, fees = node.funded(), chain.new_address()
    info = (operator, payer, ours, chain.token_address, 1000, 2**40, 2**40, 2**40, 0, 500, fees, 77)
    key = "0x" + chain.read(escrow, "Escrow", "getHash", info).hex()
    lowered = tuple(each.lower() if isinstance(each, str) else each for each in info)

    def does(function: str, *args: Any) -> list[tuple[str, list[Any], list[Any]]]:
        events = _events(node.does(operator, escrow, "Escrow", function, info, *args), "Escrow")
        assert [each[1] for each in events] == [[key]]
        return [(name, values) for name, _, values in events]

    collector = escrow.lower()
    assert does("authorize", 300) == [("PaymentAuthorized", [lowered, 300, collector])]
    assert node.balances(payer, escrow, ours) == [700, 300, 500]
    assert does("capture", 200, 100, fees) == [("PaymentCaptured", [200, 100, fees.lower()])]
    assert node.balances(payer, escrow, ours, fees) == [700, 100, 698, 2]
    with pytest.raises(TransferFailedError):
        does("capture", 101, 0, fees)
    assert does("void") == [("PaymentVoided", [100])]
    assert does("charge", 50, 0, fees) == [("PaymentCharged", [lowered, 50, collector, 0, fees.lower()])]
    assert does("refund", 20) == [("PaymentRefunded", [20, collector])]
    assert does("authorize", 5)[0][0] == "PaymentAuthorized"
    assert does("reclaim") == [("PaymentReclaimed", [5])]
    assert node.balances(payer, escrow, ours, fees) == [770, 0, 728, 2]


def test_an_aggregator_keeps_its_rounds(node: Contracts) -> None:
    """Each answer is a round of its own; latest is the last one, and a round that is not there reverts."""
    chain, feed = node.chain, node.deploy("Aggregator", 8, "ETH / USD")
    assert chain.read(feed, "Aggregator", "decimals") == 8
    assert chain.read(feed, "Aggregator", "description") == "ETH / USD"
    with pytest.raises((ValueError, AnvilError), match="revert"):
        chain.read(feed, "Aggregator", "latestRoundData")
    for answer, moment in ((3000 * 10**8, 1_770_000_000), (-1, 1_770_000_100)):
        node.does(chain.faucet_address, feed, "Aggregator", "answer", answer, moment)
    first = (1 << 64) + 1
    assert chain.read(feed, "Aggregator", "getRoundData", first) == (
        first,
        3000 * 10**8,
        1_770_000_000,
        1_770_000_000,
        first,
    )
    assert chain.read(feed, "Aggregator", "latestRoundData")[:2] == (first + 1, -1)
    with pytest.raises((ValueError, AnvilError), match="revert"):
        chain.read(feed, "Aggregator", "getRoundData", first + 2)


def test_multicall_is_at_its_well_known_address(node: Contracts) -> None:
    """It gives many balances of coins and tokens in one call, and a failure in its place."""
    chain, at = node.chain, artifacts.MULTICALL_ADDRESS
    if isinstance(chain, AnvilChain):
        chain.set_code(at, "Multicall3")
    holder = node.funded(native=12, token=34)
    calls = [
        (at, False, chain.call_data("Multicall3", "getEthBalance", holder)),
        (chain.token_address, False, chain.call_data("DevToken", "balanceOf", holder)),
        (chain.token_address, True, chain.call_data("DevToken", "transfer", holder, 10**30)),
    ]
    coins, tokens, failed = chain.read(at, "Multicall3", "aggregate3", calls)
    assert [(done, int.from_bytes(raw, "big")) for done, raw in (coins, tokens)] == [(True, 12), (True, 34)]
    assert failed[0] is False
    with pytest.raises((ValueError, AnvilError), match="revert"):
        chain.read(at, "Multicall3", "aggregate3", [(chain.token_address, False, calls[2][2])])


def test_a_fee_token_delivers_less_than_its_log_says(node: Contracts) -> None:
    """The log has the full value, the recipient's balance rises by less."""
    chain, token = node.chain, node.deploy("FeeToken", "Fee", "FEE", 6, 100)
    payer, ours = node.funded(), chain.new_address()
    node.does(chain.faucet_address, token, "FeeToken", "mint", payer, 1000)
    receipt = node.does(payer, token, "FeeToken", "transfer", ours, 500)
    assert _events(receipt, "FeeToken") == [("Transfer", [_topic(payer), _topic(ours)], [500])]
    assert [chain.read(token, "FeeToken", "balanceOf", each) for each in (payer, ours)] == [500, 495]


def test_a_token_without_decimals_has_none(node: Contracts) -> None:
    """It moves and logs as any other, and asking for decimals() reverts."""
    chain, token = node.chain, node.deploy("NoDecimals")
    payer, ours = node.funded(), chain.new_address()
    node.does(payer, token, "NoDecimals", "mint", payer, 10)
    node.does(payer, token, "NoDecimals", "transfer", ours, 4)
    assert chain.read(token, "NoDecimals", "balanceOf", ours) == 4
    with pytest.raises((ValueError, AnvilError), match="revert"):
        chain.call(token, chain.call_data("DevToken", "decimals"))


def test_a_burst_pays_neighbouring_addresses(node: Contracts) -> None:
    """One transaction has a log for each address from the first on, and each balance is what was logged."""
    chain, token, first = node.chain, node.deploy("BurstToken", "Burst", "BRST", 6), 70_000
    burst = node.does(chain.faucet_address, token, "BurstToken", "burst", first, 100, 9)
    paid = [f"0x{first + each:040x}" for each in range(100)]
    assert [log["topics"][2] for log in burst["logs"]] == [_topic(each) for each in paid]
    assert {int(log["data"], 16) for log in burst["logs"]} == {9}

    def holds(number: int) -> Any:
        return chain.read(token, "BurstToken", "balanceOf", f"0x{number:040x}")

    assert [holds(each) for each in (first - 1, first, first + 50, first + 99, first + 100)] == [
        0,
        9,
        9,
        9,
        0,
    ]
    assert chain.read(token, "BurstToken", "totalSupply") == 900
    for wrong in ((first + 1, 100), (first, 99)):
        with pytest.raises(TransferFailedError):
            node.does(chain.faucet_address, token, "BurstToken", "burst", *wrong, 9)


def test_many_bursts_fill_the_blocks_asked_for() -> None:
    """Every address is paid once, spread over the blocks; too little gas for a block is refused."""
    with young_anvil(gas_limit=50_000_000) as chain:
        node = Contracts(chain)
        token = node.deploy("BurstToken", "Burst", "BRST", 6)
        before = chain.head()
        chain.burst(token, first=10**6, count=5000, value=3, at=node.later(), blocks=4)
        logs = chain.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": token})
        paid = [int(log["topics"][2], 16) for log in logs]
        assert paid == list(range(10**6, 10**6 + 5000))
        assert {int(log["blockNumber"], 16) for log in logs} == set(range(before + 1, before + 5))
        assert chain.read(token, "BurstToken", "balanceOf", f"0x{10**6 + 4999:040x}") == 3
        with pytest.raises(ValueError, match="cannot be paid"):
            chain.burst(token, first=0, count=700, value=1, at=node.later(), blocks=1)
        with pytest.raises(TransactionRefusedError, match="left out"):
            chain.burst(token, first=0, count=50_000, value=1, at=node.later(), blocks=1)
        node.does(chain.faucet_address, token, "BurstToken", "burst", 0, 100, 1)


def test_contracts_that_are_not_there_are_refused() -> None:
    """An unknown contract or function is an error that names it."""
    with pytest.raises(ValueError, match="no contract Nothing"):
        artifacts.load("Nothing")
    with pytest.raises(ValueError, match="DevToken has no function steal"):
        artifacts.call_data("DevToken", "steal")


def test_a_contract_can_lie_at_any_address_from_the_beginning() -> None:
    """On py-evm what is placed there has its code in block 0; its constructor did not run."""
    feed = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"
    node = Contracts(chain=DevChain(seed=1, genesis_at=GENESIS_AT, contracts={feed: "Aggregator"}))
    assert isinstance(node.chain, DevChain)
    genesis = node.chain.block_at(0)
    assert genesis is not None
    assert node.chain.code_at(bytes.fromhex(feed[2:]), genesis) == artifacts.load("Aggregator").runtime
    node.does(node.chain.faucet_address, feed, "Aggregator", "describe", 8, "ETH / USD")
    assert node.chain.read(feed, "Aggregator", "decimals") == 8


def test_withdrawals_arrive_without_a_transaction() -> None:
    """Coins of a block's withdrawals are in the balance and in the block, and in no receipt."""
    chain = DevChain(seed=1, genesis_at=GENESIS_AT)
    ours = chain.new_address()
    receipts = chain.mine_block([], at=GENESIS_AT, withdrawals=[Withdrawal(recipient=ours, amount_gwei=7)])
    block = chain.block_at(chain.head())
    assert block is not None
    (shown,) = block.fields["withdrawals"]
    assert (receipts, chain.native_balance(ours)) == ([], 7 * 10**9)
    assert (shown["address"], shown["amount"]) == (ours.lower(), "0x7")
