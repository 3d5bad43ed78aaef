"""What the connector asks a node, typed: heads, blocks, logs, receipts, tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import (
    TRANSFER,
    Header,
    WireError,
    header_of,
    mapping_of,
    padded,
    quantity,
)
from payhealth.domain.errors import SourceDataError, SourceUnavailableError

HEAD = Call("eth_blockNumber")
_DECIMALS = "0x313ce567"
"""Selector of ``decimals()``."""
_MOST_FILTERS_PER_BLOCK = 4
"""Beyond this, a block's logs are taken unfiltered by address: one call instead of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """What a node says of its chain's top.

    Args:
        safe: None where it does not know the tag (or was not asked).
        final: the same.
        at_tip: its block at the number that was asked about, None where it has none.
    """

    head: Header
    safe: int | None
    final: int | None
    at_tip: Header | None


class Node:
    """Typed reads over the endpoints of one chain."""

    def __init__(self, client: RpcClient, settings: EvmSettings) -> None:
        self.client = client
        self._by_tag = settings.finality_rule.tag is not None
        self._tokens = [token.address for token in settings.registered]
        self._ours = sorted(settings.ours)
        self._per_filter = settings.addresses_per_filter
        self._full_blocks = settings.full_blocks_per_batch

    def heads(self, tip: int | None) -> Heads:
        """The head, the safe and final blocks, and the block at ``tip``, in one request."""
        calls = [_block("latest")]
        calls += [_block(tag) for tag in ("safe", "finalized") if self._by_tag]
        calls += [_block(hex(tip))] if tip is not None else []
        answers = iter(self.client.ask(calls))
        latest = next(answers)
        if isinstance(latest, RpcFault) or latest is None:
            told = latest.message if isinstance(latest, RpcFault) else "null"
            raise SourceUnavailableError(f"{self.client.provider}: does not tell its head: {told}")
        head = self._header(latest, "the latest block")
        safe, final = (
            (self._tagged(next(answers)), self._tagged(next(answers))) if self._by_tag else (None, None)
        )
        at_tip = next(answers) if tip is not None else None
        if isinstance(at_tip, RpcFault) or at_tip is None:
            return Heads(head=head, safe=safe, final=final, at_tip=None)
        return Heads(head=head, safe=safe, final=final, at_tip=self._header(at_tip, f"block {tip}"))

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """The headers of blocks that the node must have."""
        calls = [_block(hex(number)) for number in numbers]
        raws = self._present(calls, lambda at: f"block {numbers[at]}")
        return [self._numbered(raw, number) for raw, number in zip(raws, numbers, strict=True)]

    def full_blocks(self, numbers: Sequence[int]) -> Iterator[tuple[Header, Sequence[Any]]]:
        """Blocks with their transactions, a batch at a time, so that memory stays bounded."""
        position = 0
        while position < len(numbers):
            part = numbers[position : position + self._full_blocks]
            calls = [_block(hex(number), full=True) for number in part]
            try:
                raws = self._present(calls, lambda at, part=part: f"block {part[at]}")  # type: ignore[misc]
            except RpcFault as fault:
                if fault.kind is not FaultKind.RESULT_LIMIT or len(part) == 1:
                    raise
                self._full_blocks = max(1, len(part) // 2)
                continue
            for raw, number in zip(raws, part, strict=True):
                header = self._numbered(raw, number)
                transactions = raw.get("transactions")
                if not isinstance(transactions, list):
                    raise SourceDataError(
                        f"{self.client.provider}: block {number} came without its transactions"
                    )
                yield header, transactions
            position += len(part)

    def logs_of_range(self, lower: int, upper: int) -> list[Any]:
        """Transfer logs of ``[lower, upper]`` to and from our addresses.

        The head is asked in the same request: a node behind a load balancer answers ``[]`` for blocks
        that it does not have yet, without an error.

        Raises:
            RpcFault: the range must be smaller, or the node refuses it for another reason.
            SourceUnavailableError: no node that has ``upper`` answered.
        """
        where = {"fromBlock": hex(lower), "toBlock": hex(upper)}
        for attempt in range(1, self.client.attempts + 1):
            try:
                answers, heads = self._logs([where], tail=HEAD)
                if all(self._quantity(head, "eth_blockNumber") >= upper for head in heads):
                    return answers[0]
            except RpcFault as fault:
                if fault.kind is not FaultKind.BEYOND_HEAD:
                    raise
            self._try_elsewhere(attempt)
        raise SourceUnavailableError(
            f"{self.client.provider}: its head stays below block {upper}, which it told of before"
        )

    def logs_of_blocks(self, hashes: Sequence[str]) -> list[list[Any]]:
        """Transfer logs of single blocks, by hash: a node that lacks the block must say so.

        Raises:
            ChainMovedError: the node does not know one of the blocks.
        """
        try:
            return self._logs([{"blockHash": block} for block in hashes], by_block=True)[0]
        except RpcFault as fault:
            if fault.kind is FaultKind.BEYOND_HEAD:
                raise ChainMovedError(fault.message) from None
            if fault.kind is not FaultKind.RESULT_LIMIT:
                raise
        if len(hashes) > 1:
            half = len(hashes) // 2
            return self.logs_of_blocks(hashes[:half]) + self.logs_of_blocks(hashes[half:])
        return [self._logs_by_receipts(hashes[0])]

    def receipts(self, transactions: Sequence[str]) -> list[Mapping[str, Any]]:
        """The receipts of transactions that stand in a block."""
        calls = [Call("eth_getTransactionReceipt", (transaction,)) for transaction in transactions]
        raws = self._present(calls, lambda at: f"the receipt of {transactions[at]}")
        try:
            return [mapping_of(raw, "receipt") for raw in raws]
        except WireError as error:
            raise SourceDataError(f"{self.client.provider}: {error}") from None

    def token_answers(self, address: str) -> tuple[str, int | None]:
        """A contract's code, and what its ``decimals()`` says (None where it says nothing)."""
        calls = [
            Call("eth_getCode", (address, "latest")),
            Call("eth_call", ({"to": address, "data": _DECIMALS}, "latest")),
        ]
        code, decimals = self.client.ask(calls)
        if isinstance(code, RpcFault):
            raise code
        try:
            # An ABI word of 32 bytes reads as a quantity; an empty answer, "0x", does not.
            told = None if isinstance(decimals, RpcFault) else quantity(decimals, "decimals()")
        except WireError:
            told = None
        return (code if isinstance(code, str) else "0x"), told

    def _logs(
        self, places: Sequence[Mapping[str, str]], *, tail: Call | None = None, by_block: bool = False
    ) -> tuple[list[list[Any]], list[Any]]:
        while True:
            filters = self._filters(by_block=by_block)
            calls = [Call("eth_getLogs", ({**place, **one},)) for place in places for one in filters]
            try:
                answers, tails = self.client.many(calls, tail)
            except RpcFault as fault:
                if fault.kind is not FaultKind.ADDRESS_LIMIT or self._per_filter == 1:
                    raise
                self._per_filter = max(1, min(self._per_filter, len(self._ours)) // 2)
                continue
            if any(not isinstance(answer, list) for answer in answers):
                raise SourceDataError(
                    f"{self.client.provider}: eth_getLogs answered something that is no list"
                )
            parts = iter(answers)
            return [list(itertools.chain(*(next(parts) for _ in filters))) for _ in places], tails

    def _filters(self, *, by_block: bool) -> list[dict[str, Any]]:
        if not self._tokens:
            return []
        chunks = [
            [padded(address) for address in self._ours[at : at + self._per_filter]]
            for at in range(0, len(self._ours), self._per_filter)
        ]
        if by_block and 2 * len(chunks) > _MOST_FILTERS_PER_BLOCK:
            return [{"address": self._tokens, "topics": [TRANSFER]}]
        topics: Iterable[list[Any]] = itertools.chain(
            ([TRANSFER, None, chunk] for chunk in chunks), ([TRANSFER, chunk] for chunk in chunks)
        )
        return [{"address": self._tokens, "topics": row} for row in topics]

    def _logs_by_receipts(self, block: str) -> list[Any]:
        receipts = self._present(
            [Call("eth_getBlockReceipts", (block,))], lambda _: f"the receipts of {block}"
        )[0]
        try:
            logs = [log for receipt in receipts for log in mapping_of(receipt, "receipt")["logs"]]
            wanted = frozenset(self._tokens)
            return [
                log for log in logs if str(log["address"]).lower() in wanted and TRANSFER in log["topics"][:1]
            ]
        except (WireError, KeyError, TypeError):
            raise SourceDataError(
                f"{self.client.provider}: the receipts of block {block} are malformed"
            ) from None

    def _present(self, calls: Sequence[Call], name: Callable[[int], str]) -> list[Any]:
        found: dict[int, Any] = {}
        missing = list(range(len(calls)))
        for attempt in range(1, self.client.attempts + 1):
            try:
                answers, _ = self.client.many([calls[at] for at in missing])
                found.update(
                    (at, answer) for at, answer in zip(missing, answers, strict=True) if answer is not None
                )
            except RpcFault as fault:
                if fault.kind is not FaultKind.BEYOND_HEAD:
                    raise
            missing = [at for at in missing if at not in found]
            if not missing:
                return [found[at] for at in range(len(calls))]
            self._try_elsewhere(attempt)
        raise SourceUnavailableError(
            f"{self.client.provider}: does not have {name(missing[0])}, though its head lies beyond it"
        )

    def _try_elsewhere(self, attempt: int) -> None:
        self.client.fail_over()
        if attempt < self.client.attempts:
            self.client.pause(attempt)

    def _tagged(self, answer: Any) -> int | None:
        # Nodes without the tags say so in many words; whatever they say, the depth stands in.
        if isinstance(answer, RpcFault) or answer is None:
            return None
        return self._header(answer, "the tagged block").number

    def _numbered(self, raw: Any, number: int) -> Header:
        header = self._header(raw, f"block {number}")
        if header.number != number:
            raise SourceDataError(
                f"{self.client.provider}: answered block {header.number} when asked for {number}"
            )
        return header

    def _header(self, raw: Any, name: str) -> Header:
        try:
            return header_of(raw)
        except WireError as error:
            raise SourceDataError(f"{self.client.provider}: {name} is malformed: {error}") from None

    def _quantity(self, raw: Any, name: str) -> int:
        try:
            return quantity(raw, name)
        except WireError as error:
            raise SourceDataError(f"{self.client.provider}: {error}") from None


def _block(which: str, *, full: bool = False) -> Call:
    return Call("eth_getBlockByNumber", (which, full))
