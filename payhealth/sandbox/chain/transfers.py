"""A transfer as the chain recorded it, read from its receipt."""

from __future__ import annotations

from typing import Any

from eth_utils.address import to_checksum_address

from payhealth.sandbox.chain.hexes import data
from payhealth.sandbox.chain.token import TRANSFER_TOPIC
from payhealth.sandbox.interfaces import ChainTransfer


class TransferFailedError(RuntimeError):
    """A transfer was mined and reverted: it is on the chain as a failed transaction, its gas paid."""


def token_transfer(receipt: dict[str, Any], *, token_address: str) -> ChainTransfer:
    """The one token transfer of a receipt.

    Raises:
        TransferFailedError: for a reverted transaction.
    """
    _require_success(receipt)
    (log,) = (log for log in receipt["logs"] if log["topics"][0] == data(TRANSFER_TOPIC))
    return ChainTransfer(
        transaction_hash=receipt["transactionHash"],
        log_index=int(log["logIndex"], 16),
        block_number=int(receipt["blockNumber"], 16),
        block_hash=receipt["blockHash"],
        sender=_address_of(log["topics"][1]),
        recipient=_address_of(log["topics"][2]),
        amount=int(log["data"], 16),
        token=token_address,
    )


def native_transfer(receipt: dict[str, Any], *, amount: int) -> ChainTransfer:
    """The transfer of the native coin that a receipt is about; receipts do not carry the amount (wei).

    Raises:
        TransferFailedError: for a reverted transaction.
    """
    _require_success(receipt)
    return ChainTransfer(
        transaction_hash=receipt["transactionHash"],
        log_index=None,
        block_number=int(receipt["blockNumber"], 16),
        block_hash=receipt["blockHash"],
        sender=str(to_checksum_address(receipt["from"])),
        recipient=str(to_checksum_address(receipt["to"])),
        amount=amount,
        token=None,
    )


def _require_success(receipt: dict[str, Any]) -> None:
    if receipt["status"] != "0x1":
        raise TransferFailedError(f"transaction {receipt['transactionHash']} reverted")


def _address_of(topic: str) -> str:
    return str(to_checksum_address("0x" + topic[-40:]))
