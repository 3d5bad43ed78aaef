"""After a reorg: find where the branches part, and take back what the lost blocks held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from payhealth.connectors.evm.reading.recent import Recent
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import (
    block_record,
    lost_sighting,
    retracted,
    transaction_of,
)
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.wire.values import Header, WireError, header_of
from payhealth.domain.chain_records import Block, PaymentEvent, TransactionFee, TransferObservation
from payhealth.domain.errors import SourceUnavailableError
from payhealth.domain.record import Record
from payhealth.domain.records import Link, Movement

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


def confirmed_elsewhere(node: Node, recent: Recent, fork: int) -> None:
    """Where there are several providers, another one has to say too that a block of the window is gone.

    Raises:
        SourceUnavailableError: it still holds that block, or no other provider answers.
    """
    lost = recent.get(fork + 1)
    if len(node.client.providers) < 2 or lost is None:
        return
    first = node.client.provider
    found = node.client.second_opinion([Call("eth_getBlockByNumber", (hex(lost.number), False))])
    said = f"{first} tells of a reorg from block {lost.number} on"
    if found is None:
        raise SourceUnavailableError(f"{said}; no other provider answers, and a roll-back needs two")
    second, answers = found
    answer = answers[0]
    try:
        standing = None if isinstance(answer, RpcFault) or answer is None else header_of(answer).hash
    except WireError:
        standing = lost.hash  # what cannot be read confirms nothing
    if standing == lost.hash:
        # Which of the two is right will show; until then neither is believed over the other.
        node.client.blame(Lie.DISAGREES, f"a reorg from block {lost.number} on that {second} does not see")
        node.client.fail_over()
        raise SourceUnavailableError(f"{said}; {second} still holds that block, and a roll-back needs two")


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
        where = (self.lost[0].number, self.lost[-1].number + 1, hashes)
        gone = stored.movements_in(*where)
        standing = self._standing(node, {row.block_number or 0 for row in gone})
        movements: list[Movement] = []
        for movement in gone:
            movements += retracted(movement, standing[min(movement.block_number or 0, self.head.number)])
        ignored = [replace(row, canonical=False) for row in stored.observations_in(*where)]
        return {
            Block: [block_record(connector, header, canonical=False) for header in self.lost],
            TransferObservation: [*(lost_sighting(row) for row in gone), *ignored],
            TransactionFee: [replace(row, canonical=False) for row in stored.fees_in(*where)],
            PaymentEvent: [replace(row, canonical=False) for row in stored.events_in(*where)],
            Movement: movements,
            Link: [
                _former_place(row)
                for row in gone
                if row.position and transaction_of(row.movement_id, row.chain or "")
            ],
        }

    def _standing(self, node: Node, heights: set[int]) -> dict[int, Header]:
        """The blocks that now stand at the lost heights; the head is one of them where it is lower."""
        there = sorted(height for height in heights if height < self.head.number)
        return {header.number: header for header in (*node.headers(there), self.head)}


def _former_place(movement: Movement) -> Link:
    """Where a transfer stood: a credit may name it by that, wherever it lands again."""
    transaction = transaction_of(movement.movement_id, movement.chain or "")
    return Link(
        connector=movement.connector,
        alias=f"{transaction}:{movement.position}",
        payment_key=movement.payment_key,
    )
