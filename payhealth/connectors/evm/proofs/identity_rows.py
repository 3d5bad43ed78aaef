"""How the row of one balance goes on: opened, read, proved, refuted; pure.

``proved`` means that nothing is outstanding: the pair is quiet until it is touched or read otherwise.
``waiting`` means that a reading waits for its block to become final, or that there is none yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from payhealth.connectors.evm.proofs.bisection import Gap
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.chain_records import AddressBalance
from payhealth.domain.errors import AmountError
from payhealth.domain.money import from_scaled, to_scaled
from payhealth.domain.records import ProofState

WAITING = ProofState.WAITING.value
PROVED = ProofState.PROVED.value
MISMATCH = ProofState.MISMATCH.value

_NAMES = tuple(field.name for field in fields(AddressBalance))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a balance is first held against; ``since`` is the block from which on it is proved."""

    since: int
    block: int
    amount: int


def row_of(raw: Mapping[str, Any]) -> AddressBalance:
    """A row as the store gives it."""
    return AddressBalance(**{name: raw[name] for name in _NAMES})


def blank(connector: str, address: str, asset: str, opening: Opening | None) -> AddressBalance:
    """The first row of a balance, which has no reading yet."""
    row = AddressBalance(
        connector=connector,
        address=address,
        asset=asset,
        state=WAITING,
        proved_from=None,
        proved_block=None,
        proved_amount=None,
    )
    if opening is None:
        return row
    return replace(
        row,
        proved_from=opening.since,
        proved_block=opening.block,
        proved_amount=from_scaled(opening.amount),
    )


def outstanding(row: AddressBalance, quiet_to: int | None) -> AddressBalance:
    """A quiet row that is quiet no more: what the rotation proved of it is written down first."""
    if row.state != PROVED:
        return row
    proved = max(row.proved_block or 0, quiet_to or 0)
    return replace(row, state=WAITING, proved_block=proved)


def with_reading(row: AddressBalance, head: Header, amount: int | None) -> AddressBalance:
    """A waiting row with what was read of it at the head; without an amount it waits on."""
    if amount is None:
        return without_reading(row)
    return replace(row, pending_block=head.number, pending_hash=head.hash, pending_amount=from_scaled(amount))


def without_reading(row: AddressBalance) -> AddressBalance:
    """A waiting row that has to be read anew: its block was lost, or there was no answer."""
    return replace(row, state=WAITING, pending_block=None, pending_hash=None, pending_amount=None)


def opened_by_reading(row: AddressBalance) -> AddressBalance:
    """A row whose first reading is final: the proof begins there."""
    return replace(
        without_reading(row),
        state=PROVED,
        proved_from=row.pending_block,
        proved_block=row.pending_block,
        proved_amount=row.pending_amount,
    )


def difference_of(row: AddressBalance, moved: int) -> int:
    """By how much the balance moved otherwise than what was read, in units of 1e-18.

    Args:
        moved: what was read over ``(proved_block, pending_block]``.
    """
    return scaled(row.pending_amount) - scaled(row.proved_amount) - moved


def proved(row: AddressBalance) -> AddressBalance:
    """A row whose reading adds up; a difference that was there before has ended."""
    return replace(
        without_reading(row),
        state=PROVED,
        proved_block=row.pending_block,
        proved_amount=row.pending_amount,
        difference=None,
        gap_lower=None,
        gap_upper=None,
        since=None,
    )


def refuted(row: AddressBalance, difference: int, gap: Gap, now: datetime) -> AddressBalance:
    """A row whose reading does not add up; the reading stays, to be held against what is found later."""
    return replace(
        row,
        state=MISMATCH,
        difference=_amount(difference),
        gap_lower=gap.lower,
        gap_upper=gap.upper,
        since=now if row.since is None else row.since,
    )


def same_difference(row: AddressBalance, difference: int) -> bool:
    """Whether a mismatch is the one that is known already."""
    return row.state == MISMATCH and row.difference == _amount(difference)


def scaled(amount: Decimal | None) -> int:
    """An amount that is there, in units of 1e-18."""
    return to_scaled(amount) if amount is not None else 0


def _amount(difference: int) -> Decimal | None:
    try:
        return from_scaled(difference)
    except AmountError:
        # Beyond the 38 digits that a store can hold: the mismatch is told without its size.
        return None
