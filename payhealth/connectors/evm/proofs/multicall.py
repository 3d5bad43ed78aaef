"""Many balances in one call: the words of Multicall3's ``aggregate3``, there and back; pure.

Source: https://www.multicall3.com (``aggregate3((address,bool,bytes)[])`` returns ``(bool,bytes)[]``),
and the contract ABI specification of Solidity.
"""

from __future__ import annotations

from collections.abc import Sequence

from payhealth.connectors.evm.wire.values import WireError

AGGREGATE3 = "82ad56cb"
"""Selector of ``aggregate3((address,bool,bytes)[])``."""
BALANCE_OF = "70a08231"
"""Selector of ``balanceOf(address)``."""
GET_ETH_BALANCE = "4d2301cc"
"""Selector of ``getEthBalance(address)``."""

_WORD = 64
"""Hexadecimal digits of one 32-byte word."""
_ALLOW_FAILURE = 1


def holder_call(selector: str, holder: str) -> str:
    """The call data, without 0x, of a function of one address."""
    return selector + _word_of(int(holder, 16))


def aggregate3(calls: Sequence[tuple[str, str]]) -> str:
    """The call data of many calls, each of which may fail by itself.

    Args:
        calls: contract (0x…) and call data (hexadecimal, without 0x) of each.
    """
    offsets, bodies, position = [], [], 32 * len(calls)
    for target, data in calls:
        padded = data.ljust(-(-len(data) // _WORD) * _WORD, "0")
        head = (int(target, 16), _ALLOW_FAILURE, 3 * 32, len(data) // 2)
        bodies.append("".join(map(_word_of, head)) + padded)
        offsets.append(_word_of(position))
        position += len(bodies[-1]) // 2
    return f"0x{AGGREGATE3}{_word_of(32)}{_word_of(len(calls))}{''.join(offsets)}{''.join(bodies)}"


def results_of(answer: object, count: int) -> list[str | None]:
    """What each call returned, in order.

    Args:
        answer: what ``eth_call`` answered.
        count: how many calls were made.

    Returns:
        Hexadecimal without 0x, empty where there is no contract; None where the call failed.

    Raises:
        WireError: the answer is not a list of so many results.
    """
    if not isinstance(answer, str) or not answer.startswith("0x"):
        raise WireError("aggregate3 answered something that is no data")
    words = answer[2:]
    start = _number(words, 0)
    if _number(words, start) != count:
        raise WireError(f"aggregate3 did not answer {count} calls")
    base = start + 32
    return [_result(words, base + _number(words, base + 32 * at)) for at in range(count)]


def _result(words: str, at: int) -> str | None:
    if not _number(words, at):
        return None
    data_at = at + _number(words, at + 32)
    length = _number(words, data_at)
    data = words[2 * (data_at + 32) : 2 * (data_at + 32 + length)]
    if len(data) != 2 * length:
        raise WireError("aggregate3 answered less than it announced")
    return data


def _number(words: str, at: int) -> int:
    text = words[2 * at : 2 * at + _WORD]
    try:
        return int(text, 16) if len(text) == _WORD else _refuse()
    except ValueError:
        return _refuse()


def _refuse() -> int:
    raise WireError("aggregate3 answered words that cannot be read")


def _word_of(value: int) -> str:
    return f"{value:064x}"
