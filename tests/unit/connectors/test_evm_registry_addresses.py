"""Addresses from lists and files: what is accepted, what is refused, and that many are quick."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from payhealth.connectors.evm.registry.addresses import checked_address, checked_addresses, read_addresses

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
A, B, C = ("0x" + pair * 20 for pair in ("a1", "b2", "c3"))

raw = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())


@given(raw)
def test_three_forms_of_an_address_are_one(address: str) -> None:
    """Lower case, upper case and the checksum's case are the same address."""
    forms = (address, "0x" + address[2:].upper(), to_checksum_address(address))
    assert {checked_address(form) for form in forms} == {address}


@given(raw, st.data())
def test_one_letter_in_the_wrong_case_is_seen(address: str, data: st.DataObject) -> None:
    """A mixed-case address with any letter turned is refused, unless that leaves it in one case."""
    right = to_checksum_address(address)
    letters = [place for place in range(2, 42) if right[place].isalpha()]
    if not letters:
        return
    place = data.draw(st.sampled_from(letters))
    wrong = right[:place] + right[place].swapcase() + right[place + 1 :]
    if wrong[2:] in (wrong[2:].lower(), wrong[2:].upper()):
        assert checked_address(wrong) == address
        return
    with pytest.raises(ValueError, match=right):
        checked_address(wrong)


@given(st.lists(raw, max_size=30))
def test_duplicates_fold_in_order(addresses: list[str]) -> None:
    """Each address is kept once, where it was first named, in whatever case it comes again."""
    again = [*addresses, *(to_checksum_address(address) for address in addresses)]
    assert checked_addresses(again) == tuple(dict.fromkeys(addresses))


def test_a_list_names_the_position_of_a_bad_one() -> None:
    """Counted from 0, as configuration keys are."""
    with pytest.raises(ValueError, match=r"^\[1\]: not an address"):
        checked_addresses([A, "nonsense"])


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}\n{C}\n",
        f"{A}\r\n{B}\r\n{C}",
        f"\ufeff{A}\n\n  {B}  # treasury\n# the rest\n{C}\n{A}\n",
        f'address,customer\n{A},17\n{B},\n{C},"x, y"\n',
        f'"Deposit address";"customer"\n"{A}";1\n"{B}";2\n\'{C}\';3\n',
        f"# exported\nwallet_addresses\tid\n{A}\t1\n{B}\t2\n{C}\t3\n",
        "\n".join("0x" + address[2:].upper() for address in (A, B, C)),
    ],
)
def test_lines_comments_and_first_columns_are_read(tmp_path: Path, text: str) -> None:
    """One a line or the first column of a CSV, with a heading or without, comments, marks and blank lines."""
    file = tmp_path / "addresses"
    file.write_bytes(text.encode())
    assert read_addresses(file) == (A, B, C)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{A}\nnonsense\n", "line 2: not an address"),
        (f"{A}\n{B}\naddress\n", "line 3: not an address"),
        ("customer,address\n", "line 1: not an address"),
        (f"17,{A}\n", "line 1: not an address"),
        (f"{A} {B}\n", "line 1: not an address"),
        (f"# one\n\n{USDC.swapcase().replace('0X', '0x')}\n", f"line 3: the checksum of .* it is {USDC}"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, words: str) -> None:
    """A line that is no address stops the load with its number; none is left out silently."""
    file = tmp_path / "addresses.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        read_addresses(file)


def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a configuration error."""
    file = tmp_path / "addresses.xls"
    file.write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        read_addresses(file)


def test_a_hundred_thousand_addresses_load_in_well_under_a_second(tmp_path: Path) -> None:
    """No hash is taken of an address in one case. The time is the processor's: others may be busy."""
    numbers = random.Random(4)
    expected = tuple(dict.fromkeys(f"0x{numbers.getrandbits(160):040x}" for _ in range(100_000)))
    file = tmp_path / "many.txt"
    file.write_text("\n".join(expected))
    started = time.process_time()
    found = read_addresses(file)
    assert time.process_time() - started < 1
    assert found == expected
