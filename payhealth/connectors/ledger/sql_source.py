"""A credit ledger in any database that SQLAlchemy reaches.

The first version reads the whole query at every pull: entries are back-dated, edited and deleted, and
only a whole reading sees that without help from the database. Reading by a monotonic column with an
overlap, and checksums, come later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from payhealth.connectors.ledger.database import Database, Reading
from payhealth.connectors.ledger.entries import (
    SHOWN_MAX,
    STREAM,
    batches,
    plan,
    refuse_repeated,
    refuse_unmapped,
)
from payhealth.connectors.ledger.entries import Reading as EntriesReading
from payhealth.connectors.ledger.settings import LedgerSqlSettings
from payhealth.connectors.ledger.translate import NEEDED, EntryRules, missing_columns
from payhealth.domain.errors import SourceDataError
from payhealth.ports import Batch, StoreReader, StreamPlan


class LedgerSqlSource:
    """Reads the credit ledger by a query.

    Args:
        name: the connector's name in the configuration.

    Raises:
        ConfigurationError: the URL cannot be read, or its driver is not installed.
    """

    kind = "ledger.sql"

    def __init__(self, name: str, settings: LedgerSqlSettings) -> None:
        self.name = name
        self._settings = settings
        self._database = Database(name, settings.url, statement_timeout_s=settings.statement_timeout_s)
        self._rules = EntryRules(
            connector=name, kinds=settings.kinds, start=settings.start, dialect=self._database.dialect
        )

    def streams(self) -> Sequence[StreamPlan]:
        """The one stream, ``entries``."""
        return [plan(self._settings.start)]

    def verify(self) -> None:
        """Refuse a query without a needed column or with unmapped kinds, before anything is written.

        Raises:
            SourceError: with one clear line.
        """
        with self._database.reading() as reading:
            self._check(reading)

    def close(self) -> None:
        """Give connections back."""
        self._database.close()

    def pull(self, stream: str, cursor: str | None, now: datetime, reader: StoreReader) -> Iterator[Batch]:
        """Read the whole query in one transaction.

        Raises:
            SourceError: the query could not be read on; what was yielded stays valid.
        """
        if stream != STREAM:
            raise ValueError(f"a ledger has no stream {stream!r}")
        pull = EntriesReading(rules=self._rules, provider=self._database.provider, cursor=cursor, now=now)
        query = self._settings.query
        with self._database.reading() as reading:
            names = self._check(reading)
            refuse_repeated(self.name, reading.repeated(query, names["id"], at_most=SHOWN_MAX))
            yield from batches(reading.stream(query), pull, reader)

    def _check(self, reading: Reading) -> dict[str, str]:
        """The query's columns: lower-case name -> the database's own."""
        names = query_columns(reading, self._settings.query, NEEDED, connector=self.name)
        if "kind" in names:
            seen = reading.counts(self._settings.query, names["kind"])
            refuse_unmapped(self.name, seen, self._settings.kinds)
        return names


def query_columns(reading: Reading, query: str, needed: tuple[str, ...], *, connector: str) -> dict[str, str]:
    """What a query gives: lower-case name -> the database's own.

    Raises:
        SourceDataError: a needed column is missing.
    """
    given = reading.columns(query)
    missing = missing_columns(needed, given)
    if missing:
        raise SourceDataError(
            f"{connector}: the query lacks the column {', '.join(missing)}; it gives {', '.join(given)}"
        )
    return {name.lower(): name for name in given}
