"""The settings of ledger connectors: ``[connectors.NAME]`` of kind ``ledger.sql`` or ``ledger.files``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from payhealth.connectors import start_moment
from payhealth.domain.records import EntryKind
from payhealth.secrets import SecretText

Start = Annotated[datetime, BeforeValidator(start_moment)]


def one_statement(query: str) -> str:
    """A query without its final semicolon, so that it can stand inside another.

    Raises:
        ValueError: empty.
    """
    text = query.strip().rstrip(";").strip()
    if not text:
        raise ValueError("must hold a query")
    return text


class _Ledger(BaseModel):
    """What all kinds of ledgers share.

    Args:
        kinds: the business's own values of ``kind`` -> purchase, reversal, grant, usage, adjustment or
            expiry; without it the column must hold these six. An empty value is a purchase.
        start: from when on entries count, all of them unless told.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kinds: dict[str, EntryKind] = Field(default_factory=dict)
    start: Start | None = None


class LedgerSqlSettings(_Ledger):
    """A credit ledger in a database.

    Args:
        url: SQLAlchemy URL of the ledger, best with a role that may only read.
        query: gives id, account, reference, amount, asset, occurred_at and optionally kind, recorded_at,
            reverses; further columns are ignored.
        statement_timeout_s: how long the database may work on one step of the query.
        overlap_h: how far an incremental reading reaches back. The first version reads the whole query
            at every pull, which covers any overlap.
    """

    kind: Literal["ledger.sql"] = "ledger.sql"
    url: SecretText
    query: str
    statement_timeout_s: float = Field(default=300, gt=0, le=86_400)
    overlap_h: float = Field(default=48, ge=0)

    @field_validator("query")
    @classmethod
    def _one_statement(cls, value: str) -> str:
        return one_statement(value)


class LedgerFilesSettings(_Ledger):
    """A credit ledger in CSV, Parquet or JSON Lines files.

    Args:
        paths: files or globs, relative to the working directory.
    """

    kind: Literal["ledger.files"] = "ledger.files"
    paths: tuple[str, ...] = Field(min_length=1)

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
