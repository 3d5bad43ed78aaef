"""The sandbox's chain as a client sees it: web3.py over HTTP, on py-evm and, where installed, on anvil."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import BlockNotFound, TransactionNotFound

from payhealth.sandbox.chain.anvil import AnvilChain
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.chain.token import load_artifact
from payhealth.sandbox.chain.transfers import TransferFailedError
from payhealth.sandbox.chain.wallet import UnknownSenderError
from payhealth.sandbox.serve import LoopbackServer
from tests.sandbox.chains import ANVIL, ETHER, GENESIS_AT, PY_EVM, Node, young_chain


@dataclass
class Served(Node):
    """A chain and a web3 client of it."""

    w3: Web3 = field(kw_only=True)

    @property
    def token(self) -> Contract:
        """The token as web3.py's contract."""
        return self.w3.eth.contract(self.chain.token_address, abi=load_artifact().abi)


def _client(url: str) -> Web3:
    return Web3(HTTPProvider(url))


@pytest.fixture(params=[PY_EVM, ANVIL])
def node(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A young chain of each kind, with a client of its endpoint."""
    with ExitStack() as stack:
        chain = stack.enter_context(young_chain(request.param))
        if isinstance(chain, AnvilChain):
            yield Served(chain=chain, w3=_client(chain.rpc_url))
            return
        server = stack.enter_context(LoopbackServer(build_app(chain)))
        yield Served(chain=chain, w3=_client(server.url))


def test_token_is_a_real_contract(node: Served) -> None:
    """The token answers what its constructor was given, and has code from block 1 on."""
    assert node.token.functions.symbol().call() == "USDX"
    assert node.token.functions.decimals().call() == node.chain.token_decimals == 6
    assert len(node.w3.eth.get_code(node.chain.token_address)) > 100
    assert node.w3.eth.get_code(node.chain.token_address, 0) == b""
    assert node.w3.eth.chain_id == node.chain.chain_id


def test_blocks_form_a_chain_in_simulated_time(node: Served) -> None:
    """Each block names its parent's hash, times rise strictly, and the last has the time asked for."""
    node.chain.mine(at=node.later(), blocks=5)
    until = node.later()
    node.chain.mine(at=until, blocks=3)
    blocks = [node.w3.eth.get_block(number) for number in range(node.chain.head() + 1)]
    assert blocks[0]["timestamp"] == int(GENESIS_AT.timestamp())
    assert blocks[-1]["timestamp"] == int(until.timestamp())
    for parent, child in pairwise(blocks):
        assert child["parentHash"] == parent["hash"]
        assert child["timestamp"] > parent["timestamp"]
        assert node.w3.eth.get_block(child["hash"]) == child


def test_a_token_transfer_is_what_its_receipt_and_log_say(node: Served) -> None:
    """The transfer handed back, the receipt, the log and the balances agree."""
    sender, recipient = node.funded(token=1_000_000), node.chain.new_address()
    at = node.later()
    sent = node.chain.send_token(at=at, sender=sender, recipient=recipient, amount=250_001)
    receipt = node.w3.eth.get_transaction_receipt(sent.transaction_hash)
    (event,) = node.token.events.Transfer().process_receipt(receipt)
    assert (event["args"]["from"], event["args"]["to"], event["args"]["value"]) == (
        sender,
        recipient,
        250_001,
    )
    assert (sent.sender, sent.recipient, sent.amount) == (sender, recipient, 250_001)
    assert (sent.block_number, sent.log_index) == (receipt["blockNumber"], event["logIndex"])
    assert sent.block_hash == "0x" + receipt["blockHash"].hex()
    assert (sent.token, receipt["status"]) == (node.chain.token_address, 1)
    assert node.w3.eth.get_block(sent.block_number)["timestamp"] == int(at.timestamp())
    assert node.chain.token_balance(recipient) == 250_001
    assert node.token.functions.balanceOf(recipient).call(block_identifier=sent.block_number - 1) == 0


def test_native_transfers_cost_exactly_gas_used_times_price(node: Served) -> None:
    """Balance before - balance after = amount + gas used x effective gas price, to the wei."""
    sender, recipient = node.funded(), node.chain.new_address()
    sent = node.chain.send_native(at=node.later(), sender=sender, recipient=recipient, amount=ETHER // 3)
    receipt = node.w3.eth.get_transaction_receipt(sent.transaction_hash)
    fee = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert fee > 0
    assert node.chain.native_balance(sender) == ETHER - ETHER // 3 - fee
    assert node.w3.eth.get_balance(recipient) == node.chain.native_balance(recipient) == ETHER // 3
    assert node.w3.eth.get_transaction(sent.transaction_hash)["value"] == sent.amount
    assert (sent.token, sent.log_index) == (None, None)


def test_an_address_can_be_swept_to_the_last_wei(node: Served) -> None:
    """The fee quoted for the next block is the fee paid, so a sweep leaves nothing behind."""
    assert isinstance(node.chain, (DevChain, AnvilChain))
    sender, treasury = node.funded(), node.chain.new_address()
    everything = node.chain.native_balance(sender) - node.chain.native_fee()
    node.chain.send_native(at=node.later(), sender=sender, recipient=treasury, amount=everything)
    assert node.chain.native_balance(sender) == 0


def test_token_balances_are_conserved(node: Served) -> None:
    """What was minted is what all holders hold together, after any transfers."""
    holders = [node.funded(token=1000 * (index + 1)) for index in range(3)]
    for step in range(6):
        sender, recipient = holders[step % 3], holders[(step * 2 + 1) % 3]
        node.chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=100 + step)
    assert sum(node.chain.token_balance(holder) for holder in holders) == 6000
    assert node.token.functions.totalSupply().call() == 6000


def test_transfers_that_cannot_be_are_refused(node: Served) -> None:
    """No key and no gas: nothing is mined. Too few tokens: mined as a failed transaction without logs."""
    stranger = "0x000000000000000000000000000000000000dEaD"
    poor, holder = node.chain.new_address(), node.funded(token=5)
    before = node.chain.head()
    with pytest.raises(UnknownSenderError):
        node.chain.send_native(at=node.later(), sender=stranger, recipient=poor, amount=1)
    with pytest.raises(TransactionRefusedError):
        node.chain.send_native(at=node.later(), sender=poor, recipient=holder, amount=1)
    assert node.chain.head() == before
    with pytest.raises(TransferFailedError):
        node.chain.send_token(at=node.later(), sender=holder, recipient=poor, amount=6)
    assert node.chain.head() == before + 1
    failed = node.w3.eth.get_block("latest")["transactions"][0]
    receipt = node.w3.eth.get_transaction_receipt(failed)
    assert (receipt["status"], receipt["logs"]) == (0, [])


def test_logs_are_found_by_contract_topic_and_block(node: Served) -> None:
    """Filters by recipient topic, OR-lists, null wildcards and block hash each find exactly their logs."""
    sender = node.funded(token=1000)
    recipients = [node.chain.new_address() for _ in range(3)]
    sent = [
        node.chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=index + 1)
        for index, recipient in enumerate(recipients)
    ]
    node.chain.mine(at=node.later(), blocks=2)
    padded = ["0x" + "00" * 12 + recipient[2:].lower() for recipient in recipients]
    span = {"fromBlock": 0, "toBlock": "latest", "address": node.chain.token_address}

    def amounts(**extra: object) -> list[int]:
        return [int(log["data"].hex(), 16) for log in node.w3.eth.get_logs({**span, **extra})]

    assert amounts() == [1000, 1, 2, 3]
    assert amounts(topics=[None, None, padded[1]]) == [2]
    assert amounts(topics=[None, None, [padded[0], padded[2]]]) == [1, 3]
    assert amounts(topics=["0x" + "11" * 32]) == []
    assert amounts(address=[node.chain.token_address, sender]) == [1000, 1, 2, 3]
    (log,) = node.w3.eth.get_logs({"blockHash": sent[2].block_hash})
    assert (log["logIndex"], log["transactionHash"].to_0x_hex()) == (0, sent[2].transaction_hash)


