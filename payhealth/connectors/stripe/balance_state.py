"""What the balance identity remembers between pulls: the last reading that added up, and its cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

ATTEMPTS_MAX = 3
"""So many pulls in a row may fail to add up before it is a mismatch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the books near a reading; ``net`` in units of 1e-18."""

    line_id: str
    asset: str
    net: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A reading of the balance that the next one is held against.

    Args:
        balance: available and pending together, in units of 1e-18.
        from_s: lines booked before this moment are in the balance for sure.
        at_s: the moment of the reading, by Stripe's clock.
        lines: the lines booked around that moment, oldest first.
        cut: how many of them the balance held; None where that is not known, so that every cut is possible.
    """

    balance: int
    from_s: int
    at_s: int
    lines: tuple[str, ...]
    cut: int | None

    def counted(self, nets: Callable[[Sequence[str]], Mapping[str, int]]) -> list[int]:
        """What the lines that were in the balance come to: one sum for each possible cut, the last is all.

        Args:
            nets: looks up the net of lines by their ids.
        """
        within = self.lines if self.cut is None else self.lines[: self.cut]
        known = nets(within) if within else {}
        sums = prefix_sums([known.get(line, 0) for line in within])
        return sums if self.cut is None else sums[-1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetState:
    """How far the proof of one asset has come.

    Args:
        since_s: from when on the balance is held against the list.
        proved: whether it ever added up from there.
        attempts: how many pulls in a row did not add up.
        difference: the balance's movement less what was listed, in units of 1e-18.
    """

    anchor: Anchor
    since_s: int
    proved: bool
    attempts: int = 0
    difference: int = 0

    @classmethod
    def opened(cls, start_s: int) -> AssetState:
        """Before the first reading: an account that began after ``start`` had nothing then."""
        anchor = Anchor(balance=0, from_s=start_s, at_s=start_s, lines=(), cut=0)
        return cls(anchor=anchor, since_s=start_s, proved=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The proofs of all assets of an account."""

    by_asset: Mapping[str, AssetState] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> States:
        """Read what :meth:`text` wrote.

        Raises:
            ValueError, KeyError or TypeError: something else.
        """
        if text is None:
            return cls()
        found = orjson.loads(text)
        if not isinstance(found, dict):
            raise TypeError("no table of assets")
        return cls(by_asset={asset: _state(each) for asset, each in found.items()})

    def text(self) -> str:
        """JSON; amounts as text, since they exceed what JSON's readers hold."""
        return orjson.dumps({asset: _shown(state) for asset, state in self.by_asset.items()}).decode()


def prefix_sums(values: Sequence[int]) -> list[int]:
    """0, the first, the first two, ..., all."""
    sums = [0]
    for value in values:
        sums.append(sums[-1] + value)
    return sums


def _shown(state: AssetState) -> dict[str, Any]:
    anchor = state.anchor
    return {
        "balance": str(anchor.balance),
        "from_s": anchor.from_s,
        "at_s": anchor.at_s,
        "lines": anchor.lines,
        "cut": anchor.cut,
        "since_s": state.since_s,
        "proved": state.proved,
        "attempts": state.attempts,
        "difference": str(state.difference),
    }


def _state(found: Mapping[str, Any]) -> AssetState:
    anchor = Anchor(
        balance=int(found["balance"]),
        from_s=found["from_s"],
        at_s=found["at_s"],
        lines=tuple(found["lines"]),
        cut=found["cut"],
    )
    return AssetState(
        anchor=anchor,
        since_s=found["since_s"],
        proved=found["proved"],
        attempts=found["attempts"],
        difference=int(found["difference"]),
    )
