"""Whether a block can be as empty as a node says: by its bloom filter, and beyond that by its receipts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from payhealth.connectors.evm.rpc.faults import RpcFault
from payhealth.connectors.evm.rpc.node import Node, SeenBlock
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire.bloom import address_words, bits_of, may_hold, positions, set_share
from payhealth.connectors.evm.wire.values import TRANSFER, WireError, padded
from payhealth.domain.errors import SourceUnavailableError

_SATURATED = 0.75
"""With more of its bits set than this a bloom filter lets nearly everything through: it says nothing."""
_MOST_RECEIPTS = 20
"""Blocks whose receipts are looked at in one step: they are large, and the settling pass reads all again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A block that a node calls empty, and whose receipts hold transfers of ours."""

    number: int
    logs: int
    lie: Lie = Lie.MISSING_LOGS

    @property
    def detail(self) -> str:
        """What was said, in words."""
        return f"no logs of block {self.number}, whose receipts hold {self.logs} of ours"

    def error(self, provider: str) -> SourceUnavailableError:
        """What a pull ends with where no provider knows better."""
        return SourceUnavailableError(
            f"{provider}: tells {self.detail}", hint="give a second RPC endpoint in rpc_urls"
        )


class Emptiness:
    """Holds empty answers against what the blocks themselves say.

    Args:
        watched: the addresses that logs are asked for by.
        whole: all logs of the registered tokens are asked for, not those of some addresses alone.
    """

    def __init__(self, node: Node, settings: EvmSettings, watched: Collection[str], *, whole: bool) -> None:
        self._node = node
        self._tokens = [token.address for token in settings.registered]
        self._watched = watched
        self._whole = whole

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(padded(address) for address in self._watched)

    @cached_property
    def _bits(self) -> tuple[Any, Any]:
        return positions(self._tokens), positions([TRANSFER])

    @cached_property
    def _ends(self) -> Any:
        return address_words(self._watched)

    def denied(self, blocks: Sequence[SeenBlock]) -> Denied | None:
        """The first of some blocks without logs that cannot be without, None where all may be."""
        suspects = [block for block in blocks if self._may_hold(block)][:_MOST_RECEIPTS]
        if not suspects:
            return None
        answers = self._node.block_receipts([block.header.hash for block in suspects])
        for block, receipts in zip(suspects, answers, strict=True):
            if isinstance(receipts, RpcFault):
                continue  # a node that does not give them cannot be held against them
            logs = sum(self._missed(log) for receipt in receipts for log in _logs_of(receipt))
            if logs:
                return Denied(number=block.header.number, logs=logs)
        return None

    def wanted(self, log: Any) -> bool:
        """Whether a log is a transfer of a registered token to or from ours."""
        return self._of_token(log) and any(str(topic).lower() in self._words for topic in log["topics"][1:3])

    def _missed(self, log: Any) -> bool:
        return self._of_token(log) if self._whole else self.wanted(log)

    def _of_token(self, log: Any) -> bool:
        try:
            return log["topics"][0] == TRANSFER and log["address"].lower() in self._tokens
        except (KeyError, IndexError, TypeError, AttributeError):
            return False

    def _may_hold(self, block: SeenBlock) -> bool:
        bloom = block.raw.get("logsBloom")
        if not self._tokens or not isinstance(bloom, str):
            return False
        try:
            if set_share(bloom) > _SATURATED:
                return False
            tokens, event = self._bits
            bits = bits_of(bloom)
            if not (bits[tokens].all(axis=1).any() and bits[event].all()):
                return False
            return self._whole or bool(may_hold(bloom, tokens, event, self._ends).any())
        except WireError:
            return False


def _logs_of(receipt: Any) -> list[Any]:
    logs = receipt.get("logs") if isinstance(receipt, dict) else None
    return logs if isinstance(logs, list) else []
