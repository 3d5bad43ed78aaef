"""What a node's error message means: classified by its words, because codes are overloaded.

-32602 and -32005 stand for a range limit with one provider, for throttling with another and for an
unknown block with a third. Source: messages of public providers and of geth, read 2026-11-22.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_MAX_SHOWN = 200


class FaultKind(StrEnum):
    """What to do about an error: the class of its message."""

    RANGE_LIMIT = "range_limit"
    """Ask for fewer blocks; ``limit`` says how many, where the message does."""
    RESULT_LIMIT = "result_limit"
    """Too many logs or bytes: ask for half."""
    BATCH_LIMIT = "batch_limit"
    """Too many calls in one request: ask for half."""
    ADDRESS_LIMIT = "address_limit"
    """Too many addresses in one filter: split them."""
    BEYOND_HEAD = "beyond_head"
    """The node does not have the block yet: wait, never shrink."""
    THROTTLED = "throttled"
    """Too many requests: wait."""
    REFUSED = "refused"
    """The key is not accepted."""
    UNSUPPORTED = "unsupported"
    """The node does not know the method or the tag."""
    OTHER = "other"


class RpcFault(Exception):  # noqa: N818 - an answer of the node, turned into an error of ours at the edge
    """A JSON-RPC error, classified.

    Args:
        limit: how many blocks may be asked for, where the message says so.
    """

    def __init__(self, kind: FaultKind, message: str, *, limit: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.limit = limit


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: FaultKind
    words: re.Pattern[str]


def _pattern(kind: FaultKind, words: str) -> _Pattern:
    return _Pattern(kind, re.compile(words, re.IGNORECASE))


_NUMBER = r"(?P<limit>\d[\d,_]*k?)"

PATTERNS: tuple[_Pattern, ...] = (
    _pattern(FaultKind.RESULT_LIMIT, r"more than \d[\d,]* (results|logs)(?!.*\[0x)"),
    _pattern(FaultKind.RANGE_LIMIT, r"range[^\[]*\[(?P<lower>0x[0-9a-f]+)\s*,\s*(?P<upper>0x[0-9a-f]+)\]"),
    _pattern(
        FaultKind.REFUSED,
        r"unauthori[sz]ed|invalid (api|project|access)[ -]?(key|id|token)|must be authenticated",
    ),
    _pattern(
        FaultKind.BATCH_LIMIT, r"batch.*(too (large|big|many)|limit|exceed|max|not (supported|allowed))"
    ),
    _pattern(FaultKind.BATCH_LIMIT, r"(too (many|large)|max|limit).*batch"),
    _pattern(
        FaultKind.ADDRESS_LIMIT,
        r"(less|fewer) number of addresses|too many (addresses|topics)|max (addresses|topics)",
    ),
    _pattern(
        FaultKind.RESULT_LIMIT,
        r"too many (logs|results)|response (is |size )?(too (big|large)|exceed|should)",
    ),
    _pattern(
        FaultKind.RESULT_LIMIT,
        r"(log )?response size|query (timeout|timed out)|query execution .*time|took too long",
    ),
    _pattern(FaultKind.UNSUPPORTED, r"(invalid|unknown|unsupported) block tag|tag.*not supported"),
    _pattern(
        FaultKind.BEYOND_HEAD, r"beyond current head|cannot be found|unknown block|(header|block) not found"
    ),
    _pattern(FaultKind.BEYOND_HEAD, r"(after|beyond|greater than|past) (the )?(last|latest|current|head)"),
    _pattern(FaultKind.RANGE_LIMIT, rf"limited to (a )?{_NUMBER}"),
    _pattern(
        FaultKind.RANGE_LIMIT,
        rf"range[^.]*(limit|max\w*)( block range)?( allowed)?( is| of|:|,)*\s*{_NUMBER}",
    ),
    _pattern(FaultKind.RANGE_LIMIT, rf"(limit|max\w*)( of| is|:)?\s*{_NUMBER}[ -]*blocks?"),
    _pattern(FaultKind.RANGE_LIMIT, rf"up to (a )?{_NUMBER}[ -]*blocks?"),
    _pattern(
        FaultKind.RANGE_LIMIT,
        r"(bigger|larger) than max ?block ?range|block range( is)? too (high|large|wide)",
    ),
    _pattern(FaultKind.RANGE_LIMIT, rf"exceeds?( the)? max\w* block range\W+{_NUMBER}"),
    _pattern(FaultKind.RANGE_LIMIT, r"exceeds?( the)? max\w* block range|block range\b.*\b(limit|exceed)"),
    _pattern(
        FaultKind.THROTTLED,
        r"too many requests|compute units|rate.?limit|capacity|throttl|requests? (limit|per|count)",
    ),
    _pattern(
        FaultKind.UNSUPPORTED,
        r"method .*not (found|available|supported|exist)|does not exist/is not available",
    ),
)
"""Tried in order; the first whose words are found decides."""

_BLOCK_WORDS = re.compile(r"blocks?\b", re.IGNORECASE)
_LIMIT_WORDS = re.compile(r"range|limit|exceed|max|only|allow", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]*(?![\w.])")


def classify(message: str, shown: str | None = None) -> RpcFault:
    """Say what an error message asks for.

    Args:
        message: the node's words.
        shown: what to show of them, secrets taken out; the message itself by default.
    """
    shown = " ".join((message if shown is None else shown).split())[:_MAX_SHOWN]
    for pattern in PATTERNS:
        found = pattern.words.search(message)
        if found:
            return RpcFault(pattern.kind, shown, limit=_limit(found.groupdict()))
    return _unknown(message, shown)


def _limit(groups: Mapping[str, Any]) -> int | None:
    if groups.get("lower"):
        lower, upper = sorted((int(groups["lower"], 16), int(groups["upper"], 16)))
        return upper - lower + 1
    if not groups.get("limit"):
        return None
    return _count(groups["limit"])


def _count(text: str) -> int | None:
    digits = text.lower().replace(",", "").replace("_", "")
    value = int(digits[:-1][:18]) * 1000 if digits.endswith("k") else int(digits[:18])
    return value or None


def _unknown(message: str, shown: str) -> RpcFault:
    # A wording nobody has seen yet that speaks of blocks and names a number is taken as a limit.
    if _BLOCK_WORDS.search(message) and _LIMIT_WORDS.search(message):
        counts = [count for text in _PLAIN_NUMBER.findall(message) if (count := _count(text))]
        if counts:
            return RpcFault(FaultKind.RANGE_LIMIT, shown, limit=min(counts))
    return RpcFault(FaultKind.OTHER, shown)
