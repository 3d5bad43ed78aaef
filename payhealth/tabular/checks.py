"""Checks of whole columns, in three steps of rising cost.

A quick look proves a clean column; kernels pick out the odd values where it does not; the domain's own
parsers read those one by one. Only the last of them can call a value wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.assets import normalise_hex
from payhealth.domain.errors import InputError
from payhealth.tabular import buffers
from payhealth.tabular.schema import Side

MAX_TEXT = 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_HAS_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f]"
_WHOLE_HEX = r"^0[xX][0-9a-fA-F]+$"


@dataclass(frozen=True, slots=True)
class Checked:
    """A column of good values (null where bad) and what is wrong with the bad ones, by ordinal."""

    values: pa.Array
    faults: dict[int, str]


def as_texts(column: pa.Array) -> pa.StringArray:
    """A column as texts, nulls as empty ones."""
    texts = column if pa.types.is_string(column.type) else column.cast(pa.string())
    return pc.fill_null(texts, "") if texts.null_count else texts


def trimmed(column: pa.Array) -> pa.StringArray:
    """Texts without blanks around them."""
    texts = as_texts(column)
    return texts if _is_printable(texts) else pc.utf8_trim_whitespace(texts)


def _is_printable(texts: pa.StringArray) -> bool:
    """Whether there are but printable ASCII letters and no blank: then nothing has to be trimmed."""
    return buffers.between(buffers.bytes_of(texts), 0x21, 0x7E)


def replaced(texts: pa.Array, odd: pa.Array, check: Callable[[str], Any]) -> Checked:
    """The texts with their odd ones checked and replaced."""
    return typed(texts, texts, odd, check)


def typed(values: pa.Array, texts: pa.StringArray, odd: pa.Array, check: Callable[[str], Any]) -> Checked:
    """Values with the odd ones read from their texts; each different text is read once."""
    ordinals = np.flatnonzero(np.asarray(odd))
    if not len(ordinals):
        return Checked(values, {})
    coded = texts.take(pa.array(ordinals)).dictionary_encode()
    codes = coded.indices.to_numpy()
    read: list[Any] = []
    wrong: dict[int, str] = {}
    for code, text in enumerate(coded.dictionary.to_pylist()):
        try:
            read.append(check(text))
        except InputError as error:
            wrong[code] = error.message
            read.append(None)
    fresh = pa.array(read, values.type).take(coded.indices)
    bad = np.flatnonzero(np.isin(codes, list(wrong))) if wrong else ()
    faults = {int(ordinals[place]): wrong[int(codes[place])] for place in bad}
    return Checked(pc.replace_with_mask(values, odd, fresh), faults)


def identifiers(column: pa.Array) -> Checked:
    """Ids: any case is kept, none is empty."""
    return _texts(column, "id", needed=True, normalise=False)


def names(column: pa.Array, name: str) -> Checked:
    """Accounts and references: hexadecimal parts lose their case, empty ones are fine."""
    return _texts(column, name, needed=False, normalise=True)


def assets(column: pa.Array) -> Checked:
    """Assets: there are few different ones, so each is looked at once."""
    return _few(as_texts(column), lambda text: _text(text, "asset", needed=True, normalise=True))


def kinds(column: pa.Array, side: Side) -> Checked:
    """Kinds: one of the side's, or any where it names none."""

    def check(raw: str) -> str:
        text = raw.strip() or side.default_kind or ""
        if not text:
            raise InputError("kind is empty")
        if side.kinds is not None and text not in side.kinds:
            raise InputError(f"unknown kind {text[:40]!r}; valid are {', '.join(sorted(side.kinds))}")
        return _text(text, "kind", needed=True, normalise=False)

    return _few(as_texts(column), check)


def _few(texts: pa.StringArray, check: Callable[[str], str]) -> Checked:
    """A column in which values repeat; it is given back as it is where every value is already right."""
    coded = texts.dictionary_encode()
    odd = [_changes(text, check) for text in coded.dictionary.to_pylist()]
    if not any(odd):
        return Checked(texts, {})
    return replaced(texts, pa.array(odd, pa.bool_()).take(coded.indices), check)


def _changes(text: str, check: Callable[[str], str]) -> bool:
    try:
        return check(text) != text
    except InputError:
        return True


def _texts(column: pa.Array, name: str, *, needed: bool, normalise: bool) -> Checked:
    """Texts of bounded length without control characters."""
    texts = trimmed(column)
    size = buffers.lengths(texts)
    odd = pa.array(size > MAX_TEXT)
    if needed:
        odd = pc.or_(odd, pa.array(size == 0))
    if not _is_printable(texts):
        odd = pc.or_(odd, pc.match_substring_regex(texts, _HAS_CONTROL))
    if normalise and buffers.may_hold_upper_hex(buffers.bytes_of(texts)):
        whole = pc.match_substring_regex(texts, _WHOLE_HEX)
        texts = pc.if_else(whole, pc.ascii_lower(texts), texts)
        odd = pc.or_(odd, pc.and_not(pc.match_substring_regex(texts, "0[xX]"), whole))
    return replaced(texts, odd, lambda text: _text(text, name, needed=needed, normalise=normalise))


def _text(raw: str, name: str, *, needed: bool, normalise: bool) -> str:
    """One text, or what is wrong with it."""
    text = raw.strip()
    if needed and not text:
        raise InputError(f"{name} is empty")
    if len(text) > MAX_TEXT:
        raise InputError(f"{name} is longer than {MAX_TEXT} characters")
    if _CONTROL.search(text):
        raise InputError(f"{name} holds a control character")
    return normalise_hex(text) if normalise else text
