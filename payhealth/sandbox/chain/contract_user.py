"""Creating and calling the sandbox's contracts, alike on both kinds of chain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from eth_utils.address import to_checksum_address

from payhealth.sandbox.chain import artifacts
from payhealth.sandbox.chain.sending import DEFAULT_GAS_LIMIT, Item, Sending
from payhealth.sandbox.chain.transfers import TransferFailedError
from payhealth.sandbox.chain.wallet import Wallet

_DEPLOY_GAS_LIMIT = 4_000_000


class ContractUser(ABC):
    """What a chain can do with contracts, given that it mines blocks and answers calls."""

    _wallet: Wallet

    @property
    def faucet_address(self) -> str:
        """Deploys and mints the token and gives coins away; a sender that never runs out."""
        return self._wallet.faucet

    @abstractmethod
    def mine_block(self, orders: Sequence[Item], *, at: datetime) -> list[dict[str, Any]]:
        """Mine one block with these transactions and return their receipts."""

    @abstractmethod
    def call(self, to: str, data: bytes) -> bytes:
        """What a call returns on the state of the head."""

    @staticmethod
    def call_data(name: str, function: str, *args: Any) -> bytes:
        """The data of a call of a contract in ``contracts/``; structures are tuples, addresses text."""
        return artifacts.call_data(name, function, *args)

    def deploy(self, name: str, *args: Any, at: datetime) -> str:
        """Create a contract of ``contracts/`` in a block of its own; gives its checksummed address.

        Raises:
            TransferFailedError: its constructor reverted.
        """
        creation = artifacts.creation_data(name, *args)
        order = Sending(sender=self.faucet_address, to=None, data=creation, gas=_DEPLOY_GAS_LIMIT)
        (receipt,) = self.mine_block([order], at=at)
        if receipt["status"] != "0x1":
            raise TransferFailedError(f"{name} was not deployed")
        return str(to_checksum_address(receipt["contractAddress"]))

    def sending(
        self,
        sender: str,
        to: str,
        call: tuple[Any, ...],
        *,
        value: int = 0,
        gas: int = DEFAULT_GAS_LIMIT,
    ) -> Sending:
        """A transaction that calls a contract: ``call`` is (contract's name, function, arguments ...)."""
        return Sending(sender=sender, to=to, value=value, data=artifacts.call_data(*call), gas=gas)

    def invoke(
        self,
        sender: str,
        to: str,
        call: tuple[Any, ...],
        *,
        at: datetime,
        value: int = 0,
        gas: int = DEFAULT_GAS_LIMIT,
    ) -> dict[str, Any]:
        """Mine one block with one call of a contract (see ``sending``); gives the receipt.

        Raises:
            TransferFailedError: it reverted; the failed transaction is on the chain.
        """
        (receipt,) = self.mine_block([self.sending(sender, to, call, value=value, gas=gas)], at=at)
        if receipt["status"] != "0x1":
            raise TransferFailedError(f"{call[0]}.{call[1]} reverted in {receipt['transactionHash']}")
        return receipt

    def read(self, address: str, name: str, function: str, *args: Any) -> Any:
        """What a view function answers at the head: one value, or a tuple where it gives several."""
        output = self.call(address, artifacts.call_data(name, function, *args))
        values = artifacts.decode_output(name, function, output)
        return values[0] if len(values) == 1 else values
