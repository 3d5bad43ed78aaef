"""secp256k1 signing for keys that we hold, several times faster than eth-keys in pure Python.

eth-keys multiplies the curve's generator by doubling and adding, 256 times over; a table of the
generator's multiples leaves 64 additions. Signatures are the same to the bit (RFC 6979).

These keys guard sandbox money: nothing here is hardened against timing attacks.
"""

from __future__ import annotations

from functools import cache

from eth_keys.backends.coincurve import is_coincurve_available
from eth_keys.backends.native.ecdsa import deterministic_generate_k
from eth_keys.backends.native.jacobian import jacobian_add
from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.constants import SECPK1_G, SECPK1_N, SECPK1_P
from eth_keys.datatypes import PrivateKey, PublicKey, Signature

_Point = tuple[int, int, int]
"""A point in Jacobian coordinates."""

_IDENTITY: _Point = (0, 0, 1)
_WINDOW_BITS = 4
_WINDOW_SIZE = 1 << _WINDOW_BITS


def make_key(secret: bytes) -> PrivateKey:
    """A private key of 32 bytes that signs quickly, with libsecp256k1 where that is installed."""
    return PrivateKey(secret, backend=None if is_coincurve_available() else _TableBackend())


class _TableBackend(NativeECCBackend):
    """eth-keys' pure Python backend, with multiples of the generator from a table."""

    def private_key_to_public_key(self, private_key: PrivateKey) -> PublicKey:
        x, y = _multiply_generator(int.from_bytes(private_key.to_bytes(), "big"))
        return PublicKey(x.to_bytes(32, "big") + y.to_bytes(32, "big"), backend=self)

    def ecdsa_sign(self, msg_hash: bytes, private_key: PrivateKey) -> Signature:
        secret = private_key.to_bytes()
        z = int.from_bytes(msg_hash, "big")
        k = deterministic_generate_k((z % SECPK1_N).to_bytes(32, "big"), secret)
        r, y = _multiply_generator(k)
        s = pow(k, -1, SECPK1_N) * (z + r * int.from_bytes(secret, "big")) % SECPK1_N
        parity = y % 2
        if s * 2 >= SECPK1_N:
            # Of the two valid values of s only the lower one may be used (EIP-2).
            s, parity = SECPK1_N - s, 1 - parity
        return Signature(vrs=(parity, r, s), backend=self)


@cache
def _generator_table() -> list[list[_Point]]:
    """For each window of 4 bits, from the lowest, the generator's multiples by 0 to 15 at that place."""
    table: list[list[_Point]] = []
    base: _Point = (*SECPK1_G, 1)
    for _ in range(256 // _WINDOW_BITS):
        multiples = [_IDENTITY]
        for _ in range(_WINDOW_SIZE - 1):
            multiples.append(jacobian_add(multiples[-1], base))
        table.append(multiples)
        base = jacobian_add(multiples[-1], base)
    return table


def _multiply_generator(factor: int) -> tuple[int, int]:
    """The generator times a factor, in affine coordinates."""
    total = _IDENTITY
    for place, multiples in enumerate(_generator_table()):
        digit = (factor >> (place * _WINDOW_BITS)) % _WINDOW_SIZE
        if digit:
            total = jacobian_add(total, multiples[digit])
    x, y, z = total
    inverse = pow(z, -1, SECPK1_P)
    return x * inverse**2 % SECPK1_P, y * inverse**3 % SECPK1_P
