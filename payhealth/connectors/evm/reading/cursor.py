"""Where a chain's pull goes on, and all that one pull hands to the next: opaque to everybody else."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import orjson

from payhealth.connectors.evm.settings import EvmSettings
from payhealth.domain.errors import SourceDataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The last block read, for one set of addresses and assets.

    Args:
        block: ``start_block - 1`` before the first step.
        of: the fingerprint of the addresses and assets that were read.
        settled: up to which block everything was read once more after it had become final.
        derived: how many addresses of the extended public key were read.
        used: the highest index of them that a transfer touched, -1 for none.
        reorgs: how many blocks were ever lost; without any there is nothing to come back.
        window: the recent blocks, as ``Recent.state`` gives them.
        planner: what each provider was learned to accept, as the planner gives it.
        proofs: what the balance proofs remember, as they give it.
        again_to: up to where blocks were read before with another configuration; -1 for none.
        starts_anew: nothing was read yet for this fingerprint.
    """

    block: int
    of: str
    settled: int
    derived: int = 0
    used: int = -1
    reorgs: int = 0
    window: Any = None
    planner: dict[str, Any] = field(default_factory=dict)
    proofs: dict[str, Any] = field(default_factory=dict)
    again_to: int = -1
    starts_anew: bool = False

    @classmethod
    def parse(cls, text: str | None, settings: EvmSettings) -> Self:
        """Read a stored cursor.

        One of another set of addresses or assets starts anew: blocks that were read before an address
        was configured may hold payments to it. Records are idempotent, so nothing counts twice.

        Raises:
            SourceDataError: the text is no cursor of ours.
        """
        before = settings.start_block - 1
        derived = settings.gap_limit if settings.xpub else 0
        fresh = cls(
            block=before, of=settings.fingerprint(), settled=before, derived=derived, starts_anew=True
        )
        if text is None:
            return fresh
        try:
            stored = cls._stored(orjson.loads(text))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise SourceDataError(f"the stored cursor is not readable: {text[:60]!r}") from None
        if stored.of == fresh.of:
            return stored
        # These do not depend on whose addresses are read; without the window a reorg would go unnoticed.
        return replace(
            fresh,
            reorgs=stored.reorgs,
            planner=stored.planner,
            window=stored.window,
            again_to=max(stored.block, stored.again_to),
        )

    @classmethod
    def _stored(cls, content: dict[str, Any]) -> Self:
        block = int(content["block"])
        return cls(
            block=block,
            of=str(content["of"]),
            settled=int(content.get("settled", block)),
            derived=int(content.get("derived", 0)),
            used=int(content.get("used", -1)),
            reorgs=int(content.get("reorgs", 0)),
            window=content.get("window"),
            planner=dict(content.get("planner") or {}),
            proofs=dict(content.get("proofs") or {}),
            again_to=int(content.get("again_to", -1)),
        )

    def text(self) -> str:
        """As it is stored."""
        content = {
            "block": self.block,
            "of": self.of,
            "settled": self.settled,
            "derived": self.derived,
            "used": self.used,
            "reorgs": self.reorgs,
            "window": self.window,
            "planner": self.planner,
            "proofs": self.proofs,
            "again_to": self.again_to,
        }
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()
