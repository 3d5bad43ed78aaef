"""Assets: CAIP ids, currency codes, and whose case counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payhealth.domain.assets import (
    account_id,
    chain_of,
    erc20,
    is_iso_4217,
    native,
    normalise_asset,
    normalise_hex,
    without_chain,
)
from payhealth.domain.errors import InputError

ADDRESS = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("0xAbC1", "0xabc1"),
        ("  0XAbC1 ", "0xabc1"),
        (f"eip155:8453/erc20:{ADDRESS}", f"eip155:8453/erc20:{ADDRESS.lower()}"),
        (f"eip155:1:{ADDRESS}", f"eip155:1:{ADDRESS.lower()}"),
        (f"eip155:1:0xAA:{7}", "eip155:1:0xaa:7"),
        ("ch_3NAbC", "ch_3NAbC"),
        ("ch_0xAb", "ch_0xAb"),
        ("pi_0XAB12", "pi_0XAB12"),
        ("A0xFF", "A0xFF"),
        ("0xABCDEFGH", "0xABCDEFGH"),
        ("0x", "0x"),
        ("Acct_1", "Acct_1"),
        ("USD", "USD"),
        ("ORDER 7", "ORDER 7"),
    ],
)
def test_hexadecimal_has_no_case_and_everything_else_has(given_: str, expected: str) -> None:
    """Whole ``0x…`` parts compare without case; Stripe ids and words that merely hold ``0x`` keep theirs."""
    assert normalise_hex(given_) == expected


@given(st.text(max_size=60))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    """A key form is its own key form."""
    assert normalise_hex(normalise_hex(text)) == normalise_hex(text)


@given(st.from_regex(r"(ch|pi|re|dp)_[0-9A-Za-z]{3,24}", fullmatch=True))
def test_stripe_ids_keep_their_case(identifier: str) -> None:
    """Two ids that differ in case alone are two payments, even where one looks like ``ch_0xAB``."""
    assert normalise_hex(identifier) == identifier


@given(st.from_regex(r"0[xX][0-9a-fA-F]{1,64}", fullmatch=True))
def test_hexadecimal_of_any_case_is_one_key(text: str) -> None:
    """Checksummed, upper and lower case spell the same address."""
    assert normalise_hex(text) == text.lower() == normalise_hex(text.swapcase())


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_asset_is_refused(text: str) -> None:
    """There is no amount of nothing."""
    with pytest.raises(InputError):
        normalise_asset(text)


def test_chain_assets_are_caip_19() -> None:
    """Token and coin ids carry chain, namespace and a lower-case address; accounts are CAIP-10."""
    assert erc20(8453, ADDRESS) == f"eip155:8453/erc20:{ADDRESS.lower()}"
    assert native(1) == "eip155:1/slip44:60"
    assert account_id(1, ADDRESS) == f"eip155:1:{ADDRESS.lower()}"
    assert chain_of(erc20(8453, ADDRESS)) == "eip155:8453"
    assert without_chain(erc20(8453, ADDRESS)) == without_chain(erc20(1, ADDRESS))
    assert normalise_asset(erc20(1, ADDRESS)) == erc20(1, ADDRESS)


@pytest.mark.parametrize("text", ["USD", "", "eip155:1", "eip155:1/", f"eip155:1:{ADDRESS}", "a/b"])
def test_what_is_no_caip_19_id_has_no_chain(text: str) -> None:
    """Currency codes, accounts and fragments are on no chain."""
    assert chain_of(text) is None
    assert without_chain(text) is None


@pytest.mark.parametrize(("text", "is_code"), [("USD", True), ("usd", False), ("USDC", False), ("US", False)])
def test_a_currency_code_is_three_capitals(text: str, is_code: bool) -> None:
    """ISO 4217's form, nothing looser."""
    assert is_iso_4217(text) is is_code
