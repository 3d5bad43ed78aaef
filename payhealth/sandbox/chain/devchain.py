"""A real EVM chain in process, with one ERC-20 token, simulated time and reorgs to order."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from eth_utils.address import to_canonical_address, to_checksum_address

from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.artifacts import MULTICALL_ADDRESS, load
from payhealth.sandbox.chain.blocks import Block, to_block
from payhealth.sandbox.chain.contract_user import ContractUser
from payhealth.sandbox.chain.evm import CallResult, Evm, Order
from payhealth.sandbox.chain.history import History
from payhealth.sandbox.chain.sending import Item, Placed, Sending, Withdrawal, plan_branch
from payhealth.sandbox.chain.timing import block_times_s, to_epoch_s
from payhealth.sandbox.chain.transfers import TransferFailedError, native_transfer, token_transfer
from payhealth.sandbox.chain.wallet import Wallet
from payhealth.sandbox.interfaces import ChainTransfer

FAUCET_WEI = 10**30


class DevChain(ContractUser):
    """Implements the sandbox's ``Chain`` on py-evm.

    The same seed and the same calls give the same addresses and hashes, on every machine. Every method
    may be called from any thread.

    Args:
        seed: what keys, and so addresses and hashes, derive from.
        chain_id: as transactions are signed for and ``eth_chainId`` answers.
        genesis_at: time of block 0 (aware, UTC). Block 1, a second later, deploys the token.
        token_symbol: the token's symbol, and its name.
        token_decimals: the token's decimals.
        finality_depth: how many blocks ``finalized`` lies behind the head.
        safe_depth: how many blocks ``safe`` lies behind the head.
        multicall: whether Multicall3 is there from block 0 on, at its well-known address.
        contracts: names from ``contracts/`` by the address they lie at from block 0 on. Their constructors
            do not run: only contracts that need none may be placed so.
    """

    def __init__(
        self,
        *,
        seed: int,
        chain_id: int = 31337,
        genesis_at: datetime,
        token_symbol: str = "USDX",  # noqa: S107 - a currency, not a password
        token_decimals: int = 6,
        finality_depth: int = 12,
        safe_depth: int = 6,
        multicall: bool = False,
        contracts: Mapping[str, str] | None = None,
    ) -> None:
        if not 0 <= safe_depth <= finality_depth:
            raise ValueError("0 <= safe_depth <= finality_depth must hold")
        self.chain_id = chain_id
        self.token_decimals = token_decimals
        self.finality_depth = finality_depth
        self.safe_depth = safe_depth
        self.lock = threading.RLock()
        """Held by whoever needs several answers about one moment, such as one JSON-RPC request."""
        self._wallet = Wallet(seed=seed)
        genesis_at_s = to_epoch_s(genesis_at)
        faucet = to_canonical_address(self._wallet.faucet)
        placed = {**(contracts or {}), **({MULTICALL_ADDRESS: "Multicall3"} if multicall else {})}
        self._evm = Evm(
            chain_id=chain_id,
            genesis_at_s=genesis_at_s,
            balances={faucet: FAUCET_WEI},
            codes={to_canonical_address(address): load(name).runtime for address, name in placed.items()},
        )
        self._history = History(to_block(self._evm.genesis))
        self._snapshots: list[str] = []
        self._branch = 0
        self._dropped: dict[str, Any] = {}
        """Transactions that a reorg dropped and that are not on the chain, as they were signed."""
        self.token_address = self._deploy_token(token_symbol, at_s=genesis_at_s + 1)

    # The business's side: what the `Chain` Protocol asks for.

    def new_address(self) -> str:
        """A fresh checksummed address whose key the chain's wallet holds."""
        with self.lock:
            return self._wallet.new_address()

    def faucet(self, address: str, *, at: datetime, native: int = 0, token: int = 0) -> None:
        """Give an address coins (wei) and tokens (smallest unit), each in a block of its own."""
        with self.lock:
            if native:
                self.send_native(at=at, sender=self._wallet.faucet, recipient=address, amount=native)
            if token:
                self._mint(address, token, at=at)

    def send_token(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """Mine one block with one token transfer, ``amount`` in the token's smallest unit.

        Raises:
            UnknownSenderError: the wallet holds no key for the sender; nothing was mined.
            TransactionRefusedError: the sender cannot pay the gas; nothing was mined.
            TransferFailedError: the token refused it; the failed transaction is on the chain.
        """
        call = token.transfer(recipient, amount)
        with self.lock:
            block = self.transact(
                at=at, sender=sender, to=self.token_address, data=call, gas=token.TOKEN_GAS_LIMIT
            )
            return token_transfer(block.receipts[0], token_address=self.token_address)

    def send_native(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """Mine one block with one transfer of the native coin, ``amount`` in wei.

        Raises:
            UnknownSenderError: the wallet holds no key for the sender; nothing was mined.
            TransactionRefusedError: the sender cannot pay amount and gas; nothing was mined.
        """
        with self.lock:
            block = self.transact(
                at=at, sender=sender, to=recipient, value=amount, gas=token.NATIVE_GAS_LIMIT
            )
            return native_transfer(block.receipts[0], amount=amount)

    def transact(
        self, *, at: datetime, sender: str, to: str | None, value: int = 0, data: bytes = b"", gas: int
    ) -> Block:
        """Mine one block with any transaction; a reverted one is mined too, with status 0.

        Args:
            at: the block's time.
            sender: an address of the wallet.
            to: the recipient or contract, None to create a contract.
            value: wei sent along.
            data: call data or creation code.
            gas: the gas limit.

        Raises:
            UnknownSenderError: the wallet holds no key for the sender; nothing was mined.
            TransactionRefusedError: no block may contain it; nothing was mined.
        """
        with self.lock:
            order = Sending(sender=sender, to=to, value=value, data=data, gas=gas)
            return self._mine(self._next_s(at), [self._order(order, {})])

    def mine_block(
        self, orders: Sequence[Item], *, at: datetime, withdrawals: Sequence[Withdrawal] = ()
    ) -> list[dict[str, Any]]:
        """Mine one block with several transactions and return their receipts; reverted ones have status 0.

        Args:
            orders: the transactions in their order; a hash is a dropped one, mined again as it is.
            at: the block's time.
            withdrawals: coins that arrive at the block's end without a transaction.

        Raises:
            ValueError: a hash that is not one of ``dropped()``; nothing was mined.
            UnknownSenderError: the wallet holds no key for a sender; nothing was mined.
            TransactionRefusedError: no block may contain them so; nothing was mined.
        """
        with self.lock:
            signed = [self._order(item, self._dropped) for item in orders]
            return list(self._mine(self._next_s(at), signed, withdrawals).receipts)

    def resend(self, transaction_hash: str, *, at: datetime) -> dict[str, Any]:
        """Mine a dropped transaction again, the same signed bytes, in a block of its own.

        Raises:
            ValueError: it is not one of ``dropped()``; nothing was mined.
            TransactionRefusedError: its nonce was used since, or another reason; nothing was mined.
        """
        (receipt,) = self.mine_block([transaction_hash], at=at)
        return receipt

    def dropped(self) -> list[str]:
        """Hashes of the transactions that reorgs dropped and that were not mined again, oldest first."""
        with self.lock:
            return list(self._dropped)

    def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        """The receipt of a transaction, None where it is not on the chain."""
        with self.lock:
            found = self._history.locate(transaction_hash)
            return None if found is None else found[0].receipts[found[1]]

    def call(self, to: str, data: bytes) -> bytes:
        """What a call returns on the state of the head.

        Raises:
            ValueError: it reverted or failed.
        """
        with self.lock:
            result = self.call_at(self._history.head, to=to_canonical_address(to), data=data)
        if result.error is not None:
            raise ValueError(result.error)
        return result.output

    def native_fee(self) -> int:
        """What a native transfer in the next block costs beside its amount, exactly, in wei."""
        return self.gas_price() * token.NATIVE_GAS_LIMIT

    def gas_price(self) -> int:
        """What a transaction in the next block pays, in wei per gas."""
        with self.lock:
            return self._evm.gas_price(self._history.head.header)

    def native_balance(self, address: str) -> int:
        """Coins of an address at the head, in wei."""
        with self.lock:
            return self.balance_at(to_canonical_address(address), self._history.head)

    def token_balance(self, address: str) -> int:
        """Tokens of an address at the head, in the token's smallest unit."""
        with self.lock:
            result = self.call_at(
                self._history.head,
                to=to_canonical_address(self.token_address),
                data=token.balance_of(address),
            )
        return int.from_bytes(result.output, "big")

    def mine(self, *, at: datetime, blocks: int = 1) -> None:
        """Mine empty blocks, the last one at ``at`` (see ``block_times_s`` for where there is no room)."""
        with self.lock:
            head = self._history.head
            for at_s in block_times_s(after_s=head.timestamp_s, at_s=to_epoch_s(at), blocks=blocks):
                self._mine(at_s)

    def head(self) -> int:
        """Number of the newest block."""
        with self.lock:
            return self._history.head.number

    def snapshot(self) -> int:
        """Remember the head, to reorganise the chain back to it later."""
        with self.lock:
            self._snapshots.append(self._history.head.hash)
            return len(self._snapshots) - 1

    def reorg(self, snapshot: int, *, at: datetime, blocks: int, again: Sequence[Item | Placed] = ()) -> None:
        """Drop every block after the snapshot and mine a longer branch in its place.

        Args:
            snapshot: what ``snapshot`` gave.
            at: time of the branch's last block.
            blocks: length of the branch.
            again: what the branch holds, nothing by default: hashes of transactions dropped by this reorg or
                an earlier one, and new ones, in their order, each in the branch's first block or where it
                is ``Placed``.

        Raises:
            ValueError: an unknown snapshot, one on a branch that is gone, too few ``blocks``, or a hash that
                was not dropped; nothing was changed.
            TransactionRefusedError: no block may contain a transaction there; nothing was changed.
        """
        with self.lock:
            self._replace_after(self._snapshot_block(snapshot), at=at, blocks=blocks, again=again)

    def drop(
        self, depth: int, *, at: datetime, blocks: int | None = None, again: Sequence[Item | Placed] = ()
    ) -> list[str]:
        """Drop the newest ``depth`` blocks as ``reorg`` does, without a snapshot.

        Args:
            depth: how many blocks are dropped; the token's block is not among them.
            at: time of the branch's last block.
            blocks: length of the branch, by default one more than is dropped.
            again: what the branch holds (see ``reorg``).

        Returns:
            The hashes of the transactions of the dropped blocks that the branch does not hold.

        Raises:
            ValueError: a depth that is not there, or as ``reorg``; nothing was changed.
            TransactionRefusedError: as ``reorg``; nothing was changed.
        """
        with self.lock:
            number = self._history.head.number - depth
            kept = self._history.at(number)
            if depth < 1 or kept is None or number < 1:
                raise ValueError(f"cannot drop {depth} of {self._history.head.number} blocks")
            before = [each["hash"] for block in self._history.after(number) for each in block.transactions]
            self._replace_after(kept, at=at, blocks=depth + 1 if blocks is None else blocks, again=again)
            return [each for each in before if each in self._dropped]

    # The node's side: what the JSON-RPC endpoint reads.

    def safe_number(self) -> int:
        """Number of the newest block that is ``safe``."""
        return max(0, self.head() - self.safe_depth)

    def finalized_number(self) -> int:
        """Number of the newest block that is ``finalized``."""
        return max(0, self.head() - self.finality_depth)

    def block_at(self, number: int) -> Block | None:
        """The canonical block of a number."""
        with self.lock:
            return self._history.at(number)

    def block_by_hash(self, block_hash: str) -> Block | None:
        """A canonical block by its lower-case hash; blocks that a reorg dropped are forgotten."""
        with self.lock:
            return self._history.by_hash(block_hash)

    def locate_transaction(self, transaction_hash: str) -> tuple[Block, int] | None:
        """The canonical block of a transaction and its index there, by lower-case hash."""
        with self.lock:
            return self._history.locate(transaction_hash)

    def balance_at(self, address: bytes, block: Block) -> int:
        """Coins of an address after a block, in wei."""
        with self.lock:
            return self._evm.balance(block.header, address)

    def nonce_at(self, address: bytes, block: Block) -> int:
        """Number of transactions an address has sent up to and with a block."""
        with self.lock:
            return self._evm.nonce(block.header, address)

    def code_at(self, address: bytes, block: Block) -> bytes:
        """The contract at an address after a block."""
        with self.lock:
            return self._evm.code(block.header, address)

    def call_at(
        self, block: Block, *, to: bytes, data: bytes, sender: bytes = b"\x00" * 20, value: int = 0
    ) -> CallResult:
        """Execute a call on the state after a block."""
        with self.lock:
            return self._evm.call(block.header, sender=sender, to=to, value=value, data=data)

    def _deploy_token(self, symbol: str, *, at_s: int) -> str:
        order = Sending(
            sender=self._wallet.faucet,
            to=None,
            data=token.deployment(name=symbol, symbol=symbol, decimals=self.token_decimals),
            gas=token.DEPLOY_GAS_LIMIT,
        )
        receipt = self._mine(at_s, [self._order(order, {})]).receipts[0]
        if receipt["status"] != "0x1":
            raise RuntimeError("the token was not deployed")
        return str(to_checksum_address(receipt["contractAddress"]))

    def _mint(self, address: str, amount: int, *, at: datetime) -> None:
        block = self.transact(
            at=at,
            sender=self._wallet.faucet,
            to=self.token_address,
            data=token.mint(address, amount),
            gas=token.TOKEN_GAS_LIMIT,
        )
        if block.receipts[0]["status"] != "0x1":
            raise TransferFailedError(f"the token refused to mint {amount}")

    def _order(self, item: Item, known: Mapping[str, Any]) -> Any:
        """An item as the EVM takes it; ``known`` holds the signed transactions that a hash may name."""
        if isinstance(item, str):
            if item not in known:
                raise ValueError(f"transaction {item} was not dropped by a reorg")
            return known[item]
        return Order(
            key=self._wallet.key(item.sender),
            to=None if item.to is None else to_canonical_address(item.to),
            value=item.value,
            data=item.data,
            gas=item.gas,
        )

    def _next_s(self, at: datetime) -> int:
        (at_s,) = block_times_s(after_s=self._history.head.timestamp_s, at_s=to_epoch_s(at), blocks=1)
        return at_s

    def _mine(self, at_s: int, orders: Sequence[Any] = (), withdrawals: Sequence[Withdrawal] = ()) -> Block:
        block = self._build(self._history.head, at_s, self._branch, orders, withdrawals)
        self._add(block)
        return block

    def _build(
        self,
        parent: Block,
        at_s: int,
        branch: int,
        orders: Sequence[Any] = (),
        withdrawals: Sequence[Withdrawal] = (),
    ) -> Block:
        # The branch is written into the block, so that no two branches can share a hash.
        extra_data = b"" if branch == 0 else b"branch %d" % branch
        return to_block(
            self._evm.mine(
                parent.header, at_s=at_s, extra_data=extra_data, orders=orders, withdrawals=withdrawals
            )
        )

    def _add(self, block: Block) -> None:
        self._history.append(block)
        for transaction in block.transactions:
            self._dropped.pop(transaction["hash"], None)

    def _replace_after(
        self, kept: Block, *, at: datetime, blocks: int, again: Sequence[Item | Placed]
    ) -> None:
        old_head = self._history.head
        dropped = old_head.number - kept.number
        if blocks <= dropped:
            raise ValueError(f"blocks must exceed the {dropped} dropped, got {blocks}")
        times_s = block_times_s(after_s=old_head.timestamp_s, at_s=to_epoch_s(at), blocks=blocks)
        lost = self._dropped | self._signed_after(kept.number)
        plan = [[self._order(item, lost) for item in items] for items in plan_branch(again, blocks=blocks)]
        # The branch is mined beside the chain and takes its place whole, or not at all.
        branch = [kept]
        for at_s, orders in zip(times_s, plan, strict=True):
            branch.append(self._build(branch[-1], at_s, self._branch + 1, orders))
        self._history.drop_after(kept.number)
        self._branch += 1
        self._dropped = lost
        for block in branch[1:]:
            self._add(block)

    def _signed_after(self, number: int) -> dict[str, Any]:
        signed: dict[str, Any] = {}
        for block in self._history.after(number):
            for transaction, shown in zip(self._evm.signed_in(block.header), block.transactions, strict=True):
                # Filled in, as when it was signed: recovering a sender is slow.
                transaction.__dict__["sender"] = to_canonical_address(shown["from"])
                signed[shown["hash"]] = transaction
        return signed

    def _snapshot_block(self, snapshot: int) -> Block:
        if not 0 <= snapshot < len(self._snapshots):
            raise ValueError(f"no snapshot {snapshot}")
        block = self._history.by_hash(self._snapshots[snapshot])
        if block is None:
            raise ValueError(f"snapshot {snapshot} lies on a branch that a reorg dropped")
        return block
