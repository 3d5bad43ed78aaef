"""Which readings still stand, and whether they add up with what was read; where they do not, since when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from payhealth.connectors.evm.proofs import identity_rows as rows_of
from payhealth.connectors.evm.proofs.balances import Ask, Balances
from payhealth.connectors.evm.proofs.balances_moved import History, Moved, Span
from payhealth.connectors.evm.proofs.bisection import Gap, Probes, probes
from payhealth.connectors.evm.proofs.identity_rows import MISMATCH
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.domain.chain_records import AddressBalance

Canonical = Callable[[int, str], bool | None]
"""Whether a block's hash still stands; None for a block older than the window that is known."""
Rows = dict[int, AddressBalance]
"""Pair -> its row."""

MOST_SEARCHES = 200
"""Differences that are looked for at one step; others wait with their reading for the next."""


class Stands:
    """Whether blocks are canonical: by the window of recent blocks, else by the node, asked once each."""

    def __init__(self, ask: Ask, canonical: Canonical) -> None:
        self._ask = ask
        self._canonical = canonical
        self._told: dict[int, str] = {}

    def learn(self, blocks: Iterable[tuple[int, str]]) -> None:
        """Ask the node, in one go, for those of the blocks that the window does not hold."""
        older = sorted({number for number, block in blocks if self._canonical(number, block) is None})
        wanted = [number for number in older if number not in self._told]
        if not wanted:
            return
        answers = self._ask([Call("eth_getBlockByNumber", (hex(number), False)) for number in wanted])
        for number, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, dict) and isinstance(answer.get("hash"), str):
                self._told[number] = answer["hash"].lower()

    def __call__(self, number: int, block: str) -> bool | None:
        """Whether a block stands, None where nobody says."""
        known = self._canonical(number, block)
        if known is None and number in self._told:
            return self._told[number] == block
        return known


@dataclass(frozen=True, slots=True)
class _Search:
    """A difference that is looked for."""

    row: AddressBalance
    probes: Probes
    history: History


class Judge:
    """Holds readings against what moved.

    Args:
        now: since when a difference is known that is found now.
    """

    def __init__(self, moved: Moved, balances: Balances, now: datetime) -> None:
        self._moved = moved
        self._balances = balances
        self._now = now

    def judged(self, due: Rows) -> Rows:
        """Rows whose reading's block is final, and what has become of them.

        A first reading opens its row. A mismatch that is the same as before stays as it is.
        """
        first = {pair: row for pair, row in due.items() if row.proved_block is None}
        found = {pair: rows_of.opened_by_reading(row) for pair, row in first.items()}
        spans = {pair: _span(row) for pair, row in due.items() if pair not in first}
        moved = self._moved.sums(spans) if spans else {}
        news: dict[int, int] = {}
        for pair, total in moved.items():
            difference = rows_of.difference_of(due[pair], total)
            if not difference:
                found[pair] = rows_of.proved(due[pair])
            elif not rows_of.same_difference(due[pair], difference):
                news[pair] = difference
        searched = sorted(news, key=lambda pair: (due[pair].state == MISMATCH, pair))[:MOST_SEARCHES]
        gaps = self._gaps({pair: due[pair] for pair in searched})
        for pair in searched:
            found[pair] = rows_of.refuted(due[pair], news[pair], gaps[pair], self._now)
        return found

    def _gaps(self, rows: Mapping[int, AddressBalance]) -> dict[int, Gap]:
        """Where each difference arose; all are looked for side by side, a request a halving."""
        if not rows:
            return {}
        spans = {pair: _span(row) for pair, row in rows.items()}
        histories = self._moved.histories(spans)
        searches = {pair: _Search(row, probes(*spans[pair]), histories[pair]) for pair, row in rows.items()}
        gaps: dict[int, Gap] = {}
        asked: dict[int, int] = {}
        for pair, search in searches.items():
            _go_on(search.probes, None, pair, asked, gaps)
        while asked:
            items = sorted(asked.items())
            balances = self._balances.each(items)
            asked = {}
            for (pair, block), balance in zip(items, balances, strict=True):
                search = searches[pair]
                known = rows_of.scaled(search.row.proved_amount) + search.history.until(block)
                _go_on(search.probes, None if balance is None else balance - known, pair, asked, gaps)
        return gaps


def _go_on(
    search: Probes, difference: int | None, pair: int, asked: dict[int, int], gaps: dict[int, Gap]
) -> None:
    try:
        # A generator that has not begun takes None, which is what the first call gives it.
        asked[pair] = search.send(difference)
    except StopIteration as ended:
        gaps[pair] = ended.value


def _span(row: AddressBalance) -> Span:
    return row.proved_block or 0, row.pending_block or 0
