"""What a node's error message means: classified by its words, because codes are overloaded.

-32602 and -32005 stand for a range limit with one provider, for throttling with another and for an
unknown block with a third. The wordings are data: ``faults.toml``, with who says them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

_MAX_SHOWN = 200
_MAX_READ = 2000
"""Of a longer message only the beginning is looked at: patterns stay quick whatever a node sends."""


class FaultKind(StrEnum):
    """What to do about an error: the class of its message."""

    RANGE_LIMIT = "range_limit"
    """Ask for fewer blocks; ``limit`` says how many, where the message does."""
    RESULT_LIMIT = "result_limit"
    """Too many logs or bytes, or too long to find: ask for half."""
    BATCH_LIMIT = "batch_limit"
    """Too many calls in one request: ask for half, or for ``limit`` of them."""
    ADDRESS_LIMIT = "address_limit"
    """Too many addresses in one filter: split them."""
    BEYOND_HEAD = "beyond_head"
    """The node does not have the block yet: wait, never shrink."""
    PRUNED = "pruned"
    """The node no longer has the state or the history that was asked for: ask another, or do without."""
    THROTTLED = "throttled"
    """Too many requests: wait."""
    REFUSED = "refused"
    """The key is not accepted."""
    UNSUPPORTED = "unsupported"
    """The node does not know the method or the tag."""
    EXECUTION = "execution"
    """The contract that was called failed: an answer about the chain, not about the node."""
    OTHER = "other"


class RpcFault(Exception):  # noqa: N818 - an answer of the node, turned into an error of ours at the edge
    """A JSON-RPC error, classified.

    Args:
        limit: how much may be asked for, where the message says so: blocks, or calls for a batch limit.
        suggested: the limit is the length of a range that the node suggests in place of the one asked for:
            it holds for these blocks alone.
        whole: one error in answer to a whole batch, which may be about one of its calls only.
        ours: it is no word of the node's, but a bound on answers that we keep.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        limit: int | None = None,
        suggested: bool = False,
        whole: bool = False,
        ours: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.limit = limit
        self.suggested = suggested
        self.whole = whole
        self.ours = ours


@dataclass(frozen=True, slots=True)
class Pattern:
    """A row of the table."""

    kind: FaultKind
    kind_when_known: FaultKind | None
    words: re.Pattern[str]


def table() -> Mapping[str, Any]:
    """The data file, as it stands: ``fault`` rows with their examples, and ``unlisted`` wordings."""
    return tomllib.loads(files(__package__ or "").joinpath("faults.toml").read_text("utf-8"))


PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(
        FaultKind(row["class"]),
        FaultKind(row["class_when_known"]) if "class_when_known" in row else None,
        re.compile(row["pattern"], re.IGNORECASE),
    )
    for row in table()["fault"]
)
"""Tried in order; the first whose words are found decides."""

_BLOCK_WORDS = re.compile(r"blocks?\b", re.IGNORECASE)
_LIMIT_WORDS = re.compile(r"range|limit|exceed|max|only|allow", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"(?<![\w.])\d[\d,_]*(?![\w.])")


def classify(message: str, shown: str | None = None, *, whole: bool = False) -> RpcFault:
    """Say what an error message asks for.

    Args:
        message: the node's words.
        shown: what to show of them, secrets taken out; the message itself by default.
        whole: the error answers a whole batch.
    """
    shown = " ".join((message if shown is None else shown).split())[:_MAX_SHOWN]
    words = message[:_MAX_READ]
    for pattern in PATTERNS:
        found = pattern.words.search(words)
        if found:
            groups = {name: text for name, text in found.groupdict().items() if text}
            return RpcFault(
                _kind(pattern, groups),
                shown,
                limit=_limit(groups),
                suggested="lower" in groups,
                whole=whole,
            )
    limit = _unlisted_limit(words)
    kind = FaultKind.OTHER if limit is None else FaultKind.RANGE_LIMIT
    return RpcFault(kind, shown, limit=limit, whole=whole)


def _kind(pattern: Pattern, groups: Mapping[str, str]) -> FaultKind:
    known = "want" in groups and int(groups["want"]) <= int(groups["have"])
    return pattern.kind_when_known if known and pattern.kind_when_known is not None else pattern.kind


def _limit(groups: Mapping[str, str]) -> int | None:
    if "lower" in groups:
        ends = [
            int(groups[name], 16 if groups[name][:2].lower() == "0x" else 10) for name in ("lower", "upper")
        ]
        return abs(ends[1] - ends[0]) + 1
    return next((_count(text) for name, text in groups.items() if name.startswith("limit")), None)


def _count(text: str) -> int | None:
    digits = text.lower().replace(",", "").replace("_", "")
    value = int(digits[:-1][:18]) * 1000 if digits.endswith("k") else int(digits[:18])
    return value or None


def _unlisted_limit(words: str) -> int | None:
    # A wording nobody has seen yet that speaks of blocks and names a number is taken as a limit.
    if not (_BLOCK_WORDS.search(words) and _LIMIT_WORDS.search(words)):
        return None
    return min((count for text in _PLAIN_NUMBER.findall(words) if (count := _count(text))), default=None)
