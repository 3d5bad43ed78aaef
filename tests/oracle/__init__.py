"""The oracle: a naive recomputation of what reconciliation must say, written from the text alone.

It shares no code with payhealth and imports nothing of it. `README.md` lists the readings it took.
"""

from tests.oracle.model import Break, Match, OracleResult, StatementRow
from tests.oracle.reconcile import reconcile
from tests.oracle.worlds import World, random_world, worlds

__all__ = [
    "Break",
    "Match",
    "OracleResult",
    "StatementRow",
    "World",
    "random_world",
    "reconcile",
    "worlds",
]
