"""The chain's auditor on small worlds whose truth is worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.chain.sending import Sending, Withdrawal
from payhealth.sandbox.chain.token import mint
from payhealth.sandbox.chain.transfers import TransferFailedError
from payhealth.sandbox.serve import LoopbackServer
from tests.auditor.evm import audit_chain, identities
from tests.auditor.evm_events import read_events
from tests.auditor.evm_facts import (
    AUTHORIZATION_USED,
    COINBASE,
    ESCROW,
    LOG_TRANSFER,
    NATIVE_LOGGER,
    TRANSFER,
    ZERO,
    AuditError,
    Business,
    ChainMovedError,
)
from tests.auditor.evm_moves import fee_wei, read_block
from tests.auditor.evm_node import Json, Node, RawBlock
from tests.auditor.evm_witness import Witness, payments
from tests.sandbox.chains import ETHER, GENESIS_AT, young_anvil

COIN = "eip155:31337/slip44:60"
FORWARDER = bytes.fromhex("600f80600b6000396000f3" + "6000600060006000346000355af100")
"""Creation code of a contract that passes on the value it is called with to the address in its call data."""


class World:
    """A chain, the business on it, and a clock that goes on by a minute each time it is read."""

    def __init__(self, chain: Any, url: str) -> None:
        self.chain, self.url, self.at = chain, url, GENESIS_AT
        self.ours, self.other = chain.new_address(), chain.new_address()
        for address in (self.ours, self.other):
            chain.faucet(address, at=self.later(), native=ETHER, token=1_000)
        self.token = f"eip155:31337/erc20:{chain.token_address.lower()}"
        self.start = chain.head() + 1

    def later(self) -> datetime:
        """The next moment."""
        self.at += timedelta(minutes=1)
        return self.at

    def business(self, **more: Any) -> Business:
        """Our address, the token and the coin, and what a test adds to them."""
        said = {"tokens": {self.chain.token_address: ("USDX", 6)}, "native": ("ETH", COIN)}
        return Business(**{"chain_id": 31337, "addresses": frozenset({self.ours}), **said, **more})

    def pay(self, amount: int = 1, *, back: bool = False) -> Any:
        """Other pays us in tokens, or we pay back."""
        sides = (self.ours, self.other) if back else (self.other, self.ours)
        return self.chain.send_token(at=self.later(), sender=sides[0], recipient=sides[1], amount=amount)

    def call(self, to: str | None, *, data: bytes = b"", value: int = 0, gas: int = 200_000) -> Json:
        """Other sends any transaction; its receipt."""
        made = self.chain.transact(at=self.later(), sender=self.other, to=to, value=value, data=data, gas=gas)
        return dict(made if isinstance(made, dict) else made.receipts[0])


@contextmanager
def _py_evm() -> Iterator[World]:
    chain = DevChain(seed=3, genesis_at=GENESIS_AT)
    with LoopbackServer(build_app(chain)) as server:
        yield World(chain, server.url)


@contextmanager
def _anvil() -> Iterator[World]:
    with young_anvil(seed=3) as chain:
        yield World(chain, chain.rpc_url)


@pytest.fixture(params=[_py_evm, _anvil], ids=["py-evm", "anvil"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A young world on each kind of chain."""
    with request.param() as made:
        yield made


def _argument(address: str) -> bytes:
    return bytes.fromhex(address[2:]).rjust(32, b"\x00")


def test_kinds_amounts_and_ids(world: World) -> None:
    """Deposit, payback, sweep, funding and coins are told apart, named by hash and place, exact."""
    second, operator = world.chain.new_address(), world.chain.new_address()
    world.chain.faucet(operator, at=world.later(), native=ETHER)
    paid = world.pay(7)
    back = world.pay(2, back=True)
    swept = world.chain.send_token(at=world.later(), sender=world.ours, recipient=second, amount=3)
    coin = world.chain.send_native(at=world.later(), sender=operator, recipient=world.ours, amount=5)
    business = world.business(addresses=frozenset({world.ours, second}), operators=frozenset({operator}))
    audit = audit_chain(world.url, business, start=world.start)
    found = [(row.kind, row.asset, row.amount, row.id) for row in audit.movements]
    before = "eip155:31337:"
    assert found == [
        ("transfer", world.token, Decimal("0.000007"), f"{before}{paid.transaction_hash}:0"),
        ("outgoing", world.token, Decimal("0.000002"), f"{before}{back.transaction_hash}:0"),
        ("internal", world.token, Decimal("0.000003"), f"{before}{swept.transaction_hash}:0"),
        ("funding", COIN, Decimal("5E-18"), f"{before}{coin.transaction_hash}:native"),
    ]
    row = audit.by_id[f"{before}{paid.transaction_hash}:0"]
    assert (row.place.block_number, row.place.block_hash) == (paid.block_number, paid.block_hash)
    assert (row.sender, row.recipient) == (world.other.lower(), world.ours.lower())
    assert row.place.at == world.at - timedelta(minutes=3)
    assert len(audit.fees) == 2
    assert all(one.holds for one in identities(world.url, audit, each_block=True))


