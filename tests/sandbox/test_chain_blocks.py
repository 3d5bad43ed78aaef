"""Blocks of several transactions and branches that hold them again: on py-evm and, where installed, anvil."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.anvil import AnvilChain
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.sending import Placed, Sending, max_fee_wei, plan_branch
from payhealth.sandbox.chain.wallet import UnknownSenderError
from tests.sandbox.chains import ANVIL, ETHER, GENESIS_AT, PY_EVM, Node, young_chain


@dataclass
class Payers(Node):
    """A chain whose token transfers are ordered one by one and mined together."""

    def pays(self, sender: str, recipient: str, amount: int) -> Sending:
        """A token transfer still to be mined."""
        return Sending(
            sender=sender,
            to=self.chain.token_address,
            data=token.transfer(recipient, amount),
            gas=token.TOKEN_GAS_LIMIT,
        )


@pytest.fixture(params=[PY_EVM, ANVIL])
def node(request: pytest.FixtureRequest) -> Iterator[Payers]:
    """A young chain of each kind."""
    with young_chain(request.param) as chain:
        yield Payers(chain)


def _where(receipt: dict[str, Any] | None) -> tuple[int, int, list[int]]:
    """Block, index in it, and log indices of a transaction."""
    assert receipt is not None
    logs = [int(log["logIndex"], 16) for log in receipt["logs"]]
    return int(receipt["blockNumber"], 16), int(receipt["transactionIndex"], 16), logs


def test_one_block_holds_several_transactions_in_their_order(node: Payers) -> None:
    """Receipts come in the order asked for; log indices run through the block; a reverted one stays in it."""
    chain = node.chain
    one, two, three = node.funded(token=10), node.funded(token=10), chain.new_address()
    number = chain.head() + 1
    receipts = chain.mine_block(
        [
            node.pays(one, three, 1),
            node.pays(two, three, 11),
            node.pays(one, three, 2),
            Sending(sender=two, to=three, value=5, gas=21_000),
            node.pays(two, three, 3),
        ],
        at=node.later(),
    )
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x0", "0x1", "0x1", "0x1"]
    assert [_where(receipt) for receipt in receipts] == [
        (number, 0, [0]),
        (number, 1, []),
        (number, 2, [1]),
        (number, 3, []),
        (number, 4, [2]),
    ]
    assert (chain.token_balance(three), chain.native_balance(three)) == (6, 5)
    assert chain.head() == number
    assert [chain.receipt(receipt["transactionHash"]) for receipt in receipts] == receipts


def test_a_block_that_cannot_be_is_not_mined(node: Payers) -> None:
    """One transaction that no block may contain, or too much gas, and nothing of the block is mined."""
    chain = node.chain
    rich, poor = node.funded(token=10), chain.new_address()
    before = (chain.head(), chain.native_balance(rich))
    good = node.pays(rich, poor, 1)
    stranger = "0x000000000000000000000000000000000000dEaD"
    with pytest.raises(TransactionRefusedError):
        chain.mine_block([good, Sending(sender=poor, to=rich, value=1)], at=node.later())
    with pytest.raises(UnknownSenderError):
        chain.mine_block([good, Sending(sender=stranger, to=rich)], at=node.later())
    with pytest.raises(TransactionRefusedError):
        chain.mine_block([good, Sending(sender=rich, to=poor, gas=40_000_000)], at=node.later())
    with pytest.raises(ValueError, match="was not dropped"):
        chain.mine_block(["0x" + "ab" * 32], at=node.later())
    assert (chain.head(), chain.native_balance(rich)) == before
    (receipt,) = chain.mine_block([good], at=node.later())
    assert _where(receipt) == (before[0] + 1, 0, [0])


def test_a_dropped_transaction_returns_as_the_same_transaction(node: Payers) -> None:
    """The hash is the same; the block, the place in it and the log index are those asked for."""
    chain = node.chain
    sender, other, recipient = node.funded(token=100), node.funded(token=100), chain.new_address()
    snapshot, kept = chain.snapshot(), chain.head()
    sent = chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=40)
    chain.mine(at=node.later(), blocks=2)
    lost = sent.transaction_hash

    chain.reorg(snapshot, at=node.later(), blocks=4, again=[lost])
    receipt = chain.receipt(lost)
    assert _where(receipt) == (kept + 1, 0, [0])
    assert receipt is not None
    assert receipt["blockHash"] != sent.block_hash

    in_front = node.pays(other, recipient, 1)
    again = [Placed(what=in_front, block=3), Placed(what=lost, block=3)]
    chain.reorg(snapshot, at=node.later(), blocks=5, again=again)
    assert _where(chain.receipt(lost)) == (kept + 3, 1, [1])
    assert (chain.token_balance(recipient), chain.dropped()) == (41, [])
    assert chain.head() == kept + 5


def test_a_dropped_transaction_can_return_later_or_never(node: Payers) -> None:
    """What a reorg leaves out is listed as dropped; it is mined later, or never once its nonce is used."""
    chain = node.chain
    sender, recipient = node.funded(token=100), chain.new_address()
    first = chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=1).transaction_hash
    second = chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=2).transaction_hash
    assert chain.drop(2, at=node.later()) == [first, second]
    assert chain.dropped() == [first, second]
    assert chain.receipt(first) is None
    chain.mine(at=node.later(), blocks=3)
    assert chain.resend(first, at=node.later())["transactionHash"] == first
    assert (chain.dropped(), chain.token_balance(recipient)) == ([second], 1)
    chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=3)
    with pytest.raises(TransactionRefusedError):
        chain.resend(second, at=node.later())
    with pytest.raises(ValueError, match="was not dropped"):
        chain.resend(first, at=node.later())
    assert (chain.dropped(), chain.token_balance(recipient)) == ([second], 4)


@pytest.mark.parametrize("depth", [1, 7, 30])
def test_reorgs_of_any_depth_keep_what_returns(node: Payers, depth: int) -> None:
    """Everything dropped returns in the new branch's first block: the balances are those before."""
    chain = node.chain
    sender, recipient = node.funded(token=10**6), chain.new_address()
    chain.mine(at=node.later(), blocks=2)
    for step in range(depth):
        if step % 3 == 0:
            chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=step + 1)
        else:
            chain.mine(at=node.later())
    before = (chain.token_balance(sender), chain.token_balance(recipient))
    head = chain.head()
    lost = chain.drop(depth, at=node.later())
    assert (chain.token_balance(recipient), chain.head()) == (0, head + 1)
    assert len(lost) == (depth + 2) // 3
    assert chain.drop(1, at=node.later(), again=lost) == []
    assert (chain.token_balance(sender), chain.token_balance(recipient)) == before
    assert chain.dropped() == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_not_on_the_chain_is_what_is_dropped(node: Payers, seed: int) -> None:
    """After any reorgs each transaction ever mined is either on the chain or listed as dropped."""
    chain, draw = node.chain, random.Random(seed)
    senders = [node.funded(token=1000) for _ in range(3)]
    ever: list[str] = []
    for _ in range(12):
        orders = [node.pays(draw.choice(senders), draw.choice(senders), draw.randint(0, 50)) for _ in "ab"]
        ever += [receipt["transactionHash"] for receipt in chain.mine_block(orders, at=node.later())]
        chain.mine(at=node.later(), blocks=draw.randint(0, 3))
        if draw.random() < 0.5:
            depth = draw.randint(1, 4)
            chain.drop(depth, at=node.later(), blocks=depth + draw.randint(1, 3))
        for lost in chain.dropped():
            # In the order they were sent, so that a sender's nonces follow one another.
            if draw.random() < 0.5 and _returns(node, lost):
                assert chain.receipt(lost) is not None
    on_chain = {each for each in ever if chain.receipt(each) is not None}
    assert on_chain.isdisjoint(chain.dropped())
    assert {*on_chain, *chain.dropped()} >= set(ever)
    assert sum(chain.token_balance(each) for each in senders) == 3000


