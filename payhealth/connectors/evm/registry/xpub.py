"""Deposit addresses from an extended public key (BIP-32), so that no list of them has to be kept.

Library: ``bip32`` (BSD-3-Clause, small, tested against BIP-32's vectors, on libsecp256k1 through
``coincurve``, whose wheels cover CPython 3.11 and 3.12). bip-utils and hdwallet bring ten dependencies
for hundreds of coins; eth-account derives from private keys alone. Imported at first use.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

GAP_LIMIT = 20
"""Unused addresses in a row after which wallets stop looking. Source: BIP-44."""

MAX_ADDRESSES = 1_000_000
"""Bounds a mistyped count: a million take minutes to derive."""

_HARDENED = 1 << 31
_PUBLIC = (bytes.fromhex("0488b21e"), bytes.fromhex("043587cf"))
"""Version bytes of xpub and tpub. Source: BIP-32, serialization format."""

_PATH = re.compile(r"(?:[0-9]{1,10}(?:/[0-9]{1,10}){0,7})?", re.ASCII)
_PRIVATE_TEXT = re.compile(r".prv\S*|(?:0x)?[0-9a-fA-F]{64}|\S+(?:\s+\S+){11,}", re.ASCII | re.DOTALL)
"""How private keys look: extended (xprv, tprv, zprv …), bare, and a mnemonic of twelve words or more."""

_KEY_BYTES = 78
_USUAL_PATHS = {3: "0", 4: ""}
"""Depth of the key -> what lies between it and its addresses. Source: BIP-44, m/44'/60'/account'/0/index."""

_IS_PRIVATE = (
    "this is a private key or a recovery phrase: it can spend, and must never be in a configuration. "
    "Give the extended public key (xpub…), and treat the private one as exposed"
)


class Derived:
    """The addresses below one extended public key.

    Args:
        xpub: ``xpub…`` or ``tpub…``. It spends nothing, but tells every address: it is not shown.
        path: what lies between the key and the addresses, such as ``"0"``, or ``""`` for nothing. None
            takes BIP-44's: ``"0"`` below an account (depth 3), nothing below a chain (depth 4).

    Raises:
        ValueError: no extended public key, a private one, a hardened path, or a key of another depth
            without a path. The value is never shown.
    """

    def __init__(self, xpub: str, path: str | None = None) -> None:
        node = _parsed(xpub.strip())
        self.path = _usual_path(node.depth) if path is None else path
        self._node = node
        self._steps = _steps(self.path)

    def __repr__(self) -> str:
        return f"Derived(depth={self._node.depth}, path={self.path!r})"

    def address(self, index: int) -> str:
        """The lower-case address at an index below the path.

        Raises:
            ValueError: an index that is negative or hardened (2**31 and above).
        """
        if not 0 <= index < _HARDENED:
            raise ValueError(f"an index is from 0 to {_HARDENED - 1}, not {index}")
        from coincurve import PublicKey
        from eth_utils.crypto import keccak

        point = PublicKey(self._parent.get_pubkey_from_path([index])).format(compressed=False)
        # An address is the last 20 bytes of the hash of the point without its prefix byte.
        return "0x" + keccak(point[1:])[-20:].hex()

    def first(self, count: int) -> tuple[str, ...]:
        """The addresses at index 0 to count - 1, in that order.

        Raises:
            ValueError: a negative count, or one above ``MAX_ADDRESSES``.
        """
        if not 0 <= count <= MAX_ADDRESSES:
            raise ValueError(f"from 0 to {MAX_ADDRESSES} addresses can be derived, not {count}")
        return tuple(self.address(index) for index in range(count))

    @cached_property
    def _parent(self) -> Any:
        """What the addresses hang from, derived once: each of them is then one step away."""
        from bip32 import BIP32  # type: ignore[import-untyped]

        if not self._steps:
            return self._node
        chain_code, key = self._node.get_extended_pubkey_from_path(self._steps)
        return BIP32(chain_code, pubkey=key, depth=self._node.depth + len(self._steps))


def _parsed(xpub: str) -> Any:
    if _PRIVATE_TEXT.fullmatch(xpub):
        raise ValueError(_IS_PRIVATE)
    try:
        from bip32 import BIP32
        from bip32.base58 import b58decode_check  # type: ignore[import-untyped]
    except ImportError as error:
        raise ValueError(f"an xpub needs the libraries bip32 and coincurve: {error}") from error
    # 'from None' all along: the library's own errors quote what they were given.
    try:
        decoded = b58decode_check(xpub)
    except ValueError:
        raise ValueError("not an extended public key: its characters or its checksum are wrong") from None
    if len(decoded) != _KEY_BYTES:
        raise ValueError("not an extended public key: its length is wrong")
    if decoded[45] == 0:
        raise ValueError(_IS_PRIVATE)
    if decoded[:4] not in _PUBLIC:
        raise ValueError(f"the key is for another network or use ({xpub[:4]}…): give the xpub or tpub form")
    try:
        return BIP32.from_xpub(xpub)
    except ValueError:
        raise ValueError("not an extended public key: its point, depth or parent is impossible") from None


def _usual_path(depth: int) -> str:
    if depth not in _USUAL_PATHS:
        raise ValueError(
            f"the key is at depth {depth}, neither an account (3) nor a chain (4): "
            'say with path what lies between it and its addresses ("" for nothing)'
        )
    return _USUAL_PATHS[depth]


def _steps(path: str) -> list[int]:
    if re.search(r"['hH]", path):
        raise ValueError(f"the path {path!r} is hardened: an extended public key cannot derive that")
    if not _PATH.fullmatch(path):
        raise ValueError(f'the path {path!r} is not of the form "0", "1/0" or "" (relative, without m/)')
    steps = [int(part) for part in path.split("/") if part]
    if any(step >= _HARDENED for step in steps):
        raise ValueError(f"the path {path!r} is hardened: an extended public key cannot derive that")
    return steps
