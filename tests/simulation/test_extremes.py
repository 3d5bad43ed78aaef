"""The smallest and the largest amounts, from the wire to the report, on both databases."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from payhealth.bootstrap import application
from payhealth.domain.records import Entry, Movement
from payhealth.report import run_document
from payhealth.report.machine import to_json
from payhealth.sandbox.chain.devchain import DevChain
from payhealth.sandbox.chain.rpc import build_app
from payhealth.sandbox.serve import LoopbackServer

SMALLEST, LARGEST = 1, 10**38 - 1
TEXTS = {SMALLEST: "0.000000000000000001", LARGEST: "99999999999999999999.999999999999999999"}
START = datetime(2026, 11, 1, tzinfo=UTC)

CONFIG = """
[store]
url = "{store}"

[connectors.chain]
kind = "evm"
chain_id = 31337
rpc_urls = ["{rpc}"]
addresses = ["{address}"]
assets = ["USDX"]
tokens = [{{ address = "{token}", symbol = "USDX", decimals = 18 }}]
finality = {{ depth = 1 }}

[connectors.credits]
kind = "ledger.sql"
url = "sqlite:///{ledger}"
query = "select id, account, reference, amount, asset, occurred_at from entries"
"""


def _ledger(path: Path, rows: list[tuple[str, str, str, str, str]]) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table entries"
            " (id text, account text, reference text, amount text, asset text, occurred_at text)"
        )
        connection.executemany("insert into entries values (?, 'a', ?, ?, ?, ?)", rows)


def test_extremes_go_through_unchanged(store_url: str, tmp_path: Path) -> None:
    """Both extremes of both signs arrive exact and in order; 2^256-1 is rejected with a reason."""
    chain = DevChain(seed=5, genesis_at=START, token_decimals=18)
    ours, other = chain.new_address(), chain.new_address()
    at = START + timedelta(hours=1)
    chain.faucet(other, at=at, native=10**18, token=0)
    paid = {}
    for units in (SMALLEST, LARGEST):
        chain.faucet(other, at=at, token=units)
        paid[units] = chain.send_token(at=at, sender=other, recipient=ours, amount=units)
    # What is left of 2^256-1 is the most that the contract can still mint.
    chain.faucet(ours, at=at, token=2**256 - 1 - SMALLEST - LARGEST)
    chain.mine(at=at + timedelta(minutes=5), blocks=3)
    asset = f"eip155:31337/erc20:{chain.token_address.lower()}"
    moment = (at + timedelta(minutes=1)).isoformat()
    rows = [(f"in-{units}", "a", paid[units].transaction_hash, TEXTS[units], asset, moment) for units in paid]
    rows += [(f"out-{units}", "a", "", f"-{TEXTS[units]}", asset, moment) for units in paid]
    _ledger(tmp_path / "ledger.db", [(row[0], *row[2:]) for row in rows])
    with LoopbackServer(build_app(chain)) as server:
        config = tmp_path / "payhealth.toml"
        config.write_text(
            CONFIG.format(
                store=store_url,
                rpc=server.url,
                address=ours,
                token=chain.token_address,
                ledger=tmp_path / "ledger.db",
            ),
            encoding="utf-8",
        )
        app = application(config)
        try:
            done = app.run()
            assert not done.pull.failed
            movements = app.store.records(Movement)
            found = {f"{value:f}" for value in movements["amount"].to_pylist()}
            assert found == set(TEXTS.values())
            ordered = app.store.rows("select entry_id, amount from v_entries order by amount_key")
            assert [row["entry_id"] for row in ordered] == [
                f"out-{LARGEST}",
                f"out-{SMALLEST}",
                f"in-{SMALLEST}",
                f"in-{LARGEST}",
            ]
            assert [str(row["amount"]) for row in ordered][:1] == [f"-{TEXTS[LARGEST]}"]
            assert len(app.store.records(Entry)) == 4
            rejected = app.store.rows("select connector, reason from v_rejected")
            assert [row["connector"] for row in rejected] == ["chain"]
            assert "38 digits" in rejected[0]["reason"]
            _assert_report(json.loads(to_json(run_document(done))))
        finally:
            app.close()


def _assert_report(report: dict[str, object]) -> None:
    """The credits of both deposits are matched; the lone negative entries are breaks, exact in the report."""
    breaks = report["breaks"]
    assert isinstance(breaks, list)
    assert {(row["primary_reason"], row["amount"]) for row in breaks} == {
        ("clawed_back_not_refunded", TEXTS[SMALLEST]),
        ("clawed_back_not_refunded", TEXTS[LARGEST]),
    }
    assert report["matches"] == 2
