"""The part of ``balance_identity`` that is about chains: do addresses hold what was read of them?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from payhealth.domain.money import plain
from payhealth.domain.records import ProofState
from payhealth.ports import StoreReader

_SHOWN = 5
_OPEN = """
select balance_id, connector, address, asset, state, proved_from, proved_block, pending_block, difference,
    gap_lower, gap_upper, since
from v_address_balances where state <> 'proved' order by since, balance_id
"""
"""Differences among the rows come in the order in which they were found."""
_PROVED = """
select connector, max(case when not unproved then upper end) as proved_to, max(upper) as read_to
from v_coverage where unit = 'block' and stream = 'transfers' group by connector order by connector
"""
_QUIET = """
select connector, count(*) as settled from v_address_balances
where state = 'proved' and proved_block > proved_from group by connector order by connector
"""
_SYMBOL = "select symbol from v_movements where asset = :asset limit 1"

NEXT_STEP = (
    "look the block up in an explorer: most often it is an internal transfer that no log shows. Give the"
    " connector a node with traces, or leave a token that takes a fee of each transfer (or that changes"
    " balances by itself) out of assets; then run `payhealth pull`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One balance that does not add up.

    Args:
        asset: the symbol to show, or the id where nobody names it.
        amount: what the balance moved beyond what was read; None where it is beyond what can be stored.
        lower: the first block in which it may have arisen, with the last one in ``upper``.
    """

    balance_id: str
    connector: str
    address: str
    asset: str
    amount: Decimal | None
    lower: int | None
    upper: int | None

    def __str__(self) -> str:
        if self.amount is None:
            size = f"an amount of {self.asset} beyond 38 digits, otherwise"
        else:
            more = "more" if self.amount > 0 else "less"
            size = f"{plain(self.amount.copy_abs())} {self.asset} {more}"
        return (
            f"{self.connector}: the balance of {self.address} moved by {size} than was read, {self._where()}"
        )

    def _where(self) -> str:
        if self.lower is None or self.upper is None:
            return "in a block that is not known"
        if self.lower == self.upper:
            return f"in block {self.lower}"
        return f"in one of the blocks {self.lower} to {self.upper}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """What is known of the balances of addresses.

    Args:
        differences: the oldest first.
        waiting: connector -> balances whose reading waits for its block to become final.
        unread: connector -> balances that have no reading at present.
        proved_to: connector -> up to which block every balance is proved.
        read_to: connector -> up to which block transfers were read.
        settled: connector -> balances that are proved by themselves.
    """

    differences: tuple[Difference, ...] = ()
    waiting: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    proved_to: Mapping[str, int] = field(default_factory=dict)
    read_to: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)

    @property
    def proved(self) -> bool:
        """Whether any balance was held against what was read, and added up."""
        return bool(self.proved_to) or any(self.settled.values())

    @property
    def unsettled(self) -> int:
        """How many balances wait, for their block or to be read."""
        return sum(self.waiting.values()) + sum(self.unread.values())

    @property
    def read(self) -> bool:
        """Whether any balance of an address was read at all."""
        return self.proved or bool(self.differences) or bool(self.waiting)

    def said(self) -> list[str]:
        """What does not add up, the first few of it in full."""
        words = [str(difference) for difference in self.differences[:_SHOWN]]
        rest = len(self.differences) - len(words)
        return [*words, f"and {rest} x more balances that do not add up"] if rest > 0 else words

    def held(self) -> list[str]:
        """What adds up, and how far."""
        words = [
            f"{connector}: every balance moved by what was read, up to block {block}"
            for connector, block in self.proved_to.items()
        ]
        return words + [
            f"{connector}: {count} x a balance moved by what was read"
            for connector, count in self.settled.items()
            if connector not in self.proved_to
        ]

    def open(self) -> list[str]:
        """What is not proved yet."""
        words = [
            f"{connector}: {_balances(count)} for {'its' if count == 1 else 'their'} block to become final"
            for connector, count in self.waiting.items()
        ]
        return words + [
            f"{connector}: {count} balances could not be read yet" for connector, count in self.unread.items()
        ]

    def not_seen(self) -> str:
        """What balances cannot tell at present."""
        if not self.read:
            return ""
        words = [
            f"{connector}: blocks {self.proved_to[connector] + 1} to {block}, read and not proved yet"
            for connector, block in self.read_to.items()
            if self.proved_to.get(connector, block) < block
        ]
        words += [
            f"{connector}: addresses that the rotation has not reached yet"
            for connector in sorted({*self.settled, *self.waiting} - set(self.proved_to))
        ]
        words.append("movements of one address that nobody read and that cancel out between two readings")
        return "; ".join(words)


def load(reader: StoreReader) -> Chains:
    """Read what is open, how far all is proved, and the names of assets that do not add up."""
    rows = reader.rows(_OPEN)
    broken = [row for row in rows if row["state"] == ProofState.MISMATCH]
    waiting = [row for row in rows if row["state"] != ProofState.MISMATCH]
    coverage = reader.rows(_PROVED)
    symbols = {asset: _symbol(reader, asset) for asset in dict.fromkeys(row["asset"] for row in broken)}
    return Chains(
        differences=tuple(_difference(row, symbols[row["asset"]]) for row in broken),
        waiting=_counted(row for row in waiting if row["pending_block"] is not None),
        unread=_counted(row for row in waiting if row["pending_block"] is None),
        proved_to=_last_blocks(coverage, "proved_to"),
        read_to=_last_blocks(coverage, "read_to"),
        settled={row["connector"]: int(row["settled"]) for row in reader.rows(_QUIET)},
    )


def _last_blocks(rows: Iterable[Mapping[str, Any]], column: str) -> dict[str, int]:
    return {row["connector"]: int(row[column]) - 1 for row in rows if row[column] is not None}


def _symbol(reader: StoreReader, asset: str) -> str:
    found = reader.rows(_SYMBOL, {"asset": asset})
    return str(found[0]["symbol"]) if found and found[0]["symbol"] else asset


def _difference(row: Mapping[str, Any], symbol: str) -> Difference:
    return Difference(
        balance_id=row["balance_id"],
        connector=row["connector"],
        address=row["address"],
        asset=symbol,
        amount=None if row["difference"] is None else Decimal(str(row["difference"])),
        lower=row["gap_lower"],
        upper=row["gap_upper"],
    )


def _counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["connector"]] = counts.get(row["connector"], 0) + 1
    return counts


def _balances(count: int) -> str:
    return "1 balance waits" if count == 1 else f"{count} balances wait"
