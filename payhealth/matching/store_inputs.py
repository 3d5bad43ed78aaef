"""From the store's records to what the engine is handed: what counts, since when, whose, gathered by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from payhealth.domain.chain_records import AssetPrice, ChainMark
from payhealth.domain.errors import InputError
from payhealth.domain.record import Record
from payhealth.domain.records import (
    EXPECTING,
    BalanceTransaction,
    Entry,
    Handle,
    Link,
    Movement,
    MovementKind,
    MovementStatus,
    PaymentClaim,
    Rail,
)
from payhealth.matching.gathering import Gathering, gather
from payhealth.matching.inputs import ENTRIES, MOVEMENTS, MatchInputs
from payhealth.matching.policy import Ruleset
from payhealth.matching.store_aliases import aliases
from payhealth.matching.store_values import Values, values

IN_FLIGHT = "in_flight"
BEFORE_START = "before_start"

_COUNTING = (
    MovementStatus.SUCCEEDED,
    MovementStatus.SEEN,
    MovementStatus.SAFE,
    MovementStatus.FINAL,
    MovementStatus.RETRACTED,
)
_SETTLED = (MovementStatus.SUCCEEDED, MovementStatus.RETRACTED)

_OWNERS = """
select m.place, min(h.account) as account, max(h.account) as other, any_value(m.handle) as handle
from unowned m join handles h
  on h.handle = m.handle and h.valid_from_us <= m.at_us and (h.valid_to_us is null or m.at_us < h.valid_to_us)
group by m.place
"""


_CLAIMED = """
select m.place, min(c.account) as account
from unowned m join claims c on c.connector = m.connector and c.payment_key = m.payment_key
group by m.place having min(c.account) = max(c.account)
"""


def from_store(
    tables: Mapping[type[Record], pa.Table],
    ruleset: Ruleset,
    *,
    starts: Mapping[str, int],
    rates: pa.Table | None,
) -> MatchInputs:
    """What a run decides from, of everything that the store knows.

    Movements that expect nothing (internal, outgoing, funding) and those that did not succeed are left
    out. A transfer counts once its block is under the mark that makes it creditable; before, it is in
    flight. A retracted transfer counts beside its retraction, so that the two cancel.

    Args:
        tables: records of Movement, Entry, Link, PaymentClaim, ChainMark, AssetPrice and Handle, as the store
            gives them; of BalanceTransaction those that exchanged a charge's currency are enough.
        starts: connector -> microseconds since 1970 before which its payments were not asked for.
        rates: what one unit of an asset costs in another, as in ``MatchInputs``.

    Raises:
        InputError: a handle belonged to two accounts at one time.
    """
    movements = _counting(tables[Movement])
    entries = tables[Entry].filter(pc.invert(tables[Entry]["deleted"]))
    names = aliases(tables[Movement], tables[Link])
    links = gather(movements, entries, names, ruleset.reference.max_reference_share)
    claimed = _claimed(movements, tables[PaymentClaim])
    accounts, unknown = _accounts(movements, claimed, tables[Handle])
    worth = values(
        movements,
        exchanged=tables[BalanceTransaction],
        priced=tables[AssetPrice],
        wanted={policy.asset for policy in ruleset.policies if policy.asset is not None},
        rates=rates,
    )
    notes: dict[str, Any] = {
        "unknown_handles": unknown,
        "shared_references": links.shared,
        "withheld_prices": worth.withheld,
    }
    return MatchInputs(
        movements=_movements(movements, tables[ChainMark], accounts, links, starts, worth),
        entries=_entries(entries, links, starts),
        rates=worth.rates,
        notes=notes,
    )


def _counting(movements: pa.Table) -> pa.Table:
    """Movements that expect an entry and have happened, or may yet."""
    expecting = pc.is_in(movements["kind"], pa.array(sorted(str(kind) for kind in EXPECTING)))
    happened = pc.is_in(movements["status"], pa.array([str(status) for status in _COUNTING]))
    return movements.filter(pc.and_(expecting, happened))


def _movements(
    table: pa.Table,
    marks: pa.Table,
    accounts: pa.Array,
    links: Gathering,
    starts: Mapping[str, int],
    worth: Values,
) -> pa.Table:
    at_us = _us(table["effective_at"])
    transfer = np.asarray(pc.equal(table["kind"], str(MovementKind.TRANSFER)).combine_chunks())
    ended = np.asarray(pc.is_in(table["status"], pa.array([str(s) for s in _SETTLED])).combine_chunks())
    waiting = transfer & ~ended & ~_creditable(table, marks)
    delay_us = np.asarray(pc.fill_null(table["finality_s"], 0).combine_chunks()) * 1_000_000
    clock_us = at_us + np.where(transfer & ~ended, delay_us, 0)
    before = at_us < _starts(table["connector"], starts)
    columns = {
        "id": table["movement_id"],
        "connector": table["connector"],
        "rail": pc.if_else(pc.equal(table["rail"], str(Rail.CHAIN)), str(Rail.CHAIN), str(Rail.CARD)),
        "kind": table["kind"],
        "account": accounts,
        "reference": table["payment_key"],
        "group_key": links.of_movements,
        "amount": table["amount"],
        "asset": table["asset"],
        "occurred_at": table["effective_at"],
        "clock_at": pa.array(clock_us, pa.timestamp("us", tz="UTC")),
        "open_why": _why(before, waiting),
        "quote": worth.quotes,
        "price": worth.prices,
    }
    return pa.table([columns[field.name] for field in MOVEMENTS], schema=MOVEMENTS)


def _entries(table: pa.Table, links: Gathering, starts: Mapping[str, int]) -> pa.Table:
    """Entries; those before every source's start have no payment to be held against."""
    first_us = min(starts.values(), default=0)
    before = _us(table["effective_at"]) < first_us
    columns = {
        "id": table["entry_id"],
        "connector": table["connector"],
        "kind": table["kind"],
        "account": table["account"],
        "reference": links.entry_references,
        "group_key": links.of_entries,
        "amount": table["amount"],
        "asset": table["asset"],
        "occurred_at": table["effective_at"],
        "open_why": _why(before, np.zeros(len(before), dtype=bool)),
    }
    return pa.table([columns[field.name] for field in ENTRIES], schema=ENTRIES)


