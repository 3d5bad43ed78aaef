"""Strangers' tokens that call themselves by the name of one that counts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.node import Node
from payhealth.connectors.evm.settings import EvmSettings

_SYMBOL = "0x95d89b41"
"""Selector of ``symbol()``."""
_MOST_ASKED = 20
"""Contracts whose name is asked for in one step: anyone can make as many as they like."""
_MOST_KNOWN = 10_000
_LONGEST = 64
_WORD = 64


class LookAlikes:
    """Which unregistered contracts copy the symbol of a registered token.

    Nothing is decided by it: neither counts. It is said, because people are deceived by the name.
    """

    def __init__(self, node: Node, settings: EvmSettings) -> None:
        self._node = node
        self._copied = {_folded(token.symbol): token.symbol for token in settings.registered}
        self._known: dict[str, str | None] = {}

    def of(self, contracts: Iterable[str]) -> dict[str, str]:
        """Contract -> the registered symbol that it copies, for those that do."""
        wanted = sorted(set(contracts))
        fresh = [one for one in wanted if one not in self._known][:_MOST_ASKED]
        if fresh and len(self._known) < _MOST_KNOWN:
            calls = [Call("eth_call", ({"to": one, "data": _SYMBOL}, "latest")) for one in fresh]
            for one, answer in zip(fresh, self._node.each(calls), strict=True):
                self._known[one] = self._copied.get(_folded(symbol_of(answer)))
        return {one: name for one in wanted if (name := self._known.get(one)) is not None}


def symbol_of(answer: object) -> str:
    """What ``symbol()`` answered, as a string or as the 32 bytes of old tokens; empty where it is no text."""
    if not isinstance(answer, str) or not answer.startswith("0x"):
        return ""
    try:
        data = bytes.fromhex(answer[2:])
    except ValueError:
        return ""
    if len(data) * 2 == _WORD:
        return data.rstrip(b"\0").decode("utf-8", "replace")[:_LONGEST]
    length = int.from_bytes(data[32:64], "big") if len(data) >= _WORD else 0
    return data[64 : 64 + min(length, _LONGEST)].decode("utf-8", "replace")


def _folded(symbol: str) -> str:
    """Without what the eye does not tell apart: width, case, marks, blanks and invisible signs."""
    plain = unicodedata.normalize("NFKD", symbol).casefold()
    return "".join(sign for sign in plain if sign.isalnum() or sign in "._$")