def _returns(node: Payers, lost: str) -> bool:
    try:
        node.chain.resend(lost, at=node.later())
    except TransactionRefusedError:
        return False
    return True


def test_a_branch_that_cannot_be_changes_nothing(node: Payers) -> None:
    """An unknown hash, a place outside the branch, one hash twice, no such depth: refused at once."""
    chain = node.chain
    sender = node.funded(token=10)
    kept = chain.send_token(at=node.later(), sender=sender, recipient=sender, amount=1).transaction_hash
    lost = chain.send_token(at=node.later(), sender=sender, recipient=sender, amount=2).transaction_hash
    for again in ([kept], ["0x12"], [lost, lost], [Placed(what=lost, block=3)], [Placed(what=lost, block=0)]):
        with pytest.raises(ValueError, match=r"dropped|twice|branch"):
            chain.drop(1, at=node.later(), again=again)
    for depth in (0, -1, chain.head(), chain.head() + 5):
        with pytest.raises(ValueError, match="cannot drop"):
            chain.drop(depth, at=node.later())
    assert chain.receipt(lost) is not None
    assert chain.receipt(kept) is not None
    assert chain.dropped() == []


def test_a_refused_branch_leaves_py_evms_chain_as_it_was() -> None:
    """A transaction whose nonce is not yet due stops the reorg; the old blocks stay the chain."""
    node = Payers(chain=DevChain(seed=1, genesis_at=GENESIS_AT))
    chain, sender = node.chain, node.funded(token=10)
    chain.send_token(at=node.later(), sender=sender, recipient=sender, amount=1)
    second = chain.send_token(at=node.later(), sender=sender, recipient=sender, amount=2)
    with pytest.raises(TransactionRefusedError):
        chain.drop(2, at=node.later(), again=[second.transaction_hash])
    assert _where(chain.receipt(second.transaction_hash))[0] == second.block_number == chain.head()
    assert chain.dropped() == []