def test_batches_answer_in_order(node: Served) -> None:
    """A batch of blocks, balances and logs gives what the single requests give."""
    node.chain.mine(at=node.later(), blocks=10)
    with node.w3.batch_requests() as batch:
        for number in range(10):
            batch.add(node.w3.eth.get_block(number))
        batch.add(node.w3.eth.get_logs({"fromBlock": 0, "toBlock": 5}))
        answers = batch.execute()
    assert answers[:10] == [node.w3.eth.get_block(number) for number in range(10)]
    assert answers[10] == node.w3.eth.get_logs({"fromBlock": 0, "toBlock": 5})


def test_block_receipts_are_those_of_its_transactions(node: Served) -> None:
    """eth_getBlockReceipts gives, in order, the receipt of each of the block's transactions."""
    sender = node.funded(token=10)
    node.chain.send_token(at=node.later(), sender=sender, recipient=sender, amount=1)
    block = node.w3.eth.get_block("latest")
    receipts = node.w3.eth.get_block_receipts(block["number"])
    assert receipts == [node.w3.eth.get_transaction_receipt(sent) for sent in block["transactions"]]
    assert len(receipts) == 1


def test_safe_and_finalized_follow_the_head_by_their_depth(node: Served) -> None:
    """Safe is the head less 6, finalized the head less 12, and neither lies before genesis."""
    assert node.w3.eth.get_block("finalized")["number"] == 0
    node.chain.mine(at=node.later(), blocks=20)
    head = node.w3.eth.block_number
    assert node.w3.eth.get_block("latest")["number"] == head == node.chain.head()
    assert node.w3.eth.get_block("safe")["number"] == head - 6
    assert node.w3.eth.get_block("finalized")["number"] == head - 12
    assert node.w3.eth.get_block("earliest")["number"] == 0


