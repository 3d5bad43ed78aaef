"""A witness that follows a chain through its reorganisations, from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from tests.auditor.evm import audit_chain
from tests.auditor.evm_facts import Audit, AuditError, Business, ChainMovedError, Movement
from tests.auditor.evm_node import Node

_PATIENCE = 5


class Payment(NamedTuple):
    """What stays of a movement when its transaction lands again in another block.

    Attributes:
        transaction: its hash; for a beacon withdrawal its position.
        nth: which of its equals in the transaction, in their order there, from 0.
    """

    transaction: str
    asset: str
    sender: str
    recipient: str
    units: int
    nth: int


class Sighting(NamedTuple):
    """A movement in a block, as it was canonical when the witness looked."""

    movement_id: str
    block_hash: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What must be in the store after the last look.

    Attributes:
        live: payments that are canonical now, with their movement of now.
        gone: payments that were seen and are not canonical now, with their last movement: retracted.
        sightings: every sighting of every payment.
    """

    live: Mapping[Payment, Movement]
    gone: Mapping[Payment, Movement]
    sightings: Mapping[Payment, frozenset[Sighting]]

    @property
    def retractions(self) -> dict[Payment, Movement]:
        """Payments that need a retraction: the deposits among those that are gone."""
        return {payment: last for payment, last in self.gone.items() if last.kind == "transfer"}

    @property
    def returned(self) -> dict[Payment, Movement]:
        """Payments that are live and were seen in another block or place before; not retracted."""
        return {payment: now for payment, now in self.live.items() if len(self.sightings[payment]) > 1}

    @property
    def live_ids(self) -> set[str]:
        """Ids of the movements that are live now."""
        return {movement.id for movement in self.live.values()}

    @property
    def gone_ids(self) -> set[str]:
        """Every id under which a payment that is gone was seen."""
        return {seen.movement_id for payment in self.gone for seen in self.sightings[payment]}


def payments(movements: Iterable[Movement]) -> dict[Payment, Movement]:
    """Movements by what stays of them through a reorganisation."""
    counts: Counter[tuple[str, str, str, str, int]] = Counter()
    found = {}
    for movement in sorted(movements, key=lambda one: one.sort_key):
        same = (
            movement.place.transaction_hash or movement.position,
            movement.asset,
            movement.sender,
            movement.recipient,
            movement.units,
        )
        found[Payment(*same, counts[same])] = movement
        counts[same] += 1
    return found


@dataclass
class Witness:
    """Looks at the chain whenever somebody pulls, and remembers.

    Args:
        url: where the node answers.
        business: whose money is looked for.
        start: the first block's number.
    """

    url: str
    business: Business
    start: int = 0
    last: Audit | None = None
    _seen: dict[Payment, set[Sighting]] = field(default_factory=dict)
    _latest: dict[Payment, Movement] = field(default_factory=dict)
    _node: Node | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; it opens again by itself."""
        if self._node is not None:
            self._node.close()
            self._node = None

    def look(self) -> Audit:
        """Audit the chain as it is canonical now, and remember each movement's block.

        Raises:
            ChainMovedError: the chain would not stand still.
        """
        audit = self._audit()
        for payment, movement in payments(audit.movements).items():
            sighting = Sighting(movement.id, movement.place.block_hash)
            self._seen.setdefault(payment, set()).add(sighting)
            self._latest[payment] = movement
        self.last = audit
        return audit

    def verdict(self) -> Verdict:
        """What must be live and what retracted, by the last look.

        Raises:
            ChainMovedError: the chain has another head since: look again (and pull again) first.
            AuditError: nobody has looked yet.
        """
        if self.last is None:
            raise AuditError("nobody has looked")
        head = self._open().ask("eth_getBlockByNumber", "latest", False)
        if head["hash"].lower() != self.last.blocks[-1][1]:
            raise ChainMovedError("the chain has moved since the last look")
        live = payments(self.last.movements)
        return Verdict(
            live=live,
            gone={payment: last for payment, last in self._latest.items() if payment not in live},
            sightings={payment: frozenset(seen) for payment, seen in self._seen.items()},
        )

    def _open(self) -> Node:
        if self._node is None:
            self._node = Node(self.url, traces=self.business.traces)
        return self._node

    def _audit(self) -> Audit:
        for _ in range(_PATIENCE):
            try:
                return audit_chain(self._open(), self.business, start=self.start)
            except ChainMovedError as moved:
                problem = moved
        raise problem
