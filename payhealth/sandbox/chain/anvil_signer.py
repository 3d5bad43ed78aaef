"""Signing for anvil: nonces, fees, and the very bytes that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_account import Account
from eth_utils.address import to_checksum_address

from payhealth.sandbox.chain.anvil_process import AnvilProcess
from payhealth.sandbox.chain.evm import PRIORITY_FEE_WEI
from payhealth.sandbox.chain.hexes import data as hex_data
from payhealth.sandbox.chain.sending import Item, Sending, max_fee_wei
from payhealth.sandbox.chain.wallet import Wallet


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A transaction as it was sent, to be sent again after a reorg dropped it."""

    hash: str
    raw: str
    sender: str
    gas: int
    value: int


class AnvilSigner:
    """Signs for the wallet's addresses as anvil's head asks for it.

    Args:
        anvil: the node that is asked for nonces, balances and fees.
        wallet: holds the keys.
        chain_id: what transactions are signed for.
    """

    def __init__(self, anvil: AnvilProcess, wallet: Wallet, *, chain_id: int) -> None:
        self._anvil = anvil
        self._wallet = wallet
        self._chain_id = chain_id

    def gas_price(self) -> int:
        """What a transaction in the next block pays, in wei per gas."""
        history = self._anvil.rpc("eth_feeHistory", "0x1", "latest", [])
        return int(history["baseFeePerGas"][-1], 16) + PRIORITY_FEE_WEI

    def sign_all(self, items: Sequence[Item], dropped: Mapping[str, Signed]) -> list[Signed]:
        """The transactions of one block in their order; hashes name ``dropped`` ones, taken as they are.

        Raises:
            UnknownSenderError: the wallet holds no key for a sender.
        """
        due = self.gas_price()
        owners = [
            to_checksum_address(item.sender) if isinstance(item, Sending) else dropped[item].sender
            for item in items
        ]
        senders = list(dict.fromkeys(owners))
        counts = self._anvil.batch("eth_getTransactionCount", [[each, "latest"] for each in senders])
        balances = self._anvil.batch("eth_getBalance", [[each, "latest"] for each in senders])
        nonces = {each: int(count, 16) for each, count in zip(senders, counts, strict=True)}
        spendable = {each: int(balance, 16) for each, balance in zip(senders, balances, strict=True)}
        signed: list[Signed] = []
        for item, owner in zip(items, owners, strict=True):
            if isinstance(item, Sending):
                fee = max_fee_wei(due=due, gas=item.gas, spendable=spendable[owner] - item.value)
                signed.append(self._sign(item, owner=owner, nonce=nonces[owner], max_fee=fee))
            else:
                signed.append(dropped[item])
            nonces[owner] += 1
            spendable[owner] -= signed[-1].value + signed[-1].gas * due
        return signed

    def _sign(self, order: Sending, *, owner: str, nonce: int, max_fee: int) -> Signed:
        transaction = {
            "chainId": self._chain_id,
            "type": 2,
            "nonce": nonce,
            "maxPriorityFeePerGas": PRIORITY_FEE_WEI,
            "maxFeePerGas": max_fee,
            "gas": order.gas,
            "value": order.value,
            "data": order.data,
        }
        if order.to is not None:
            transaction["to"] = to_checksum_address(order.to)
        signed = Account.sign_transaction(transaction, self._wallet.key(owner).to_bytes())
        return Signed(
            hash=hex_data(bytes(signed.hash)),
            raw=hex_data(bytes(signed.raw_transaction)),
            sender=owner,
            gas=order.gas,
            value=order.value,
        )
