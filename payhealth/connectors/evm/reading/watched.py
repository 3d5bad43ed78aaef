"""Whose transfers are read: the listed addresses, and those that derive from an extended public key."""

from __future__ import annotations

from collections.abc import Iterable

from payhealth.connectors.evm.reading.book import book_of
from payhealth.connectors.evm.reading.scan import Scanner
from payhealth.connectors.evm.reading.stored import Stored
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.rpc.ranges import RangePlanners
from payhealth.connectors.evm.settings import EvmSettings


class Watched:
    """The addresses of one pull, and what reads for them.

    Args:
        derived: how many addresses of the extended public key are watched at first.

    Attributes:
        book: what decides the meaning of a transfer, with all of the addresses.
        scanner: reads for all of them.
    """

    def __init__(
        self, *, node: Node, settings: EvmSettings, stored: Stored, planners: RangePlanners, derived: int
    ) -> None:
        self._node = node
        self._settings = settings
        self._stored = stored
        self._planners = planners
        self._places: dict[str, int] = {}
        self._watch(derived)

    def _watch(self, derived: int) -> None:
        key = self._settings.derived
        more = key.first(derived) if key is not None else ()
        self._places = {address: place for place, address in enumerate(more)}
        self.book = book_of(self._stored.connector, self._settings, self._settings.ours | set(more))
        self.scanner = self._scanner_for(self.book.ours)

    def missing(self, used: int) -> int:
        """How many derived addresses have to be watched, 0 where that many are.

        Args:
            used: the highest index that a transfer touched, -1 for none.
        """
        if self._settings.derived is None:
            return 0
        gap = self._settings.gap_limit
        # In lots: each time that addresses are added, all of the past is read for them.
        return used + 1 + 2 * gap if used + 1 + gap > len(self._places) else 0

    def grow(self, derived: int) -> Scanner:
        """Watch more derived addresses from now on; a scanner for the new ones alone."""
        known = len(self._places)
        self._watch(derived)
        return self._scanner_for(list(self._places)[known:])

    def highest(self, addresses: Iterable[str]) -> int:
        """The highest index of derived addresses among some, -1 for none."""
        return max((self._places.get(address, -1) for address in addresses), default=-1)

    def _scanner_for(self, addresses: Iterable[str]) -> Scanner:
        return Scanner(self._node, self._settings, self.book, self._stored, self._planners, addresses)
