"""What a Chainlink feed is asked and what it answers: calls and words, there and back; pure.

Source: Chainlink's AggregatorV3Interface (``latestRoundData()``, ``getRoundData(uint80)``, ``decimals()``,
``description()``) and its documentation of historical data: a proxy's round id holds the phase, the number
of the aggregator behind it, in its upper 16 bits, and that aggregator's own round in the lower 64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault

LATEST_ROUND = "0xfeaf968c"
"""Selector of ``latestRoundData()``."""
ROUND = "0x9a6fc8f5"
"""Selector of ``getRoundData(uint80)``."""
DECIMALS = "0x313ce567"
"""Selector of ``decimals()``."""
DESCRIPTION = "0x7284e416"
"""Selector of ``description()``."""

_PHASE_BITS = 64
_ROUND_ID_BITS = 80
_WORD = 64
"""Hexadecimal digits of one 32-byte word."""
_ROUND_WORDS = 5
_MOST_DECIMALS = 77
_LONGEST_TEXT = 256
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)

Where = str | Mapping[str, str]
"""A block: ``latest``, or ``{"blockHash": …}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRef:
    """A feed, and what it is expected to be.

    Args:
        address: of the proxy, lower case.
        quote: what it is quoted in (ISO 4217).
        heartbeat_s: a round older than this many seconds is stale.
        description: what its ``description()`` must say.
        aliases: what it may say instead.
    """

    address: str
    quote: str
    heartbeat_s: int
    description: str
    aliases: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """How to name it to people."""
        return f"the feed {self.description} at {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peg:
    """What a stablecoin follows.

    Args:
        band: how far from 1 its price may be and still count as 1, inclusive (0.005 is half a percent).
    """

    quote: str
    band: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One answer of a feed.

    Args:
        answer: in units of ``10**-decimals`` of the feed; may be negative.
        updated_s: seconds since 1970; 0 for a round that was never finished.
        answered_in: the round in which the answer was found.
    """

    id: int
    answer: int
    updated_s: int
    answered_in: int

    @property
    def phase(self) -> int:
        """The number of the aggregator that gave it."""
        return self.id >> _PHASE_BITS

    @property
    def number(self) -> int:
        """Its number within its phase, from 1."""
        return self.id & ((1 << _PHASE_BITS) - 1)

    def back(self, rounds: int) -> int:
        """The id of the round so many before it in its phase."""
        return (self.phase << _PHASE_BITS) | (self.number - rounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRound:
    """Why there is no round.

    Args:
        reason: in words; what comes before a colon is the same for every case of its kind.
        passing: another day may tell more: nothing is recorded, and the next pull asks again.
        pruned: the node no longer keeps the state of that block.
    """

    reason: str
    passing: bool = False
    pruned: bool = False


def feed_call(feed: FeedRef, data: str, where: Where) -> Call:
    """A call of a feed at a block."""
    return Call("eth_call", ({"to": feed.address, "data": data}, where))


def round_call(feed: FeedRef, round_id: int) -> Call:
    """Asks for one of its rounds; rounds are only ever added, so that the newest state knows all of them."""
    return feed_call(feed, f"{ROUND}{round_id:0{_WORD}x}", "latest")


def round_of(answer: Any) -> Round | NoRound:
    """Read what ``latestRoundData()`` or ``getRoundData()`` answered.

    Args:
        answer: the words in hexadecimal, or the fault that stands in their place.
    """
    if isinstance(answer, RpcFault):
        return _no_round(answer)
    words = words_of(answer)
    if words is None:
        return NoRound(reason="unreadable: the node answered something that is no data", passing=True)
    if not words:
        return NoRound(reason="no contract: there was none at the feed's address")
    if len(words) != _ROUND_WORDS or max(words[0], words[4]) >> _ROUND_ID_BITS:
        return NoRound(reason="no feed: the contract does not answer with a round")
    return Round(id=words[0], answer=_signed(words[1]), updated_s=words[3], answered_in=words[4])


def decimals_of(answer: Any) -> int | None:
    """Read what ``decimals()`` answered, None where it is no number of decimals."""
    words = words_of(answer)
    return words[0] if words is not None and len(words) == 1 and words[0] <= _MOST_DECIMALS else None


def description_of(answer: Any) -> str | None:
    """Read what ``description()`` answered, None where it is no text."""
    words = words_of(answer)
    if words is None or len(words) < 2 or words[0] != 2 * _WORD // 4:
        return None
    data = bytes.fromhex(answer[2:])[64:]
    if words[1] > min(len(data), _LONGEST_TEXT):
        return None
    try:
        return data[: words[1]].decode("utf-8")
    except UnicodeDecodeError:
        return None


def words_of(answer: Any) -> list[int] | None:
    """The words of an answer, None where it is not made of whole ones."""
    if not isinstance(answer, str) or not _HEX.fullmatch(answer) or (len(answer) - 2) % _WORD:
        return None
    return [int(answer[at : at + _WORD], 16) for at in range(2, len(answer), _WORD)]


def _no_round(fault: RpcFault) -> NoRound:
    if fault.kind is FaultKind.PRUNED:
        return NoRound(reason=f"no state: {fault.message}", passing=True, pruned=True)
    if fault.kind is FaultKind.EXECUTION:
        return NoRound(reason=f"refused: the feed failed ({fault.message})")
    return NoRound(reason=f"not answered: {fault.message}", passing=True)


def _signed(word: int) -> int:
    return word - (1 << 256) if word >> 255 else word
