"""The sandbox's contracts as they are shipped: compiled, with their ABI (how: contracts/README.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.abi import function_abi_to_4byte_selector, get_abi_input_types, get_abi_output_types

MULTICALL_ADDRESS = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Where Multicall3 lies on nearly every chain."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One compiled contract.

    Attributes:
        abi: its functions, events and errors.
        bytecode: what a transaction carries to create it, before its constructor's arguments.
        runtime: the code that then lies at its address, with zeros for what only its constructor knows.
    """

    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes


@cache
def load(name: str) -> Artifact:
    """Read a compiled contract from the package's data.

    Raises:
        ValueError: none of that name is shipped.
    """
    path = files("payhealth.sandbox.chain").joinpath(f"contracts/{name}.json")
    if not path.is_file():
        raise ValueError(f"the sandbox has no contract {name}")
    raw = json.loads(path.read_text("utf-8"))
    return Artifact(abi=raw["abi"], bytecode=_code(raw["bytecode"]), runtime=_code(raw["runtime"]))


def creation_data(name: str, *args: Any) -> bytes:
    """The data of the transaction that creates a contract with these arguments of its constructor."""
    artifact = load(name)
    constructors = [entry for entry in artifact.abi if entry["type"] == "constructor"]
    types = [kind for entry in constructors for kind in get_abi_input_types(entry)]  # type: ignore[arg-type]
    return artifact.bytecode + encode(types, args)


def call_data(name: str, function: str, *args: Any) -> bytes:
    """The data of a call; structures are given as tuples, addresses as text.

    Raises:
        ValueError: the contract has no such function.
    """
    entry = _function(name, function)
    return function_abi_to_4byte_selector(entry) + encode(get_abi_input_types(entry), args)


def decode_output(name: str, function: str, output: bytes) -> tuple[Any, ...]:
    """What a call returned; addresses are lower-case, structures tuples."""
    types: Sequence[str] = get_abi_output_types(_function(name, function))
    return tuple(decode(types, output))


def _function(name: str, function: str) -> Any:
    for entry in load(name).abi:
        if entry["type"] == "function" and entry["name"] == function:
            return entry
    raise ValueError(f"{name} has no function {function}")


def _code(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
