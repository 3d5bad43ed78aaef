"""The keys of a sandbox chain, every one of them derived from its seed. They are worth nothing."""

from __future__ import annotations

from eth_keys.datatypes import PrivateKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from payhealth.sandbox.chain.signing import make_key


class UnknownSenderError(ValueError):
    """A transfer was asked from an address whose key the chain's wallet does not hold."""


class Wallet:
    """Holds the keys of one chain and makes new ones, always the same ones for the same seed."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, PrivateKey] = {}
        self._made = 0
        self.faucet = self._add("faucet")
        """Deploys and mints the token and gives coins away; never an address of the business."""

    def new_address(self) -> str:
        """A checksummed address that was not given out before."""
        self._made += 1
        return self._add(str(self._made))

    def key(self, address: str) -> PrivateKey:
        """The private key of an address.

        Raises:
            UnknownSenderError: when the wallet does not hold it.
        """
        try:
            return self._keys[to_checksum_address(address)]
        except KeyError:
            raise UnknownSenderError(f"no key for {address} in this chain's wallet") from None

    def _add(self, label: str) -> str:
        key = make_key(keccak(text=f"sandbox chain key {self._seed} {label}"))
        address: str = key.public_key.to_checksum_address()
        self._keys[address] = key
        return address
