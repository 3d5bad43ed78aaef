"""Rows of a ledger's query as records: pure, exact, with a reason for each row that does not fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from payhealth.domain.assets import normalise_asset, normalise_hex
from payhealth.domain.errors import AmountError, InputError, SourceDataError
from payhealth.domain.money import checked, parse_amount
from payhealth.domain.records import Entry, EntryKind, Handle, Rejected
from payhealth.domain.times import EPOCH, parse_moment, utc

NEEDED = ("id", "account", "reference", "amount", "asset", "occurred_at")
OPTIONAL = ("kind", "recorded_at", "reverses")
NEEDED_HANDLES = ("handle", "account", "valid_from", "valid_to")

HASHED = "sha256:"
"""What the name of a row without an id begins with."""

_ID_CHARS_MAX = 255
_TEXT_CHARS_MAX = 500
_CASTS = {"sqlite": "cast(amount as text)", "mysql": "cast(amount as decimal(38,18))"}
_CASTS["mariadb"] = _CASTS["mysql"]


class UnfitError(Exception):
    """A row that cannot be an entry; the text says why, without its content."""


class UnmappedKindError(Exception):
    """A kind that the configuration does not map.

    Args:
        kind: the value that was seen.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRules:
    """What the configuration says about translating.

    Args:
        kinds: the business's values -> ours; empty: ours.
        start: entries before it are not read.
        dialect: of the database, for the cast to write.
    """

    connector: str
    kinds: Mapping[str, EntryKind] = field(default_factory=dict)
    start: datetime | None = None
    dialect: str = ""


def missing_columns(needed: tuple[str, ...], given: list[str]) -> list[str]:
    """Which needed columns a query does not give, whatever their case."""
    names = {name.lower() for name in given}
    return [name for name in needed if name not in names]


def entry(row: Mapping[str, Any], rules: EntryRules) -> Entry | Rejected | None:
    """One row as an entry, a rejected record, or None where it lies before the start.

    Raises:
        SourceDataError: the amount is a float, which no row of this query can get exact.
        UnmappedKindError: the kind is not mapped.
    """
    kind = entry_kind(row.get("kind"), rules.kinds)
    if isinstance(row.get("amount"), float):
        raise SourceDataError(_float_message(rules))
    try:
        effective_at = moment(row.get("occurred_at"), "occurred_at")
        if rules.start is not None and effective_at < rules.start:
            return None
        recorded_at = row.get("recorded_at")
        return Entry(
            connector=rules.connector,
            entry_id=identifier(row.get("id"), "id"),
            kind=kind,
            account=reference(row.get("account"), "account"),
            reference=reference(row.get("reference"), "reference"),
            amount=amount(row.get("amount")),
            asset=asset(row.get("asset")),
            effective_at=effective_at,
            ledger_recorded_at=None if recorded_at is None else moment(recorded_at, "recorded_at"),
        )
    except UnfitError as unfit:
        return rejected(
            row, str(unfit), connector=rules.connector, stream="entries", columns=NEEDED + OPTIONAL
        )


def _float_message(rules: EntryRules) -> str:
    cast = _CASTS.get(rules.dialect, "cast(amount as numeric(38,18))")
    return (
        f"{rules.connector}: the query gives amount as a floating-point number, which is not exact;"
        f" write {cast} as amount, from a column that is exact itself"
    )


def handle(row: Mapping[str, Any], connector: str) -> Handle | Rejected:
    """One row of an attribution query; without ``valid_from`` it holds since ever."""
    try:
        valid_from, valid_to = row.get("valid_from"), row.get("valid_to")
        return Handle(
            connector=connector,
            handle=required_reference(row.get("handle"), "handle"),
            account=required_reference(row.get("account"), "account"),
            **_span(valid_from, valid_to),
        )
    except UnfitError as unfit:
        return rejected(row, str(unfit), connector=connector, stream="handles", columns=NEEDED_HANDLES)


