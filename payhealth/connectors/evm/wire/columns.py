"""Many ERC-20 transfer logs into columns: the hot path of a backfill. Pure.

A log's words have fixed widths, so that a chunk of them is joined into one text, checked as a table of
bytes, and cut by column. A chunk with anything unusual in it is read one log at a time by
:func:`~payhealth.connectors.evm.wire.values.transfer_of_log` instead: what a log means, and why one is
refused, is decided in one place only.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from payhealth.connectors.evm.wire.values import (
    TRANSFER,
    Transfer,
    WireError,
    quantity,
    transfer_of_log,
)
from payhealth.domain.errors import AmountError
from payhealth.domain.money import MAX_SCALED, PRECISION, SCALE, from_units, to_scaled

DECIMAL = pa.decimal128(PRECISION, SCALE)

_CHUNK = 2048
"""Logs that are checked together; one bad log costs the slow path for so many."""
_HASH_CHARS = 66
_ADDRESS_CHARS = 42
_PADDING_CHARS = 24
_FIELDS = itemgetter("address", "topics", "data", "blockNumber", "blockHash", "transactionHash", "logIndex")
_REMOVED = methodcaller("get", "removed")
_STANDS = (None, False)
"""A log that says anything else than this of ``removed`` must not pass for one that stands."""
_HEX = "0123456789abcdef"
_LOWER = bytes(ord(chr(byte).lower()) if chr(byte) in _HEX + _HEX.upper() + "x" else 0 for byte in range(256))
"""Hexadecimal digits in lower case, the x of the prefix as itself, zero for everything else."""
_LARGEST = 2**63 - 1
_LOW_HALF = np.uint64(0xFFFFFFFF)
_HALF_BITS = np.uint64(32)
_NO_DECIMALS = "no decimals are known for token"

_Bytes = npt.NDArray[np.uint8]
_Words = npt.NDArray[np.uint64]
_Integers = npt.NDArray[np.int64]


class _UnusualError(Exception):
    """The chunk holds something that only the slow path can judge."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogColumns:
    """Transfers as columns of equal length, in the order of the logs.

    Args:
        token: the contract, lower case (Arrow string); sender and recipient likewise.
        units: shape (rows, 4), unsigned 64-bit limbs of the amount in the asset's smallest unit, the
            most significant first: all 256 bits, exact.
        block_hash: lower case (Arrow string); transaction_hash likewise.
        any_removed: a node marked one of the logs as removed by a reorg; the rows are kept.
    """

    token: pa.StringArray
    sender: pa.StringArray
    recipient: pa.StringArray
    units: _Words
    block_number: _Integers
    block_hash: pa.StringArray
    transaction_hash: pa.StringArray
    log_index: _Integers
    any_removed: bool

    def __len__(self) -> int:
        return len(self.log_index)


def log_columns(raws: Sequence[Any]) -> tuple[LogColumns, list[tuple[Any, str]]]:
    """Read many ERC-20 ``Transfer`` logs.

    Args:
        raws: JSON objects as a node sends them; at most about 30 million, the room of an Arrow string
            column.

    Returns:
        The logs that are such transfers, and each of the others with the reason that
        :func:`transfer_of_log` gives (or that a number in it exceeds 63 bits).
    """
    seen: dict[str, int] = {}
    parts: list[LogColumns] = []
    refused: list[tuple[Any, str]] = []
    for start in range(0, len(raws), _CHUNK):
        chunk = raws[start : start + _CHUNK]
        try:
            parts.append(_by_column(chunk, seen))
        except _UnusualError:
            kept, bad = _one_by_one(chunk)
            parts.append(kept)
            refused += bad
    return joined(parts), refused


