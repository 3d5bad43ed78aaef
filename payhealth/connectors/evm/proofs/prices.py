"""What assets were worth at payments' blocks, as Chainlink's feeds say there.

The feed is asked in the state of the payment's own block, by its hash, so that the price is a fact of that
block: the same whenever it is read, and another one when a reorg moves the payment. A node that no longer
keeps that state is asked for the feed's rounds instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payhealth.connectors.evm.proofs.prices_feed import (
    DECIMALS,
    DESCRIPTION,
    LATEST_ROUND,
    FeedRef,
    NoRound,
    Peg,
    Round,
    decimals_of,
    description_of,
    feed_call,
    round_of,
)
from payhealth.connectors.evm.proofs.prices_rounds import Ask, Found, walk_back
from payhealth.connectors.evm.proofs.prices_rules import judge
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.wire.values import Header
from payhealth.domain.assets import chain_of
from payhealth.domain.chain_records import AssetPrice
from payhealth.domain.money import to_scaled
from payhealth.domain.times import from_us, to_us

__all__ = ["FeedRef", "Peg", "PriceReader"]

_LAST_SECOND = 253_402_300_799
"""The end of the year 9999: later timestamps are not moments."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a feed says of itself: its decimals, or why they cannot be used."""

    decimals: int
    problem: str = ""
    passing: bool = False


_Wanted = tuple[str, Header]


class PriceReader:
    """Prices of one chain's assets.

    Args:
        connector: whose records they are.
        feeds: asset (CAIP-19) -> its feed.
        pegs: asset -> what it follows; one without a feed has no price here.
        ask: asks the node: an answer a call, faults as values.

    Attributes:
        waiting: (asset, block hash) -> why the last reading gave it no record: it is to be asked again.

    Raises:
        ValueError: an asset of another chain, or a feed that is quoted in something else than its asset's
            peg.
    """

    def __init__(
        self,
        *,
        connector: str,
        chain_id: int,
        feeds: Mapping[str, FeedRef],
        pegs: Mapping[str, Peg],
        ask: Ask,
    ) -> None:
        for asset, feed in feeds.items():
            if chain_of(asset) != f"eip155:{chain_id}":
                raise ValueError(f"{feed.shown}: {asset} is no asset of chain {chain_id}")
            peg = pegs.get(asset)
            if peg is not None and peg.quote != feed.quote:
                raise ValueError(f"{feed.shown} is quoted in {feed.quote}, but {asset} follows {peg.quote}")
        for peg in pegs.values():
            to_scaled(peg.band)
        self._connector = connector
        self._feeds = dict(feeds)
        self._pegs = dict(pegs)
        self._ask = ask
        self._facts: dict[FeedRef, _Facts] = {}
        self.waiting: dict[tuple[str, str], str] = {}

    def verify(self, ask: Ask) -> list[str]:
        """Hold every feed against its configuration: a contract, its decimals, its description.

        Returns:
            What is wrong, in words; nothing where all is well.

        Raises:
            SourceError: no node answers.
        """
        feeds = list(dict.fromkeys(self._feeds.values()))
        facts = _facts_of(feeds, ask(_fact_calls(feeds)))
        return [found.problem for found in facts.values() if found.problem]

    def prices(self, wanted: Collection[_Wanted]) -> list[AssetPrice]:
        """One record for each asset and block, with a price or with the reason why there is none.

        A record is final: it follows from that block, and need not be asked for again. Where the reason may
        pass (the node did not answer, the feed is not the configured one) there is no record but a line
        in ``waiting``, and the pair is to be wanted again at the next pull.

        Args:
            wanted: (asset, the payment's block); assets without a feed are left out.

        Raises:
            SourceError: no node answers at all. What a feed answers never raises.
        """
        asked = _distinct(pair for pair in wanted if pair[0] in self._feeds)
        self.waiting = {}
        if not asked:
            return []
        found = self._rounds(asked)
        records = [self._record(pair, at) for pair, at in zip(asked, found, strict=True)]
        return [record for record in records if record is not None]

    def _rounds(self, asked: Sequence[_Wanted]) -> list[Found]:
        """The round that stood at each block: from its state, else from the feed's rounds."""
        unknown = [
            feed
            for feed in dict.fromkeys(self._feeds[asset] for asset, _ in asked)
            if feed not in self._facts or self._facts[feed].problem
        ]
        calls = [
            feed_call(self._feeds[asset], LATEST_ROUND, {"blockHash": block.hash}) for asset, block in asked
        ]
        answers = self._ask([*calls, *_fact_calls(unknown)])
        self._facts.update(_facts_of(unknown, answers[len(calls) :]))
        found = [round_of(answer) for answer in answers[: len(calls)]]
        pruned = [at for at, each in enumerate(found) if isinstance(each, NoRound) and each.pruned]
        jobs = [(self._feeds[asked[at][0]], _seconds(asked[at][1])) for at in pruned]
        for at, each in zip(pruned, walk_back(jobs, self._ask), strict=True):
            found[at] = each
        return found

    def _record(self, pair: _Wanted, found: Found) -> AssetPrice | None:
        asset, block = pair
        feed = self._feeds[asset]
        facts = self._facts[feed]
        settled = isinstance(found, NoRound) and not found.passing
        if facts.problem and not (settled and facts.passing):
            # A feed that is not the configured one is the configuration's fault: nothing is final of it.
            self.waiting[asset, block.hash] = facts.problem
            return None
        if isinstance(found, NoRound):
            if found.passing:
                self.waiting[asset, block.hash] = found.reason
                return None
            return self._priced(pair, None, found.reason, None)
        price, reason = judge(found, _seconds(block), feed, facts.decimals, self._pegs.get(asset))
        return self._priced(pair, price, reason, found)

    def _priced(self, pair: _Wanted, price: Any, reason: str | None, found: Round | None) -> AssetPrice:
        asset, block = pair
        feed = self._feeds[asset]
        return AssetPrice(
            connector=self._connector,
            asset=asset,
            quote=feed.quote,
            block_hash=block.hash,
            block_number=block.number,
            block_at=block.at,
            price=price,
            reason=reason,
            feed=feed.address,
            round_id=str(found.id) if found else None,
            round_at=_moment(found.updated_s) if found else None,
        )


