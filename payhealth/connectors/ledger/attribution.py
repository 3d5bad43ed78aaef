"""Whose a deposit address or customer id is, from a query of the business's own (``[attribution]``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol, Self

from payhealth.connectors.ledger.database import Database
from payhealth.connectors.ledger.known import withdrawn
from payhealth.connectors.ledger.settings import one_statement
from payhealth.connectors.ledger.sql_source import query_columns
from payhealth.connectors.ledger.translate import NEEDED_HANDLES, handle
from payhealth.domain.coverage import CoverageUnit, CoverageWindow
from payhealth.domain.errors import ConfigurationError
from payhealth.domain.record import Record
from payhealth.domain.records import Handle
from payhealth.domain.times import iso, to_us
from payhealth.ports import Batch, StoreReader, StreamPlan
from payhealth.secrets import Secret

STREAM = "handles"
STATEMENT_TIMEOUT_S = 300.0


class Settings(Protocol):
    """The table ``[attribution]``."""

    @property
    def url(self) -> Secret:
        """SQLAlchemy URL."""

    @property
    def query(self) -> str:
        """Gives handle, account, valid_from, valid_to."""


class AttributionSource:
    """Reads the handle table, whole at every pull.

    A row that disappeared becomes a version that never held (``valid_to`` = ``valid_from``), so that
    history still shows what was believed before.

    Args:
        name: the connector's name, ``attribution`` unless there are several.
        query: gives handle, account, valid_from (null: since ever), valid_to (null: still; exclusive).

    Raises:
        ConfigurationError: the URL cannot be read, its driver is not installed, or the query is empty.
    """

    kind = "attribution"

    def __init__(self, name: str, *, url: Secret, query: str) -> None:
        self.name = name
        try:
            self._query = one_statement(query)
        except ValueError as error:
            raise ConfigurationError(f"{name}: query {error}") from error
        self._database = Database(name, url, statement_timeout_s=STATEMENT_TIMEOUT_S)

    @classmethod
    def from_settings(cls, name: str, settings: Settings) -> Self:
        """The source that a table of the configuration describes."""
        return cls(name, url=settings.url, query=settings.query)

    def streams(self) -> Sequence[StreamPlan]:
        """The one stream, ``handles``."""
        return [StreamPlan(stream=STREAM, unit=CoverageUnit.TIME_US, required_lower=0)]

    def verify(self) -> None:
        """Refuse a query without a needed column.

        Raises:
            SourceError: with one clear line.
        """
        with self._database.reading() as reading:
            query_columns(reading, self._query, NEEDED_HANDLES, connector=self.name)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read the whole table in one transaction.

        Raises:
            SourceError: the query could not be read on; what was yielded stays valid.
        """
        if stream != STREAM:
            raise ValueError(f"attribution has no stream {stream!r}")
        present: set[tuple[object, ...]] = set()
        objects = 0
        with self._database.reading() as reading:
            query_columns(reading, self._query, NEEDED_HANDLES, connector=self.name)
            for rows in reading.stream(self._query):
                records = _by_type([handle(row, self.name) for row in rows])
                present.update(records.get(Handle, {}))
                objects += len(rows)
                yield Batch(
                    stream=STREAM,
                    records={kind: list(found.values()) for kind, found in records.items()},
                    cursor=cursor,
                    objects_read=len(rows),
                )
        gone = withdrawn(reader, self.name, present)
        yield self._last(gone, objects, now)

    def _last(self, gone: list[Handle], objects: int, now: datetime) -> Batch:
        window = CoverageWindow(
            connector=self.name,
            stream=STREAM,
            unit=CoverageUnit.TIME_US,
            lower=0,
            upper=to_us(now),
            provider=self._database.provider,
            objects=objects,
            read_at=now,
        )
        return Batch(
            stream=STREAM,
            records={Handle: gone} if gone else {},
            windows=(window,),
            cursor=iso(now),
            requests=1,
        )


def _by_type(records: Sequence[Record]) -> dict[type[Record], dict[tuple[object, ...], Record]]:
    """Records by class and natural key within the connector; a row that stands twice counts once."""
    found: dict[type[Record], dict[tuple[object, ...], Record]] = {}
    for record in records:
        key = tuple(getattr(record, name) for name in record.KEY[1:])
        found.setdefault(type(record), {})[key] = record
    return found
