"""What may be kept of email and IP addresses: a keyed hash, and the domain of an email."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from payhealth.connectors.stripe.fields import JsonObject, part

_EMAIL_CHARS_MAX = 320
"""64 before the ``@`` and 255 behind it (RFC 5321)."""


def email_marks(charge: JsonObject, hash_key: bytes | None) -> tuple[str | None, str | None]:
    """The domain of a charge's email, and the whole address's keyed hash.

    Args:
        hash_key: None where there is none: then no hash is made, because one without a key can be guessed.
    """
    given = part(charge, "billing_details").get("email") or charge.get("receipt_email")
    if not isinstance(given, str):
        return None, None
    address = given.strip().lower()
    name, _, domain = address.rpartition("@")
    if not name or not domain or len(address) > _EMAIL_CHARS_MAX:
        return None, None
    return domain, keyed_hash(address, hash_key)


def ip_mark(metadata: JsonObject, keys: Sequence[str], hash_key: bytes | None) -> str | None:
    """The keyed hash of the first valid IP address under these metadata keys."""
    if hash_key is None:
        return None
    for key in keys:
        value = metadata.get(key)
        address = _ip(value) if value else None
        if address:
            return keyed_hash(address, hash_key)
    return None


def keyed_hash(value: str, hash_key: bytes | None) -> str | None:
    """HMAC-SHA256 in hexadecimal, None without a key."""
    if hash_key is None:
        return None
    return hmac.digest(hash_key, value.encode(), "sha256").hex()


def _ip(value: Any) -> str | None:
    """The address in its one canonical form, None where it is none."""
    if not isinstance(value, str):
        return None
    try:
        address = ip_address(value.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.compressed
    return address.compressed
