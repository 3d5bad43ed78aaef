"""The sandbox's ERC-20 contract as bytes to send: deployment and calls."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak

from payhealth.sandbox.chain.hexes import word

TRANSFER_TOPIC = keccak(text="Transfer(address,address,uint256)")

TOKEN_GAS_LIMIT = 120_000
"""More than any call of the token uses (a transfer to a new holder takes about 52 000)."""

DEPLOY_GAS_LIMIT = 2_000_000

NATIVE_GAS_LIMIT = 21_000
"""What a transfer of the native coin to a plain address uses, always."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The compiled contract as it is shipped (how it was compiled: contracts/README.md)."""

    abi: list[dict[str, Any]]
    bytecode: bytes


@cache
def load_artifact() -> Artifact:
    """Read the compiled contract from the package's data."""
    text = files("payhealth.sandbox.chain").joinpath("contracts/DevToken.json").read_text("utf-8")
    raw = json.loads(text)
    return Artifact(abi=raw["abi"], bytecode=bytes.fromhex(raw["bytecode"].removeprefix("0x")))


def deployment(*, name: str, symbol: str, decimals: int) -> bytes:
    """The data of the transaction that deploys the token; its sender becomes the minter."""
    return load_artifact().bytecode + encode(["string", "string", "uint8"], [name, symbol, decimals])


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
