"""For tests of payhealth and of its plugins: a store in memory, a clock that stands still, contract suites.

A connector's tests subclass ``payhealth.testing.contract.SourceContract``, a store's ``StoreContract``.
"""

from payhealth.testing.clock import FixedClock
from payhealth.testing.memory import MemoryStore

__all__ = ["FixedClock", "MemoryStore"]