def test_failed_transactions_cost_fees_and_move_nothing(world: World) -> None:
    """A reverted transfer of ours moves nothing, its fee is counted, and the identity holds to the wei."""
    with pytest.raises(TransferFailedError):
        world.pay(10**9, back=True)
    audit = audit_chain(world.url, world.business(), start=world.start)
    assert audit.movements == ()
    (fee,) = audit.fees
    assert fee.failed
    (coin,) = (one for one in identities(world.url, audit) if one.asset == COIN)
    assert (coin.difference, coin.fees, coin.incoming) == (0, fee.wei, 0)
    assert coin.before == ETHER
    assert coin.after == ETHER - fee.wei


def test_dust_zero_and_strangers_are_ignored(world: World) -> None:
    """Dust is below its threshold and a deposit; each class has its reason; dust stays in the identity."""
    world.pay(4)
    world.pay(5)
    world.pay(0)
    world.pay(1, back=True)
    dust = {world.token: Decimal("0.000005")}
    audit = audit_chain(world.url, world.business(dust=dust), start=world.start)
    assert [(row.kind, row.units) for row in audit.movements] == [("transfer", 5), ("outgoing", 1)]
    assert [(row.reason, row.units) for row in audit.ignored] == [("dust", 4), ("zero_value", 0)]
    assert all(one.holds for one in identities(world.url, audit, each_block=True))
    bare = audit_chain(world.url, world.business(tokens={}), start=world.start)
    assert {row.reason for row in bare.ignored} == {"unregistered_token"}
    assert bare.movements == ()


def test_identity_names_the_blocks_of_hidden_transfers(world: World) -> None:
    """Without traces an internal transfer is found by brute force, also where two cancel at both ends."""
    contract = world.call(None, data=FORWARDER)["contractAddress"]
    world.pay(1)
    hidden = world.call(contract, data=_argument(world.ours), value=77)
    audit = audit_chain(world.url, world.business(), start=world.start)
    wrong = [one for one in identities(world.url, audit, each_block=True) if not one.holds]
    assert [(one.asset, one.difference) for one in wrong] == [(COIN, 77)]
    assert wrong[0].blocks == ((int(hidden["blockNumber"], 16), 77),)
    assert sum(not one.holds for one in identities(world.url, audit)) == 1


def test_unanswered_balances_prove_nothing(world: World) -> None:
    """An identity whose balance the node does not know does not hold."""
    world.pay(1)
    audit = audit_chain(world.url, world.business(), start=world.start)
    gone = (*audit.blocks[:-1], (audit.last, "0x" + "ab" * 32))
    for one in identities(world.url, replace(audit, blocks=gone)):
        assert one.difference is None
        assert one.unproved
        assert not one.holds


def test_each_block_sees_what_both_ends_hide() -> None:
    """Hidden moves that cancel are found block by block alone; so is a balance unknown in the middle."""
    with _py_evm() as world:
        world.pay(5)
        world.pay(5, back=True)
        audit = audit_chain(world.url, world.business(native=None), start=world.start)
        blind = replace(audit, moved=())
        assert [one.holds for one in identities(world.url, blind)] == [True]
        (found,) = identities(world.url, blind, each_block=True)
        assert (found.difference, found.holds) == (0, False)
        assert found.blocks == ((world.start, 5), (world.start + 1, -5))
        torn = replace(audit, blocks=((world.start, "0x" + "ab" * 32), audit.blocks[1]))
        (unknown,) = identities(world.url, torn, each_block=True)
        assert (unknown.difference, unknown.blocks, unknown.holds) == (0, (), False)