def test_a_reorg_drops_transactions_and_changes_hashes(node: Served) -> None:
    """After a reorg the dropped transfer is unknown, its tokens are back, and the new blocks chain on."""
    sender, recipient = node.funded(token=100), node.chain.new_address()
    snapshot, kept = node.chain.snapshot(), node.chain.head()
    lost = node.chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=40)
    node.chain.mine(at=node.later(), blocks=2)
    old = [node.w3.eth.get_block(number) for number in range(kept, kept + 4)]
    until = node.later()
    node.chain.reorg(snapshot, at=until, blocks=5)
    new = [node.w3.eth.get_block(number) for number in range(kept, kept + 6)]
    assert (node.chain.head(), new[0]["hash"]) == (kept + 5, old[0]["hash"])
    assert {block["hash"] for block in new[1:]}.isdisjoint(block["hash"] for block in old[1:])
    assert all(child["parentHash"] == parent["hash"] for parent, child in pairwise(new))
    assert new[1]["timestamp"] > old[-1]["timestamp"]
    assert new[-1]["timestamp"] == int(until.timestamp())
    with pytest.raises(TransactionNotFound):
        node.w3.eth.get_transaction_receipt(lost.transaction_hash)
    with pytest.raises(BlockNotFound):
        node.w3.eth.get_block(lost.block_hash)
    assert (node.chain.token_balance(sender), node.chain.token_balance(recipient)) == (100, 0)
    assert node.w3.eth.get_logs({"fromBlock": kept + 1, "toBlock": "latest"}) == []
    again = node.chain.send_token(at=node.later(), sender=sender, recipient=recipient, amount=40)
    assert node.chain.token_balance(recipient) == 40
    assert again.block_number == kept + 6


def test_a_reorg_must_be_longer_and_from_a_snapshot_that_is_still_there(node: Served) -> None:
    """As many blocks as dropped, an unknown snapshot and one on a lost branch are refused."""
    snapshot = node.chain.snapshot()
    node.chain.mine(at=node.later(), blocks=2)
    on_lost_branch = node.chain.snapshot()
    node.chain.mine(at=node.later(), blocks=1)
    head = node.w3.eth.get_block("latest")["hash"]
    with pytest.raises(ValueError, match="must exceed the 3 dropped"):
        node.chain.reorg(snapshot, at=node.later(), blocks=3)
    with pytest.raises(ValueError, match="no snapshot 9"):
        node.chain.reorg(9, at=node.later(), blocks=9)
    assert node.w3.eth.get_block("latest")["hash"] == head
    node.chain.reorg(snapshot, at=node.later(), blocks=4)
    with pytest.raises(ValueError, match="branch"):
        node.chain.reorg(on_lost_branch, at=node.later(), blocks=9)
    node.chain.reorg(snapshot, at=node.later(), blocks=5)