def test_a_transaction_returns_although_the_base_fee_is_higher(node: Payers) -> None:
    """Mined after the base fee fell, it is mined again in a block that asks for more, and pays that."""
    chain = node.chain
    sender, recipient = node.funded(token=10), chain.new_address()
    chain.mine(at=node.later(), blocks=12)
    snapshot, dear = chain.snapshot(), chain.gas_price()
    chain.mine(at=node.later(), blocks=20)
    sent = chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=1)
    cheap = int(str(chain.receipt(sent.transaction_hash)["effectiveGasPrice"]), 16)  # type: ignore[index]
    chain.reorg(snapshot, at=node.later(), blocks=25, again=[sent.transaction_hash])
    again = chain.receipt(sent.transaction_hash)
    assert again is not None
    assert int(again["effectiveGasPrice"], 16) == dear > cheap


def test_what_is_due_is_paid_whatever_was_offered(node: Payers) -> None:
    """The fee quoted is the fee paid, for one who offers headroom and one who empties an address."""
    chain = node.chain
    recipient = chain.new_address()
    for keeps in (ETHER // 2, 0, 1):
        sender = node.funded()
        fee = chain.native_fee()
        chain.send_native(at=node.later(), sender=sender, recipient=recipient, amount=ETHER - fee - keeps)
        assert chain.native_balance(sender) == keeps


def test_headroom_is_offered_where_it_can_be_afforded() -> None:
    """An offer lies between what is due and ten times that, and never beyond what the sender holds."""
    assert max_fee_wei(due=7, gas=10, spendable=10**6) == 70
    assert max_fee_wei(due=7, gas=10, spendable=200) == 20
    assert max_fee_wei(due=7, gas=10, spendable=70) == max_fee_wei(due=7, gas=10, spendable=-5) == 7


def test_a_plan_puts_each_item_where_it_was_placed() -> None:
    """Items without a place open the branch, those with one keep their order there."""
    sending = Sending(sender="0x1", to=None)
    plan = plan_branch([Placed(what="a", block=2), "b", Placed(what=sending, block=2), "c"], blocks=3)
    assert plan == [["b", "c"], ["a", sending], []]


def test_many_empty_blocks_keep_the_times_asked_for(node: Payers) -> None:
    """Long runs of blocks are spaced as short ones are: evenly, the last at the moment named."""
    chain = node.chain
    until = node.at = node.later() + timedelta(hours=1)
    before = chain.head()
    chain.mine(at=until, blocks=60)
    chain.mine(at=until, blocks=25)
    assert chain.head() == before + 85
    snapshot = chain.snapshot()
    chain.send_native(at=node.later(), sender=chain.faucet_address, recipient=chain.new_address(), amount=1)
    chain.reorg(snapshot, at=node.later(), blocks=40)
    times = _times(chain)
    assert times[before + 60] == int(until.timestamp())
    assert {
        later - earlier
        for earlier, later in zip(times[before + 1 :], times[before + 2 : before + 61], strict=False)
    } == {12}
    assert times[-1] == int(node.at.timestamp())
    assert times == sorted(set(times))


def _times(chain: DevChain | AnvilChain) -> list[int]:
    if isinstance(chain, AnvilChain):
        return [
            int(chain.rpc("eth_getBlockByNumber", hex(each), False)["timestamp"], 16)
            for each in range(chain.head() + 1)
        ]
    blocks = [chain.block_at(number) for number in range(chain.head() + 1)]
    return [block.timestamp_s for block in blocks if block is not None]
