"""What is to be mined: new transactions, dropped ones that return, and their places in a new branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_GAS_LIMIT = 300_000
"""More than any one call of the sandbox's contracts uses, loops apart."""

_HEADROOM = 10
"""How many times what is due now a transaction offers at most, where its sender can afford that."""


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A transaction to be signed and mined.

    Attributes:
        sender: an address of the chain's wallet.
        to: the recipient or contract, None to create a contract.
        value: wei sent along.
        data: call data or creation code.
        gas: the gas limit. The sender must hold its price beside ``value``, so whoever empties an address
            to the last wei gives exactly what is used (21 000 for a plain transfer).
    """

    sender: str
    to: str | None
    value: int = 0
    data: bytes = b""
    gas: int = DEFAULT_GAS_LIMIT


Item = Sending | str
"""A new transaction, or the hash of a dropped one that is mined again: the same signed bytes."""


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An item and the block of a new branch, counted from 1, that it is mined in."""

    what: Item
    block: int


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """Coins that arrive without any transaction, as a beacon chain's withdrawals do; in gwei."""

    recipient: str
    amount_gwei: int


def plan_branch(again: Sequence[Item | Placed], *, blocks: int) -> list[list[Item]]:
    """What each block of a new branch holds, in order; what has no place goes into the first.

    Raises:
        ValueError: a place outside the branch, or a transaction that is to be mined twice.
    """
    plan: list[list[Item]] = [[] for _ in range(blocks)]
    seen: set[str] = set()
    for entry in again:
        placed = entry if isinstance(entry, Placed) else Placed(what=entry, block=1)
        if not 1 <= placed.block <= blocks:
            raise ValueError(f"block {placed.block} is not one of the branch's {blocks}")
        if isinstance(placed.what, str):
            if placed.what in seen:
                raise ValueError(f"transaction {placed.what} cannot be mined twice")
            seen.add(placed.what)
        plan[placed.block - 1].append(placed.what)
    return plan


def max_fee_wei(*, due: int, gas: int, spendable: int) -> int:
    """The most that a transaction offers per gas: what is due now, and headroom where it can be afforded.

    Only what is due is paid. The headroom lets a transaction that a reorg dropped be mined again in a block
    whose base fee is higher; a sender that spends its last wei has none to offer.

    Args:
        due: what the block asks for, in wei per gas.
        gas: the transaction's gas limit.
        spendable: the sender's balance less the transaction's value, in wei.
    """
    return max(due, min(_HEADROOM * due, spendable // max(gas, 1)))
