"""A node asked one question at a time, and the canonical chain as it shows it, block after block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.auditor.evm_facts import AuditError, ChainMovedError, NodeError

Json = dict[str, Any]


def number(quantity: str | None) -> int:
    """A quantity, 0 where the field is absent."""
    return 0 if quantity is None else int(quantity, 16)


@dataclass(frozen=True, kw_only=True)
class RawBlock:
    """A block with whole transactions, one receipt each, and one trace each where they were asked for."""

    fields: Json
    receipts: tuple[Json, ...]
    traces: tuple[Json, ...] | None

    @property
    def number(self) -> int:
        """The block's number."""
        return int(self.fields["number"], 16)

    @property
    def hash(self) -> str:
        """The block's hash."""
        return str(self.fields["hash"]).lower()


class Node:
    """Talks JSON-RPC, plainly; a context manager. What it read of a block it keeps by the block's hash.

    Args:
        url: where the node answers.
        traces: whether blocks come with traces.
    """

    def __init__(self, url: str, *, traces: bool = False) -> None:
        self._url = url
        self._traces = traces
        self._http = httpx.Client(timeout=60, trust_env=False)
        self._known: dict[str, RawBlock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def ask(self, method: str, *params: Any) -> Any:
        """The result of one request.

        Raises:
            NodeError: the node answered with an error.
        """
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._http.post(self._url, json=body).json()
        if answer.get("error") is not None:
            raise NodeError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def chain(self, *, start: int, end: int | None = None) -> list[RawBlock]:
        """The canonical blocks from ``start`` to ``end`` (the head), each the parent of the next.

        Raises:
            ChainMovedError: a reorganisation happened while reading.
            AuditError: the chain ends before ``start`` or ``end``.
        """
        tip = self.ask("eth_getBlockByNumber", "latest" if end is None else hex(end), False)
        if tip is None or number(tip["number"]) < start:
            raise AuditError(f"the chain does not reach from block {start} to {end or 'the head'}")
        found = [self._block(tip["hash"])]
        while found[-1].number > start:
            found.append(self._block(found[-1].fields["parentHash"]))
            if found[-1].number != found[-2].number - 1:
                raise AuditError(f"block {found[-2].number} has the parent {found[-1].number}")
        self._check_canonical(found[0])
        return found[::-1]

    def tagged(self, tag: str) -> int | None:
        """The number of the newest block of a tag, None where the node does not know the tag."""
        try:
            block = self.ask("eth_getBlockByNumber", tag, False)
        except NodeError:
            return None
        return None if block is None else number(block["number"])

    def _check_canonical(self, tip: RawBlock) -> None:
        again = self.ask("eth_getBlockByNumber", hex(tip.number), False)
        if again is None or again["hash"].lower() != tip.hash:
            raise ChainMovedError(f"block {tip.number} was replaced while the chain was read")

    def _block(self, block_hash: str) -> RawBlock:
        known = self._known.get(block_hash.lower())
        if known is None:
            known = self._known[block_hash.lower()] = self._read(block_hash)
        return known

    def _read(self, block_hash: str) -> RawBlock:
        fields = self.ask("eth_getBlockByHash", block_hash, True)
        if fields is None:
            raise ChainMovedError(f"block {block_hash} is gone")
        receipts = tuple(self._receipt(sent["hash"], block_hash) for sent in fields["transactions"])
        traces = None
        if self._traces:
            traces = self._trace(block_hash, len(receipts)) if receipts else ()
        return RawBlock(fields=fields, receipts=receipts, traces=traces)

    def _receipt(self, transaction_hash: str, block_hash: str) -> Json:
        receipt = self.ask("eth_getTransactionReceipt", transaction_hash)
        if receipt is None or receipt["blockHash"].lower() != block_hash.lower():
            raise ChainMovedError(f"transaction {transaction_hash} is not in block {block_hash} any more")
        if receipt.get("status") is None:
            raise AuditError(f"the receipt of {transaction_hash} has no status")
        return dict(receipt)

    def _trace(self, block_hash: str, transactions: int) -> tuple[Json, ...]:
        answers = self.ask("debug_traceBlockByHash", block_hash, {"tracer": "callTracer"})
        if len(answers) != transactions or any("result" not in answer for answer in answers):
            raise AuditError(f"block {block_hash} has {transactions} transactions, not each has its trace")
        return tuple(answer["result"] for answer in answers)


@contextmanager
def open_node(source: str | Node, *, traces: bool) -> Iterator[Node]:
    """A node that is closed afterwards where only its url was given."""
    if isinstance(source, Node):
        yield source
        return
    with Node(source, traces=traces) as node:
        yield node
