"""What the balance identity remembers between pulls, and what one more reading changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from payhealth.domain.records import ProofState

ATTEMPTS_MAX = 3
"""So many pulls may fail to add up before it is a mismatch."""

SETTLES_S = 900
"""How long it must have failed for that, by Stripe's clock: a few pulls within a minute prove nothing."""

NEAR_S = 5
"""A cut so close to the reading is natural: clocks stand in whole seconds, and an answer takes a few."""

SHIFTED_WAITING = 3
"""So many pulls in a row at a cut that is not natural, and it is not proved any more: lags end."""

SHIFTED_MAX = 6
"""So many, and it is a mismatch."""

_ANCHOR_OLDEST_S = 86_400
"""How long a reading is held against that did not end at the second: a line listed late is still counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the books near a reading; ``net`` in units of 1e-18, ``created_s`` in unix seconds."""

    line_id: str
    asset: str
    net: int
    created_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """So many of some lines, oldest first; ``off_s`` is how far from the reading they end, in seconds."""

    count: int
    off_s: int


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
    lines: tuple[str, ...] = ()
    cut: int | None = 0

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
        attempts: how many pulls did not add up at any cut since it last did at a natural one.
        failed_since_s: the moment of the first of them.
        shifted: how many pulls added up at no natural cut but at another one, since then.
        shifted_since_s: the moment of the first of them.
        difference: the balance's movement less what was listed up to the reading, in units of 1e-18.
    """

    anchor: Anchor
    since_s: int
    proved: bool
    attempts: int = 0
    failed_since_s: int = 0
    shifted: int = 0
    shifted_since_s: int = 0
    difference: int = 0

    @classmethod
    def opened(cls, from_s: int, at_s: int) -> AssetState:
        """There was nothing of the asset at a moment: it was not in the balance, or there was no account."""
        return cls(anchor=Anchor(balance=0, from_s=from_s, at_s=at_s), since_s=at_s, proved=False)

    def after(self, here: Anchor, cut: Cut | None, left: int) -> AssetState:
        """The state after one more reading.

        Only a natural cut moves the anchor: what is late in the list would be before it, and never counted.

        Args:
            here: the reading, cut at ``cut``.
            cut: the fitting cut nearest to it, None where none fits.
            left: what a cut at the reading's own second leaves over, in units of 1e-18.
        """
        if cut is None:
            since_s = self.failed_since_s if self.attempts else here.at_s
            return replace(self, attempts=self.attempts + 1, failed_since_s=since_s, difference=left)
        # A lag leaves now this over and now that; the same again, however near, may be a missing line.
        same_again = cut.off_s > 0 and left == self.difference
        if cut.off_s > NEAR_S or same_again:
            since_s = self.shifted_since_s if self.shifted else here.at_s
            return replace(self, shifted=self.shifted + 1, shifted_since_s=since_s, difference=left)
        moves = cut.off_s == 0 or here.at_s - self.anchor.at_s > _ANCHOR_OLDEST_S
        return AssetState(
            anchor=here if moves else self.anchor,
            since_s=self.since_s,
            proved=True,
            difference=left if cut.off_s else 0,
        )

    def verdict(self, at_s: int) -> ProofState:
        """What is known at the moment of the last reading."""
        failed = self.attempts >= ATTEMPTS_MAX and at_s - self.failed_since_s >= SETTLES_S
        shifted = self.shifted >= SHIFTED_MAX and at_s - self.shifted_since_s >= SETTLES_S
        if failed or shifted:
            return ProofState.MISMATCH
        waits = not self.proved or self.attempts or self.shifted >= SHIFTED_WAITING
        return ProofState.WAITING if waits else ProofState.PROVED


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The proofs of all assets of an account.

    Args:
        at_s: the moment of the last reading, by Stripe's clock; None before the first.
        from_s: lines booked before this moment were in that reading for sure.
        unread: assets that this reading showed something of, without its amount being known.
    """

    by_asset: Mapping[str, AssetState] = field(default_factory=dict)
    at_s: int | None = None
    from_s: int = 0
    unread: tuple[str, ...] = ()

    def is_first(self, asset: str) -> bool:
        """Whether no reading so far says how much there was of an asset."""
        return asset not in self.by_asset and (self.at_s is None or asset in self.unread)

    def known(self, asset: str, start_s: int) -> AssetState:
        """What the next reading of an asset is held against.

        One that no reading showed had nothing at the last of them. Before the first reading, an account that
        began after ``start`` had nothing then; whether it did is not asked here, only tried.
        """
        state = self.by_asset.get(asset)
        if state is not None:
            return state
        if self.at_s is None or self.is_first(asset):
            return AssetState.opened(start_s, start_s)
        return AssetState.opened(self.from_s, self.at_s)

    @classmethod
    def parse(cls, text: str | None) -> States:
        """Read what :meth:`text` wrote, now or in the first version (the assets alone).

        Raises:
            ValueError, KeyError or TypeError: something else.
        """
        if text is None:
            return cls()
        found = orjson.loads(text)
        assets = found.get("assets", found) if isinstance(found, dict) else None
        if not isinstance(assets, dict):
            raise TypeError("no table of assets")
        states = {asset: _state(each) for asset, each in assets.items()}
        if "assets" in found:
            at_s, from_s = _whole(found["at_s"]), _whole(found["from_s"])
            return cls(by_asset=states, at_s=at_s, from_s=from_s, unread=tuple(found["unread"]))
        # The last reading that added up is one that showed no other asset.
        last = max((state.anchor for state in states.values()), key=lambda anchor: anchor.at_s, default=None)
        return cls(by_asset=states, at_s=last.at_s, from_s=last.from_s) if last else cls()

    def text(self) -> str:
        """JSON; amounts as text, since they exceed what JSON's readers hold."""
        assets = {asset: _shown(state) for asset, state in self.by_asset.items()}
        reading = {"at_s": self.at_s, "from_s": self.from_s, "unread": self.unread}
        return orjson.dumps({"assets": assets, **reading}).decode()


