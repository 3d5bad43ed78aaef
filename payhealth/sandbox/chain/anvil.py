"""The same chain on a real node: foundry's ``anvil``, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eth_utils.address import to_checksum_address

from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.anvil_process import STATES_KEPT, AnvilError, AnvilProcess, find_anvil
from payhealth.sandbox.chain.anvil_signer import AnvilSigner, Signed
from payhealth.sandbox.chain.artifacts import load
from payhealth.sandbox.chain.contract_user import ContractUser
from payhealth.sandbox.chain.evm import TransactionRefusedError
from payhealth.sandbox.chain.hexes import data as hex_data
from payhealth.sandbox.chain.hexes import quantity
from payhealth.sandbox.chain.sending import Item, Placed, Sending, plan_branch
from payhealth.sandbox.chain.timing import block_times_s, to_epoch_s
from payhealth.sandbox.chain.transfers import TransferFailedError, native_transfer, token_transfer
from payhealth.sandbox.chain.wallet import Wallet
from payhealth.sandbox.interfaces import ChainTransfer

__all__ = ["AnvilChain", "AnvilError", "find_anvil"]

_FAUCET_WEI = 10**30

_MINED_AT_ONCE = 20
"""From how many blocks on anvil is told to mine them by one request, which saves most of their time."""

_MINED_AT_MOST = 1000
"""How many it is told to mine by one request, so that each is answered well within the client's timeout."""

_BURST_LOGS = 500
_BURST_GAS = 100_000 + 4_000 * _BURST_LOGS
"""A burst takes some 2 200 gas for each log."""


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A head to go back to: anvil's id for it, and the block that was the head then."""

    identity: str
    number: int
    block_hash: str


