"""What users meet when something is wrong: one clear line, exit 3, nothing half-written, no secret."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from payhealth.__main__ import run
from payhealth.bootstrap import application
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.server import build_app
from tests.simulation.conftest import Pulled

SECRET = "rk_test_thisIsNotTheKey"

Edit = Callable[[str, Pulled], str]


def _wrong_key(text: str, pulled: Pulled) -> str:
    key = pulled.config.parent / "wrong_key"
    key.write_text(SECRET, encoding="utf-8")
    return text.replace("/stripe_api_key", "/wrong_key")


def _unreachable_rpc(text: str, pulled: Pulled) -> str:
    return text.replace(pulled.world.rpc_url, "http://127.0.0.1:9/")


def _wrong_chain(text: str, pulled: Pulled) -> str:
    return text.replace("chain_id = 31337", "chain_id = 31338")


def _token_without_code(text: str, pulled: Pulled) -> str:
    return text.replace(pulled.world.token_address, "0x" + "11" * 20)


def _missing_column(text: str, _: Pulled) -> str:
    return text.replace(" amount, asset, ", " amount, ")


def _missing_ledger(text: str, pulled: Pulled) -> str:
    return text.replace(pulled.world.ledger_url, f"sqlite:///{pulled.config.parent}/nowhere.db")


def _unmapped_kind(text: str, _: Pulled) -> str:
    return text.replace(', promo = "grant"', "")


SOURCES: dict[str, tuple[Edit, str]] = {
    "a wrong Stripe key": (_wrong_key, "cards"),
    "an unreachable RPC": (_unreachable_rpc, "127.0.0.1"),
    "a wrong chain id": (_wrong_chain, "31337"),
    "a token without code": (_token_without_code, "0x1111"),
    "a query without a needed column": (_missing_column, "asset"),
    "an unreadable ledger": (_missing_ledger, "credits"),
    "an unmapped kind": (_unmapped_kind, "promo"),
}


def _config(pulled: Pulled, tmp_path: Path, edit: Edit) -> Path:
    text = pulled.config.read_text(encoding="utf-8")
    text = text.replace(f"{pulled.config.parent}/payhealth.db", f"{tmp_path}/store.db")
    config = tmp_path / "payhealth.toml"
    config.write_text(edit(text, pulled), encoding="utf-8")
    return config


@pytest.mark.parametrize("fault", SOURCES)
def test_a_broken_source_is_told_and_never_healthy(
    pulled: Pulled, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """A source that cannot be read: pull exits 3 with a line that names it, and run never exits 0."""
    edit, word = SOURCES[fault]
    config = _config(pulled, tmp_path, edit)
    assert run(["--config", str(config), "pull"]) == 3
    said = capsys.readouterr()
    assert word in said.out + said.err
    for text in (said.out, said.err):
        assert "Traceback" not in text
        assert SECRET not in text
    assert SECRET.encode() not in (tmp_path / "store.db").read_bytes()
    assert run(["--config", str(config), "check"]) in (1, 3)
    assert run(["--config", str(config), "reconcile"]) in (1, 3)


@pytest.mark.parametrize("fault", SOURCES)
def test_a_broken_source_leaves_nothing_behind(pulled: Pulled, tmp_path: Path, fault: str) -> None:
    """Of a source that is refused at the door, no record is written."""
    edit, _ = SOURCES[fault]
    config = _config(pulled, tmp_path, edit)
    broken = {"Stripe": "cards", "RPC": "chain", "chain": "chain", "token": "chain"}
    connector = next((name for word, name in broken.items() if word in fault), "credits")
    app = application(config)
    try:
        app.pull()
        view = {"cards": "v_charges", "chain": "v_movements", "credits": "v_entries"}[connector]
        rows = app.store.rows(
            f"select count(*) as n from {view} where connector = :name", {"name": connector}
        )
        assert rows[0]["n"] == 0
    finally:
        app.close()


STRIPE = '[connectors.a]\nkind = "stripe"\nstart = 2026-01-01\n'
CONFIGURATIONS = {
    "unknown table": ("[storre]\n", "store"),
    "unknown key": ('[store]\nulr = "sqlite:///x.db"\n', "store.url"),
    "unknown kind": ('[connectors.a]\nkind = "strip"\n', "stripe"),
    "missing variable": (f'{STRIPE}api_key = "env:NO_SUCH_KEY"\n', "NO_SUCH_KEY"),
    "a literal secret": (f'{STRIPE}api_key = "{SECRET}"\n', "env:NAME"),
    "not TOML": ("[store\n", "TOML"),
    "unknown check": ("[checks.failure_rates]\n", "failure_rate"),
    "unknown policy key": ('[policy.default]\nfee_rat = "0.1"\n', "fee_rate"),
    "a pass that is not built": ('[[rules]]\npass = "exact"\n', "exact"),
}


@pytest.mark.parametrize("fault", CONFIGURATIONS)
def test_configuration_errors_are_one_line(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A configuration error names the file, the key and what would be valid, and writes no store."""
    monkeypatch.chdir(tmp_path)
    text, word = CONFIGURATIONS[fault]
    Path("payhealth.toml").write_text(text, encoding="utf-8")
    assert run(["run"]) == 3
    said = capsys.readouterr()
    assert word.split(".")[-1] in said.err
    assert len(said.err.strip().splitlines()) <= 2
    assert SECRET not in said.err
    assert "Traceback" not in said.err
    assert not Path("payhealth.db").exists()


