"""After a reorg: find where the branches part, and take back what the lost blocks held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import block_record, retracted
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.records import (
    Block,
    Movement,
    MovementKind,
    MovementStatus,
    Record,
    TransferObservation,
)

_FIRST_LOOK = 16
"""Blocks compared at first when walking back; most reorgs are shallower. Doubled each time."""


def fork_height(node: Node, recent: Recent, head: int) -> int | None:
    """Walk back to the newest block of the window that the node's chain still holds.

    Returns:
        Its height, None when the whole window is gone.
    """
    heights = [number for number in recent.numbers() if number <= head]
    look = _FIRST_LOOK
    while heights:
        part, heights = heights[:look], heights[look:]
        look *= 2
        for header in node.headers(part):
            known = recent.get(header.number)
            if known is not None and known.hash == header.hash:
                return header.number
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The blocks that were lost above a fork.

    Args:
        fork: the height of the last common block.
        lost: the blocks above it that are no longer canonical, oldest first.
        head: the new branch's newest block.
    """

    fork: int
    lost: tuple[Header, ...]
    head: Header

    def records(self, node: Node, stored: Stored, connector: str) -> dict[type[Record], Sequence[Record]]:
        """New versions of what the lost blocks held, and the retractions; nothing is deleted."""
        hashes = {header.hash for header in self.lost}
        observations = stored.observations_in(hashes)
        heights = {row.movement_id: row.block_number for row in observations}
        gone = heights.keys() - stored.live_elsewhere(heights.keys(), hashes)
        standing = self._standing(node, {heights[movement_id] for movement_id in gone})
        movements: list[Movement] = []
        for movement in stored.movements(sorted(gone)):
            if movement.status == MovementStatus.RETRACTED or movement.kind == MovementKind.RETRACTION:
                continue
            height = heights[movement.movement_id]
            movements += retracted(movement, standing[min(height, self.head.number)])
        return {
            Block: [block_record(connector, header, canonical=False) for header in self.lost],
            TransferObservation: [replace(row, canonical=False) for row in observations],
            Movement: movements,
        }

    def _standing(self, node: Node, heights: set[int]) -> dict[int, Header]:
        """The blocks that now stand at the lost heights; the head is one of them where it is lower."""
        there = sorted(height for height in heights if height < self.head.number)
        return {header.number: header for header in (*node.headers(there), self.head)}
