"""Asking for logs: by ranges as large as the node takes, near the head by block; held against the block."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from payhealth.connectors.evm.reading.emptiness import Emptiness
from payhealth.connectors.evm.reading.filters import LogFilters
from payhealth.connectors.evm.reading.quorum import agreed
from payhealth.connectors.evm.reading.recent import ChainMovedError
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.rpc.node import Node, Place, SeenBlock
from payhealth.connectors.evm.rpc.ranges import RangePlanner, RangePlanners
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import SourceDataError


class LogAsker:
    """Asks for the logs of a set of addresses.

    Args:
        watched: whose transfers are looked for.
        planners: how many blocks to ask for at once, learned.
    """

    def __init__(
        self, node: Node, settings: EvmSettings, planners: RangePlanners, watched: Collection[str]
    ) -> None:
        self._node = node
        self._quorum = settings.quorum
        self._planners = planners
        self._filters = LogFilters(settings, watched)
        self._emptiness = Emptiness(node, settings, watched, whole=self._filters.whole_blocks)
        self._asked: dict[Place, list[object]] = {}

    @property
    def any(self) -> bool:
        """Whether there is anything to ask for."""
        return self._filters.any

    @property
    def range_blocks(self) -> int:
        """How many blocks one range takes at present."""
        return self._planner().size

    def ask_ahead(self, places: Sequence[Place]) -> None:
        """Ask for the logs of several places at once, to be read next; refused ones are asked again then."""
        if len(places) < 2 or not self._filters.any:
            return
        answers, head = self._node.logs(places, self._filters.build)
        self._asked = {
            place: answer
            for place, answer in zip(places, answers, strict=True)
            if isinstance(answer, list) and head >= place.upper
        }

    def of_blocks(self, blocks: Sequence[SeenBlock]) -> list[object]:
        """Logs by block hash: a node that lacks the block must say so; an empty answer must be possible."""
        for attempt in range(1, self._node.client.attempts + 1):
            hashes = [block.header.hash for block in blocks]
            found = self._found([Place(block=block) for block in hashes])
            answers = [self._settled(answer, block) for answer, block in zip(found, hashes, strict=True)]
            if any(isinstance(answer, RpcFault) for answer in answers):
                continue  # fewer addresses to a filter
            lists = [answer for answer in answers if isinstance(answer, list)]
            empty = [block for block, logs in zip(blocks, lists, strict=True) if not logs]
            denied = self._emptiness.denied(empty)
            if not denied:
                return [log for logs in lists for log in logs]
            self._node.try_elsewhere(attempt, denied.lie, denied.detail)
        raise denied.error(self._node.client.provider) if denied else ChainMovedError("no filter is taken")

    def _found(self, places: Sequence[Place]) -> Sequence[list[object] | RpcFault]:
        asked = [self._asked.pop(place, None) for place in places]
        known = [answer for answer in asked if answer is not None]
        return known if len(known) == len(places) else self._node.logs(places, self._filters.build)[0]

    def _settled(self, answer: list[object] | RpcFault, block: str) -> list[object] | RpcFault:
        """A block's logs; its receipts stand in where it holds more than the node gives by filter."""
        if isinstance(answer, list):
            return answer
        if answer.kind is FaultKind.ADDRESS_LIMIT and self._filters.split():
            return answer
        if answer.kind is FaultKind.BEYOND_HEAD:
            raise ChainMovedError(answer.message)
        if answer.kind is not FaultKind.RESULT_LIMIT:
            raise answer
        return self._logs_by_receipts(block)

    def _logs_by_receipts(self, block: str) -> list[object]:
        receipts = self._node.block_receipts([block])[0]
        if isinstance(receipts, RpcFault):
            raise receipts
        try:
            return [log for receipt in receipts for log in receipt["logs"] if self._emptiness.wanted(log)]
        except (KeyError, TypeError):
            raise SourceDataError(
                f"{self._node.client.provider}: the receipts of block {block} are malformed"
            ) from None

    def _planner(self) -> RangePlanner:
        return self._planners.of(self._node.client.provider, self._filters.shape)

    def of_range(self, lower: int, last: int, *, final: bool) -> tuple[int, list[object]]:
        """The logs from ``lower`` as far as one range goes, at most to ``last``.

        Args:
            final: whether the range is final, so that a second provider has to agree where that is wanted.

        Returns:
            The last block of the range, and the logs.

        Raises:
            RpcFault: the node refuses for a reason that no smaller range mends.
            SourceUnavailableError: no node that has the range answers, or two disagree.
        """
        while True:
            planner = self._planner()
            raws = self._asked.pop(Place(lower=lower, upper=last), None)
            upper = planner.upper(lower, last) if raws is None else last
            try:
                if raws is None:
                    filters = self._filters.build(Place(lower=lower, upper=upper))
                    raws = self._node.range_logs(lower, upper, filters)
            except RpcFault as fault:
                if fault.kind is FaultKind.ADDRESS_LIMIT and self._filters.split():
                    continue
                if planner.refused(upper - lower + 1, fault):
                    continue
                if fault.kind is not FaultKind.RESULT_LIMIT:
                    raise
                # One block holds more than the node gives by range: by hash, its receipts stand in.
                return upper, self._logs_by_receipts(self._node.headers([lower])[0].hash)
            planner.accepted(upper - lower + 1)
            if final and self._quorum > 1:
                agreed(self._node, raws, lower, upper, self._filters.build(Place(lower=lower, upper=upper)))
            return upper, raws
