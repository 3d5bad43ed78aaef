"""The completeness identity: the balance of every (address, asset) moves by what was read, by nothing else.

Over the blocks ``(b0, b1]``, balance(b1) - balance(b0) = in - out - fees. Full nodes hold the states of some
128 blocks only, so balances are read at the head, by block hash, and wait until their block is final. Read
are the pairs that were touched, those that wait without a reading, and a rotating sample of the rest.

What it cannot find: movements of one pair that nobody read and that cancel out between two of its readings;
and that a transfer which turns up later, in blocks that were proved without it, was one of two such.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from payhealth.connectors.evm.proofs.balances import Ask, AssetRef, Universe
from payhealth.connectors.evm.proofs.balances_moved import Moved
from payhealth.connectors.evm.proofs.identity_judge import Canonical
from payhealth.connectors.evm.proofs.identity_run import IdentityStep, Moment, Run, Setup
from payhealth.connectors.evm.proofs.identity_state import State
from payhealth.connectors.evm.wire.values import Header

if TYPE_CHECKING:
    from payhealth.ports import StoreReader

__all__ = ["AssetRef", "Identity", "IdentityStep"]


class Identity:
    """Holds the balances of one chain against what the store says of it.

    Args:
        connector: whose records.
        assets: CAIP-19 id -> where it lives.
        addresses: our own, lower case, sorted.
        multicall3: the contract's address, None where the chain has none.
        start_block: from which block on transfers are read.
        ask: asks the node: an answer a call, faults as values.
        provider: who answers, for the coverage.
        sample: how many pairs the rotation takes at a step.
        most_balances: how many balances one step reads at the head, at most.
    """

    def __init__(
        self,
        *,
        connector: str,
        chain_id: int,
        assets: Mapping[str, AssetRef],
        addresses: Sequence[str],
        multicall3: str | None,
        start_block: int,
        ask: Ask,
        reader: StoreReader,
        provider: str,
        sample: int = 200,
        most_balances: int = 2000,
    ) -> None:
        universe = Universe(addresses, assets)
        self._fingerprint = _fingerprint(chain_id, start_block, universe)
        self._setup = Setup(
            connector=connector,
            universe=universe,
            start=start_block,
            multicall3=multicall3,
            ask=ask,
            reader=reader,
            provider=provider,
            sample=sample,
            most=most_balances,
            moved=Moved(reader, connector, universe),
        )

    def step(
        self,
        *,
        head: Header,
        final: int,
        touched: Collection[tuple[str, str]],
        state: Mapping[str, Any] | None,
        canonical: Canonical,
        now: datetime,
    ) -> IdentityStep:
        """Hold what has become final against what was read, and read balances at the head.

        Args:
            head: the newest block whose transfers are committed.
            final: the newest final block.
            touched: (address, asset) to look at in any case. What the store holds of blocks that were not
                final at the last step is looked at without this, so that a kill loses nothing.
            state: what the last committed step gave, None at first.
            canonical: whether a block's hash still stands, None for one older than the window.

        Raises:
            SourceError: the node does not answer.
        """
        known = State.of(state, self._fingerprint)
        if not self._setup.universe.size or self._setup.opening > final:
            return IdentityStep(balances=[], windows=[], state=known.kept())
        pairs = (self._setup.universe.pair(address, asset) for address, asset in touched)
        moment = Moment(head=head, final=min(final, head.number), canonical=canonical, now=now)
        return Run(self._setup, known, moment, {pair for pair in pairs if pair is not None}).step()


def _fingerprint(chain_id: int, start_block: int, universe: Universe) -> str:
    words = (str(chain_id), str(start_block), *universe.assets, "addresses", *universe.addresses)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
