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
from payhealth.connectors.evm.reading.book import book_of
from payhealth.connectors.evm.registry.addresses import checked_address
from payhealth.connectors.evm.registry.chains import chain_info, known_chains
from payhealth.connectors.evm.settings import EvmSettings

USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
OURS = "0x" + "a1" * 20
OTHER = "0x" + "b2" * 20
THIRD = "0x" + "b3" * 20
ACCOUNT = (
    "xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY"
    "4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5"
)
"""An account's key of BIP-32's first test vector (depth 3)."""
FEED = {"asset": "USDC", "address": OTHER, "heartbeat_s": 60, "description": "USDC / USD"}


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
        made(addresses=[OURS, USDC], dust={"USDC": "1"}),
        made(addresses=[OURS, USDC], start_block=1),
        made(addresses=[OURS, USDC], coinbase_operators=[OTHER]),
        made(addresses=[OURS, USDC], payment_events=False),
        made(addresses=[OURS, USDC], traces=False),
    ]
    assert len({one, *(other.fingerprint() for other in others)}) == 10


def test_the_fingerprint_does_not_follow_how_it_is_read() -> None:
    """Other endpoints, limits and finality bring the same records: nothing is read anew for them."""
    one = made().fingerprint()
    for changes in (
        {"rpc_urls": ["https://other.invalid"]},
        {"max_block_range": 7},
        {"overlap_blocks": 3},
        {"finality": "safe"},
        {"rate_limit_per_s": 2.5},
    ):
        assert made(**changes).fingerprint() == one


def test_an_extended_public_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells every address, so that it may be kept out of files; no error and no print shows it."""
    monkeypatch.setenv("BASE_XPUB", ACCOUNT)
    settings = made(addresses=[], xpub="env:BASE_XPUB", gap_limit=3)
    assert settings.derived is not None
    assert settings.derived.path == "0"
    assert len(set(settings.derived.first(3))) == 3
    assert ACCOUNT not in repr(settings)
    monkeypatch.setenv("BASE_XPUB", ACCOUNT[:-1] + "X")
    words = refusal(addresses=[], xpub="env:BASE_XPUB")
    assert "not an extended public key" in words
    assert ACCOUNT[:-1] not in words
    monkeypatch.delenv("BASE_XPUB")
    assert "BASE_XPUB is not set" in refusal(addresses=[], xpub="env:BASE_XPUB")


def test_a_private_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can spend must never be here, and is not shown."""
    monkeypatch.setenv("BASE_XPUB", "0x" + "5e" * 32)
    words = refusal(addresses=[], xpub="env:BASE_XPUB")
    assert "it can spend" in words
    assert "5e5e" not in words


