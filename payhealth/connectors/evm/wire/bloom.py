"""A block's bloom filter: which logs it cannot hold, asked for many addresses at once. Pure.

A bloom filter never denies what is there. It says nothing once most of its bits are set, as they are on
busy chains: see :func:`set_share`.

Source: Ethereum yellow paper, section 4.3.1: three bits of 2048 for the address and for each topic of a
log, each the low 11 bits of one of the first three 16-bit words of the keccak-256.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from eth_utils.crypto import keccak

from payhealth.connectors.evm.wire.values import WireError, padded

BITS = 2048
_CHARS = 2 + BITS // 4

Positions = npt.NDArray[np.int16]
"""Shape (items, 3): the bits that each item sets."""


def positions(items: Iterable[str]) -> Positions:
    """The bits of items, to be computed once and asked often.

    Args:
        items: ``0x`` and hexadecimal: 20 bytes for the address of a contract, 32 for a topic. An address
            inside a topic is another item than the address itself: see :func:`address_words`.
    """
    digests = b"".join(keccak(hexstr=item)[:6] for item in items)
    words = np.frombuffer(digests, ">u2").reshape(-1, 3)
    return (words & (BITS - 1)).astype(np.int16)


def address_words(addresses: Iterable[str]) -> Positions:
    """The bits of addresses as topics hold them, padded to 32 bytes."""
    return positions(padded(address.lower()) for address in addresses)


def bits_of(bloom: str) -> npt.NDArray[np.bool_]:
    """The 2048 bits of a ``logsBloom``, bit 0 first.

    Raises:
        WireError: it is not 256 bytes in hexadecimal.
    """
    if not isinstance(bloom, str) or len(bloom) != _CHARS or not bloom.startswith("0x"):
        raise WireError("logsBloom is not 256 bytes")
    try:
        raw = bytes.fromhex(bloom[2:])
    except ValueError:
        raise WireError("logsBloom is not hexadecimal") from None
    if len(raw) != BITS // 8:
        raise WireError("logsBloom is not 256 bytes")
    return np.unpackbits(np.frombuffer(raw[::-1], np.uint8), bitorder="little").astype(np.bool_)


def may_hold(bloom: str, tokens: Positions, topic0: Positions, addresses: Positions) -> npt.NDArray[np.bool_]:
    """For each address, whether the block may hold a log of any of the tokens that names it.

    Args:
        bloom: the block's ``logsBloom``.
        tokens: bits of the contracts' addresses.
        topic0: bits of the event, one item.
        addresses: bits of the padded addresses.

    Returns:
        False only where there is no such log.

    Raises:
        WireError: the bloom is malformed.
    """
    bits = bits_of(bloom)
    if not (bits[tokens].all(axis=1).any() and bits[topic0].all()):
        return np.zeros(len(addresses), np.bool_)
    return np.asarray(bits[addresses].all(axis=1))


def set_share(bloom: str) -> float:
    """The share of bits that are set, 0 to 1: a random address passes with the cube of it.

    Raises:
        WireError: the bloom is malformed.
    """
    return float(bits_of(bloom).mean())
