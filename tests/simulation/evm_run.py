"""One seed, from an empty chain to the verdict."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from payhealth.testing import FixedClock
from tests.simulation.evm_credits import Clerk
from tests.simulation.evm_life import lived
from tests.simulation.evm_pull import Books, Puller, ShelfBooks, SqlBooks
from tests.simulation.evm_verdict import Judge


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a seed ended, and what it lived through."""

    differences: list[str]
    store: str
    head: int
    reorgs: list[int]
    returned: int
    gone: int
    kills: int
    moves: int
    failures: int
    movements: int
    credited: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        deepest = max(self.reorgs, default=0)
        return (
            f"{self.store}, head {self.head}, {len(self.reorgs)} reorgs (deepest {deepest}), "
            f"{self.movements} movements, {self.returned} transactions back, {self.gone} gone, "
            f"{self.kills} kills, {self.moves} moves in a pull ({self.failures} failed), "
            f"credited {dict(self.credited)}: {len(self.differences)} differences"
        )


def run(kind: str, seed: int, folder: Path, *, steps: int, each_block: bool = False) -> Ended:
    """Live, pull and judge; odd seeds into the store that ships with a ledger beside it, even ones in memory.

    Args:
        each_block: whether the auditor proves the balances of every single block.
    """
    shipped = seed % 2 == 1
    most = 5 if seed % 3 == 0 else None
    with lived(kind, seed, max_block_range=most) as life:
        books: Books = (
            SqlBooks(folder / f"{kind}-{seed}.db", FixedClock(life.at)) if shipped else ShelfBooks()
        )
        start = life.base if seed % 5 == 4 else 0
        puller = Puller(life, books, seed=seed, by_tag=seed % 4 >= 2, start=start)
        with closing(puller):
            clerk = Clerk(puller, seed=seed) if shipped else None
            for _ in range(steps):
                life.step()
                if puller.chance.random() < 0.7:
                    puller.step()
                    if clerk is not None:
                        clerk.look()
            puller.settle()
            found = Judge(puller, each_block=each_block).differences()
            if clerk is not None:
                clerk.catch_up()
                clerk.claw_back()
                found += clerk.differences()
            verdict = puller.witness.verdict()
            return Ended(
                differences=found,
                store="sqlite" if shipped else "memory",
                head=life.head(),
                reorgs=life.reorgs,
                returned=life.returned,
                gone=len(verdict.gone),
                kills=puller.kills,
                moves=puller.moves,
                failures=puller.failures,
                movements=len(verdict.live),
                credited=clerk.stands_at_credit if clerk is not None else Counter(),
            )