def test_the_path_and_the_gap_decide_which_addresses_derive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another path gives other addresses; an account's key takes BIP-44's by default."""
    monkeypatch.setenv("BASE_XPUB", ACCOUNT)
    usual = made(addresses=[], xpub="env:BASE_XPUB")
    given = made(addresses=[], xpub="env:BASE_XPUB", xpub_path="0")
    other = made(addresses=[], xpub="env:BASE_XPUB", xpub_path="1")
    firsts = [one.derived.first(2) for one in (usual, given, other) if one.derived is not None]
    assert firsts[0] == firsts[1] != firsts[2]
    assert len({usual.fingerprint(), other.fingerprint(), made().fingerprint()}) == 3
    assert "gap_limit" in refusal(gap_limit=0)


def test_dust_is_an_amount_of_an_asset_that_is_read() -> None:
    """A symbol, or ``native`` for the coin; another name or no amount is refused."""
    settings = made(assets=["USDC", "native"], dust={"USDC": "0.01", "native": "0.0001"})
    assert {name: str(least) for name, least in settings.dust_of.items()} == {
        "USDC": "0.01",
        "native": "0.0001",
    }
    least = book_of("base", settings).dust
    assert sorted(map(str, least.values())) == ["0.0001", "0.01"]
    assert set(least) == {asset.caip19 for asset in book_of("base", settings).assets.values()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dust": {"USDT": "1"}}, "dust: 'USDT' is none of the assets that are read (USDC, native)"),
        ({"dust": {"USDC": "-1"}}, "dust.USDC: not an amount"),
        ({"dust": {"USDC": "1e-3"}}, "dust.USDC: not an amount"),
        ({"dust": {"USDC": "0." + "0" * 18 + "1"}}, "dust.USDC: not an amount"),
        ({"dust": {"USDC": "1" * 21}}, "dust.USDC: not an amount"),
        ({"dust": {"USDC": "\N{ARABIC-INDIC DIGIT ONE}"}}, "dust.USDC: not an amount"),
        ({"dust": {"USDC": 0.01}}, "dust.USDC"),
        ({"feeds": [{**FEED, "asset": "USDT"}]}, "feeds: 'USDT' is none of the assets that are read"),
        ({"feeds": [{**FEED, "heartbeat_s": 0}]}, "heartbeat_s"),
        ({"feeds": [{**FEED, "quote": "usd"}]}, "quote"),
        ({"feeds": [{**FEED, "address": "0x12"}]}, "not an address"),
        ({"quorum": 2}, "quorum = 2 needs at least two rpc_urls"),
        ({"quorum": 3}, "quorum"),
        ({"quorum": 0}, "quorum"),
        ({"rate_limit_per_s": 0}, "rate_limit_per_s"),
        ({"coinbase_operators": ["coinbase"]}, "not an address"),
        ({"overlap_blocks": -1}, "overlap_blocks"),
        ({"balance_sample": -1}, "balance_sample"),
        ({"most_filters": 1}, "most_filters"),
        ({"finality": {"depth": 50_001}}, "depth"),
        ({"chain": {"native_logs": "0x12"}}, "not an address"),
        ({"chain": {"escrows": ["0x12"]}}, "not an address"),
        ({"chain": {"block_ms": 5}}, "block_ms"),
        ({"tokens": [{"address": OTHER, "symbol": "", "decimals": 6}]}, "symbol"),
        ({"tokens": [{"address": OTHER, "symbol": "X", "decimals": 6, "peg": "dollar"}]}, "peg"),
    ],
)
def test_new_keys_are_checked(changes: dict[str, Any], words: str) -> None:
    """Each refusal names the key or the reason."""
    assert words in refusal(**{"assets": ["USDC", "native"], **changes})


@pytest.mark.parametrize(
    "changes", [{"dust": {"native": "1"}}, {"feeds": [{**FEED, "asset": "native"}]}], ids=["dust", "feeds"]
)
def test_the_coin_has_no_threshold_where_it_is_not_read(changes: dict[str, Any]) -> None:
    """``native`` is a name of an asset only where it is among ``assets``."""
    refusal(assets=["USDC"], **changes)


def test_quorum_takes_two_endpoints() -> None:
    """Two URLs are enough, whichever they are."""
    assert made(quorum=2, rpc_urls=["https://a.invalid", "https://b.invalid"]).quorum == 2


def test_coinbase_operators_are_kept_in_lower_case() -> None:
    """They are compared with what logs say; a wrong checksum is refused with the right form."""
    assert made(coinbase_operators=[USDC]).coinbase_operators == (USDC.lower(),)
    assert USDC in refusal(coinbase_operators=[USDC.swapcase().replace("0X", "0x")])


@pytest.mark.parametrize("address", ["0x" + "f" * 39 + "e", "0x" + "F" * 39 + "E"])
def test_what_logs_native_moves_is_no_token(address: str) -> None:
    """EIP-7708 logs the coin's moves as if they were a token's: counted there, each would count twice."""
    assert "it is no token" in refusal(tokens=[{"address": address, "symbol": "ETH", "decimals": 18}])


def test_polygons_coin_is_no_token_either() -> None:
    """Its contract logs the coin's moves; so does one that the configuration names."""
    token = {"address": "0x" + "0" * 36 + "1010", "symbol": "POL", "decimals": 18}
    assert "it is no token" in refusal(chain_id=137, tokens=[token])
    named = {"address": OTHER, "symbol": "X", "decimals": 18}
    assert "it is no token" in refusal(tokens=[named], chain={"native_logs": OTHER})


def test_feeds_of_the_configuration_come_first() -> None:
    """A registered token has the registry's feed; the configuration's own stands in its place."""
    known = chain_info(8453).feed("USDC")
    assert made().feed_of("USDC") == known
    own = made(feeds=[FEED]).feed_of("USDC")
    assert own is not None
    assert (own.address, own.heartbeat_s) == (OTHER, 60)
    assert made(feeds=[FEED]).fingerprint() != made().fingerprint()
    assert made(assets=["USDbC"]).pegs() == {
        "eip155:8453/erc20:0xd9aaec86b65d86f6a7b5b1b0c42ffa531710b6ca": "USD"
    }


def test_a_token_of_ones_own_has_no_feed_of_the_registrys() -> None:
    """Whoever calls a token ``USDT`` does not get USDT's price for it."""
    own = {"address": OTHER, "symbol": "USDT", "decimals": 6}
    assert made(assets=[], tokens=[own]).feed_of("USDT") is None
    assert made(tokens=[own]).feed_of("USDT") is None


@pytest.mark.parametrize("symbol", ["USDC", "native"])
def test_two_assets_never_share_a_name(symbol: str) -> None:
    """Prices and thresholds are given by symbol: two of one name would get each other's."""
    own = {"address": OTHER, "symbol": symbol, "decimals": 18}
    with pytest.raises(ValidationError):
        made(assets=["USDC", "native"], tokens=[own])


def test_a_chains_constants_can_be_overridden() -> None:
    """Each key stands in the place of the registry's; the rest stays; nothing given changes nothing."""
    assert made().info == chain_info(8453)
    info = made(
        chain={
            "name": "Base fork",
            "fallback_depth": 7,
            "max_head_age_s": 5,
            "native_logs": THIRD,
            "ignored_native_types": [1, 2],
            "multicall3": OTHER,
            "coinbase_transfers": [],
            "escrows": [OTHER],
        }
    ).info
    assert (info.name, info.fallback_depth, info.max_head_age_s) == ("Base fork", 7, 5)
    assert (info.native_logs, info.multicall3, info.escrows) == (THIRD, OTHER, (OTHER,))
    assert (info.ignored_native_types, info.coinbase_transfers) == (frozenset({1, 2}), ())
    assert (info.tokens, info.slip44, info.l1_fees) == (chain_info(8453).tokens, 60, True)


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