class _Restless(Node):
    """A node whose newest block is another one each time it is asked for by number."""

    def ask(self, method: str, *params: Any) -> Any:
        answer = super().ask(method, *params)
        moved = method == "eth_getBlockByNumber" and params[0].startswith("0x")
        return {**answer, "hash": "0x" + "ab" * 32} if moved else answer


def test_a_chain_that_moves_while_it_is_read_is_refused() -> None:
    """Where the tip is not canonical any more after the walk, there is no audit."""
    with _py_evm() as world, _Restless(world.url) as node, pytest.raises(ChainMovedError):
        audit_chain(node, world.business())


def test_traces_show_live_calls_by_their_path() -> None:
    """Calls of a contract count by their place in the tree of calls; what reverted within does not."""
    with _anvil() as world:
        first, inner = (world.call(None, data=FORWARDER)["contractAddress"] for _ in range(2))
        # Pays ours, then reverts: the value goes back to its caller.
        body = "600060006000600034" + "73" + world.ours[2:] + "5af160006000fd"
        reverting = bytes.fromhex(f"60{len(body) // 2:02x}80600b6000396000f3" + body)
        bad = world.call(None, data=reverting)["contractAddress"]
        start = world.chain.head()
        direct = world.call(first, data=_argument(world.ours), value=9)
        nested = world.call(first, data=_argument(inner), value=8)
        undone = world.call(first, data=_argument(bad), value=7)
        assert undone["status"] == "0x1"
        business = world.business(addresses=frozenset({world.ours, inner}), traces=True)
        audit = audit_chain(world.url, business, start=start)
        assert [
            (row.place.transaction_hash, row.position, row.kind, row.units) for row in audit.movements
        ] == [
            (direct["transactionHash"], "trace:0", "transfer", 9),
            (nested["transactionHash"], "trace:0", "transfer", 8),
            (nested["transactionHash"], "trace:0_0", "outgoing", 8),
        ]
        assert all(one.holds for one in identities(world.url, audit, each_block=True))


def test_created_contracts_are_recipients(world: World) -> None:
    """Value sent along with a contract's creation goes to the new address."""
    made = world.call(None, data=FORWARDER, value=6)
    business = world.business(addresses=frozenset({made["contractAddress"]}))
    (row,) = audit_chain(world.url, business, start=world.start).movements
    assert (row.recipient, row.position, row.units) == (made["contractAddress"].lower(), "native", 6)


def test_refuses_what_it_cannot_know(world: World) -> None:
    """A wrong chain, a chain that is too short, and a node without traces are refused, never passed over."""
    world.pay(1)
    with pytest.raises(AuditError, match="not of 1"):
        audit_chain(world.url, world.business(chain_id=1))
    with pytest.raises(AuditError, match="reach"):
        audit_chain(world.url, world.business(), start=world.chain.head() + 1)


def test_node_without_traces_is_refused() -> None:
    """Asked for traces, a node that has none makes the audit fail."""
    with LoopbackServer(build_app(DevChain(seed=3, genesis_at=GENESIS_AT))) as server:
        business = Business(chain_id=31337, addresses=frozenset(), native=("ETH", COIN), traces=True)
        with pytest.raises(AuditError, match="debug_traceBlockByHash"):
            audit_chain(server.url, business)


def test_witness_follows_reorgs(world: World) -> None:
    """Kept payments stay live, lost ones are gone, unseen ones are nothing, only deposits are retracted."""
    kept = world.pay(1)
    snapshot = world.chain.snapshot()
    lost, sent = world.pay(2), world.pay(3, back=True)
    with Witness(world.url, world.business(), start=world.start) as witness:
        witness.look()
        world.pay(4)
        world.chain.reorg(snapshot, at=world.later(), blocks=6)
        with pytest.raises(ChainMovedError):
            witness.verdict()
        witness.look()
        verdict = witness.verdict()
    assert {row.place.transaction_hash for row in verdict.live.values()} == {kept.transaction_hash}
    assert {row.place.transaction_hash: row.kind for row in verdict.gone.values()} == {
        lost.transaction_hash: "transfer",
        sent.transaction_hash: "outgoing",
    }
    assert [row.units for row in verdict.retractions.values()] == [2]