def _why(before: Any, waiting: Any) -> pa.Array:
    why = pc.if_else(pa.array(waiting), IN_FLIGHT, pa.scalar(None, pa.string()))
    return pc.if_else(pa.array(before), BEFORE_START, why)


def _us(column: pa.ChunkedArray) -> Any:
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).combine_chunks())


def _starts(connectors: pa.ChunkedArray, starts: Mapping[str, int]) -> Any:
    """Each row's connector's start in microseconds, 0 for those without."""
    coded = connectors.combine_chunks().dictionary_encode()
    by_code = np.array([starts.get(name, 0) for name in coded.dictionary.to_pylist()] or [0], dtype=np.int64)
    return by_code[np.asarray(coded.indices)] if len(coded) else np.zeros(0, dtype=np.int64)


def _creditable(table: pa.Table, marks: pa.Table) -> Any:
    """Which transfers lie under their chain's creditable mark; without a mark none does."""
    highest: dict[tuple[str, str, str], int] = {}
    for mark in marks.to_pylist():
        highest[mark["connector"], mark["chain"], "final"] = mark["final"]
        highest[mark["connector"], mark["chain"], "safe"] = mark["safe"]
    names = zip(*(table[name].to_pylist() for name in ("connector", "chain", "finality")), strict=True)
    limits = np.array([highest.get(name, -1) for name in names], dtype=np.int64)
    blocks = np.asarray(pc.fill_null(table["block_number"], 2**62).combine_chunks())
    return blocks <= limits


def _claimed(movements: pa.Table, claims: pa.Table) -> pa.Array:
    """Each movement's own account, else the one that the objects beside its payment agree on."""
    accounts = movements["account"].combine_chunks()
    places = np.flatnonzero(np.asarray(pc.equal(accounts, "")))
    if not len(places) or not claims.num_rows:
        return accounts
    asked = movements.take(pa.array(places)).select(["connector", "payment_key"])
    with duckdb.connect() as session:
        session.register("unowned", asked.append_column("place", pa.array(places)))
        session.register("claims", claims.select(["connector", "payment_key", "account"]))
        found = session.sql(_CLAIMED).to_arrow_table()
    owners = np.asarray(accounts.to_numpy(zero_copy_only=False), dtype=object)
    owners[found["place"].to_numpy()] = found["account"].to_pylist()
    return pa.array(owners, pa.string())


def _accounts(movements: pa.Table, accounts: pa.Array, handles: pa.Table) -> tuple[pa.Array, int]:
    """Each movement's account, looked up by handle where nobody said it; how many stay unknown."""
    unowned = pc.and_(pc.equal(accounts, ""), pc.not_equal(movements["handle"], "")).combine_chunks()
    places = np.flatnonzero(np.asarray(unowned))
    if not len(places):
        return accounts, 0
    taken = movements.take(pa.array(places))
    asked = pa.table(
        {"place": pa.array(places), "handle": taken["handle"], "at_us": pa.array(_us(taken["effective_at"]))}
    )
    found = _owners(asked, handles)
    owners = accounts.to_pylist()
    for row in found:
        if row["account"] != row["other"]:
            both = f"{row['account']} and {row['other']}"
            raise InputError(
                f"the handle {row['handle']} belongs to two accounts at one time: {both}",
                hint="end the validity of one of them in the [attribution] table",
            )
        owners[row["place"]] = row["account"]
    return pa.array(owners, pa.string()), len(places) - len(found)


def _owners(asked: pa.Table, handles: pa.Table) -> list[dict[str, Any]]:
    valid_to = handles["valid_to"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    known = pa.table(
        {
            "handle": handles["handle"],
            "account": handles["account"],
            "valid_from_us": pa.array(_us(handles["valid_from"])),
            "valid_to_us": valid_to,
        }
    )
    with duckdb.connect() as session:
        session.register("unowned", asked)
        session.register("handles", known)
        rows: list[dict[str, Any]] = session.sql(_OWNERS).to_arrow_table().to_pylist()
        return rows
