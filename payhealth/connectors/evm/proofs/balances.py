"""What addresses hold of assets, asked at one block: many in one call where a contract for it exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from payhealth.connectors.evm.proofs.multicall import (
    BALANCE_OF,
    GET_ETH_BALANCE,
    aggregate3,
    holder_call,
    results_of,
)
from payhealth.connectors.evm.rpc.endpoint import Call
from payhealth.connectors.evm.rpc.faults import FaultKind, RpcFault
from payhealth.connectors.evm.wire.values import WireError, quantity
from payhealth.domain.errors import AmountError
from payhealth.domain.money import from_units, to_scaled

Ask = Callable[[Sequence[Call]], list[Any]]
Where = str | Mapping[str, str]
"""A block: its number in hexadecimal, or ``{"blockHash": …}``."""

CALLS_PER_CONTRACT_CALL = 500
"""Balances in one ``aggregate3``: some 15 million gas at 30 000 each, where nodes allow 50 million."""
_GONE = frozenset({FaultKind.PRUNED, FaultKind.BEYOND_HEAD, FaultKind.UNSUPPORTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRef:
    """Where an asset lives.

    Args:
        contract: lower case; None for the chain's own coin.
        decimals: digits after the point of its smallest unit.
    """

    contract: str | None
    decimals: int


class Universe:
    """Every (address, asset) as one number: address by address, asset by asset within it.

    Args:
        addresses: lower case, sorted.
        assets: CAIP-19 id -> where it lives.
    """

    def __init__(self, addresses: Sequence[str], assets: Mapping[str, AssetRef]) -> None:
        self.addresses = tuple(addresses)
        self.assets = tuple(sorted(assets))
        self.refs = tuple(assets[asset] for asset in self.assets)
        self.address_at = {address: at for at, address in enumerate(self.addresses)}
        self.asset_at = {asset: at for at, asset in enumerate(self.assets)}

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return len(self.addresses) * len(self.assets)

    def pair(self, address: str, asset: str) -> int | None:
        """The number of a pair, None where one of the two is not ours."""
        at, of = self.address_at.get(address), self.asset_at.get(asset)
        return None if at is None or of is None else at * len(self.assets) + of

    def address(self, pair: int) -> str:
        """Whose balance a pair is."""
        return self.addresses[pair // len(self.assets)]

    def asset(self, pair: int) -> str:
        """Of which asset."""
        return self.assets[pair % len(self.assets)]

    def ref(self, pair: int) -> AssetRef:
        """Where that asset lives."""
        return self.refs[pair % len(self.assets)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What pairs hold at one block.

    Args:
        absent_is_zero: a token without a contract at that block holds nothing yet; without this it
            cannot be read.
    """

    pairs: Sequence[int]
    where: Where
    absent_is_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read.

    Args:
        amounts: in units of 1e-18, None where a balance cannot be read or lies outside the domain.
        gone: the node does not have (or does not give) the state of that block.
    """

    amounts: Sequence[int | None]
    gone: bool


class Balances:
    """Reads balances of pairs.

    Args:
        multicall3: the contract's address on this chain, None where there is none.
        there: whether it was found there, None before anyone looked.
    """

    def __init__(self, universe: Universe, ask: Ask, multicall3: str | None, *, there: bool | None) -> None:
        self._universe = universe
        self._ask = ask
        self._contract = multicall3
        self.there = False if multicall3 is None else there

    def read(self, questions: Sequence[Question]) -> list[Readings]:
        """The balances that were asked for, question by question; all of them in one request."""
        if self.there is None and any(question.pairs for question in questions):
            self._look()
        raw = self._together(questions)
        missed = [
            (answers, at, question)
            for answers, question in zip(raw, questions, strict=True)
            for at, answer in enumerate(answers)
            if answer is _MISSED
        ]
        single = self._singly([(question.pairs[at], question.where) for _, at, question in missed])
        for (answers, at, _), answer in zip(missed, single, strict=True):
            answers[at] = answer
        return [self._readings(*each) for each in zip(questions, raw, strict=True)]

    def _readings(self, question: Question, raw: Sequence[Any]) -> Readings:
        pairs = zip(question.pairs, raw, strict=True)
        amounts = [self._amount(pair, answer, question.absent_is_zero) for pair, answer in pairs]
        return Readings(amounts=amounts, gone=_gone(raw))

    def each(self, items: Sequence[tuple[int, int]]) -> list[int | None]:
        """The balance of each pair at its own block; None where it cannot be read, or not any more."""
        raw = self._singly([(pair, hex(block)) for pair, block in items])
        return [
            self._amount(pair, answer, absent_is_zero=True)
            for (pair, _), answer in zip(items, raw, strict=True)
        ]

    def _look(self) -> None:
        code = self._ask([Call("eth_getCode", (self._contract, "latest"))])[0]
        # A node that cannot say is asked again next time; until then every balance is asked by itself.
        self.there = len(code) > len("0x") if isinstance(code, str) else None

    def _together(self, questions: Sequence[Question]) -> list[list[Any]]:
        """Each question's answers by the contract, with what has to be asked by itself left open."""
        lots = [
            (which, question.pairs[at : at + CALLS_PER_CONTRACT_CALL], question.where)
            for which, question in enumerate(questions)
            if self.there and len(question.pairs) > 1
            for at in range(0, len(question.pairs), CALLS_PER_CONTRACT_CALL)
        ]
        calls = [
            Call("eth_call", ({"to": self._contract, "data": aggregate3(self._inner(pairs))}, where))
            for _, pairs, where in lots
        ]
        answered: list[list[Any]] = [[] for _ in questions]
        for (which, pairs, _), answer in zip(lots, self._ask(calls) if calls else (), strict=True):
            answered[which] += _opened(answer, len(pairs))
        return [
            answers or [_MISSED] * len(question.pairs)
            for answers, question in zip(answered, questions, strict=True)
        ]

    def _inner(self, pairs: Sequence[int]) -> list[tuple[str, str]]:
        contract = self._contract or ""
        found = []
        for pair in pairs:
            token, holder = self._universe.ref(pair).contract, self._universe.address(pair)
            selector = GET_ETH_BALANCE if token is None else BALANCE_OF
            found.append((token or contract, holder_call(selector, holder)))
        return found

    def _singly(self, items: Sequence[tuple[int, Where]]) -> list[Any]:
        return self._ask([self._call(pair, where) for pair, where in items]) if items else []

    def _call(self, pair: int, where: Where) -> Call:
        token, holder = self._universe.ref(pair).contract, self._universe.address(pair)
        if token is None:
            return Call("eth_getBalance", (holder, where))
        return Call("eth_call", ({"to": token, "data": "0x" + holder_call(BALANCE_OF, holder)}, where))

    def _amount(self, pair: int, answer: Any, absent_is_zero: bool) -> int | None:
        ref = self._universe.ref(pair)
        if answer == "0x" and absent_is_zero and ref.contract is not None:
            return 0
        try:
            if ref.contract is not None and (not isinstance(answer, str) or len(answer) < _WORD_LENGTH):
                return None
            units = quantity(answer[:_WORD_LENGTH] if isinstance(answer, str) else answer, "a balance")
            return to_scaled(from_units(units, ref.decimals))
        except (WireError, AmountError):
            return None


_MISSED = object()
"""Stands for a balance that has to be asked by itself."""
_WORD_LENGTH = 2 + 64


def _opened(answer: Any, count: int) -> list[Any]:
    if isinstance(answer, RpcFault) and answer.kind in _GONE:
        return [answer] * count
    try:
        # A contract that was not there yet answers nothing, one that ran out of gas fails: ask singly.
        results = results_of(answer, count)
    except WireError:
        return [_MISSED] * count
    return [None if result is None else "0x" + result for result in results]


def _gone(answers: Sequence[Any]) -> bool:
    faults = [answer for answer in answers if isinstance(answer, RpcFault)]
    if any(fault.kind in _GONE for fault in faults):
        return True
    # Words that nobody has classified, to every call: it is about the block, not about a token.
    unclear = sum(fault.kind is not FaultKind.EXECUTION for fault in faults)
    return unclear == len(answers) > 0