def test_witness_sees_a_payment_return(world: World) -> None:
    """The same transaction at another log index of another block is the same payment: live, not retracted."""
    chain = world.chain
    snapshot = chain.snapshot()
    lost = world.pay(2)
    with Witness(world.url, world.business(), start=world.start) as witness:
        witness.look()
        chain.reorg(snapshot, at=world.later(), blocks=2)
        witness.look()
        assert [row.id[-2:] for row in witness.verdict().retractions.values()] == [":0"]
        noise = Sending(sender=chain.faucet_address, to=chain.token_address, data=mint(world.other, 1))
        chain.mine_block([noise, lost.transaction_hash], at=world.later())
        last = witness.look()
        verdict = witness.verdict()
    assert (verdict.gone, verdict.gone_ids) == ({}, set())
    assert [row.place.block_hash for row in verdict.returned.values()] == [last.blocks[-1][1]]
    name = f"eip155:31337:{lost.transaction_hash}:"
    assert verdict.live_ids == {name + "1"}
    chain.drop(1, at=world.later())
    with witness:
        witness.look()
        verdict = witness.verdict()
    assert [row.id for row in verdict.retractions.values()] == [name + "1"]
    assert verdict.gone_ids == {name + "0", name + "1"}


def test_full_blocks_and_withdrawals_add_up() -> None:
    """Several transactions of one block keep their order, a withdrawal comes after them, all add up."""
    with _py_evm() as world:
        coin = Sending(sender=world.other, to=world.ours, value=3)
        back = Sending(sender=world.ours, to=world.other, value=2)
        paid = Withdrawal(recipient=world.ours, amount_gwei=5)
        sent = world.chain.mine_block([coin, back, coin], at=world.later(), withdrawals=[paid])
        audit = audit_chain(world.url, world.business(), start=world.start)
        found = [(row.kind, row.units, row.place.transaction_hash) for row in audit.movements]
        hashes = [each["transactionHash"] for each in sent]
        assert found == [
            ("transfer", 3, hashes[0]),
            ("outgoing", 2, hashes[1]),
            ("transfer", 3, hashes[2]),
            ("funding", 5 * 10**9, None),
        ]
        assert all(one.holds for one in identities(world.url, audit, each_block=True))


@pytest.mark.parametrize("seed", range(4))
def test_random_worlds_are_told_as_they_were_made(seed: int) -> None:
    """Whatever is sent in whatever order is found, and the identity holds; a line less, and it does not."""
    chance = random.Random(seed)
    with _py_evm() as world:
        chain, second = world.chain, world.chain.new_address()
        chain.faucet(second, at=world.later(), native=ETHER, token=50)
        start, made = chain.head() + 1, []
        people = [world.ours, second, world.other]
        for _ in range(12):
            sender, recipient = chance.choice(people), chance.choice(people)
            send = chance.choice([chain.send_token, chain.send_native])
            with suppress(TransferFailedError):
                sent = send(
                    at=world.later(), sender=sender, recipient=recipient, amount=chance.randint(1, 99)
                )
                if {sender, recipient} != {world.other}:
                    made.append((sent.transaction_hash, sent.amount, sender.lower(), recipient.lower()))
        audit = audit_chain(world.url, world.business(addresses=frozenset({world.ours, second})), start=start)
        found = [
            (row.place.transaction_hash, row.units, row.sender, row.recipient) for row in audit.movements
        ]
        assert found == made
        assert all(one.holds for one in identities(world.url, audit, each_block=True))
        at = chance.randrange(len(audit.moved))
        less = replace(audit, moved=audit.moved[:at] + audit.moved[at + 1 :])
        taken = audit.moved[at]
        wrong = [one for one in identities(world.url, less, each_block=True) if not one.holds]
        assert bool(wrong) == (taken.sender != taken.recipient)
        assert {block for one in wrong for block, _ in one.blocks} <= {taken.place.block_number}
        if audit.fees:
            free = replace(audit, fees=audit.fees[1:])
            assert any(one.difference == -audit.fees[0].wei for one in identities(world.url, free))


# What no sandbox chain can do is written down as blocks.

OURS, PAYER, OPERATOR, STORE, TOKEN, HUB = ("0x" + digit * 40 for digit in "abcdef")
NAME = "eip155:1:" + "0x" + "1".rjust(64, "0") + ":"
KNOWN = Business(
    chain_id=1,
    addresses=frozenset({OURS}),
    tokens={TOKEN: ("USDC", 6)},
    native=("ETH", "eip155:1/slip44:60"),
    coinbase_contracts=frozenset({HUB}),
    coinbase_operators=frozenset({OPERATOR}),
    escrows=frozenset({HUB}),
    eip3009_tokens=frozenset({TOKEN}),
)