def test_no_configuration_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a configuration the line says how to write one."""
    monkeypatch.chdir(tmp_path)
    assert run(["run"]) == 3
    assert "payhealth init" in capsys.readouterr().err


def test_a_hole_in_coverage_is_never_healthy(pulled: Pulled, tmp_path: Path) -> None:
    """A stretch cut out of what was read: check exits 1 by coverage_gap, reconcile 1 or 3."""
    store = tmp_path / "store.db"
    with sqlite3.connect(pulled.config.parent / "payhealth.db") as source, sqlite3.connect(store) as copy:
        source.backup(copy)
        copy.execute("update coverage_window set lower = lower + 3600000000 where stream = 'refunds'")
    config = _config(pulled, tmp_path, lambda text, _: text)
    assert run(["--config", str(config), "check", "--select", "coverage_gap"]) == 1
    assert run(["--config", str(config), "check", "--select", "failure_rate"]) != 3
    assert run(["--config", str(config), "check", "--select", "credited_not_paid"]) == 3
    assert run(["--config", str(config), "reconcile"]) in (1, 3)


def test_a_source_that_fails_later_is_never_healthy(pulled: Pulled, tmp_path: Path) -> None:
    """A source that worked and then refuses: what depends on it is stale, not what it was."""
    with LoopbackServer(build_app(pulled.world.account, rate_limit_per_s=1000)) as server:
        config = _config(
            pulled, tmp_path, lambda text, world: text.replace(world.world.stripe_url, server.url)
        )
        assert run(["--config", str(config), "pull"]) == 0
    assert run(["--config", str(config), "pull"]) == 3
    assert run(["--config", str(config), "check", "--select", "failure_rate"]) == 3
    assert run(["--config", str(config), "check", "--select", "source_freshness"]) == 3


def test_a_moment_before_the_first_pull_proves_nothing(pulled: Pulled) -> None:
    """Looking back to before anything was read: nothing is found, and it is not called well."""
    assert run(["--config", str(pulled.config), "reconcile", "--as-of", "2020-01-01T00:00:00Z"]) == 3


def test_unproved_is_what_the_store_says(
    pulled: Pulled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stream is shown as unproved exactly where the store has a window without a balance behind it."""
    with (
        sqlite3.connect(pulled.config.parent / "payhealth.db") as source,
        sqlite3.connect(tmp_path / "store.db") as copy,
    ):
        source.backup(copy)
        proved = copy.execute("select stream from coverage_window group by stream having not max(unproved)")
        by_balance = {row[0] for row in proved}
        copy.execute("update coverage_window set unproved = 0 where stream = 'refunds'")
    config = _config(pulled, tmp_path, lambda text, _: text)
    run(["--config", str(config), "reconcile", "--format", "json"])
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    assert "refunds" not in by_balance
    assert {row["stream"] for row in coverage if not row["unproved"]} == {"refunds", *by_balance}
