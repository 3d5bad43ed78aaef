"""How many blocks to ask for at once: learned from what each provider accepts, and remembered. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault

_START_BLOCKS = 500
_MOST_REMEMBERED = 64
_LONGEST_NAME = 256
_SHRINKS = frozenset({FaultKind.RANGE_LIMIT, FaultKind.RESULT_LIMIT, FaultKind.OTHER})


class RangePlanner:
    """Doubles until a limit is met, then grows by a fixed step; never beyond a limit that the node named.

    Args:
        most: the configured bound on one range, in blocks.
    """

    def __init__(self, most: int) -> None:
        self.cap = most
        self.size = min(_START_BLOCKS, most)
        self._named = 0
        """The limit that the node named, 0 for none: the configured one may change between runs."""
        self._step: int | None = None
        """How many blocks are added after a success; None while no limit was met."""

    def upper(self, lower: int, last: int) -> int:
        """The last block of the next range that starts at ``lower``."""
        return min(last, lower + self.size - 1)

    def accepted(self, blocks: int) -> None:
        """A range of that many blocks was answered."""
        if blocks < self.size:
            return  # the stretch ended there: nothing was learned
        grown = self.size * 2 if self._step is None else self.size + self._step
        self.size = min(self.cap, grown)

    def refused(self, blocks: int, fault: RpcFault) -> bool:
        """Take a refusal of that many blocks into account.

        A block that the node does not have yet, throttling and the like never shrink the range.

        Returns:
            Whether a smaller range is worth asking for. Where it is not and the fault is a result limit,
            one block is too much, and its receipts hold its logs.
        """
        if fault.kind not in _SHRINKS or blocks <= 1:
            return False
        if fault.limit is not None and fault.limit < blocks:
            self.size = fault.limit
            # A suggested range speaks of these blocks alone; a limit in words holds for all of them.
            if fault.kind is FaultKind.RANGE_LIMIT and not fault.suggested:
                self.cap = min(self.cap, fault.limit)
                self._named = self.cap
        else:
            self.size = blocks // 2
        self.size = min(self.size, self.cap)
        self._step = max(1, self.size // 10)
        return True

    def state(self) -> list[int]:
        """What to remember: the size, the limit that was named (or 0), the step (0 while none was met)."""
        return [self.size, self._named, self._step or 0]

    def restore(self, state: Any) -> None:
        """Go on from a remembered state; one that no planner wrote is ignored."""
        if not isinstance(state, list) or len(state) != 3 or any(type(one) is not int for one in state):
            return
        size, named, step = state
        if size < 1 or named < 0 or step < 0:
            return
        self._named = min(self.cap, named)
        self.cap = self._named or self.cap
        self.size = min(self.cap, size)
        self._step = min(self.cap, step) or None


class RangePlanners:
    """A planner for each provider and filter shape, as a dict of plain values between runs.

    Args:
        most: the configured bound on one range, in blocks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._planners: dict[tuple[str, str], RangePlanner] = {}

    def of(self, provider: str, shape: str) -> RangePlanner:
        """The planner of a provider for one shape of filter.

        Args:
            provider: its name, as the client tells it.
            shape: what is filtered, in a word of the caller's: the same word, the same limits.
        """
        key = (provider[:_LONGEST_NAME], shape[:_LONGEST_NAME])
        planner = self._planners.pop(key, None) or RangePlanner(self._most)
        self._planners[key] = planner  # last in the dict: used last
        while len(self._planners) > _MOST_REMEMBERED:
            del self._planners[next(iter(self._planners))]
        return planner

    def state(self) -> dict[str, dict[str, list[int]]]:
        """What was learned, by provider and shape; the 64 used last."""
        learned: dict[str, dict[str, list[int]]] = {}
        for (provider, shape), planner in self._planners.items():
            learned.setdefault(provider, {})[shape] = planner.state()
        return learned

    def restore(self, state: Any) -> None:
        """Go on from what an earlier run learned; whatever is not of that form is ignored."""
        for provider, shape, one in itertools.islice(_entries(state), _MOST_REMEMBERED):
            self.of(provider, shape).restore(one)


def _entries(state: Any) -> Iterator[tuple[str, str, Any]]:
    for provider, shapes in state.items() if isinstance(state, Mapping) else ():
        for shape, one in shapes.items() if isinstance(shapes, Mapping) else ():
            if isinstance(provider, str) and isinstance(shape, str):
                yield provider, shape, one
