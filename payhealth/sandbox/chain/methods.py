"""The eth_ methods that the sandbox's node answers, over a DevChain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from payhealth.sandbox.chain.blocks import Block
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.errors import (
    EXECUTION_REVERTED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_ERROR,
    RpcError,
    invalid_argument,
)
from payhealth.sandbox.chain.evm import ZERO_ADDRESS
from payhealth.sandbox.chain.hexes import ADDRESS_BYTES, HASH_BYTES, data, from_data, from_quantity, quantity
from payhealth.sandbox.chain.logs import LogFilter, read_filter

CLIENT_VERSION = "payhealth-sandbox/py-evm"

_HASH_TEXT_LENGTH = 2 + 2 * HASH_BYTES


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a provider refuses; None where it does not.

    Attributes:
        max_block_range: blocks of one eth_getLogs, both ends counted.
        max_results: logs in one answer.
        max_addresses: addresses in one filter.
        max_batch_items: requests in one batch.
        state_depth: how many blocks below the head the state can still be asked for, as on a node that
            prunes; None for an archive node.
    """

    max_block_range: int | None = None
    max_results: int | None = None
    max_addresses: int = 1000
    max_batch_items: int = 1000
    state_depth: int | None = None


class Methods:
    """Answers one request at a time, each from one consistent state of the chain."""

    def __init__(self, chain: DevChain, limits: Limits) -> None:
        self._chain = chain
        self._limits = limits
        self._table: dict[str, Callable[[list[Any]], Any]] = {
            "eth_blockNumber": lambda _: quantity(chain.head()),
            "eth_call": self._call,
            "eth_chainId": lambda _: quantity(chain.chain_id),
            "eth_gasPrice": lambda _: quantity(chain.gas_price()),
            "eth_getBalance": self._balance,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockReceipts": self._block_receipts,
            "eth_getCode": self._code,
            "eth_getLogs": self._logs,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionCount": self._nonce,
            "eth_getTransactionReceipt": self._receipt,
            "eth_syncing": lambda _: False,
            "net_version": lambda _: str(chain.chain_id),
            "web3_clientVersion": lambda _: CLIENT_VERSION,
        }

    def answer(self, method: str, params: list[Any]) -> Any:
        """The result of a request.

        Raises:
            RpcError: what the node answers instead of a result.
        """
        handler = self._table.get(method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {method} does not exist/is not available")
        with self._chain.lock:
            return handler(params)

    def _block_by_number(self, params: list[Any]) -> orjson.Fragment | None:
        return _shown(self._by_number(_argument(params, 0), 0), full=_flag(params, 1))

    def _block_by_hash(self, params: list[Any]) -> orjson.Fragment | None:
        block = self._chain.block_by_hash(_read_hash(_argument(params, 0), 0))
        return _shown(block, full=_flag(params, 1))

    def _block_receipts(self, params: list[Any]) -> orjson.Fragment | None:
        block = self._selected(_argument(params, 0), 0)
        return None if block is None else block.json_receipts

    def _transaction(self, params: list[Any]) -> dict[str, Any] | None:
        found = self._chain.locate_transaction(_read_hash(_argument(params, 0), 0))
        return None if found is None else found[0].transactions[found[1]]

    def _receipt(self, params: list[Any]) -> dict[str, Any] | None:
        found = self._chain.locate_transaction(_read_hash(_argument(params, 0), 0))
        return None if found is None else found[0].receipts[found[1]]

    def _balance(self, params: list[Any]) -> str:
        address = _read_address(_argument(params, 0), 0)
        return quantity(self._chain.balance_at(address, self._state_block(params, 1)))

    def _nonce(self, params: list[Any]) -> str:
        address = _read_address(_argument(params, 0), 0)
        return quantity(self._chain.nonce_at(address, self._state_block(params, 1)))

    def _code(self, params: list[Any]) -> str:
        address = _read_address(_argument(params, 0), 0)
        return data(self._chain.code_at(address, self._state_block(params, 1)))

    def _call(self, params: list[Any]) -> str:
        request = _argument(params, 0)
        if not isinstance(request, dict):
            raise invalid_argument(0, "json: cannot unmarshal into Go value of type ethapi.TransactionArgs")
        block = self._state_block(params, 1)
        sender, to = request.get("from"), request.get("to")
        if to is None:
            raise RpcError(INVALID_PARAMS, "creating a contract by eth_call is not supported here")
        try:
            value = from_quantity(request["value"]) if "value" in request else 0
            payload = from_data(request.get("input", request.get("data", "0x")))
        except ValueError as error:
            raise invalid_argument(0, error) from error
        result = self._chain.call_at(
            block,
            to=_read_address(to, 0),
            data=payload,
            sender=ZERO_ADDRESS if sender is None else _read_address(sender, 0),
            value=value,
        )
        if result.error is not None:
            code = EXECUTION_REVERTED if result.error == "execution reverted" else SERVER_ERROR
            raise RpcError(code, result.error, data(result.output))
        return data(result.output)

    def _logs(self, params: list[Any]) -> list[dict[str, Any]]:
        log_filter = read_filter(_argument(params, 0), max_addresses=self._limits.max_addresses)
        found: list[dict[str, Any]] = []
        limit = self._limits.max_results
        for block in self._log_blocks(log_filter):
            found.extend(log for log in block.logs if log_filter.lets_through(log))
            if limit is not None and len(found) > limit:
                raise RpcError(SERVER_ERROR, f"query returned more than {limit} results")
        return found

    def _log_blocks(self, log_filter: LogFilter) -> list[Block]:
        if log_filter.block_hash is not None:
            block = self._chain.block_by_hash(log_filter.block_hash)
            if block is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            return [block]
        first = self._bound(log_filter.from_block)
        last = self._bound(log_filter.to_block)
        if first > last:
            raise RpcError(INVALID_PARAMS, "invalid block range params")
        if last > self._chain.head():
            raise RpcError(INVALID_PARAMS, "block range extends beyond current head block")
        limit = self._limits.max_block_range
        spanned = last - first + 1
        if limit is not None and spanned > limit:
            raise RpcError(INVALID_PARAMS, f"range {spanned} exceeds limit of {limit}")
        blocks = (self._chain.block_at(number) for number in range(first, last + 1))
        return [block for block in blocks if block is not None]

    def _bound(self, raw: object) -> int:
        """An end of a range of logs; the head where it is not given."""
        return self._number("latest" if raw is None else raw, 0)

    def _number(self, raw: object, position: int) -> int:
        """A tag or quantity as a block number, which may lie beyond the head."""
        if raw == "earliest":
            return 0
        # Nothing is ever pending here: transactions are mined as they are sent.
        if raw in ("latest", "pending"):
            return self._chain.head()
        if raw == "safe":
            return self._chain.safe_number()
        if raw == "finalized":
            return self._chain.finalized_number()
        try:
            return from_quantity(raw)
        except ValueError as error:
            raise invalid_argument(position, error) from error

    def _by_number(self, raw: object, position: int) -> Block | None:
        return self._chain.block_at(self._number(raw, position))

    def _selected(self, raw: object, position: int) -> Block | None:
        """The block of a tag, a quantity, a hash, or an EIP-1898 object of either."""
        if isinstance(raw, dict):
            raw = raw.get("blockHash", raw.get("blockNumber"))
        if isinstance(raw, str) and len(raw) == _HASH_TEXT_LENGTH:
            return self._chain.block_by_hash(_read_hash(raw, position))
        return self._by_number(raw, position)

    def _state_block(self, params: list[Any], position: int) -> Block:
        """The block whose state a question is about; the head where none is named."""
        raw = params[position] if len(params) > position and params[position] is not None else "latest"
        block = self._selected(raw, position)
        if block is None:
            raise RpcError(SERVER_ERROR, "header not found")
        depth = self._limits.state_depth
        if depth is not None and self._chain.head() - block.number > depth:
            root = block.fields["stateRoot"]
            raise RpcError(
                SERVER_ERROR,
                f"missing trie node {root[2:]} (path ) state {root} is not available, not found",
            )
        return block


def _shown(block: Block | None, *, full: bool) -> orjson.Fragment | None:
    if block is None:
        return None
    return block.json_full if full else block.json_hashes


def _argument(params: list[Any], position: int) -> Any:
    if len(params) <= position or params[position] is None:
        raise RpcError(INVALID_PARAMS, f"missing value for required argument {position}")
    return params[position]


def _flag(params: list[Any], position: int) -> bool:
    flag = _argument(params, position)
    if not isinstance(flag, bool):
        raise invalid_argument(position, "json: cannot unmarshal into Go value of type bool")
    return flag


def _read_hash(raw: object, position: int) -> str:
    return data(_read_bytes(raw, position, HASH_BYTES))


def _read_address(raw: object, position: int) -> bytes:
    return _read_bytes(raw, position, ADDRESS_BYTES)


def _read_bytes(raw: object, position: int, length: int) -> bytes:
    try:
        return from_data(raw, length=length)
    except ValueError as error:
        raise invalid_argument(position, error) from error
