"""The page on chains says what the connector says: reasons, states, messages, which chains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from payhealth.connectors.evm.proofs import identity_rows
from payhealth.connectors.evm.reading import payment_events, reconsider, translate
from payhealth.connectors.evm.reading.writing import TRANSFER_IGNORED
from payhealth.connectors.evm.registry.chains import known_chains
from payhealth.connectors.evm.rpc.scores import Lie
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.connectors.evm.wire import pairing
from payhealth.connectors.evm.wire.events import EscrowStep
from payhealth.outcomes import PullProgress
from payhealth.ports import READ_ANEW, StreamProgress
from payhealth.report.show import progress_line
from tests.docs.pages import ROOT, read, rows, section

CHAINS, CONFIGURATION, OPERATIONS = "docs/chains.md", "docs/configuration.md", "docs/operations.md"
CONNECTOR = ROOT / "payhealth" / "connectors" / "evm"
XPUB = (
    "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29"
    "ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
)
"""The master key of BIP-32's first test vector."""
FEED = {"asset": "USDC", "address": f"0x{5:040x}", "heartbeat_s": 60, "description": "USDC / USD"}
SETTINGS: Mapping[str, Any] = {
    "chain_id": 8453,
    "rpc_urls": ["http://127.0.0.1:1", "http://127.0.0.1:2"],
    "addresses": [f"0x{1:040x}"],
    "assets": ["USDC"],
    "feeds": [FEED],
}


def sources() -> str:
    """The connector's code in one text, literals that stand on two lines joined."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(CONNECTOR.rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))


def constants(module: object) -> set[str]:
    """The reasons among a module's constants: words without a number or a hash."""
    named = {name: value for name, value in vars(module).items() if name.isupper()}
    return {value for value in named.values() if isinstance(value, str) and re.fullmatch(r"[a-z ]+", value)}


def said(row: list[str]) -> list[str]:
    """The fixed words of a message on the page: what is left between the values that it names."""
    # What stands in for a value in the code may be a word on the page.
    values = r"\(HTTP …\)|and the node's words.*|HTML|(?<=does not have )(block|the receipt of)|attempts"
    parts = re.sub(values, "…", row[2].removeprefix("HOST:")).split("…")
    return [part.strip(" ()") for part in parts if len(part.strip(" ()")) > 2]


def bad_input() -> list[list[str]]:
    """The rows of the table of bad input that quote a message."""
    return [row for row in rows(section(CHAINS, "Bad input")) if row[2] not in ("", "the same")]


def test_every_reason_to_ignore_a_transfer_is_documented() -> None:
    """The table of ignored transfers has the reasons of the code, and no others."""
    table = {row[0] for row in rows(section(CHAINS, "What is ignored"))}
    assert table == {translate.ZERO_VALUE, translate.UNREGISTERED, translate.DUST, translate.NATIVE_LOG}


def test_every_reason_to_ignore_an_event_is_documented() -> None:
    """The table of ignored events has the reasons of the code, and no others."""
    table = [row for row in rows(section(CHAINS, "Payment events")) if len(row) == 2]
    assert {reason for reason, _ in table} == {*constants(pairing), TRANSFER_IGNORED}


def test_every_kind_of_event_is_documented() -> None:
    """The view's page names each kind of payment event."""
    [kinds] = [row[1] for row in rows(section("docs/views.md", "v_payment_events")) if row[0] == "kind"]
    assert [step for step in EscrowStep if f"{step}" not in kinds] == []
    assert payment_events.COINBASE in kinds
    assert payment_events.AUTHORIZATION in kinds


