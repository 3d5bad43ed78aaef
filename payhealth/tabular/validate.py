"""From texts to rows: whole columns where they are in common form, one value at a time where not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.assets import normalise_hex
from payhealth.domain.errors import AmountError, InputError, TimeError
from payhealth.domain.money import parse_amount
from payhealth.domain.times import parse_moment
from payhealth.tabular.schema import MOMENT, MONEY, REJECTED, ROWS, Side, TableIn, Texts

_AMOUNT = r"^[+-]?[0-9]{1,20}(\.[0-9]{1,18})?$"
_UNSIGNED = r"^[0-9]{1,20}(\.[0-9]{1,18})?$"
_ZULU = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|\+00:00)$"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MAX_TEXT = 1024
_WHOLE_HEX = r"^0[xX][0-9a-fA-F]+$"


@dataclass(frozen=True, slots=True)
class Checked:
    """A column of good values (null where bad) and what is wrong with the bad ones, by ordinal."""

    values: pa.Array
    faults: dict[int, str]


def validate(texts: Texts, side: Side) -> TableIn:
    """Check every row of a side.

    Raises:
        InputError: a needed column is missing, or rows contradict one another under one id.
    """
    table = _with_columns(texts, side)
    checked = {
        "id": _identifiers(table["id"]),
        "kind": _kinds(table["kind"], side),
        "account": _names(table["account"], "account"),
        "reference": _names(table["reference"], "reference"),
        "amount": _amounts(table["amount"], side),
        "asset": _names(table["asset"], "asset", needed=True),
        "occurred_at": _moments(table["occurred_at"]),
    }
    faults: dict[int, list[str]] = {}
    for column in checked.values():
        for ordinal, fault in column.faults.items():
            faults.setdefault(ordinal, []).append(fault)
    rows = pa.table([checked[name].values for name in ROWS.names], schema=ROWS)
    good = np.ones(table.num_rows, dtype=bool)
    good[list(faults)] = False
    kept = _without_copies(rows, table, good, texts.file)
    return TableIn(rows=rows.filter(pa.array(kept)), rejected=_rejected(texts, table, faults))


def _with_columns(texts: Texts, side: Side) -> pa.Table:
    table = texts.table.rename_columns([name.strip() for name in texts.table.column_names])
    for name in side.required:
        if name not in table.column_names:
            found = ", ".join(table.column_names) or "nothing"
            raise InputError(f"{texts.file}: the column {name} is missing; it has {found}")
    for name in side.optional:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, nulls as empty texts, trimmed."""
    whole = pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
    return pc.utf8_trim_whitespace(pc.fill_null(whole.cast(pa.string()), ""))


def _identifiers(column: pa.ChunkedArray) -> Checked:
    return _text_column(column, "id", needed=True, normalise=False)


def _names(column: pa.ChunkedArray, name: str, *, needed: bool = False) -> Checked:
    return _text_column(column, name, needed=needed, normalise=True)


def _text_column(column: pa.ChunkedArray, name: str, *, needed: bool, normalise: bool) -> Checked:
    """Texts of bounded length without control characters; hexadecimal parts lose their case."""
    array = _one(column)
    if normalise:
        array = pc.if_else(pc.match_substring_regex(array, _WHOLE_HEX), pc.utf8_lower(array), array)
    odd = pc.or_(
        pc.match_substring_regex(array, r"[\x00-\x1f\x7f]"), pc.greater(pc.utf8_length(array), _MAX_TEXT)
    )
    if needed:
        odd = pc.or_(odd, pc.equal(array, ""))
    if normalise:
        inner = pc.and_(
            pc.match_substring_regex(array, r"0[xX]"), pc.invert(pc.match_substring_regex(array, _WHOLE_HEX))
        )
        odd = pc.or_(odd, inner)

    def check(text: str) -> str:
        if needed and not text:
            raise InputError(f"{name} is empty")
        if len(text) > _MAX_TEXT:
            raise InputError(f"{name} is longer than {_MAX_TEXT} characters")
        if _CONTROL.search(text):
            raise InputError(f"{name} holds a control character")
        return normalise_hex(text) if normalise else text

    return _replaced(array, odd, check)


def _replaced(array: pa.Array, odd: pa.Array, check: Callable[[str], Any]) -> Checked:
    """The array with its odd values checked and replaced."""
    ordinals = np.flatnonzero(np.asarray(odd))
    if not len(ordinals):
        return Checked(array, {})
    values, faults = _one_by_one(array, ordinals, check)
    replacement = pa.array(values, array.type)
    return Checked(pc.replace_with_mask(array, odd, replacement), faults)


def _one_by_one(
    array: pa.Array, ordinals: np.ndarray[Any, Any], check: Callable[[str], Any]
) -> tuple[list[Any], dict[int, str]]:
    values: list[Any] = []
    faults: dict[int, str] = {}
    for ordinal, text in zip(ordinals.tolist(), array.take(pa.array(ordinals)).to_pylist(), strict=True):
        try:
            values.append(check(text))
        except InputError as error:
            faults[ordinal] = error.message
            values.append(None)
    return values, faults


