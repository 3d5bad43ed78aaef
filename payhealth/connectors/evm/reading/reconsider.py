"""Blocks that are read again with another configuration: what counted then may not count now, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from payhealth.connectors.evm.reading.moves import Moves
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.reading.translate import IGNORED
from payhealth.domain.chain_records import TransferObservation
from payhealth.domain.records import Movement, MovementStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """New versions of what an earlier configuration made of the same transfers.

    Args:
        movements: those that do not count any more.
        observations: ignored ones that count now.
    """

    movements: tuple[Movement, ...] = ()
    observations: tuple[TransferObservation, ...] = ()


def judged_otherwise(
    moves: Moves, ids: pa.StringArray, ignored: Sequence[TransferObservation], stored: Stored
) -> Otherwise:
    """Find what the store holds of the same transfers that now counts otherwise.

    Args:
        moves: what counts now, each under its movement's id.
        ignored: what does not.
    """
    blocks = {row.movement_id.removesuffix(IGNORED): row.block_hash for row in ignored}
    counted = [
        replace(row, status=MovementStatus.FAILED.value)
        for name, row in stored.movements(list(blocks)).items()
        if row.block_hash == blocks[name] and row.status == MovementStatus.SEEN
    ]
    standing = dict(zip(ids.to_pylist(), moves.block_hash.to_pylist(), strict=True))
    before = stored.observations([f"{name}{IGNORED}" for name in standing])
    return Otherwise(
        movements=tuple(counted),
        observations=tuple(
            replace(row, canonical=False, ignored_reason=f"counts now; before: {row.ignored_reason}")
            for row in before
            if row.canonical and standing.get(row.movement_id.removesuffix(IGNORED)) == row.block_hash
        ),
    )