def joined(parts: Sequence[LogColumns]) -> LogColumns:
    """The rows of several columns, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _of_transfers([], any_removed=False)
    columns: dict[str, Any] = {}
    for field in fields(LogColumns):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "any_removed":
            columns[field.name] = any(values)
        elif isinstance(values[0], np.ndarray):
            columns[field.name] = np.concatenate(values)
        else:
            columns[field.name] = pa.concat_arrays(values)
    return LogColumns(**columns)


def selected(columns: LogColumns, keep: npt.NDArray[np.bool_]) -> LogColumns:
    """The rows whose flag is set; ``any_removed`` stays as it is."""
    mask = pa.array(keep)
    chosen: dict[str, Any] = {"any_removed": columns.any_removed}
    for field in fields(LogColumns):
        value = getattr(columns, field.name)
        if isinstance(value, np.ndarray):
            chosen[field.name] = value[keep]
        elif field.name not in chosen:
            chosen[field.name] = value.filter(mask)
    return LogColumns(**chosen)


def units_at(columns: LogColumns, row: int) -> int:
    """One row's amount in the asset's smallest unit."""
    units = 0
    for limb in columns.units[row].tolist():
        units = units << 64 | limb
    return units


def amounts(
    columns: LogColumns, decimals_by_token: Mapping[str, int]
) -> tuple[pa.Decimal128Array, list[tuple[int, str]]]:
    """The exact amounts, in units of each row's token.

    Args:
        decimals_by_token: contract, lower case -> digits of its smallest unit, 0 to 77.

    Returns:
        ``decimal128(38, 18)`` with null in the rows that are refused, and those rows' positions with
        the reason that :func:`~payhealth.domain.money.from_units` gives: more than 18 digits after the
        point, or outside 38 digits. Nothing is rounded or wrapped.
    """
    encoded = columns.token.dictionary_encode()
    tokens: list[str] = encoded.dictionary.to_pylist()
    token_at = encoded.indices.to_numpy()
    known = [decimals_by_token.get(token) for token in tokens]
    # Up to 18 decimals an amount is its units times a power of ten. The few tokens with more, and the
    # amounts that would leave the domain, are left to the one place that knows the rule.
    simple = [decimals is not None and 0 <= decimals <= SCALE for decimals in known]
    factors = [
        10 ** (SCALE - (decimals or 0)) if ok else 0 for decimals, ok in zip(known, simple, strict=True)
    ]
    factor = np.array(factors, np.uint64)[token_at]
    fits = np.array(simple, np.bool_)[token_at] & _fits(columns.units, factors, token_at)
    scaled = np.zeros((len(columns), 2), "<u8")
    low, high = columns.units[:, 3], columns.units[:, 2]
    scaled[:, 0] = low * factor
    scaled[:, 1] = _high_product(low, factor) + high * factor
    refused: list[tuple[int, str]] = []
    for row in np.flatnonzero(~fits).tolist():
        token = tokens[token_at[row]]
        exact = _exact(units_at(columns, row), decimals_by_token.get(token), token)
        if isinstance(exact, str):
            refused.append((row, exact))
            scaled[row] = 0
        else:
            scaled[row] = (exact & (2**64 - 1), exact >> 64)
            fits[row] = True
    validity = pa.py_buffer(np.packbits(fits, bitorder="little").tobytes()) if refused else None
    values = pa.Array.from_buffers(DECIMAL, len(columns), [validity, pa.py_buffer(scaled)])
    return values, refused


def _by_column(raws: Sequence[Any], seen: dict[str, int]) -> LogColumns:
    """Read a chunk in which every log is as it should be.

    Args:
        seen: quantities that were read before; blocks and log indexes repeat.

    Raises:
        _UnusualError: one of them is not.
    """
    try:
        address, topics, data, number, block, transaction, index = zip(*map(_FIELDS, raws), strict=True)
        if set(map(type, topics)) != {list} or set(map(len, topics)) != {3}:
            raise _UnusualError
        event, sender, recipient = zip(*topics, strict=True)
        if set(event) != {TRANSFER}:
            raise _UnusualError
        for quoted in {*number, *index} - seen.keys():
            seen[quoted] = quantity(quoted, "")
        return LogColumns(
            token=_strings(_table(address, _ADDRESS_CHARS)),
            sender=_strings(_unpadded(_table(sender, _HASH_CHARS))),
            recipient=_strings(_unpadded(_table(recipient, _HASH_CHARS))),
            units=_limbs(_table(data, _HASH_CHARS)),
            block_number=np.array([seen[quoted] for quoted in number], np.int64),
            block_hash=_strings(_table(block, _HASH_CHARS)),
            transaction_hash=_strings(_table(transaction, _HASH_CHARS)),
            log_index=np.array([seen[quoted] for quoted in index], np.int64),
            any_removed=not set(map(_REMOVED, raws)).issubset(_STANDS),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _UnusualError from error


def _one_by_one(raws: Sequence[Any]) -> tuple[LogColumns, list[tuple[Any, str]]]:
    transfers: list[Transfer] = []
    kept: list[Any] = []
    refused: list[tuple[Any, str]] = []
    for raw in raws:
        try:
            transfer = _bounded(transfer_of_log(raw))
        except WireError as error:
            refused.append((raw, str(error)))
            continue
        transfers.append(transfer)
        kept.append(raw)
    return _of_transfers(transfers, any_removed=any(_REMOVED(raw) not in _STANDS for raw in kept)), refused


def _bounded(transfer: Transfer) -> Transfer:
    if transfer.block_number > _LARGEST:
        raise WireError("blockNumber exceeds 63 bits")
    if int(transfer.position) > _LARGEST:
        raise WireError("logIndex exceeds 63 bits")
    return transfer


def _of_transfers(transfers: Sequence[Transfer], *, any_removed: bool) -> LogColumns:
    words = b"".join(transfer.units.to_bytes(32, "big") for transfer in transfers)
    return LogColumns(
        token=pa.array([transfer.token for transfer in transfers], pa.string()),
        sender=pa.array([transfer.sender for transfer in transfers], pa.string()),
        recipient=pa.array([transfer.recipient for transfer in transfers], pa.string()),
        units=np.frombuffer(words, ">u8").reshape(-1, 4).astype(np.uint64),
        block_number=np.array([transfer.block_number for transfer in transfers], np.int64),
        block_hash=pa.array([transfer.block_hash for transfer in transfers], pa.string()),
        transaction_hash=pa.array([transfer.transaction_hash for transfer in transfers], pa.string()),
        log_index=np.array([int(transfer.position) for transfer in transfers], np.int64),
        any_removed=any_removed,
    )


def _table(values: Sequence[str], width: int) -> _Bytes:
    """Hexadecimal texts of one width with their prefix, in lower case, as a table of bytes."""
    if set(map(len, values)) != {width}:
        raise _UnusualError
    text = "".join(values).encode("ascii").translate(_LOWER)
    table = np.frombuffer(text, np.uint8).reshape(-1, width)
    prefixed = (table[:, 0] == ord("0")).all() and (table[:, 1] == ord("x")).all()
    if not prefixed or b"\0" in text or text.count(b"x") != len(values):
        raise _UnusualError
    return table


def _unpadded(table: _Bytes) -> _Bytes:
    if (table[:, 2 : 2 + _PADDING_CHARS] != ord("0")).any():
        raise _UnusualError
    return np.concatenate([table[:, :2], table[:, 2 + _PADDING_CHARS :]], axis=1)


def _strings(table: _Bytes) -> pa.StringArray:
    rows, width = table.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(table)))


def _limbs(table: _Bytes) -> _Words:
    return np.frombuffer(unhexlify(table[:, 2:].tobytes()), ">u8").reshape(-1, 4).astype(np.uint64)


def _fits(units: _Words, factors: Sequence[int], token_at: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which units, times their token's factor, stay inside 38 digits."""
    bounds = [MAX_SCALED // factor if factor else 0 for factor in factors]
    bound_high = np.array([bound >> 64 for bound in bounds], np.uint64)[token_at]
    bound_low = np.array([bound & (2**64 - 1) for bound in bounds], np.uint64)[token_at]
    high, low = units[:, 2], units[:, 3]
    inside = (high < bound_high) | ((high == bound_high) & (low <= bound_low))
    found: npt.NDArray[np.bool_] = inside & (units[:, 0] == 0) & (units[:, 1] == 0)
    return found


def _high_product(left: _Words, right: _Words) -> _Words:
    """The upper 64 bits of products of 64 by 64 bits, by halves so that nothing overflows."""
    left_low, left_high = left & _LOW_HALF, left >> _HALF_BITS
    right_low, right_high = right & _LOW_HALF, right >> _HALF_BITS
    middle = left_high * right_low + (left_low * right_low >> _HALF_BITS)
    other = left_low * right_high + (middle & _LOW_HALF)
    product: _Words = left_high * right_high + (middle >> _HALF_BITS) + (other >> _HALF_BITS)
    return product


def _exact(units: int, decimals: int | None, token: str) -> int | str:
    """The amount in units of 1e-18, or why there is none."""
    if decimals is None:
        return f"{_NO_DECIMALS} {token}"
    try:
        return to_scaled(from_units(units, decimals))
    except AmountError as error:
        return str(error)
