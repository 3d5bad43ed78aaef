"""Transfers as columns, whatever they came from: logs, transactions, traces, withdrawals. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.connectors.evm.reading.book import MINT, WITHDRAWAL, Book
from payhealth.connectors.evm.wire import columns
from payhealth.connectors.evm.wire.columns import LogColumns
from payhealth.connectors.evm.wire.values import Transfer
from payhealth.domain.errors import AmountError
from payhealth.domain.money import from_units
from payhealth.domain.records import MovementKind

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Transfers of registered assets to or from us, as columns of equal length.

    Args:
        asset: CAIP-19 ids.
        amount: ``decimal128(38, 18)``.
        position: ``<log index>``, ``native``, ``mint``, ``trace:<path>`` or ``withdrawal:<index>``.
        transaction_hash: empty for a withdrawal.
    """

    asset: pa.StringArray
    symbol: pa.StringArray
    amount: pa.Decimal128Array
    sender: pa.StringArray
    recipient: pa.StringArray
    transaction_hash: pa.StringArray
    position: pa.StringArray
    block_hash: pa.StringArray
    block_number: pa.Int64Array

    def __len__(self) -> int:
        return len(self.asset)

    @classmethod
    def of_logs(cls, logs: LogColumns, book: Book) -> tuple[Self, list[tuple[int, str]]]:
        """Token logs of registered contracts as moves.

        Returns:
            The moves, and the rows whose amount cannot be represented with the reason; those are left out.
        """
        decimals = {token: asset.decimals for token, asset in book.assets.items() if token}
        amount, refused = columns.amounts(logs, decimals)
        coded = logs.token.dictionary_encode()
        known = [book.assets[token] for token in coded.dictionary.to_pylist()]
        made = cls(
            asset=_coded(coded, [asset.caip19 for asset in known]),
            symbol=_coded(coded, [asset.symbol for asset in known]),
            amount=amount,
            sender=logs.sender,
            recipient=logs.recipient,
            transaction_hash=logs.transaction_hash,
            position=pc.cast(pa.array(logs.log_index), pa.string()),
            block_hash=logs.block_hash,
            block_number=pa.array(logs.block_number, pa.int64()),
        )
        if not refused:
            return made, []
        keep = np.ones(len(made), dtype=np.bool_)
        keep[[row for row, _ in refused]] = False
        return made.where(keep), refused

    @classmethod
    def of_transfers(
        cls, transfers: Sequence[Transfer], book: Book
    ) -> tuple[Self, list[tuple[Transfer, str]]]:
        """Single transfers of registered assets as moves, and those whose amount cannot be represented."""
        kept: list[tuple[Transfer, Decimal]] = []
        refused: list[tuple[Transfer, str]] = []
        for transfer in transfers:
            try:
                kept.append((transfer, from_units(transfer.units, book.assets[transfer.token].decimals)))
            except AmountError as error:
                refused.append((transfer, str(error)))
        rows = [transfer for transfer, _ in kept]
        texts: dict[str, list[str]] = {
            "asset": [book.assets[row.token].caip19 for row in rows],
            "symbol": [book.assets[row.token].symbol for row in rows],
            **{
                name: [getattr(row, name) for row in rows]
                for name in ("sender", "recipient", "transaction_hash", "position", "block_hash")
            },
        }
        made = cls(
            **{name: pa.array(values, pa.string()) for name, values in texts.items()},
            amount=pa.array([amount for _, amount in kept], columns.DECIMAL),
            block_number=pa.array([row.block_number for row in rows], pa.int64()),
        )
        return made, refused

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several, one after the other."""
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if len(filled) == 1:
            return filled[0]
        return cls(
            **{
                field.name: pa.concat_arrays([getattr(part, field.name) for part in filled])
                for field in fields(cls)
            }
        )

    def where(self, keep: Mask) -> Self:
        """The rows whose flag is set."""
        if keep.all():
            return self
        mask = pa.array(keep)
        return type(self)(**{field.name: getattr(self, field.name).filter(mask) for field in fields(self)})

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a row: for the few that are looked at one by one."""
        table = pa.table({field.name: getattr(self, field.name) for field in fields(self)})
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def natural_ids(self, chain: str) -> pa.StringArray:
        """``<chain>:<transaction hash>:<position>``; a withdrawal has no transaction."""
        ids = pc.binary_join_element_wise(pa.scalar(chain), self.transaction_hash, self.position, ":")
        without = pc.equal(self.transaction_hash, "")
        if not pc.any(without).as_py():
            return ids
        return pc.if_else(without, pc.binary_join_element_wise(pa.scalar(chain), self.position, ":"), ids)

    def kinds(self, book: Book) -> pa.StringArray:
        """What each row is: as :func:`~payhealth.connectors.evm.reading.book.kind_of`, by column."""
        from_us = pa.array(among(self.sender, book.ours))
        to_us = pa.array(among(self.recipient, book.ours))
        given = pc.or_(pc.equal(self.position, MINT), pc.starts_with(self.position, WITHDRAWAL))
        funded = pc.or_(given, pa.array(among(self.sender, book.operators)))
        own = pc.if_else(to_us, str(MovementKind.INTERNAL), str(MovementKind.OUTGOING))
        others = pc.if_else(funded, str(MovementKind.FUNDING), str(MovementKind.TRANSFER))
        return pc.if_else(given, str(MovementKind.FUNDING), pc.if_else(from_us, own, others))

    def dust(self, kinds: pa.StringArray, least: Mapping[str, Decimal]) -> Mask:
        """Which deposits lie below their asset's threshold."""
        small = np.zeros(len(self), dtype=np.bool_)
        deposit = np.asarray(pc.equal(kinds, str(MovementKind.TRANSFER)))
        for asset, bound in least.items():
            below = pc.less(self.amount, pa.scalar(bound, columns.DECIMAL))
            small |= deposit & np.asarray(pc.equal(self.asset, asset)) & np.asarray(below)
        return small


def among(column: pa.StringArray, known: Container[str]) -> Mask:
    """Which values are among some: Arrow would index the known ones anew at every call."""
    return np.fromiter((value in known for value in column.to_pylist()), np.bool_, len(column))


def concerning(logs: LogColumns, watched: Container[str]) -> LogColumns:
    """The logs with an end among some addresses."""
    keep = among(logs.recipient, watched) | among(logs.sender, watched)
    return logs if keep.all() else columns.selected(logs, keep)


def _coded(coded: pa.DictionaryArray, values: Sequence[str]) -> pa.StringArray:
    return pa.array(list(values), pa.string()).take(coded.indices)
