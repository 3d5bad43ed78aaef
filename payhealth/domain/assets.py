"""What amounts are amounts of: ISO 4217 codes for money, CAIP-19 ids for chain assets.

Source: ISO 4217 (alphabetic codes of current use), CAIP-2, CAIP-10 and CAIP-19 (chainagnostic.org).
"""

from __future__ import annotations

import re

from payhealth.domain.errors import InputError

_CAIP2 = r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}"
_CAIP19 = re.compile(
    rf"(?P<chain>{_CAIP2})/(?P<namespace>[-a-z0-9]{{3,8}}):(?P<reference>[-.%a-zA-Z0-9]{{1,128}})"
)
_ISO_4217 = re.compile(r"[A-Z]{3}")
_HEX = re.compile(r"(?<![0-9A-Za-z_])0[xX][0-9a-fA-F]+(?![0-9A-Za-z_])")


def normalise_hex(text: str) -> str:
    """Trim, and lower the case of hexadecimal ``0x…`` parts; everything else keeps its case.

    Stripe's ids are case-sensitive, even ``ch_0xAb…``; addresses and hashes are not.
    """
    return _HEX.sub(lambda found: found.group().lower(), text.strip())


def normalise_asset(text: str) -> str:
    """The key form of an asset: ``USD`` or a CAIP-19 id whose address is lower-case.

    Raises:
        InputError: empty.
    """
    asset = normalise_hex(text)
    if not asset:
        raise InputError("an asset is missing")
    return asset


def is_iso_4217(asset: str) -> bool:
    """Whether the asset has the form of a currency code."""
    return _ISO_4217.fullmatch(asset) is not None


def chain_of(asset: str) -> str | None:
    """The CAIP-2 chain of a CAIP-19 asset, None for any other."""
    found = _CAIP19.fullmatch(asset)
    return found["chain"] if found else None


def without_chain(asset: str) -> str | None:
    """The part of a CAIP-19 asset behind its chain, None for any other."""
    found = _CAIP19.fullmatch(asset)
    return f"{found['namespace']}:{found['reference']}" if found else None


def erc20(chain_id: int, address: str) -> str:
    """The CAIP-19 id of a token contract on an EVM chain."""
    return f"eip155:{chain_id}/erc20:{address.lower()}"


def native(chain_id: int, slip44: int = 60) -> str:
    """The CAIP-19 id of an EVM chain's own coin."""
    return f"eip155:{chain_id}/slip44:{slip44}"


def account_id(chain_id: int, address: str) -> str:
    """The CAIP-10 id of an address on an EVM chain."""
    return f"eip155:{chain_id}:{address.lower()}"
