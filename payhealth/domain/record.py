"""The base of all records: a class names its natural key, the store keeps every version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

ARCHIVED = "archived"
"""Metadata of a field that belongs to a fact's history alone: seldom read, and larger than the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Base of all records."""

    KEY: ClassVar[tuple[str, ...]]
    connector: str
    """The connector's name in the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRecord(Record):
    """A vendor's object in our words, with what of the object itself may be kept."""

    raw: str | None = field(default=None, metadata={ARCHIVED: True})
    """JSON: the fields that the allow-list lets through, and ``api_version``, the version they came in."""
