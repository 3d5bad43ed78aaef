"""The same chain on a real node: foundry's ``anvil``, where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eth_account import Account
from eth_utils.address import to_checksum_address

from payhealth.sandbox.chain import token
from payhealth.sandbox.chain.anvil_process import AnvilError, AnvilProcess, find_anvil
from payhealth.sandbox.chain.evm import PRIORITY_FEE_WEI, TransactionRefusedError
from payhealth.sandbox.chain.hexes import data as hex_data
from payhealth.sandbox.chain.hexes import quantity
from payhealth.sandbox.chain.timing import block_times_s, to_epoch_s
from payhealth.sandbox.chain.transfers import TransferFailedError, native_transfer, token_transfer
from payhealth.sandbox.chain.wallet import Wallet
from payhealth.sandbox.interfaces import ChainTransfer

__all__ = ["AnvilChain", "AnvilError", "find_anvil"]

_FAUCET_WEI = 10**30


@dataclass(frozen=True, kw_only=True)
class _Snapshot:
    """A head to go back to: anvil's id for it, and the block that was the head then."""

    identity: str
    number: int
    block_hash: str


class AnvilChain:
    """Implements the sandbox's ``Chain`` on an ``anvil`` of its own; a context manager.

    Args:
        seed: what keys, and so addresses, derive from.
        chain_id: as transactions are signed for.
        genesis_at: time of block 0 (aware, UTC). Block 1, a second later, deploys the token.
        token_symbol: the token's symbol, and its name.
        token_decimals: the token's decimals.
        safe_depth: how many blocks ``safe`` lies behind the head; ``finalized`` lies twice as many.
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
        binary: Path | None = None,
        start_timeout_s: float = 15.0,
    ) -> None:
        self.chain_id = chain_id
        self.token_decimals = token_decimals
        self.safe_depth = safe_depth
        self.finality_depth = 2 * safe_depth
        self._wallet = Wallet(seed=seed)
        self._snapshots: list[_Snapshot] = []
        genesis_at_s = to_epoch_s(genesis_at)
        self._anvil = AnvilProcess(
            binary=binary,
            chain_id=chain_id,
            genesis_at_s=genesis_at_s,
            safe_depth=safe_depth,
            start_timeout_s=start_timeout_s,
        )
        self.rpc_url = self._anvil.url
        """Where the node answers JSON-RPC."""
        try:
            self._rpc("anvil_setBalance", self._wallet.faucet, quantity(_FAUCET_WEI))
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
        head = self._head_block()
        (at_s,) = block_times_s(after_s=int(head["timestamp"], 16), at_s=to_epoch_s(at), blocks=1)
        return self._transact(at_s, sender=sender, to=to, value=value, payload=data, gas=gas)

    def native_fee(self) -> int:
        """What a native transfer in the next block costs beside its amount, exactly, in wei."""
        return self.gas_price() * token.NATIVE_GAS_LIMIT

    def gas_price(self) -> int:
        """What a transaction in the next block pays, in wei per gas."""
        history = self._rpc("eth_feeHistory", "0x1", "latest", [])
        return int(history["baseFeePerGas"][-1], 16) + PRIORITY_FEE_WEI

    def native_balance(self, address: str) -> int:
        """Coins of an address at the head, in wei."""
        return int(self._rpc("eth_getBalance", address, "latest"), 16)

    def token_balance(self, address: str) -> int:
        """Tokens of an address at the head, in the token's smallest unit."""
        call = {"to": self.token_address, "data": hex_data(token.balance_of(address))}
        return int(self._rpc("eth_call", call, "latest"), 16)

    def mine(self, *, at: datetime, blocks: int = 1) -> None:
        """Mine empty blocks, the last one at ``at`` (see ``block_times_s`` for where there is no room)."""
        after_s = int(self._head_block()["timestamp"], 16)
        self._mine_at(block_times_s(after_s=after_s, at_s=to_epoch_s(at), blocks=blocks))

    def head(self) -> int:
        """Number of the newest block."""
        return int(self._rpc("eth_blockNumber"), 16)

    def snapshot(self) -> int:
        """Remember the head, to reorganise the chain back to it later."""
        self._snapshots.append(self._take_snapshot())
        return len(self._snapshots) - 1

    def reorg(self, snapshot: int, *, at: datetime, blocks: int) -> None:
        """Drop every block after the snapshot and mine a longer, empty branch in its place.

        Raises:
            ValueError: an unknown snapshot, one on a branch that is gone, or too few ``blocks``.
        """
        kept = self._known_snapshot(snapshot)
        old_head = self._head_block()
        dropped = int(old_head["number"], 16) - kept.number
        if blocks <= dropped:
            raise ValueError(f"blocks must exceed the {dropped} dropped, got {blocks}")
        times_s = block_times_s(after_s=int(old_head["timestamp"], 16), at_s=to_epoch_s(at), blocks=blocks)
        if not self._rpc("evm_revert", kept.identity):
            raise AnvilError(f"evm_revert to snapshot {snapshot} was refused")
        # anvil forgets a snapshot when it goes back to it; ours stay good for another reorg.
        self._snapshots[snapshot] = self._take_snapshot()
        self._mine_at(times_s)

    def _deploy_token(self, symbol: str, *, at_s: int) -> str:
        receipt = self._transact(
            at_s,
            sender=self._wallet.faucet,
            to=None,
            payload=token.deployment(name=symbol, symbol=symbol, decimals=self.token_decimals),
            gas=token.DEPLOY_GAS_LIMIT,
        )
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

    def _transact(
        self, at_s: int, *, sender: str, to: str | None, value: int = 0, payload: bytes, gas: int
    ) -> dict[str, Any]:
        transaction = {
            "chainId": self.chain_id,
            "type": 2,
            "nonce": int(self._rpc("eth_getTransactionCount", sender, "latest"), 16),
            "maxPriorityFeePerGas": PRIORITY_FEE_WEI,
            "maxFeePerGas": self.gas_price(),
            "gas": gas,
            "value": value,
            "data": payload,
        }
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = Account.sign_transaction(transaction, self._wallet.key(sender).to_bytes())
        try:
            sent = self._rpc("eth_sendRawTransaction", hex_data(bytes(signed.raw_transaction)))
        except AnvilError as error:
            raise TransactionRefusedError(str(error)) from error
        self._mine_at([at_s])
        receipt = self._rpc("eth_getTransactionReceipt", sent)
        if receipt is None:
            raise AnvilError(f"transaction {sent} was not mined")
        return dict(receipt)

    def _mine_at(self, times_s: list[int]) -> None:
        for at_s in times_s:
            self._rpc("evm_mine", quantity(at_s))

    def _take_snapshot(self) -> _Snapshot:
        head = self._head_block()
        return _Snapshot(
            identity=self._rpc("evm_snapshot"), number=int(head["number"], 16), block_hash=head["hash"]
        )

    def _known_snapshot(self, snapshot: int) -> _Snapshot:
        if not 0 <= snapshot < len(self._snapshots):
            raise ValueError(f"no snapshot {snapshot}")
        kept = self._snapshots[snapshot]
        block = self._rpc("eth_getBlockByNumber", quantity(kept.number), False)
        if block is None or block["hash"] != kept.block_hash:
            raise ValueError(f"snapshot {snapshot} lies on a branch that a reorg dropped")
        return kept

    def _head_block(self) -> dict[str, Any]:
        return dict(self._rpc("eth_getBlockByNumber", "latest", False))

    def _rpc(self, method: str, *params: Any) -> Any:
        return self._anvil.rpc(method, *params)
