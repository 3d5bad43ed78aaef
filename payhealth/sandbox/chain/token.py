"""The sandbox's ERC-20 contract as bytes to send: deployment and calls."""

from __future__ import annotations

from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from payhealth.sandbox.chain.artifacts import Artifact, creation_data, load
from payhealth.sandbox.chain.hexes import word

TRANSFER_TOPIC = keccak(text="Transfer(address,address,uint256)")

TOKEN_GAS_LIMIT = 120_000
"""More than any call of the token uses (a transfer to a new holder takes about 52 000)."""

DEPLOY_GAS_LIMIT = 2_000_000

NATIVE_GAS_LIMIT = 21_000
"""What a transfer of the native coin to a plain address uses, always."""


def load_artifact() -> Artifact:
    """The compiled token."""
    return load("DevToken")


def deployment(*, name: str, symbol: str, decimals: int) -> bytes:
    """The data of the transaction that deploys the token; its sender becomes the minter."""
    return creation_data("DevToken", name, symbol, decimals)


def transfer(recipient: str, amount: int) -> bytes:
    """The data of ``transfer(recipient, amount)``, amount in the token's smallest unit."""
    return _call("transfer(address,uint256)", recipient, amount)


def mint(recipient: str, amount: int) -> bytes:
    """The data of ``mint(recipient, amount)``, amount in the token's smallest unit."""
    return _call("mint(address,uint256)", recipient, amount)


def balance_of(holder: str) -> bytes:
    """The data of ``balanceOf(holder)``."""
    return _call("balanceOf(address)", holder)


def _call(signature: str, address: str, *numbers: int) -> bytes:
    argument = to_canonical_address(address).rjust(32, b"\x00")
    return keccak(text=signature)[:4] + argument + b"".join(word(number) for number in numbers)
