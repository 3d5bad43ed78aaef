"""The configuration of a chain: what is accepted, what is refused and with which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import to_checksum_address
from pydantic import ValidationError

from payhealth.connectors.evm import PLUGIN
from payhealth.connectors.evm.reading.translate import book_of
from payhealth.connectors.evm.registry.addresses import checked_address
from payhealth.connectors.evm.registry.chains import chain_info, known_chains
from payhealth.connectors.evm.settings import EvmSettings

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
OURS = "0x" + "a1" * 20


def made(**changes: Any) -> EvmSettings:
    """A configuration of Base."""
    base = {"chain_id": 8453, "rpc_urls": ["https://node.invalid"], "addresses": [OURS], "assets": ["USDC"]}
    return EvmSettings.model_validate({**base, **changes})


def refusal(**changes: Any) -> str:
    """The words with which a configuration is refused."""
    with pytest.raises(ValidationError) as caught:
        made(**changes)
    return " ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in caught.value.errors())


def test_a_wrong_checksum_is_refused_with_the_right_form() -> None:
    """Mixed case must be the right case (EIP-55); the message shows it."""
    wrong = USDC.swapcase().replace("0X", "0x")
    assert USDC in refusal(addresses=[wrong])
    assert USDC in refusal(tokens=[{"address": wrong, "symbol": "X", "decimals": 6}])


@pytest.mark.parametrize("form", [USDC, USDC.lower(), "0x" + USDC[2:].upper(), f"  {USDC} "])
def test_an_address_in_one_case_or_with_its_checksum_is_accepted(form: str) -> None:
    """All one case carries no checksum and is accepted; what is kept is lower case."""
    assert checked_address(form) == USDC.lower()


@pytest.mark.parametrize("form", ["", "0x", USDC[:-1], USDC + "0", USDC[2:], "0x" + "g" * 40, "alice.eth"])
def test_what_is_no_address_is_refused(form: str) -> None:
    """Length, digits and prefix are checked."""
    assert "not an address" in refusal(addresses=[form])


def test_addresses_come_from_a_file_too(tmp_path: Path) -> None:
    """One a line, with comments; a bad line is named by its number."""
    file = tmp_path / "addresses.txt"
    file.write_text(f"# deposits\n{USDC}\n\n0x{'b2' * 20}  # treasury\n")
    assert made(addresses_file=file).ours == {OURS, USDC.lower(), "0x" + "b2" * 20}
    file.write_text(f"{OURS}\nnonsense\n")
    assert "line 2: not an address" in refusal(addresses_file=file)


def test_an_unreadable_address_file_is_one_clear_line(tmp_path: Path) -> None:
    """A missing file is a configuration error that names it."""
    assert "gone.txt cannot be read: No such file" in refusal(addresses_file=tmp_path / "gone.txt")


def test_unknown_assets_name_the_nearest() -> None:
    """The registry's names are listed, and the nearest is suggested."""
    words = refusal(assets=["usdc"])
    assert "did you mean 'USDC'" in words
    assert "USDbC" in words
    assert "on Base" in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"addresses": []}, "no addresses"),
        ({"assets": []}, "no assets"),
        ({"operators": [OURS]}, "both one of addresses and one of operators"),
        ({"rpc_urls": []}, "rpc_urls"),
        ({"rpc_urls": ["wss://node.invalid/key-1234"]}, "is not an http:// or https:// URL"),
        ({"finality": "latest"}, "finality"),
        ({"finality": {"depth": -1}}, "finality"),
        ({"chain_id": 0}, "chain_id"),
        ({"start_block": -1}, "start_block"),
        ({"adresses": [OURS]}, "adresses"),
        ({"tokens": [{"address": USDC, "symbol": "USDC", "decimals": 6}]}, "given twice"),
        ({"tokens": [{"address": OURS, "symbol": "X", "decimals": 78}]}, "tokens.0.decimals"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    """Each refusal names the key or the reason."""
    assert words in refusal(**changes)


def test_no_error_shows_an_rpc_url() -> None:
    """An RPC URL holds a key: errors name the position and the reference, never the value."""
    with pytest.raises(ValidationError) as caught:
        made(rpc_urls=["wss://node.invalid/key-1234"])
    assert "key-1234" not in str(caught.value)
    assert "key-1234" not in repr(made(rpc_urls=["https://node.invalid/key-1234"]))


def test_a_missing_secret_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """``env:NAME`` that is not set is one line with the name."""
    monkeypatch.delenv("BASE_RPC_URL", raising=False)
    assert "BASE_RPC_URL is not set" in refusal(rpc_urls=["env:BASE_RPC_URL"])


def test_the_registry_is_sound() -> None:
    """Every chain of the data file has USDC, its addresses carry the right checksum, no two are equal."""
    assert set(known_chains()) == {1, 10, 137, 8453, 42161}
    text = (
        Path(sys.modules["payhealth.connectors.evm"].__file__ or "").parent / "registry" / "chains.toml"
    ).read_text()
    for info in known_chains().values():
        addresses = [token.address for token in info.tokens]
        assert len(set(addresses)) == len(addresses)
        assert {"USDC", "USDT"} <= {token.symbol for token in info.tokens}
        assert all(to_checksum_address(address) in text for address in addresses)
        assert info.finality in ("finalized", "safe")


def test_another_chain_comes_by_configuration_alone() -> None:
    """Its tokens, its coin and its usual time to finality are given; nothing is guessed into money."""
    settings = made(
        chain_id=31337,
        assets=["native"],
        tokens=[{"address": OURS, "symbol": "USDX", "decimals": 18, "peg": "USD"}],
        chain={"native_symbol": "DEV", "slip44": 1, "finality_s": 7},
    )
    assets = book_of("dev", settings).assets
    assert assets[None].caip19 == "eip155:31337/slip44:1"
    assert assets[OURS].decimals == 18
    assert settings.finality_s == 7
    assert settings.pegs() == {f"eip155:31337/erc20:{OURS}": "USD"}
    assert chain_info(31337).tokens == ()


@pytest.mark.parametrize(
    ("finality", "mark", "seconds"),
    [
        (None, "final", 1200),
        ("safe", "safe", 600),
        ({"depth": 12}, "final", 24),
        ("finalized", "final", 1200),
    ],
)
def test_finality_names_its_mark_and_usual_time(finality: Any, mark: str, seconds: int) -> None:
    """By default the chain's own; a depth takes its blocks' time."""
    book = book_of("base", made(finality=finality))
    assert (book.mark, book.finality_s) == (mark, seconds)


def test_the_fingerprint_follows_what_is_read() -> None:
    """Order and spelling of addresses are irrelevant; another address, operator or asset is not."""
    one = made(addresses=[OURS, USDC]).fingerprint()
    assert made(addresses=[USDC.lower(), OURS, OURS]).fingerprint() == one
    others = [
        made(addresses=[OURS]),
        made(addresses=[OURS, USDC], operators=["0x" + "c1" * 20]),
        made(addresses=[OURS, USDC], assets=["USDC", "native"]),
        made(addresses=[OURS, USDC], assets=["USDT"]),
    ]
    assert len({one, *(other.fingerprint() for other in others)}) == 5


def test_importing_the_plugin_brings_no_heavy_library() -> None:
    """Neither web3 nor httpx nor Arrow loads with the package or with a configuration in one case."""
    code = (
        "import sys\n"
        "from payhealth.connectors.evm import PLUGIN\n"
        f"settings = PLUGIN.settings.model_validate(dict(chain_id=8453, rpc_urls=['https://n.invalid'],"
        f" addresses=['{OURS}'], assets=['USDC', 'native']))\n"
        "print(sorted({'web3', 'eth_utils', 'httpx', 'pyarrow', 'orjson'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_building_opens_nothing() -> None:
    """The plugin names its kind, and its source asks nothing before its first read."""
    source = PLUGIN.build("base", made())
    assert (PLUGIN.kind, source.name, source.kind) == ("evm", "base", "evm")
    (plan,) = source.streams()
    assert (plan.stream, plan.unit.value, plan.required_lower) == ("transfers", "block", 0)
    source.close()