def _word(value: int | str) -> str:
    return f"{value:064x}" if isinstance(value, int) else value[2:].rjust(64, "0")


def _log(contract: str, topics: list[str], *data: int | str) -> Json:
    return {"address": contract, "topics": topics, "data": "0x" + "".join(_word(one) for one in data)}


def _moves(sender: str, recipient: str, units: int, token: str = TOKEN) -> Json:
    return _log(token, [TRANSFER, "0x" + _word(sender), "0x" + _word(recipient)], units)


def _coinbase(key: int, *, operator: str = OPERATOR, to: str = OURS) -> Json:
    left = f"0x{key:032x}" + "0" * 32
    return _log(HUB, [COINBASE, "0x" + _word(operator)], left, to, PAYER, 50, TOKEN)


def _authorized(nonce: int, authorizer: str = PAYER) -> Json:
    return _log(TOKEN, [AUTHORIZATION_USED, "0x" + _word(authorizer), "0x" + _word(nonce)])


def _block(*logs: Json, nth: int = 1, status: int = 1, block: Json | None = None, **sent: Any) -> RawBlock:
    """A block of one transaction with these logs."""
    receipt = {"status": hex(status), "gasUsed": "0x5208", "effectiveGasPrice": "0x2"}
    receipt["logs"] = [{**log, "logIndex": hex(at)} for at, log in enumerate(logs)]  # type: ignore[assignment]
    transaction = {"hash": "0x" + _word(nth), "from": PAYER, "to": HUB, "value": "0x0", "type": "0x2", **sent}
    fields = {"number": hex(nth), "hash": "0x" + "9" * 64, "timestamp": "0x1", "transactions": [transaction]}
    return RawBlock(fields={**fields, **(block or {})}, receipts=(receipt,), traces=None)


def _pairs(*blocks: RawBlock) -> list[tuple[str, str | None]]:
    return [(event.name, event.movement_id) for event in read_events(blocks, KNOWN).events]


def test_authorisations_belong_to_the_next_transfer() -> None:
    """Each authorisation takes the next transfer of its token and authorizer, and no two take one."""
    logs = (
        *(_authorized(1), _moves(PAYER, OURS, 5), _authorized(2), _moves(STORE, OURS, 5)),
        *(_moves(PAYER, OURS, 5), _authorized(3)),
    )
    name = "AuthorizationUsed"
    assert _pairs(_block(*logs)) == [(name, NAME + "1"), (name, NAME + "4")]
    assert _pairs(_block(_authorized(1), _authorized(2), _moves(PAYER, OURS, 5))) == [(name, NAME + "2")]
    assert _pairs(_block(_authorized(1), _moves(PAYER, OURS, 0))) == [(name, None)]
    assert _pairs(_block(_authorized(1), _moves(PAYER, STORE, 5))) == []
    assert _pairs(_block(_moves(PAYER, OURS, 5), _authorized(1))) == []


def test_coinbase_events_need_operator_new_id_and_value() -> None:
    """An unknown operator, a used id and a receipt without value are ignored with their reason."""
    read = read_events(
        [
            _block(_moves(PAYER, OURS, 5), _coinbase(1), _coinbase(2)),
            _block(_moves(PAYER, OURS, 5), _coinbase(1), nth=2),
            _block(_moves(PAYER, OURS, 5), _coinbase(3, operator=PAYER), nth=3),
            _block(_moves(PAYER, OURS, 0), _coinbase(4), nth=4),
            _block(_moves(PAYER, OURS, 5, token=STORE), _coinbase(5), nth=5),
            _block(_moves(PAYER, STORE, 5), _coinbase(6, to=STORE), nth=6),
        ],
        KNOWN,
    )
    assert [(event.key, event.movement_id) for event in read.events] == [(f"0x{1:032x}", NAME + "0")]
    (near,) = read_events([_block(*[_moves(PAYER, OURS, 5)] * 2, _coinbase(1))], KNOWN).events
    assert (near.movement_id, near.candidates) == (NAME + "1", (NAME + "0", NAME + "1"))
    reasons = [(row.place.block_number, row.reason) for row in read.ignored]
    assert reasons == [(1, "valueless"), (2, "forged"), (3, "forged"), (4, "valueless"), (5, "valueless")]