def _span(valid_from: Any, valid_to: Any) -> dict[str, Any]:
    since = EPOCH if valid_from is None else moment(valid_from, "valid_from")
    until = None if valid_to is None else moment(valid_to, "valid_to")
    if until is not None and until < since:
        raise UnfitError("valid_to lies before valid_from")
    return {"valid_from": since, "valid_to": until}


def entry_kind(value: Any, kinds: Mapping[str, EntryKind]) -> EntryKind:
    """What an entry is for; an empty kind is a purchase unless the configuration maps it.

    Raises:
        UnmappedKindError: the kind is not mapped.
    """
    text = "" if value is None else str(value).strip()
    if text in kinds:
        return kinds[text]
    if not text:
        return EntryKind.PURCHASE
    if not kinds and text in set(EntryKind):
        return EntryKind(text)
    raise UnmappedKindError(text)


def identifier(value: Any, name: str) -> str:
    """An id that must be there, as text."""
    if value is None:
        raise UnfitError(f"{name} is null")
    text = str(value).strip() if isinstance(value, str | int | UUID) and not isinstance(value, bool) else ""
    if not text or len(text) > _ID_CHARS_MAX or not text.isprintable():
        raise UnfitError(f"{name} is no id")
    return text


def reference(value: Any, name: str) -> str:
    """An account or reference, empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise UnfitError(f"{name} is neither text nor an integer")
    text = normalise_hex(str(value))
    if len(text) > _TEXT_CHARS_MAX or "\x00" in text:
        raise UnfitError(f"{name} is too long or holds a NUL character")
    return text


def required_reference(value: Any, name: str) -> str:
    """A handle or account that must be there."""
    text = reference(value, name)
    if not text:
        raise UnfitError(f"{name} is missing")
    return text


def amount(value: Any) -> Decimal:
    """An exact signed amount from text, an integer or a decimal."""
    if value is None:
        raise UnfitError("amount is null")
    try:
        if isinstance(value, Decimal):
            return checked(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return checked(Decimal(value))
        if isinstance(value, str):
            return parse_amount(value.strip())
    except AmountError as error:
        reason = "outside the domain of 38 digits with 18 after the point"
        plain = not isinstance(value, str) or "not a plain decimal" not in str(error)
        raise UnfitError(f"amount lies {reason}" if plain else "amount is not a plain decimal") from error
    raise UnfitError("amount is neither text, an integer nor a decimal")


def asset(value: Any) -> str:
    """What the amount is an amount of."""
    if not isinstance(value, str) or len(value) > _ID_CHARS_MAX or not value.isprintable():
        raise UnfitError("asset is missing")
    try:
        return normalise_asset(value)
    except InputError as error:
        raise UnfitError("asset is missing") from error


def moment(value: Any, name: str) -> datetime:
    """A moment with its zone; a naive one could be any of two dozen moments."""
    if value is None:
        raise UnfitError(f"{name} is null")
    try:
        if isinstance(value, datetime):
            return utc(value)
        if isinstance(value, str):
            return parse_moment(value.strip())
    except InputError as error:
        raise UnfitError(f"{name} has no time zone, or is not ISO 8601") from error
    raise UnfitError(f"{name} is neither a moment nor ISO 8601 text")


def rejected(
    row: Mapping[str, Any], reason: str, *, connector: str, stream: str, columns: tuple[str, ...]
) -> Rejected:
    """A row that was not understood, with its known columns alone."""
    kept = {name: None if row[name] is None else str(row[name])[:200] for name in columns if name in row}
    raw = orjson.dumps({name: value and value.replace("\x00", "") for name, value in kept.items()}).decode()
    row_id = str(row.get("id") or "").strip()
    named = 0 < len(row_id) <= _ID_CHARS_MAX and row_id.isprintable()
    return Rejected(
        connector=connector,
        stream=stream,
        object_id=row_id if named else HASHED + hashlib.sha256(raw.encode()).hexdigest(),
        reason=reason,
        raw=raw,
    )
