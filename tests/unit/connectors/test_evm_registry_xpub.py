"""Addresses from an extended public key: the right ones, and nothing that could spend."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys

import pytest
from eth_account.hdaccount import seed_from_mnemonic
from eth_account.hdaccount.deterministic import HDPath, derive_child_key
from eth_keys.datatypes import PrivateKey, PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from payhealth.connectors.evm.registry import xpub as module
from payhealth.connectors.evm.registry.xpub import Derived

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
MNEMONIC = "test test test test test test test test test test test junk"
ANVIL = (
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
    "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
    "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
    "0x976ea74026e726554db657fa54763abd0c3a0aa9",
    "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
    "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
    "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
)
"""The accounts that anvil and hardhat print at start."""

XPUB, TPUB, ZPUB = "0488b21e", "043587cf", "04b24746"
XPRV, TPRV, ZPRV = "0488ade4", "04358394", "04b2430c"

VECTORS = [
    # Parent, path, index, child. Source: BIP-32, test vectors 1 and 2.
    (
        "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
        "",
        1,
        "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
    ),
    (
        "xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
        "2",
        1_000_000_000,
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
    ),
    (
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
        "",
        0,
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
    ),
    (
        "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
        "",
        2,
        "xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
    ),
]

IMPOSSIBLE = [
    # Extended public keys that must be refused. Source: BIP-32, test vector 5.
    "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6LBpB85b3D2yc8sfvZU521AAwdZafEz7mnzBBsz4wKY5fTtTQBm",
    "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Txnt3siSujt9RCVYsx4qHZGc62TG4McvMGcAUjeuwZdduYEvFn",
    "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6N8ZMMXctdiCjxTNq964yKkwrkBJJwpzZS4HS2fxvyYUA4q2Xe4",
    "xpub661no6RGEX3uJkY4bNnPcw4URcQTrSibUZ4NqJEw5eBkv7ovTwgiT91XX27VbEXGENhYRCf7hyEbWrR3FewATdCEebj6znwMfQkhRYHRLpJ",
]


def encoded(version: str, depth: int, chain_code: bytes, key: bytes, check: bytes | None = None) -> str:
    """An extended key in base58 with its checksum, written without the library under test."""
    body = bytes.fromhex(version) + bytes([depth]) + b"\x01" * 4 + bytes(4) + chain_code + key
    number = int.from_bytes(
        body + (check or hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4]), "big"
    )
    digits = ""
    while number:
        number, rest = divmod(number, 58)
        digits = ALPHABET[rest] + digits
    return digits


def decoded(text: str) -> bytes:
    """The bytes of an extended key, without its checksum."""
    number = 0
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    return number.to_bytes(82, "big")[:-4]


def private_at(seed: bytes, path: str) -> tuple[bytes, bytes]:
    """eth-account's private key and chain code at a path."""
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    key, chain_code = digest[:32], digest[32:]
    for node in HDPath(path)._path if path != "m" else ():
        key, chain_code = derive_child_key(key, chain_code, node)
    return key, chain_code


def extended(seed: bytes, path: str, version: str = XPUB) -> str:
    """The extended public key at a path, from eth-account's derivation of the private one."""
    key, chain_code = private_at(seed, path)
    return encoded(version, path.count("/"), chain_code, PrivateKey(key).public_key.to_compressed_bytes())


def refusal(text: str, path: str | None = None) -> str:
    """The words with which a key is refused; they never hold the key."""
    with pytest.raises(ValueError, match=r"key|path") as caught:
        Derived(text, path)
    error: BaseException | None = caught.value
    while error is not None:
        assert not text or text[8:40] not in str(error)
        error = error.__cause__
    return str(caught.value)


SEED = seed_from_mnemonic(MNEMONIC, "")
ACCOUNT = extended(SEED, "m/44'/60'/0'")


def test_the_well_known_mnemonic_gives_the_well_known_accounts() -> None:
    """The account's key gives anvil's ten default accounts, and so do the chain's key and a tpub."""
    assert Derived(ACCOUNT).first(10) == ANVIL
    assert Derived(extended(SEED, "m/44'/60'/0'/0")).first(10) == ANVIL
    assert Derived(extended(SEED, "m/44'/60'/0'", TPUB), "0").first(10) == ANVIL
    assert Derived(f"  {ACCOUNT}\n").address(9) == ANVIL[9]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.binary(min_size=16, max_size=64),
    path=st.sampled_from(["", "0", "1", "7/3", "2147483647"]),
    index=st.one_of(st.integers(0, 50), st.integers(0, 2**31 - 1)),
)
def test_public_derivation_equals_private_derivation(seed: bytes, path: str, index: int) -> None:
    """What the public key derives is the address of the private key at the same path (eth-account's)."""
    below = "/".join(part for part in (path, str(index)) if part)
    key, _ = private_at(seed, f"m/44'/60'/0'/{below}")
    expected = PrivateKey(key).public_key.to_address()
    assert Derived(extended(seed, "m/44'/60'/0'"), path).address(index) == expected