def _escrow(name: str, *rest: int | str, info: bool = False, key: int = 1) -> Json:
    signature = next(first for first, known in ESCROW.items() if known == name)
    parties = (OPERATOR, PAYER, OURS, TOKEN, *([0] * 8)) if info else ()
    return _log(HUB, [signature, "0x" + _word(key)], *parties, *rest)


def test_escrow_events_belong_to_what_we_get_or_give() -> None:
    """Authorised: nothing of ours. Captured and charged: what is left of the fee. Refunded: what we give."""
    blocks = [
        _block(_escrow("PaymentAuthorized", 1000, STORE, info=True), _moves(PAYER, STORE, 1000)),
        _block(_escrow("PaymentCaptured", 600, 250, STORE), _moves(STORE, OURS, 585)),
        _block(_escrow("PaymentRefunded", 100, STORE), _moves(OURS, STORE, 100), _moves(STORE, PAYER, 100)),
        _block(
            *(_moves(STORE, OURS, 585), _escrow("PaymentCaptured", 600, 250, STORE)),
            _moves(STORE, OURS, 585),
        ),
        _block(_escrow("PaymentVoided", 400), _moves(STORE, PAYER, 400)),
        _block(_escrow("PaymentReclaimed", 400), _moves(STORE, PAYER, 400)),
        _block(
            _escrow("PaymentCharged", 200, STORE, 100, STORE, info=True, key=2),
            *(_moves(PAYER, STORE, 200), _moves(STORE, HUB, 2), _moves(STORE, OURS, 198)),
        ),
        _block(_escrow("PaymentCaptured", 600, 250, STORE), _moves(STORE, OURS, 600)),
    ]
    assert _pairs(*blocks) == [
        ("PaymentAuthorized", None),
        ("PaymentCaptured", NAME + "1"),
        ("PaymentRefunded", NAME + "1"),
        ("PaymentCaptured", NAME + "2"),
        ("PaymentVoided", None),
        ("PaymentReclaimed", None),
        ("PaymentCharged", NAME + "3"),
        ("PaymentCaptured", None),
    ]


def test_fees_have_all_their_parts() -> None:
    """Gas, blobs, the L1 fee and the operator's fee by Isthmus or Jovian; deposited transactions pay none."""
    receipt = {"gasUsed": hex(3_000_001), "effectiveGasPrice": "0x2", "l1Fee": "0x7", "type": "0x2"}
    operator = {"operatorFeeScalar": "0x3", "operatorFeeConstant": "0x5"}
    blob = {"type": "0x3", "blobGasUsed": "0x20000", "blobGasPrice": "0x3"}
    assert fee_wei({}, receipt) == 6_000_009
    assert fee_wei({}, receipt | operator) == 6_000_009 + 9 + 5
    jovian = receipt | operator | {"daFootprintGasScalar": "0x190", "blobGasUsed": "0x9c40"}
    assert fee_wei({}, jovian) == 6_000_009 + 3_000_001 * 3 * 100 + 5
    assert fee_wei({}, receipt | blob | {"type": "0x2"}) == fee_wei({}, receipt)
    assert fee_wei({}, receipt | blob) == 6_000_009 + 131_072 * 3
    assert fee_wei({}, receipt | operator | {"type": "0x7e"}) == 0


def test_deposited_transactions_mint_even_where_they_fail() -> None:
    """A mint to us is funding and survives failure; the value moves only where nothing failed."""
    sent = {"type": "0x7e", "mint": "0x9", "from": OURS, "to": STORE, "value": "0x4"}
    for status, kinds in (
        (1, [("mint", "funding", 9), ("native", "outgoing", 4)]),
        (0, [("mint", "funding", 9)]),
    ):
        read = read_block(_block(status=status, **sent), KNOWN)
        assert [(row.position, row.kind, row.units) for row in read.counted] == kinds
        assert read.fees == []
    other = read_block(_block(**{**sent, "from": STORE, "to": OURS}), KNOWN)
    assert [(row.position, row.kind) for row in other.counted] == [("native", "transfer")]


def test_withdrawals_count_in_gwei() -> None:
    """A beacon withdrawal to us is funding, in Gwei, named by its index."""
    paid = [
        {"index": "0x2a", "address": OURS, "amount": "0x3"},
        {"index": "0x2b", "address": STORE, "amount": "0x3"},
    ]
    (row,) = read_block(_block(block={"withdrawals": paid}), KNOWN).counted
    assert (row.id, row.kind, row.units) == ("eip155:1:withdrawal:42", "funding", 3 * 10**9)