CHANGES: Mapping[str, Mapping[str, Any]] = {
    "chain_id": {"chain_id": 1},
    "start_block": {"start_block": 7},
    "address": {"addresses": [f"0x{2:040x}"]},
    "key": {"xpub": XPUB, "xpub_path": "0"},
    "operator": {"operators": [f"0x{3:040x}"]},
    "asset": {"assets": ["USDC", "native"]},
    "token": {"tokens": [{"address": f"0x{4:040x}", "symbol": "ABC", "decimals": 6}]},
    "dust": {"dust": {"USDC": "0.5"}},
    "feed": {"feeds": [FEED | {"address": f"0x{6:040x}"}]},
    "heartbeat": {"feeds": [FEED | {"heartbeat_s": 61}]},
    "peg_band": {"chain": {"peg_band": "0.01"}},
    "coinbase_operators": {"coinbase_operators": [f"0x{7:040x}"]},
    "payment_events": {"payment_events": False},
    "traces": {"traces": False},
    "balances": {"balances": False},
    "quorum": {"quorum": 2},
    "contracts under chain": {"chain": {"escrows": [f"0x{8:040x}"]}},
    "finality": {"finality": {"depth": 3}},
    "gap_limit": {"gap_limit": 50},
    "balance_sample": {"balance_sample": 5},
    "batch_calls": {"batch_calls": 50},
}
"""What the page calls a change -> such a change."""


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_read_anew_is_documented(name: str) -> None:
    """The page's list of what reads everything anew is what makes another fingerprint, and no more."""
    before = EvmSettings.model_validate(SETTINGS)
    after = EvmSettings.model_validate({**SETTINGS, **CHANGES[name]})
    listed = section(CHAINS, "When the configuration changes").partition("makes")[0].replace("`", "")
    assert (after.fingerprint() != before.fingerprint()) == (name in listed)


def test_words_of_a_reading_anew_are_quoted_as_they_are() -> None:
    """What a stream says while it is read anew, and what a row that counts now says, stand on the page."""
    text = " ".join(section(CHAINS, "When the configuration changes").replace("`", "").split())
    assert READ_ANEW in text
    assert f"`{READ_ANEW}`" in read(OPERATIONS)
    assert "counts now; before: …" in text
    assert "counts now; before: {" in Path(reconsider.__file__).read_text(encoding="utf-8")


def test_how_a_nonce_is_written_is_documented() -> None:
    """The page says how an entry names a signed authorisation."""
    [gives] = [row[3] for row in rows(section(CHAINS, "Payment events")) if row[0].startswith("EIP-3009")]
    assert payment_events.SIGNED in gives


def test_every_lie_that_is_noted_is_documented() -> None:
    """What a provider is blamed for in the code is in the table, and nothing else."""
    blamed = set(re.findall(r"blame\(\s*Lie\.(\w+)|Lie = Lie\.(\w+)|Lie\.(\w+), f?\"", sources()))
    noted = {name for names in blamed for name in names if name}
    assert {row[0] for row in rows(section(CHAINS, "Several providers"))} == {
        Lie[name].words for name in noted
    }


def test_every_state_of_a_balance_is_documented() -> None:
    """The states of balances are those of the records."""
    table = {row[0] for row in rows(section(CHAINS, "The proof that nothing is missing"))}
    assert {identity_rows.WAITING, identity_rows.PROVED, identity_rows.MISMATCH} <= table


@pytest.mark.parametrize("row", bad_input(), ids=lambda row: row[0])
def test_messages_are_quoted_as_they_are(row: list[str]) -> None:
    """The words that the table of bad input quotes are in the connector's code."""
    code = sources()
    assert [words for words in said(row) if words not in code] == []


def test_every_known_chain_is_named() -> None:
    """The configuration names each chain of the registry with its number."""
    text = section(CONFIGURATION, 'kind = "evm"')
    words = " ".join(text.split())
    assert [one.name for number, one in known_chains().items() if f"{one.name} ({number})" not in words] == []


def test_where_events_are_read_is_documented() -> None:
    """The chains of each protocol's contracts are those of the registry."""
    where = {row[0]: row[1] for row in rows(section(CHAINS, "Payment events")) if len(row) > 2}
    coinbase = [chain.name for chain in known_chains().values() if chain.coinbase_transfers]
    escrows = [chain.name for chain in known_chains().values() if chain.escrows]
    assert where["Coinbase Transferred"].split(", ") == coinbase
    assert where["escrow of commerce-payments"].split(", ") == escrows


def test_the_line_of_a_backfill_is_as_shown() -> None:
    """The example of a backfill's progress has the form of the program's own line."""
    part = StreamProgress(
        done=1_200_000,
        total=4_000_000,
        windows=0,
        detail="1,200,000 of 4,000,000 blocks, 310,400 logs, 10,000 blocks a range",
    )
    line = progress_line(
        PullProgress(connector="base", stream="transfers", objects=812, seconds=133, part=part)
    )
    assert f"`{line}`" in read(OPERATIONS)
    code = (CONNECTOR / "reading" / "session.py").read_text(encoding="utf-8")
    assert "{done:,} of {total:,} blocks, {self._logs_read:,} logs, {size:,} blocks a range" in code