def _distinct(wanted: Iterable[_Wanted]) -> list[_Wanted]:
    """Each asset and block once, in the order of the chain."""
    pairs = {(asset, block.hash): (asset, block) for asset, block in wanted}
    return sorted(pairs.values(), key=lambda pair: (pair[1].number, pair[1].hash, pair[0]))


def _fact_calls(feeds: Sequence[FeedRef]) -> list[Any]:
    return [feed_call(feed, data, "latest") for feed in feeds for data in (DECIMALS, DESCRIPTION)]


def _facts_of(feeds: Sequence[FeedRef], answers: Sequence[Any]) -> dict[FeedRef, _Facts]:
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return {feed: _facts(feed, *pair) for feed, pair in zip(feeds, pairs, strict=True)}


def _facts(feed: FeedRef, decimals: Any, description: Any) -> _Facts:
    """What a feed says of itself, held against what is configured."""
    for answer in (decimals, description):
        if isinstance(answer, RpcFault) and answer.kind is not FaultKind.EXECUTION:
            return _Facts(0, f"{feed.shown} cannot be read: {answer.message}", passing=True)
    if decimals == "0x":
        return _Facts(0, f"there is no contract for {feed.shown}")
    places, said = decimals_of(decimals), description_of(description)
    if places is None:
        return _Facts(0, f"{feed.shown} does not answer decimals()")
    if said is None:
        return _Facts(places, f"{feed.shown} does not answer description()")
    if said not in (feed.description, *feed.aliases):
        return _Facts(places, f"{feed.shown} says that it is {said!r}")
    return _Facts(places)


def _seconds(block: Header) -> int:
    return to_us(block.at) // 1_000_000


def _moment(seconds: int) -> datetime | None:
    return from_us(seconds * 1_000_000) if seconds <= _LAST_SECOND else None