def test_logged_native_moves_count_once() -> None:
    """LogTransfer's own line for the transaction's value is not counted again, a contract's move is."""

    def logged(sender: str, recipient: str, wei: int) -> Json:
        topics = [LOG_TRANSFER, *("0x" + _word(one) for one in (STORE, sender, recipient))]
        return _log(STORE, topics, wei, 0, 0, 0, 0)

    polygon = replace(KNOWN, log_transfer_contract=STORE)
    block = _block(logged(PAYER, OURS, 4), logged(HUB, OURS, 3), logged(PAYER, OURS, 4), to=OURS, value="0x4")
    read = read_block(block, polygon)
    assert [(row.position, row.units) for row in read.counted] == [("native", 4), ("1", 3), ("2", 4)]
    plain = read_block(block, KNOWN)
    assert [row.position for row in plain.counted] == ["native"]
    twice = read_block(_block(_moves(PAYER, OURS, 4, token=NATIVE_LOGGER), to=OURS, value="0x4"), KNOWN)
    assert [row.position for row in twice.counted] == ["native"]
    assert [row.reason for row in twice.ignored] == ["native_log"]


def test_ignored_types_move_no_value() -> None:
    """A transaction of an ignored type moves nothing; one of the same value that is not ignored does."""
    sent = {"to": OURS, "value": "0x4", "type": "0x6a"}
    quiet = replace(KNOWN, ignored_types=frozenset({0x6A}))
    assert read_block(_block(**sent), quiet).counted == []
    assert len(read_block(_block(**sent), KNOWN).counted) == 1


def test_strange_transfers_of_a_registered_token_are_named() -> None:
    """A registered token's Transfer of another shape is malformed, a collectible is unregistered."""
    topics = [TRANSFER, *("0x" + _word(one) for one in (PAYER, OURS)), "0x" + _word(7)]
    for token, reason in ((TOKEN, "malformed"), (STORE, "unregistered_token")):
        read = read_block(_block(_log(token, topics)), KNOWN)
        assert [(row.reason, row.recipient) for row in read.ignored] == [(reason, OURS)]
        assert read.counted == []
    mint = read_block(_block(_moves(ZERO, OURS, 7)), KNOWN)
    assert [row.kind for row in mint.counted] == ["transfer"]


def test_equal_payments_of_one_transaction_stay_apart() -> None:
    """Equals are told apart by their order, whatever their log indices; others by what they are."""
    first = read_block(_block(*(_moves(PAYER, OURS, 5) for _ in range(2)), _moves(PAYER, OURS, 6)), KNOWN)
    noise = (_moves(PAYER, STORE, 5), _authorized(1))
    later = [*noise, *(_moves(PAYER, OURS, 5) for _ in range(2)), _moves(PAYER, OURS, 6)]
    again = payments(read_block(_block(*later), KNOWN).counted)
    known = payments(first.counted)
    assert list(known) == list(again)
    assert [payment.nth for payment in known] == [0, 1, 0]
    assert [row.position for row in again.values()] == ["2", "3", "4"]
    assert len(payments(read_block(_block(*later[:3]), KNOWN).counted).keys() & known.keys()) == 1


def test_only_calls_that_move_value_count() -> None:
    """Delegate calls repeat a value and move none; a destroyed contract's rest moves; errors undo below."""

    def call(kind: str, to: str, *calls: Json, sender: str = HUB, **more: Any) -> Json:
        return {"type": kind, "from": sender, "to": to, "value": "0x5", "calls": list(calls), **more}

    tree = call(
        *("CALL", HUB),
        call("DELEGATECALL", OURS, call("CALL", OURS)),
        call("STATICCALL", OURS),
        call("CALL", OURS, call("CALL", OURS), call("CALLCODE", OURS), error="execution reverted"),
        call("SELFDESTRUCT", OURS),
        call("CREATE2", OURS, call("CREATE", STORE, sender=OURS)),
        sender=PAYER,
    )
    known = replace(KNOWN, traces=True)
    read = read_block(replace(_block(), traces=(tree,)), known)
    assert [(row.position, row.kind) for row in read.counted] == [
        ("trace:0_0", "transfer"),
        ("trace:3", "transfer"),
        ("trace:4", "transfer"),
        ("trace:4_0", "outgoing"),
    ]
    failed = read_block(replace(_block(status=0), traces=({**tree, "error": "out of gas"},)), known)
    assert failed.counted == []