def _kinds(column: pa.ChunkedArray, side: Side) -> Checked:
    array = _one(column)
    if side.default_kind is not None:
        array = pc.if_else(pc.equal(array, ""), side.default_kind, array)
    if side.kinds is None:
        return _text_column(pa.chunked_array([array]), "kind", needed=True, normalise=False)
    valid = sorted(side.kinds)

    def check(text: str) -> str:
        raise InputError(
            f"unknown kind {text[:40]!r}; valid are {', '.join(valid)}" if text else "kind is empty"
        )

    return _replaced(array, pc.invert(pc.is_in(array, pa.array(valid))), check)


def _amounts(column: pa.ChunkedArray, side: Side) -> Checked:
    """Exact decimals; whatever is not plainly one is read by the domain's own parser."""
    array = _one(column)
    odd = pc.invert(pc.match_substring_regex(array, _AMOUNT if side.signed else _UNSIGNED))
    plain = pc.if_else(odd, "0", array)
    amounts = plain.cast(MONEY)

    def check(text: str) -> Any:
        if not side.signed and text[:1] in ("+", "-"):
            raise AmountError(f"an amount of {side.name} carries no sign: {text[:40]!r}")
        if not text:
            raise AmountError("amount is empty")
        return parse_amount(text)

    return _typed(amounts, array, odd, check, MONEY)


def _moments(column: pa.ChunkedArray) -> Checked:
    """Moments in UTC to the microsecond."""
    array = _one(column)
    odd = pc.invert(pc.match_substring_regex(array, _ZULU))
    texts = pc.if_else(odd, "1970-01-01T00:00:00Z", array)
    try:
        moments = texts.cast(MOMENT)
    except pa.ArrowInvalid:  # a 30th of February and its like: let each value tell
        odd = pc.fill_null(pc.or_(odd, True), True)
        moments = pa.nulls(len(array), MOMENT)

    def check(text: str) -> Any:
        if not text:
            raise TimeError("occurred_at is empty")
        return parse_moment(text)

    return _typed(moments, array, odd, check, MOMENT)


def _typed(
    values: pa.Array, texts: pa.Array, odd: pa.Array, check: Callable[[str], Any], kind: pa.DataType
) -> Checked:
    """Values of common form, with the odd ones read from their texts."""
    ordinals = np.flatnonzero(np.asarray(odd))
    if not len(ordinals):
        return Checked(values, {})
    read, faults = _one_by_one(texts, ordinals, check)
    return Checked(pc.replace_with_mask(values, odd, pa.array(read, kind)), faults)


def _without_copies(
    rows: pa.Table, table: pa.Table, good: np.ndarray[Any, Any], file: str
) -> np.ndarray[Any, Any]:
    """Which rows to keep: good ones, the first of identical ones.

    Raises:
        InputError: two good rows share an id and are not identical.
    """
    identifiers = pc.if_else(pa.array(good), rows["id"], None)
    counted = identifiers.value_counts().to_pylist()
    repeated = [row["values"] for row in counted if row["counts"] > 1 and row["values"] is not None]
    if not repeated:
        return good
    kept = good.copy()
    places = np.flatnonzero(np.asarray(pc.fill_null(pc.is_in(identifiers, pa.array(repeated)), False)))
    seen: dict[str, dict[str, Any]] = {}
    contradicting: dict[str, None] = {}
    ids = identifiers.take(pa.array(places)).to_pylist()
    for place, identifier, row in zip(
        places.tolist(), ids, table.take(pa.array(places)).to_pylist(), strict=True
    ):
        if identifier not in seen:
            seen[identifier] = row
            continue
        kept[place] = False
        if seen[identifier] != row:
            contradicting[identifier] = None
    _refuse(list(contradicting), file)
    return kept


def _refuse(contradicting: Sequence[str], file: str) -> None:
    if contradicting:
        named = ", ".join(contradicting[:10])
        more = f" and {len(contradicting) - 10} more" if len(contradicting) > 10 else ""
        raise InputError(
            f"{file}: rows that differ share an id: {named}{more}",
            hint="an id must be unique inside its file; identical rows count once",
        )


def _rejected(texts: Texts, table: pa.Table, faults: dict[int, list[str]]) -> pa.Table:
    """The bad rows: those without fields, and those whose fields are wrong."""
    listed = list(texts.rejected)
    places = _places(texts, table, sorted(faults))
    for ordinal in sorted(faults):
        line, raw = places[ordinal]
        listed.append((line, "; ".join(faults[ordinal]), raw))
    listed.sort(key=lambda row: row[0])
    columns = list(zip(*((texts.file, *row) for row in listed), strict=True)) or [(), (), (), ()]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, REJECTED, strict=True)],
        schema=REJECTED,
    )


def _places(texts: Texts, table: pa.Table, ordinals: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Line and raw text of some rows."""
    if not ordinals:
        return {}
    if texts.lines is None:
        from payhealth.tabular.delimited import locate

        return locate(texts.content, ordinals)
    raws = texts.raws
    if raws is None:
        taken = table.take(pa.array(ordinals)).to_pylist()
        shown = [",".join(value or "" for value in row.values()) for row in taken]
    else:
        shown = [raws[ordinal] for ordinal in ordinals]
    return {ordinal: (texts.lines[ordinal], text) for ordinal, text in zip(ordinals, shown, strict=True)}
