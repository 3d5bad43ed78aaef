"""Receipts: whether a transaction succeeded, what it logged and, to the wei, what it cost. Pure.

Sources: ethereum/execution-apis (schemas of receipts); EIP-4844 for the blob fee; the OP Stack
specification, protocol/exec-engine (L1 data fee), protocol/isthmus/exec-engine and
protocol/jovian/exec-engine (operator fee), protocol/deposits (deposits pay nothing) and
protocol/lagoon/sdm (``gasUsed`` is what is left after a refund).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.evm.wire.values import WireError, address_of, hash_of, mapping_of, quantity

BLOB = 0x03
DEPOSIT = 0x7E
"""OP Stack: bought on L1, pays nothing on L2."""
_POST_EXECUTION = 0x7D
"""OP Stack: carries data of the sequencer's, charges nothing."""
_PAID_ELSEWHERE = frozenset({0x68, 0x69})
"""Arbitrum's retryables: their gas was prepaid by a deposit, which their receipts do not tell of."""
_ISTHMUS_UNIT = 10**6
_JOVIAN_FACTOR = 100
_OPERATOR_FIELDS = ("operatorFeeScalar", "operatorFeeConstant")


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a block says of one of its transactions.

    Args:
        index: the transaction's position in its block.
        type: as EIP-2718 numbers it; None where the node does not say (old nodes know one type only).
        created: the contract that it made, lower case. Some nodes name one for a failed creation too.
        fee_wei: what its sender paid beside the value; None where the receipt does not tell it exactly.
        fee_unknown: why not, in words; empty where it does.
        logs: the log objects as the node sent them.
    """

    transaction_hash: str
    block_hash: str
    block_number: int
    index: int
    type: int | None
    succeeded: bool
    sender: str
    created: str | None
    fee_wei: int | None
    fee_unknown: str
    logs: tuple[Any, ...]


def receipt_of(raw: Any, *, op_stack: bool = False) -> Receipt:
    """Read an item of ``eth_getBlockReceipts`` or an answer of ``eth_getTransactionReceipt``.

    Args:
        op_stack: the chain charges an L1 data fee: a receipt without one does not tell its fee.

    Raises:
        WireError: a field is missing or malformed. Receipts of before Byzantium have no status: whether
            such a transaction succeeded cannot be said.
    """
    receipt = mapping_of(raw, "receipt")
    logs = receipt.get("logs")
    if not isinstance(logs, list):
        raise WireError("logs is not a list")
    status = quantity(receipt.get("status"), "status")
    if status not in (0, 1):
        raise WireError("status is neither 0 nor 1")
    kind, created = receipt.get("type"), receipt.get("contractAddress")
    number = None if kind is None else quantity(kind, "type")
    fee_wei, fee_unknown = _fee(receipt, number, op_stack=op_stack)
    return Receipt(
        transaction_hash=hash_of(receipt.get("transactionHash"), "transactionHash"),
        block_hash=hash_of(receipt.get("blockHash"), "blockHash"),
        block_number=quantity(receipt.get("blockNumber"), "blockNumber"),
        index=quantity(receipt.get("transactionIndex"), "transactionIndex"),
        type=number,
        succeeded=status == 1,
        sender=address_of(receipt.get("from"), "from"),
        created=None if created is None else address_of(created, "contractAddress"),
        fee_wei=fee_wei,
        fee_unknown=fee_unknown,
        logs=tuple(logs),
    )


def _fee(receipt: Mapping[str, Any], kind: int | None, *, op_stack: bool) -> tuple[int | None, str]:
    """The whole fee in wei, or why it is not known."""
    if kind in (DEPOSIT, _POST_EXECUTION):
        return 0, ""
    if kind in _PAID_ELSEWHERE:
        return None, f"the receipt of a transaction of type {kind:#x} does not tell its fee"
    needed = ["gasUsed", "effectiveGasPrice"]
    # Only blob transactions pay for blobs: since Jovian blobGasUsed is a transaction's share of the
    # data availability footprint, which costs nothing of its own.
    needed += ["blobGasUsed", "blobGasPrice"] if kind == BLOB else []
    needed += ["l1Fee"] if op_stack else []
    # The node leaves out an operator fee of zero, both halves of it.
    needed += _OPERATOR_FIELDS if any(receipt.get(name) is not None for name in _OPERATOR_FIELDS) else ()
    missing = [name for name in needed if receipt.get(name) is None]
    if missing:
        return None, f"the receipt has no {missing[0]}"
    fee = _product(receipt, "gasUsed", "effectiveGasPrice")
    if kind == BLOB:
        fee += _product(receipt, "blobGasUsed", "blobGasPrice")
    if receipt.get("l1Fee") is not None:
        fee += quantity(receipt["l1Fee"], "l1Fee")
    return fee + _operator_fee(receipt), ""


def _product(receipt: Mapping[str, Any], amount: str, price: str) -> int:
    return quantity(receipt[amount], amount) * quantity(receipt[price], price)


def _operator_fee(receipt: Mapping[str, Any]) -> int:
    """What the operator of an OP Stack chain takes, in wei.

    Isthmus: ``gasUsed * scalar / 10**6 + constant``; since Jovian ``gasUsed * scalar * 100 + constant``.
    A receipt of a Jovian block has ``daFootprintGasScalar``.
    """
    if receipt.get("operatorFeeScalar") is None:
        return 0
    by_gas = _product(receipt, "gasUsed", "operatorFeeScalar")
    constant = quantity(receipt["operatorFeeConstant"], "operatorFeeConstant")
    if receipt.get("daFootprintGasScalar") is not None:
        return by_gas * _JOVIAN_FACTOR + constant
    return by_gas // _ISTHMUS_UNIT + constant
