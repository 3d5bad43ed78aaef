"""Blocks, transactions, receipts and logs in the shape in which JSON-RPC shows them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import rlp  # type: ignore[import-untyped]
from eth_utils.crypto import keccak

from payhealth.sandbox.chain.evm import Mined
from payhealth.sandbox.chain.hexes import data, quantity, word

JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One mined block with all that can be asked about it; nothing in it changes any more."""

    number: int
    hash: str
    timestamp_s: int
    header: Any
    """py-evm's header, by which the state after this block is found."""
    fields: JsonObject
    """The block as JSON, without ``transactions``."""
    transactions: tuple[JsonObject, ...]
    receipts: tuple[JsonObject, ...]
    logs: tuple[JsonObject, ...]

    @cached_property
    def json_full(self) -> orjson.Fragment:
        """The block with whole transactions, serialised once."""
        return self._fragment({**self.fields, "transactions": self.transactions})

    @cached_property
    def json_hashes(self) -> orjson.Fragment:
        """The block with its transactions' hashes, serialised once."""
        hashes = [transaction["hash"] for transaction in self.transactions]
        return self._fragment({**self.fields, "transactions": hashes})

    @cached_property
    def json_receipts(self) -> orjson.Fragment:
        """The receipts of the block, serialised once."""
        return self._fragment(self.receipts)

    @staticmethod
    def _fragment(value: object) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(value))


def to_block(mined: Mined) -> Block:
    """Translate a block of py-evm."""
    header = mined.header
    where = {
        "blockHash": data(header.hash),
        "blockNumber": quantity(header.block_number),
        "blockTimestamp": quantity(header.timestamp),
    }
    receipts = _receipts(mined, where)
    return Block(
        number=header.block_number,
        hash=where["blockHash"],
        timestamp_s=header.timestamp,
        header=header,
        fields=_header_fields(mined),
        transactions=tuple(
            _transaction(transaction, index, where, header.base_fee_per_gas)
            for index, transaction in enumerate(mined.block.transactions)
        ),
        receipts=receipts,
        logs=tuple(log for receipt in receipts for log in receipt["logs"]),
    )


def _header_fields(mined: Mined) -> JsonObject:
    header = mined.header
    return {
        "baseFeePerGas": quantity(header.base_fee_per_gas),
        "difficulty": quantity(header.difficulty),
        "extraData": data(header.extra_data),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "hash": data(header.hash),
        "logsBloom": _bloom(header.bloom),
        "miner": data(header.coinbase),
        "mixHash": data(header.mix_hash),
        "nonce": data(header.nonce),
        "number": quantity(header.block_number),
        "parentHash": data(header.parent_hash),
        "receiptsRoot": data(header.receipt_root),
        "sha3Uncles": data(header.uncles_hash),
        "size": quantity(len(rlp.encode(mined.block))),
        "stateRoot": data(header.state_root),
        "timestamp": quantity(header.timestamp),
        "transactionsRoot": data(header.transaction_root),
        "uncles": [],
        "withdrawals": [
            {
                "index": quantity(each.index),
                "validatorIndex": quantity(each.validator_index),
                "address": data(each.address),
                "amount": quantity(each.amount),
            }
            for each in mined.block.withdrawals
        ],
        "withdrawalsRoot": data(header.withdrawals_root),
    }


def _transaction(transaction: Any, index: int, where: JsonObject, base_fee: int) -> JsonObject:
    return {
        **where,
        "from": data(transaction.sender),
        "gas": quantity(transaction.gas),
        "gasPrice": quantity(_paid_per_gas(transaction, base_fee)),
        "maxFeePerGas": quantity(transaction.max_fee_per_gas),
        "maxPriorityFeePerGas": quantity(transaction.max_priority_fee_per_gas),
        "hash": data(transaction.hash),
        "input": data(transaction.data),
        "nonce": quantity(transaction.nonce),
        "to": data(transaction.to) if transaction.to else None,
        "transactionIndex": quantity(index),
        "value": quantity(transaction.value),
        "type": quantity(transaction.type_id),
        "accessList": [],
        "chainId": quantity(transaction.chain_id),
        "v": quantity(transaction.y_parity),
        "r": quantity(transaction.r),
        "s": quantity(transaction.s),
        "yParity": quantity(transaction.y_parity),
    }


def _receipts(mined: Mined, where: JsonObject) -> tuple[JsonObject, ...]:
    made: list[JsonObject] = []
    gas_before = 0
    logs_before = 0
    for index, (transaction, receipt) in enumerate(
        zip(mined.block.transactions, mined.receipts, strict=True)
    ):
        which = {"transactionHash": data(transaction.hash), "transactionIndex": quantity(index)}
        logs = [
            _log(log, logs_before + position, {**where, **which}) for position, log in enumerate(receipt.logs)
        ]
        made.append(
            {
                "blockHash": where["blockHash"],
                "blockNumber": where["blockNumber"],
                "contractAddress": None if transaction.to else data(_created_address(transaction)),
                "cumulativeGasUsed": quantity(receipt.gas_used),
                "effectiveGasPrice": quantity(_paid_per_gas(transaction, mined.header.base_fee_per_gas)),
                "from": data(transaction.sender),
                "gasUsed": quantity(receipt.gas_used - gas_before),
                "logs": logs,
                "logsBloom": _bloom(receipt.bloom),
                "status": quantity(int.from_bytes(receipt.state_root, "big")),
                "to": data(transaction.to) if transaction.to else None,
                **which,
                "type": quantity(transaction.type_id),
            }
        )
        gas_before = receipt.gas_used
        logs_before += len(logs)
    return tuple(made)


def _log(log: Any, log_index: int, where: JsonObject) -> JsonObject:
    return {
        "address": data(log.address),
        "topics": [data(word(topic)) for topic in log.topics],
        "data": data(log.data),
        **where,
        "logIndex": quantity(log_index),
        "removed": False,
    }


def _bloom(bloom: int) -> str:
    return data(bloom.to_bytes(256, "big"))


def _paid_per_gas(transaction: Any, base_fee: int) -> int:
    return min(int(transaction.max_fee_per_gas), base_fee + int(transaction.max_priority_fee_per_gas))


def _created_address(transaction: Any) -> bytes:
    return keccak(rlp.encode([transaction.sender, transaction.nonce]))[12:]