@pytest.mark.parametrize(("parent", "path", "index", "child"), VECTORS)
def test_the_vectors_of_bip_32_hold(parent: str, path: str, index: int, child: str) -> None:
    """The derived address is that of the child key of BIP-32's own vectors."""
    point = PublicKey.from_compressed_bytes(decoded(child)[-33:])
    assert Derived(parent, path).address(index) == point.to_address()


@pytest.mark.parametrize("text", IMPOSSIBLE)
def test_the_impossible_keys_of_bip_32_are_refused(text: str) -> None:
    """A valid checksum is not enough: prefix, point, depth and parent must be possible."""
    assert refusal(text, "")


@pytest.mark.parametrize("version", [XPRV, TPRV, ZPRV])
def test_a_private_extended_key_is_refused_as_such(version: str) -> None:
    """It is named private whatever its network, with a wrong checksum too, and is never shown."""
    key, chain_code = private_at(SEED, "m/44'/60'/0'")
    text = encoded(version, 3, chain_code, b"\x00" + key)
    assert text[1:4] == "prv"
    assert "private key" in refusal(text)
    assert "private key" in refusal(text[:-1] + ("1" if text[-1] != "1" else "2"))


def test_a_private_key_behind_a_public_prefix_is_refused_as_such() -> None:
    """The bytes decide, not the letters."""
    key, chain_code = private_at(SEED, "m/44'/60'/0'")
    assert "private key" in refusal(encoded(XPUB, 3, chain_code, b"\x00" + key))


@pytest.mark.parametrize("text", [MNEMONIC, "0x" + "1f" * 32, "1f" * 32, MNEMONIC.replace(" ", "\n")])
def test_other_secrets_are_refused_as_such(text: str) -> None:
    """A recovery phrase or a bare private key put here by mistake is named for what it is."""
    assert "private key or a recovery phrase" in refusal(text)


def test_each_other_refusal_says_why() -> None:
    """Checksum, characters, length, network, depth and path each have their words."""
    chain_code, key = decoded(ACCOUNT)[13:45], decoded(ACCOUNT)[45:]
    assert "checksum" in refusal(ACCOUNT[:-1] + ("1" if ACCOUNT[-1] != "1" else "2"))
    assert "checksum" in refusal(ACCOUNT[:50] + "0" + ACCOUNT[51:])
    assert "checksum" in refusal("")
    assert "checksum" in refusal("é" * 111)
    assert "length" in refusal(encoded(XPUB, 3, chain_code, key + b"\x00"))
    assert "give the xpub or tpub form" in refusal(encoded(ZPUB, 3, chain_code, key))
    assert "at depth 2" in refusal(encoded(XPUB, 2, chain_code, key))
    assert Derived(encoded(XPUB, 2, chain_code, key), "0/0").first(1)


@pytest.mark.parametrize("path", ["0'", "0h", "44H/0", "2147483648", "0/4294967295"])
def test_a_hardened_path_is_refused(path: str) -> None:
    """A public key cannot derive it, in any of its notations."""
    assert "hardened" in refusal(ACCOUNT, path)


@pytest.mark.parametrize("path", ["m/0", "/0", "0/", "-1", "a", "0 ", "\u0660", "0//0", "1" * 11])
def test_a_path_of_another_form_is_refused(path: str) -> None:
    """Only indexes with slashes between them."""
    assert "is not of the form" in refusal(ACCOUNT, path)


def test_the_path_decides_and_is_not_guessed_over() -> None:
    """A path that is given counts as given: another path is other addresses."""
    assert Derived(ACCOUNT, "").address(0) not in ANVIL
    assert Derived(ACCOUNT, "1").address(0) not in ANVIL
    assert Derived(ACCOUNT, "0").first(3) == ANVIL[:3]


@pytest.mark.parametrize("index", [-1, 2**31, 2**40])
def test_an_index_outside_is_refused(index: int) -> None:
    """Hardened children do not exist for a public key."""
    with pytest.raises(ValueError, match="an index is from 0"):
        Derived(ACCOUNT).address(index)


def test_counts_are_bounded() -> None:
    """A mistyped count ends at once."""
    keys = Derived(ACCOUNT)
    assert keys.first(0) == ()
    for count in (-1, module.MAX_ADDRESSES + 1):
        with pytest.raises(ValueError, match="addresses can be derived"):
            keys.first(count)


def test_the_key_is_not_shown() -> None:
    """It would tell every address of the business to whoever reads a log."""
    assert repr(Derived(ACCOUNT)) == "Derived(depth=3, path='0')"


def test_importing_costs_nothing() -> None:
    """The curve is loaded when a key is given, not when the module is imported."""
    code = (
        "import sys, payhealth.connectors.evm.registry.xpub; "
        "print([name for name in ('bip32', 'coincurve', 'eth_utils') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