class AnvilChain(ContractUser):
    """Implements the sandbox's ``Chain`` on an ``anvil`` of its own; a context manager.

    Args:
        seed: what keys, and so addresses, derive from.
        chain_id: as transactions are signed for.
        genesis_at: time of block 0 (aware, UTC). Block 1, a second later, deploys the token.
        token_symbol: the token's symbol, and its name.
        token_decimals: the token's decimals.
        safe_depth: how many blocks ``safe`` lies behind the head; ``finalized`` lies twice as many.
        gas_limit: gas of every block, by default anvil's own 30 million.
        states_kept: of how many of the newest blocks the state is kept: balances of older ones cannot be
            asked for, and a reorg cannot go deeper.
        binary: the anvil to run, by default what ``find_anvil`` finds.
        start_timeout_s: how long to wait until it answers.

    Raises:
        AnvilError: it is not installed or did not start.
    """

    def __init__(
        self,
        *,
        seed: int,
        chain_id: int = 31337,
        genesis_at: datetime,
        token_symbol: str = "USDX",  # noqa: S107 - a currency, not a password
        token_decimals: int = 6,
        safe_depth: int = 6,
        gas_limit: int | None = None,
        states_kept: int = STATES_KEPT,
        binary: Path | None = None,
        start_timeout_s: float = 15.0,
    ) -> None:
        self.chain_id = chain_id
        self.token_decimals = token_decimals
        self.safe_depth = safe_depth
        self.finality_depth = 2 * safe_depth
        self._wallet = Wallet(seed=seed)
        self._snapshots: list[_Snapshot] = []
        self._signed: dict[str, Signed] = {}
        self._dropped: dict[str, Signed] = {}
        genesis_at_s = to_epoch_s(genesis_at)
        self._anvil = AnvilProcess(
            binary=binary,
            chain_id=chain_id,
            genesis_at_s=genesis_at_s,
            safe_depth=safe_depth,
            gas_limit=gas_limit,
            states_kept=states_kept,
            start_timeout_s=start_timeout_s,
        )
        self._signer = AnvilSigner(self._anvil, self._wallet, chain_id=chain_id)
        self.rpc_url = self._anvil.url
        """Where the node answers JSON-RPC."""
        try:
            self.rpc("anvil_setBalance", self._wallet.faucet, quantity(_FAUCET_WEI))
            self.token_address = self._deploy_token(token_symbol, at_s=genesis_at_s + 1)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop anvil and remove what it wrote; closing twice does nothing."""
        self._anvil.close()

    def new_address(self) -> str:
        """A fresh checksummed address whose key the chain's wallet holds."""
        return self._wallet.new_address()

    def faucet(self, address: str, *, at: datetime, native: int = 0, token: int = 0) -> None:
        """Give an address coins (wei) and tokens (smallest unit), each in a block of its own."""
        if native:
            self.send_native(at=at, sender=self._wallet.faucet, recipient=address, amount=native)
        if token:
            self._mint(address, token, at=at)

    def send_token(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """Mine one block with one token transfer, ``amount`` in the token's smallest unit.

        Raises:
            TransactionRefusedError: the sender cannot pay the gas; nothing was mined.
            TransferFailedError: the token refused it; the failed transaction is on the chain.
        """
        call = token.transfer(recipient, amount)
        receipt = self.transact(
            at=at, sender=sender, to=self.token_address, data=call, gas=token.TOKEN_GAS_LIMIT
        )
        return token_transfer(receipt, token_address=self.token_address)

    def send_native(self, *, at: datetime, sender: str, recipient: str, amount: int) -> ChainTransfer:
        """Mine one block with one transfer of the native coin, ``amount`` in wei.

        Raises:
            TransactionRefusedError: the sender cannot pay amount and gas; nothing was mined.
        """
        receipt = self.transact(at=at, sender=sender, to=recipient, value=amount, gas=token.NATIVE_GAS_LIMIT)
        return native_transfer(receipt, amount=amount)

    def transact(
        self, *, at: datetime, sender: str, to: str | None, value: int = 0, data: bytes = b"", gas: int
    ) -> dict[str, Any]:
        """Mine one block with any transaction and return its receipt (see ``DevChain.transact``)."""
        order = Sending(sender=sender, to=to, value=value, data=data, gas=gas)
        (receipt,) = self.mine_block([order], at=at)
        return receipt

    def mine_block(self, orders: Sequence[Item], *, at: datetime) -> list[dict[str, Any]]:
        """Mine one block with several transactions and return their receipts (see ``DevChain.mine_block``).

        A sender must hold what its transactions may cost before the block.

        Raises:
            ValueError: a hash that is not one of ``dropped()``; nothing was mined.
            UnknownSenderError: the wallet holds no key for a sender; nothing was mined.
            TransactionRefusedError: anvil refused one, and nothing was mined; or it left one out of the
                block that it mined.
        """
        head = self._head_block()
        (at_s,) = block_times_s(after_s=int(head["timestamp"], 16), at_s=to_epoch_s(at), blocks=1)
        return self._mine_items(at_s, orders, gas_limit=int(head["gasLimit"], 16))

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
        return list(self._dropped)

    def receipt(self, transaction_hash: str) -> dict[str, Any] | None:
        """The receipt of a transaction, None where it is not on the chain."""
        found = self.rpc("eth_getTransactionReceipt", transaction_hash)
        return None if found is None else dict(found)

    def call(self, to: str, data: bytes) -> bytes:
        """What a call returns on the state of the head.

        Raises:
            AnvilError: it reverted or failed.
        """
        answer = self.rpc("eth_call", {"to": to, "data": hex_data(data)}, "latest")
        return bytes.fromhex(answer[2:])

    def burst(
        self, burst_token: str, *, first: int, count: int, value: int, at: datetime, blocks: int
    ) -> None:
        """Pay many neighbouring addresses quickly, with a log each; receipts are not read.

        Args:
            burst_token: address of a deployed ``BurstToken``.
            first: the first address as a number, a multiple of 100; the others follow it one by one.
            count: how many addresses, a multiple of 500.
            value: what each gets, in the token's smallest unit.
            at: time of the last block.
            blocks: over how many blocks the payments are spread, as evenly as transactions of 500 allow.

        Raises:
            ValueError: a ``count`` that transactions of 500 cannot make up, or fewer of them than blocks.
            TransactionRefusedError: a block has too little gas (see ``gas_limit``).
            TransferFailedError: not all was paid.
        """
        if count % _BURST_LOGS or not 1 <= blocks <= count // _BURST_LOGS:
            raise ValueError(f"{count} addresses cannot be paid by {_BURST_LOGS} in {blocks} blocks")
        orders = [
            self.sending(
                self.faucet_address,
                burst_token,
                ("BurstToken", "burst", first + paid, _BURST_LOGS, value),
                gas=_BURST_GAS,
            )
            for paid in range(0, count, _BURST_LOGS)
        ]
        supply = self.read(burst_token, "BurstToken", "totalSupply")
        head = self._head_block()
        times_s = block_times_s(after_s=int(head["timestamp"], 16), at_s=to_epoch_s(at), blocks=blocks)
        for index, at_s in enumerate(times_s):
            here = orders[index * len(orders) // blocks : (index + 1) * len(orders) // blocks]
            self._mine_signed(at_s, here, gas_limit=int(head["gasLimit"], 16))
        if self.read(burst_token, "BurstToken", "totalSupply") - supply != count * value:
            raise TransferFailedError("a burst did not pay all that it was to pay")

    def set_code(self, address: str, name: str) -> None:
        """Put a contract of ``contracts/`` at an address, now. Its constructor does not run."""
        self.rpc("anvil_setCode", address, hex_data(load(name).runtime))

    def set_balance(self, address: str, amount: int) -> None:
        """Give an address so many wei, now, without any transaction."""
        self.rpc("anvil_setBalance", address, quantity(amount))

    def native_fee(self) -> int:
        """What a native transfer in the next block costs beside its amount, exactly, in wei."""
        return self.gas_price() * token.NATIVE_GAS_LIMIT

    def gas_price(self) -> int:
        """What a transaction in the next block pays, in wei per gas."""
        return self._signer.gas_price()

    def native_balance(self, address: str) -> int:
        """Coins of an address at the head, in wei."""
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    def token_balance(self, address: str) -> int:
        """Tokens of an address at the head, in the token's smallest unit."""
        call = {"to": self.token_address, "data": hex_data(token.balance_of(address))}
        return int(self.rpc("eth_call", call, "latest"), 16)

    def mine(self, *, at: datetime, blocks: int = 1) -> None:
        """Mine empty blocks, the last one at ``at`` (see ``block_times_s`` for where there is no room)."""
        after_s = int(self._head_block()["timestamp"], 16)
        self._mine_at(block_times_s(after_s=after_s, at_s=to_epoch_s(at), blocks=blocks))

    def head(self) -> int:
        """Number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    def snapshot(self) -> int:
        """Remember the head, to reorganise the chain back to it later."""
        self._snapshots.append(self._take_snapshot())
        return len(self._snapshots) - 1

    def reorg(self, snapshot: int, *, at: datetime, blocks: int, again: Sequence[Item | Placed] = ()) -> None:
        """Drop every block after the snapshot and mine a longer branch in its place.

        Args:
            snapshot: what ``snapshot`` gave.
            at: time of the branch's last block.
            blocks: length of the branch.
            again: what the branch holds (see ``DevChain.reorg``).

        Raises:
            ValueError: an unknown snapshot, one on a branch that is gone, too few ``blocks``, or a hash that
                was not dropped; nothing was changed.
            TransactionRefusedError: no block may contain a transaction there; the branch ends before it.
        """
        kept = self._known_snapshot(snapshot)

        def go_back() -> None:
            if not self.rpc("evm_revert", kept.identity):
                raise AnvilError(f"evm_revert to snapshot {snapshot} was refused")
            # anvil forgets a snapshot when it goes back to it; ours stay good for another reorg.
            self._snapshots[snapshot] = self._take_snapshot()

        self._replace_after(kept.number, go_back, at=at, blocks=blocks, again=again)

    def drop(
        self, depth: int, *, at: datetime, blocks: int | None = None, again: Sequence[Item | Placed] = ()
    ) -> list[str]:
        """Drop the newest ``depth`` blocks as ``reorg`` does, without a snapshot (see ``DevChain.drop``).

        Returns:
            The hashes of the transactions of the dropped blocks that the branch does not hold.

        Raises:
            ValueError: a depth that is not there, or as ``reorg``; nothing was changed.
            TransactionRefusedError: as ``reorg``.
        """
        number = self.head() - depth
        if depth < 1 or number < 1:
            raise ValueError(f"cannot drop {depth} of {number + depth} blocks")
        before = self._signed_after(number)
        self._replace_after(
            number,
            lambda: self.rpc("anvil_rollback", depth),
            at=at,
            blocks=depth + 1 if blocks is None else blocks,
            again=again,
        )
        return [each for each in before if each in self._dropped]

    def _replace_after(
        self,
        kept: int,
        go_back: Callable[[], Any],
        *,
        at: datetime,
        blocks: int,
        again: Sequence[Item | Placed],
    ) -> None:
        """Mine a branch on block ``kept``, to which ``go_back`` takes anvil."""
        old_head = self._head_block()
        dropped = int(old_head["number"], 16) - kept
        if blocks <= dropped:
            raise ValueError(f"blocks must exceed the {dropped} dropped, got {blocks}")
        times_s = block_times_s(after_s=int(old_head["timestamp"], 16), at_s=to_epoch_s(at), blocks=blocks)
        lost = self._dropped | self._signed_after(kept)
        plan = plan_branch(again, blocks=blocks)
        for items in plan:
            _check_items(items, lost)
        go_back()
        self._dropped = lost
        # anvil would go on from the dropped head's base fee.
        self.rpc("anvil_setNextBlockBaseFeePerGas", quantity(_next_base_fee(self._head_block())))
        while times_s:
            empty = next((index for index, items in enumerate(plan) if items), len(plan))
            self._mine_at(times_s[:empty])
            if empty < len(plan):
                self._mine_items(times_s[empty], plan[empty], gas_limit=int(old_head["gasLimit"], 16))
            times_s, plan = times_s[empty + 1 :], plan[empty + 1 :]

    def _deploy_token(self, symbol: str, *, at_s: int) -> str:
        order = Sending(
            sender=self._wallet.faucet,
            to=None,
            data=token.deployment(name=symbol, symbol=symbol, decimals=self.token_decimals),
            gas=token.DEPLOY_GAS_LIMIT,
        )
        (receipt,) = self._mine_items(at_s, [order], gas_limit=token.DEPLOY_GAS_LIMIT)
        if receipt["status"] != "0x1":
            raise AnvilError("the token was not deployed")
        return str(to_checksum_address(receipt["contractAddress"]))

    def _mint(self, address: str, amount: int, *, at: datetime) -> None:
        receipt = self.transact(
            at=at,
            sender=self._wallet.faucet,
            to=self.token_address,
            data=token.mint(address, amount),
            gas=token.TOKEN_GAS_LIMIT,
        )
        if receipt["status"] != "0x1":
            raise TransferFailedError(f"the token refused to mint {amount}")

    def _mine_items(self, at_s: int, items: Sequence[Item], *, gas_limit: int) -> list[dict[str, Any]]:
        signed = self._mine_signed(at_s, items, gas_limit=gas_limit)
        receipts = self._anvil.batch("eth_getTransactionReceipt", [[each.hash] for each in signed])
        return [dict(receipt) for receipt in receipts]

    def _mine_signed(self, at_s: int, items: Sequence[Item], *, gas_limit: int) -> list[Signed]:
        """Mine one block and make sure that it holds these transactions in this order."""
        _check_items(items, self._dropped)
        signed = self._signer.sign_all(items, self._dropped)
        if max((each.gas for each in signed), default=0) > gas_limit:
            raise TransactionRefusedError(f"more gas than a block's {gas_limit}")
        try:
            self._anvil.batch("eth_sendRawTransaction", [[each.raw] for each in signed])
        except AnvilError as error:
            self.rpc("anvil_dropAllTransactions")
            raise TransactionRefusedError(str(error)) from error
        self._mine_at([at_s])
        mined = self._head_block()["transactions"]
        for each in signed:
            if each.hash in mined:
                self._signed[each.hash] = each
                self._dropped.pop(each.hash, None)
        if len(mined) < len(signed):
            self.rpc("anvil_dropAllTransactions")
            raise TransactionRefusedError(
                f"{len(signed) - len(mined)} transactions were left out of the block"
            )
        if mined != [each.hash for each in signed]:
            raise AnvilError("anvil mined the block's transactions in another order than they were sent in")
        return signed

    def _signed_after(self, number: int) -> dict[str, Signed]:
        numbers = range(number + 1, self.head() + 1)
        blocks = self._anvil.batch("eth_getBlockByNumber", [[quantity(each), False] for each in numbers])
        return {each: self._signed[each] for block in blocks for each in block["transactions"]}

    def _mine_at(self, times_s: Sequence[int]) -> None:
        """Mine empty blocks, or the one that holds what was sent, at these times."""
        if len(times_s) < _MINED_AT_ONCE:
            for at_s in times_s:
                self.rpc("evm_mine", quantity(at_s))
            return
        # All but the first are evenly spaced (see ``block_times_s``).
        interval_s = times_s[1] - times_s[0]
        for first in range(0, len(times_s), _MINED_AT_MOST):
            at_once = times_s[first : first + _MINED_AT_MOST]
            self.rpc("evm_setNextBlockTimestamp", quantity(at_once[0]))
            self.rpc("anvil_mine", quantity(len(at_once)), quantity(interval_s))

    def _take_snapshot(self) -> _Snapshot:
        head = self._head_block()
        return _Snapshot(
            identity=self.rpc("evm_snapshot"), number=int(head["number"], 16), block_hash=head["hash"]
        )

    def _known_snapshot(self, snapshot: int) -> _Snapshot:
        if not 0 <= snapshot < len(self._snapshots):
            raise ValueError(f"no snapshot {snapshot}")
        kept = self._snapshots[snapshot]
        block = self.rpc("eth_getBlockByNumber", quantity(kept.number), False)
        if block is None or block["hash"] != kept.block_hash:
            raise ValueError(f"snapshot {snapshot} lies on a branch that a reorg dropped")
        return kept

    def _head_block(self) -> dict[str, Any]:
        return dict(self.rpc("eth_getBlockByNumber", "latest", False))

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of any request to the node.

        Raises:
            AnvilError: it answered with an error.
        """
        return self._anvil.rpc(method, *params)


def _check_items(items: Sequence[Item], known: Mapping[str, Signed]) -> None:
    for item in items:
        if isinstance(item, str) and item not in known:
            raise ValueError(f"transaction {item} was not dropped by a reorg")


def _next_base_fee(block: dict[str, Any]) -> int:
    """What the block after this one asks for, in wei per gas (EIP-1559)."""
    fee, used = int(block["baseFeePerGas"], 16), int(block["gasUsed"], 16)
    target = int(block["gasLimit"], 16) // 2
    if used > target:
        return fee + max(1, fee * (used - target) // target // 8)
    return fee - fee * (target - used) // target // 8
