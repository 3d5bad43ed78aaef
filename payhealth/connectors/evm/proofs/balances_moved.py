"""By how much what was read moves balances: exact sums over stretches of blocks, by whole columns.

An amount is four limbs of 32 bits in 64-bit sums, so that no sum of fewer than two thousand million rows can
overflow, and none is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from payhealth.connectors.evm.proofs.balances import Universe
from payhealth.domain.chain_records import TransactionFee, TransferObservation
from payhealth.domain.money import PRECISION, SCALE
from payhealth.domain.records import Movement, MovementKind, MovementStatus, Rail

if TYPE_CHECKING:
    import pyarrow as pa

    from payhealth.ports import StoreReader

Span = tuple[int, int]
"""Blocks ``(lower, upper]``."""

_LIMBS = 4
_STANDING = (MovementStatus.SEEN.value, MovementStatus.SAFE.value, MovementStatus.FINAL.value)
_BLOCKS_AT_FIRST = 20_000
_MOST_BLOCKS = 5_000_000
_FEW_ROWS = 20_000
_MANY_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Effects:
    """What moves balances, a row an effect: pair, block, and signed limbs of the amount, lowest first."""

    pairs: np.ndarray[Any, np.dtype[np.int64]]
    blocks: np.ndarray[Any, np.dtype[np.int64]]
    limbs: np.ndarray[Any, np.dtype[np.int64]]

    def where(self, keep: np.ndarray[Any, Any]) -> Effects:
        """Some of the rows, or all in another order."""
        return Effects(self.pairs[keep], self.blocks[keep], self.limbs[keep])


class History:
    """What moved one pair, block by block.

    Args:
        effects: of this pair alone.
    """

    def __init__(self, effects: Effects) -> None:
        ordered = effects.where(np.argsort(effects.blocks, kind="stable"))
        self._blocks = ordered.blocks
        self._sums = np.cumsum(ordered.limbs, axis=0)

    def until(self, block: int) -> int:
        """The sum of all effects up to a block, it included, in units of 1e-18."""
        count = int(np.searchsorted(self._blocks, block, side="right"))
        return _joined(self._sums[count - 1]) if count else 0


class Moved:
    """Sums of what the store holds of one chain.

    Args:
        connector: whose records.
    """

    def __init__(self, reader: StoreReader, connector: str, universe: Universe) -> None:
        self._reader = reader
        self._connector = connector
        self._universe = universe
        self._coins = {
            asset: at for asset, at in universe.asset_at.items() if universe.refs[at].contract is None
        }

    def last_touched(self, span: Span) -> dict[int, int]:
        """Pair -> the last block of a stretch that moved it."""
        found: dict[int, int] = {}
        for effects in self._effects(span):
            pairs, inverse = np.unique(effects.pairs, return_inverse=True)
            last = np.zeros(len(pairs), dtype=np.int64)
            np.maximum.at(last, inverse, effects.blocks)
            found.update(zip(pairs.tolist(), last.tolist(), strict=True))
        return found

    def sums(self, spans: Mapping[int, Span]) -> dict[int, int]:
        """Pair -> by how much it moved over its own stretch, in units of 1e-18."""
        bounds = _Bounds(spans)
        totals = np.zeros((len(spans), _LIMBS), dtype=np.int64)
        for stretch in _merged(spans.values()):
            for effects in self._effects(stretch):
                at, inside = bounds.inside(effects)
                np.add.at(totals, at[inside], effects.limbs[inside])
        return {pair: _joined(row) for pair, row in zip(bounds.pairs.tolist(), totals, strict=True)}

    def histories(self, spans: Mapping[int, Span]) -> dict[int, History]:
        """Pair -> what moved it over its own stretch, block by block."""
        bounds = _Bounds(spans)
        parts: list[Effects] = []
        for stretch in _merged(spans.values()):
            for effects in self._effects(stretch):
                _, inside = bounds.inside(effects)
                parts.append(effects.where(inside))
        whole = _concatenated(parts)
        return {pair: History(whole.where(whole.pairs == pair)) for pair in spans}

    def _effects(self, span: Span) -> Iterator[Effects]:
        """The effects of ``(lower, upper]``, so many blocks at a time that memory stays bounded."""
        lower, upper, blocks = span[0] + 1, span[1] + 1, _BLOCKS_AT_FIRST
        while lower < upper:
            until = min(upper, lower + blocks)
            rows, effects = self._stretch(lower, until)
            if len(effects.pairs):
                yield effects
            lower = until
            if rows < _FEW_ROWS:
                blocks = min(_MOST_BLOCKS, 2 * blocks)
            elif rows > _MANY_ROWS:
                blocks = max(1, blocks // 2)

    def _stretch(self, lower: int, upper: int) -> tuple[int, Effects]:
        """The effects of ``[lower, upper)``, and how many rows were read for them."""
        movements, ignored, fees = (
            self._reader.between(kind, self._connector, "block_number", lower, upper)
            for kind in (Movement, TransferObservation, TransactionFee)
        )
        rows = movements.num_rows + ignored.num_rows + fees.num_rows
        standing = _standing(movements)
        beside = _moved_though_ignored(ignored, standing)
        paid = _paid(fees)
        parts = [self._side(table, "recipient", 1) for table in (standing, beside)]
        parts += [self._side(table, "sender", -1) for table in (standing, beside)]
        parts.append(self._side(paid, "payer", -1, only=self._coins))
        return rows, _concatenated(parts)

    def _side(
        self, table: pa.Table, column: str, sign: int, *, only: Mapping[str, int] | None = None
    ) -> Effects:
        address = _positions(table[column], self._universe.address_at)
        asset = _positions(table["asset"], self._universe.asset_at if only is None else only)
        keep = (address >= 0) & (asset >= 0)
        pairs = address[keep] * len(self._universe.assets) + asset[keep]
        blocks = np.asarray(table["block_number"].to_numpy(zero_copy_only=False), dtype=np.int64)[keep]
        return Effects(pairs, blocks, sign * _limbs(table["amount"])[keep])


class _Bounds:
    """The stretches of pairs, side by side."""

    def __init__(self, spans: Mapping[int, Span]) -> None:
        self.pairs = np.array(sorted(spans), dtype=np.int64)
        ordered = [spans[pair] for pair in self.pairs.tolist()]
        self._lower = np.array([lower for lower, _ in ordered], dtype=np.int64)
        self._upper = np.array([upper for _, upper in ordered], dtype=np.int64)

    def inside(self, effects: Effects) -> tuple[Any, Any]:
        """The place of each effect's pair, and which effects lie in their pair's own stretch."""
        at = np.minimum(np.searchsorted(self.pairs, effects.pairs), len(self.pairs) - 1)
        keep = self.pairs[at] == effects.pairs
        keep &= (self._lower[at] < effects.blocks) & (effects.blocks <= self._upper[at])
        return at, keep


def _standing(movements: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    keep = pc.and_(
        pc.and_(
            pc.equal(movements["rail"], Rail.CHAIN.value),
            pc.not_equal(movements["kind"], MovementKind.RETRACTION.value),
        ),
        pc.is_in(movements["status"], value_set=pa.array(_STANDING)),
    )
    return movements.filter(keep)


def _moved_though_ignored(ignored: pa.Table, standing: pa.Table) -> pa.Table:
    """What does not count as a payment and moved the asset all the same, such as dust."""
    import pyarrow.compute as pc

    keep = pc.and_(
        pc.and_(ignored["canonical"], pc.is_valid(ignored["ignored_reason"])),
        # A threshold that was lowered makes a movement of what was dust before: it counts once.
        pc.invert(pc.is_in(ignored["movement_id"], value_set=standing["movement_id"].combine_chunks())),
    )
    return ignored.filter(keep)


def _paid(fees: pa.Table) -> pa.Table:
    return fees.filter(fees["canonical"])


def _positions(column: pa.ChunkedArray, known: Mapping[str, int]) -> Any:
    """The place of each value among the known ones, -1 for others; asked once a distinct value."""
    encoded = column.combine_chunks().dictionary_encode()
    places = np.array(
        [known.get(value, -1) for value in encoded.dictionary.to_pylist()] + [-1], dtype=np.int64
    )
    # A null points at the last place, which is nobody's.
    indices = encoded.indices.fill_null(len(places) - 1).to_numpy(zero_copy_only=False)
    return places[indices]


def _limbs(amounts: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    whole = amounts.cast(pa.decimal128(PRECISION, SCALE)).combine_chunks()
    if not len(whole):
        return np.zeros((0, _LIMBS), dtype=np.int64)
    words = np.frombuffer(whole.buffers()[1], dtype="<u4").reshape(-1, _LIMBS)
    limbs = words[whole.offset : whole.offset + len(whole)].astype(np.int64)
    # The highest limb carries the sign of a two's complement.
    limbs[:, -1] = limbs[:, -1].astype(np.int32)
    return limbs


def _joined(limbs: Any) -> int:
    return sum(int(limb) << (32 * place) for place, limb in enumerate(limbs))


def _merged(spans: Any) -> list[Span]:
    found: list[Span] = []
    for lower, upper in sorted(spans):
        if lower >= upper:
            continue
        if found and lower <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], upper))
        else:
            found.append((lower, upper))
    return found


def _concatenated(parts: Sequence[Effects]) -> Effects:
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Effects(none, none, np.zeros((0, _LIMBS), dtype=np.int64))
    return Effects(
        np.concatenate([part.pairs for part in parts]),
        np.concatenate([part.blocks for part in parts]),
        np.concatenate([part.limbs for part in parts]),
    )
