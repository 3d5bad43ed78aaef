"""The SQLModel tables: two for every kind of fact, and the few that are no versioned facts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from pydantic import create_model
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Index, MetaData, Table
from sqlmodel import Field, SQLModel

from payhealth.store.spec import ALL_SPECS, Column, Spec
from payhealth.store.sqltypes import BIG, SQL_TYPES, UtcMoment

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
"""Our own, so that a backend that uses SQLModel itself never finds these tables among its own."""


class StoreModel(SQLModel):
    """Base of the store's tables."""

    metadata: ClassVar[MetaData] = metadata


def _sql_column(column: Column, *, primary: bool) -> SqlColumn[Any]:
    return SqlColumn(
        column.name,
        SQL_TYPES[column.kind],
        primary_key=primary,
        nullable=column.nullable,
        # Numbers come from our own counter, not from a sequence that commits out of order.
        autoincrement=False,
    )


def _model(spec: Spec, suffix: str, primary: tuple[str, ...], columns: tuple[Column, ...]) -> type[SQLModel]:
    """One table as an SQLModel class; the record dataclass stays the only place where fields are listed."""
    name = f"{spec.name}_{suffix}"
    fields: dict[str, Any] = {
        column.name: (Any, Field(sa_column=_sql_column(column, primary=column.name in primary)))
        for column in columns
    }
    return create_model(
        name,
        __base__=StoreModel,
        __module__=__name__,
        __cls_kwargs__={"table": True},
        **fields,
    )


def _models(spec: Spec) -> tuple[type[SQLModel], type[SQLModel]]:
    version = _model(spec, "version", ("change_seq",), spec.stored)
    current = _model(spec, "current", spec.key, spec.projected)
    currents = metadata.tables[spec.current]
    for group in spec.indexes:
        Index(None, *(currents.c[name] for name in group))
    return version, current


MODELS: dict[str, tuple[type[SQLModel], type[SQLModel]]] = {spec.name: _models(spec) for spec in ALL_SPECS}
"""Spec name -> its version and current classes."""


class ChangeCounter(StoreModel, table=True):
    """One row: the last change number and moment. Whoever writes facts holds it until the commit."""

    __tablename__ = "change_counter"
    id: int = Field(sa_type=BIG, primary_key=True, sa_column_kwargs={"autoincrement": False})
    change_seq: int = Field(sa_type=BIG)
    recorded_at: datetime = Field(sa_type=UtcMoment)


class CoverageWindowRow(StoreModel, table=True):
    """A stretch of a stream that was read whole; touching ones are merged."""

    __tablename__ = "coverage_window"
    connector: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    lower: int = Field(sa_type=BIG, primary_key=True, sa_column_kwargs={"autoincrement": False})
    unproved: bool = Field(primary_key=True)
    upper: int = Field(sa_type=BIG)
    provider: str
    objects: int = Field(sa_type=BIG)
    read_at: datetime = Field(sa_type=UtcMoment)
    pages: int = Field(sa_type=BIG)
    account: str
    refuted: bool
    finality: str
    doubts: str


class PullCursor(StoreModel, table=True):
    """Where a stream's next pull goes on."""

    __tablename__ = "pull_cursor"
    connector: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    cursor: str
    updated_at: datetime = Field(sa_type=UtcMoment)


class PullOutcomeRow(StoreModel, table=True):
    """How one pull of a stream ended."""

    __tablename__ = "pull_outcome"
    id: int | None = Field(default=None, sa_type=BIG, primary_key=True)
    connector: str
    stream: str
    started_at: datetime = Field(sa_type=UtcMoment)
    finished_at: datetime = Field(sa_type=UtcMoment)
    objects_read: int = Field(sa_type=BIG)
    new: int = Field(sa_type=BIG)
    changed: int = Field(sa_type=BIG)
    rejected: int = Field(sa_type=BIG)
    requests: int = Field(sa_type=BIG)
    error: str | None = None
    coverage: str
    """JSON: [[lower, upper], …]."""


class StatementVersion(StoreModel, table=True):
    """A run's statement, kept when it differs from the one before."""

    __tablename__ = "statement_version"
    change_seq: int = Field(sa_type=BIG, primary_key=True, sa_column_kwargs={"autoincrement": False})
    recorded_at: datetime = Field(sa_type=UtcMoment)
    ran_at: datetime = Field(sa_type=UtcMoment)
    content_hash: str
    body: str
    """JSON; its sums may leave the domain of a column, so they stay text."""


class LastRun(StoreModel, table=True):
    """One row: when a run last ended, changed or not."""

    __tablename__ = "last_run"
    id: int = Field(sa_type=BIG, primary_key=True, sa_column_kwargs={"autoincrement": False})
    ran_at: datetime = Field(sa_type=UtcMoment)


class CheckResultRow(StoreModel, table=True):
    """One verdict of a check."""

    __tablename__ = "check_result"
    id: int | None = Field(default=None, sa_type=BIG, primary_key=True)
    check_name: str
    outcome: str
    message: str
    evaluated_at: datetime = Field(sa_type=UtcMoment)
    value: str | None = None
    unit: str
    interval_lower: float | None = None
    interval_upper: float | None = None
    baseline: str | None = None
    thresholds: str
    segments: str
    examples: str
    inputs: str
    not_seen: str
    next_step: str


def table(name: str) -> Table:
    """The table of that name."""
    return metadata.tables[name]


Index(None, table("pull_outcome").c.connector, table("pull_outcome").c.stream, table("pull_outcome").c.id)
Index(None, table("check_result").c.check_name, table("check_result").c.id)
