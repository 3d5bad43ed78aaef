"""The credit ledger: the business's own SQLite database, append only."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

SCHEMA = """
create table credit_entries (
    id text primary key,
    account text not null,
    reference text,
    amount text not null,
    asset text not null,
    occurred_at text not null,
    kind text not null,
    recorded_at text not null
);
create index credit_entries_recorded_at on credit_entries (recorded_at);
create table payment_handles (
    handle text not null,
    account text not null,
    valid_from text not null,
    valid_to text,
    primary key (handle, valid_from)
);
"""
INSERT_ENTRY = "insert into credit_entries values (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_HANDLE = "insert into payment_handles values (?, ?, ?, ?)"
SELECT_ENTRIES = (
    "select id, account, reference, amount, asset, occurred_at, kind, recorded_at"
    " from credit_entries order by id"
)
SELECT_HANDLES = (
    "select handle, account, valid_from, valid_to from payment_handles order by handle, valid_from"
)


class EntryWord(StrEnum):
    """What the business calls its entries."""

    TOPUP = "topup"
    CLAWBACK = "clawback"
    PROMO = "promo"
    SPEND = "spend"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One signed line of the credit ledger."""

    id: str
    account: str
    reference: str | None
    amount: Decimal
    """Signed, in the asset's major unit."""
    asset: str
    occurred_at: datetime
    kind: EntryWord
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Handle:
    """Whose payments arrive at an address, and from when to when (the end excluded)."""

    handle: str
    account: str
    valid_from: datetime
    valid_to: datetime | None


class CreditLedger:
    """Writes the ledger; what it wrote is seen by others after ``commit``."""

    def __init__(self, path: Path) -> None:
        """Create the database.

        Raises:
            FileExistsError: there is a file already; a history is never written into another one.
        """
        if path.exists():
            raise FileExistsError(f"the ledger {path} exists already")
        self._connection = sqlite3.connect(path)
        self._connection.executescript(SCHEMA)
        self._entries = 0

    def enter(
        self,
        *,
        at: datetime,
        account: str,
        reference: str | None,
        amount: Decimal,
        asset: str,
        kind: EntryWord,
    ) -> str:
        """Append one entry, recorded as it occurs.

        Returns:
            The entry's id.
        """
        self._entries += 1
        entry_id = f"ce_{self._entries:06d}"
        moment = iso(at)
        row = (entry_id, account, reference, format(amount, "f"), asset, moment, kind.value, moment)
        self._connection.execute(INSERT_ENTRY, row)
        return entry_id

    def add_handle(self, handle: Handle) -> None:
        """Say whose payments arrive at an address."""
        valid_to = iso(handle.valid_to) if handle.valid_to else None
        row = (handle.handle, handle.account, iso(handle.valid_from), valid_to)
        self._connection.execute(INSERT_HANDLE, row)

    def commit(self) -> None:
        """Let other readers of the database see what was written."""
        self._connection.commit()

    def close(self) -> None:
        """Commit and close the database."""
        self._connection.commit()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_entries(path: Path) -> list[Entry]:
    """All entries of a ledger database, by id."""
    return [
        Entry(
            id=entry_id,
            account=account,
            reference=reference,
            amount=Decimal(amount),
            asset=asset,
            occurred_at=datetime.fromisoformat(occurred_at),
            kind=EntryWord(kind),
            recorded_at=datetime.fromisoformat(recorded_at),
        )
        for entry_id, account, reference, amount, asset, occurred_at, kind, recorded_at in _rows(
            path, SELECT_ENTRIES
        )
    ]


def read_handles(path: Path) -> list[Handle]:
    """All payment handles of a ledger database."""
    return [
        Handle(
            handle=handle,
            account=account,
            valid_from=datetime.fromisoformat(valid_from),
            valid_to=datetime.fromisoformat(valid_to) if valid_to else None,
        )
        for handle, account, valid_from, valid_to in _rows(path, SELECT_HANDLES)
    ]


def _rows(path: Path, query: str) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def iso(moment: datetime) -> str:
    """A moment as ISO 8601 in UTC, of fixed width so that the order of the text is the order in time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
