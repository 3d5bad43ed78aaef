"""How many blocks to ask for at once: learned from what the node accepts. Pure."""

from __future__ import annotations

from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault

_START_BLOCKS = 500


class RangePlanner:
    """Doubles until a limit is met, then grows slowly; never beyond a limit that the node named.

    Args:
        most: the configured bound on one range, in blocks.
    """

    def __init__(self, most: int) -> None:
        self.cap = most
        self.size = min(_START_BLOCKS, most)
        self._met_a_limit = False

    def upper(self, lower: int, last: int) -> int:
        """The last block of the next range that starts at ``lower``."""
        return min(last, lower + self.size - 1)

    def accepted(self, blocks: int) -> None:
        """A range of that many blocks was answered."""
        if blocks < self.size:
            return
        grown = self.size + max(1, self.size // 10) if self._met_a_limit else self.size * 2
        self.size = min(self.cap, grown)

    def refused(self, blocks: int, fault: RpcFault) -> bool:
        """Take a refusal into account.

        Returns:
            Whether a smaller range is worth asking for.
        """
        if fault.kind not in (FaultKind.RANGE_LIMIT, FaultKind.RESULT_LIMIT, FaultKind.OTHER) or blocks <= 1:
            return False
        self._met_a_limit = True
        if fault.limit is not None and fault.limit < blocks:
            self.size = fault.limit
            # A suggested range speaks of these blocks alone; a limit in words holds for all of them.
            if fault.kind is FaultKind.RANGE_LIMIT:
                self.cap = min(self.cap, fault.limit)
        else:
            self.size = blocks // 2
        return True