def nearest_cut(lines: Sequence[Line], wanted: set[int], at_s: int) -> Cut | None:
    """The cut nearest to a moment at which the lines come to a wanted sum, None where there is none.

    Args:
        lines: oldest first.
        wanted: sums in units of 1e-18.
        at_s: the moment of the reading; its own second may be in the balance, or not, or in part.
    """
    sums = prefix_sums([line.net for line in lines])
    cuts = [
        Cut(count=count, off_s=_off_s(lines, count, at_s))
        for count, total in enumerate(sums)
        if total in wanted
    ]
    return min(cuts, key=lambda cut: (cut.off_s, -cut.count), default=None)


def _off_s(lines: Sequence[Line], count: int, at_s: int) -> int:
    """How long before the reading the first line is that was left out, or after it the last one taken."""
    late_s = lines[count - 1].created_s - at_s if count else 0
    early_s = at_s - lines[count].created_s if count < len(lines) else 0
    return max(0, late_s, early_s)


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
        "failed_since_s": state.failed_since_s,
        "shifted": state.shifted,
        "shifted_since_s": state.shifted_since_s,
        "difference": str(state.difference),
    }


def _state(found: Mapping[str, Any]) -> AssetState:
    anchor = Anchor(
        balance=int(found["balance"]),
        from_s=_whole(found["from_s"]),
        at_s=_whole(found["at_s"]),
        lines=tuple(found["lines"]),
        cut=None if found["cut"] is None else _whole(found["cut"]),
    )
    return AssetState(
        anchor=anchor,
        since_s=_whole(found["since_s"]),
        proved=bool(found["proved"]),
        attempts=_whole(found["attempts"]),
        # The first version kept no such moment: what fails already has failed since its anchor.
        failed_since_s=_whole(found.get("failed_since_s", anchor.at_s)),
        shifted=_whole(found.get("shifted", 0)),
        shifted_since_s=_whole(found.get("shifted_since_s", 0)),
        difference=int(found["difference"]),
    )


def _whole(found: Any) -> int:
    if type(found) is not int:
        raise TypeError("no whole number")
    return found
