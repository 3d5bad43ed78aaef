"""What the connector asks a node, typed: its top, blocks, logs, receipts, traces, contracts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.evm.rpc.client import RpcClient
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.values import Header, WireError, header_of, mapping_of, quantity
from payhealth.domain.errors import SourceDataError, SourceUnavailableError

HEAD = Call("eth_blockNumber")
_TRACER = {"tracer": "callTracer"}
_SPARE_CALLS = 5
"""Room that a request for the chain's top leaves beside the blocks that it hopes for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBlock:
    """A block as the node gave it, and what links it into its chain."""

    header: Header
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """What a node says of its chain's top.

    Args:
        safe: None where it does not know the tag (or was not asked).
        final: the same.
        at_tip: its block at the number that was asked about, None where it has none.
        ahead: the blocks that follow that number, as many as were hoped for and exist.
    """

    head: Header
    safe: int | None
    final: int | None
    at_tip: Header | None
    ahead: tuple[SeenBlock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where logs are asked for: a range of blocks, or one block by its hash."""

    lower: int = 0
    upper: int = 0
    block: str | None = None

    def filter(self) -> dict[str, str]:
        """As ``eth_getLogs`` takes it."""
        if self.block is not None:
            return {"blockHash": self.block}
        return {"fromBlock": hex(self.lower), "toBlock": hex(self.upper)}


class Node:
    """Typed reads over the endpoints of one chain.

    Args:
        full: whether blocks are read with their transactions.
        ways: how each provider traces, as far as it was found out; kept up to date.
    """

    def __init__(
        self, client: RpcClient, settings: EvmSettings, *, full: bool, ways: dict[str, str] | None = None
    ) -> None:
        self.client = client
        self.ways = {} if ways is None else ways
        self._by_tag = settings.finality_rule.tag is not None
        self._full = full
        self._full_blocks = settings.full_blocks_per_batch
        self._heavy_calls = settings.full_blocks_per_batch

    def each(self, calls: Sequence[Call], *, most: int | None = None) -> list[Any]:
        """An answer a call, faults as values, in as many requests as that takes.

        Args:
            most: most calls in one request, where fewer are wanted than the provider takes.
        """
        if most is None or len(calls) <= most:
            return self.client.many(calls, keep_faults=True)[0] if calls else []
        parts = [calls[start : start + most] for start in range(0, len(calls), most)]
        return [answer for part in parts for answer in self.client.many(part, keep_faults=True)[0]]

    def top(self, tip: int | None, hoped: int) -> Top:
        """The head, the safe and final blocks, the block at ``tip`` and those after it, in one request."""
        tags = ("safe", "finalized") if self._by_tag else ()
        calls = [_block("latest"), *(_block(tag) for tag in tags)]
        numbers: list[int] = []
        if tip is not None:
            room = max(0, min(hoped, self.client.batch_calls - _SPARE_CALLS))
            numbers = list(range(tip + 1, tip + 1 + room))
            calls.append(_block(hex(tip)))
        calls += [_block(hex(number), full=self._full) for number in numbers]
        answers = self.each(calls)
        latest = answers[0]
        if isinstance(latest, RpcFault) or latest is None:
            told = latest.message if isinstance(latest, RpcFault) else "null"
            raise SourceUnavailableError(f"{self.client.provider}: does not tell its head: {told}")
        safe, final = (self._tagged(answers[1]), self._tagged(answers[2])) if self._by_tag else (None, None)
        head = self._header(latest, "the latest block")
        at_tip = self._maybe(answers[1 + len(tags)], f"block {tip}") if tip is not None else None
        ahead = list(self._contiguous(answers[2 + len(tags) :], numbers, head))
        if at_tip is not None and ahead and ahead[0].header.parent != at_tip.hash:
            ahead = []  # two nodes behind one URL: look at the blocks again, one by one
        return Top(head=head, safe=safe, final=final, at_tip=at_tip, ahead=tuple(ahead))

    def _contiguous(self, raws: Sequence[Any], numbers: Sequence[int], head: Header) -> Iterator[SeenBlock]:
        parent: str | None = None
        for raw, number in zip(raws, numbers, strict=True):
            if isinstance(raw, RpcFault) or raw is None or number > head.number:
                return
            seen = SeenBlock(header=self._numbered(raw, number), raw=raw)
            if parent is not None and seen.header.parent != parent:
                return
            parent = seen.header.hash
            yield seen

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """The headers of blocks that the node must have."""
        calls = [_block(hex(number)) for number in numbers]
        raws = self._present(calls, lambda at: f"block {numbers[at]}")
        return [self._numbered(raw, number) for raw, number in zip(raws, numbers, strict=True)]

    def blocks(self, numbers: Sequence[int]) -> Iterator[SeenBlock]:
        """Blocks that the node must have, a request's worth at a time, so that memory stays bounded."""
        position = 0
        while position < len(numbers):
            most = self._full_blocks if self._full else self.client.batch_calls
            part = numbers[position : position + most]
            calls = [_block(hex(number), full=self._full) for number in part]
            try:
                raws = self._present(calls, lambda at, part=part: f"block {part[at]}")  # type: ignore[misc]
            except RpcFault as fault:
                if fault.kind is not FaultKind.RESULT_LIMIT or len(part) == 1:
                    raise
                self._full_blocks = max(1, len(part) // 2)
                continue
            for raw, number in zip(raws, part, strict=True):
                yield SeenBlock(header=self._numbered(raw, number), raw=raw)
            position += len(part)

    def logs(
        self, places: Sequence[Place], filters: Callable[[Place], Sequence[Mapping[str, Any]]]
    ) -> tuple[list[list[Any] | RpcFault], int]:
        """Logs of several places in as few requests as they take, the head asked in each.

        A node behind a load balancer answers ``[]`` for blocks that it does not have yet, without an error:
        an answer for a range counts only where the head in the same request is at or past its end.

        Args:
            filters: what is asked for at a place.

        Returns:
            For each place its logs or the first fault, and the lowest head that was told.
        """
        asked = [[{**place.filter(), **one} for one in filters(place)] for place in places]
        calls = [Call("eth_getLogs", (one,)) for ones in asked for one in ones]
        answers, tails = self.client.many(calls, HEAD, keep_faults=True)
        lowest = min((self._quantity(tail, "eth_blockNumber") for tail in tails), default=-1)
        parts = iter(answers)
        return [self._joined([next(parts) for _ in ones]) for ones in asked], lowest

    def _joined(self, answers: Sequence[Any]) -> list[Any] | RpcFault:
        for answer in answers:
            if isinstance(answer, RpcFault):
                return answer
            if not isinstance(answer, list):
                raise SourceDataError(
                    f"{self.client.provider}: eth_getLogs answered something that is no list"
                )
        return list(itertools.chain(*answers))

    def range_logs(self, lower: int, upper: int, filters: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Logs of ``[lower, upper]``, from a node that has all of it.

        Raises:
            RpcFault: the range must be smaller, or the node refuses it for another reason.
            SourceUnavailableError: no node that has ``upper`` answered.
        """
        for attempt in range(1, self.client.attempts + 1):
            found, head = self.logs([Place(lower=lower, upper=upper)], lambda _: filters)
            if not isinstance(found[0], RpcFault) and head >= upper:
                return found[0]
            if isinstance(found[0], RpcFault) and found[0].kind is not FaultKind.BEYOND_HEAD:
                raise found[0]
            self.try_elsewhere(attempt, Lie.STALE_HEAD, f"its head lies below block {upper}")
        raise SourceUnavailableError(
            f"{self.client.provider}: its head stays below block {upper}, which it told of before"
        )

    def block_receipts(self, hashes: Sequence[str]) -> list[list[Any] | RpcFault]:
        """Every receipt of some blocks, by hash; a fault where the node does not give them."""
        answers = self.each([Call("eth_getBlockReceipts", (block,)) for block in hashes])
        return [
            answer if isinstance(answer, list | RpcFault) else RpcFault(FaultKind.OTHER, "null receipts")
            for answer in answers
        ]

    def receipts(self, transactions: Sequence[str]) -> list[Mapping[str, Any]]:
        """The receipts of transactions that stand in a block."""
        calls = [Call("eth_getTransactionReceipt", (transaction,)) for transaction in transactions]
        raws = self._present(calls, lambda at: f"the receipt of {transactions[at]}")
        try:
            return [mapping_of(raw, "receipt") for raw in raws]
        except WireError as error:
            raise SourceDataError(f"{self.client.provider}: {error}") from None

    def debug_traces(self, hashes: Sequence[str]) -> list[Any]:
        """``debug_traceBlockByHash`` of some blocks, faults as values."""
        return self._heavy([Call("debug_traceBlockByHash", (block, _TRACER)) for block in hashes])

    def parity_traces(self, numbers: Sequence[int]) -> list[Any]:
        """``trace_block`` of some blocks, faults as values."""
        return self._heavy([Call("trace_block", (hex(number),)) for number in numbers])

    def _heavy(self, calls: Sequence[Call]) -> list[Any]:
        """Calls with long answers: fewer in one request where they come to too much."""
        answers: list[Any] = []
        while len(answers) < len(calls):
            part = calls[len(answers) : len(answers) + self._heavy_calls]
            try:
                answers += self.each(part)
            except RpcFault as fault:
                if fault.kind is not FaultKind.RESULT_LIMIT or len(part) == 1:
                    raise
                self._heavy_calls = max(1, len(part) // 2)
        return answers

    def try_elsewhere(self, attempt: int, lie: Lie | None = None, detail: str = "") -> None:
        """Turn to another provider, and wait before another attempt.

        Args:
            lie: what the present one was caught at, None where it merely failed.
        """
        if lie is not None:
            self.client.blame(lie, detail)
        self.client.fail_over()
        if attempt < self.client.attempts:
            self.client.pause(attempt)

    def _present(self, calls: Sequence[Call], name: Callable[[int], str]) -> list[Any]:
        found: dict[int, Any] = {}
        missing = list(range(len(calls)))
        for attempt in range(1, self.client.attempts + 1):
            for at, answer in zip(missing, self.each([calls[at] for at in missing]), strict=True):
                if isinstance(answer, RpcFault):
                    if answer.kind is not FaultKind.BEYOND_HEAD:
                        raise answer
                elif answer is not None:
                    found[at] = answer
            missing = [at for at in missing if at not in found]
            if not missing:
                return [found[at] for at in range(len(calls))]
            self.try_elsewhere(attempt)
        raise SourceUnavailableError(
            f"{self.client.provider}: does not have {name(missing[0])}, though its head lies beyond it"
        )

    def _tagged(self, answer: Any) -> int | None:
        # Nodes without the tags say so in many words; whatever they say, the depth stands in.
        found = self._maybe(answer, "the tagged block")
        return None if found is None else found.number

    def _maybe(self, answer: Any, name: str) -> Header | None:
        return None if isinstance(answer, RpcFault) or answer is None else self._header(answer, name)

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
            self.client.blame(Lie.MALFORMED, f"{name}: {error}")
            raise SourceDataError(f"{self.client.provider}: {name} is malformed: {error}") from None

    def _quantity(self, raw: Any, name: str) -> int:
        try:
            return quantity(raw, name)
        except WireError as error:
            raise SourceDataError(f"{self.client.provider}: {error}") from None


def _block(which: str, *, full: bool = False) -> Call:
    return Call("eth_getBlockByNumber", (which, full))
