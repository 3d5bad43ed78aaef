"""A pull that is killed, and the one after it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from payhealth.bootstrap import application
from payhealth.domain.records import RECORD_TYPES
from payhealth.sandbox.serve import LoopbackServer
from payhealth.sandbox.stripe.server import build_app
from tests.simulation.conftest import Pulled

DEADLINE_S = 60
CLOCK_COLUMNS = {"recorded_at", "first_recorded_at"}


def _rows_in(store: Path, view: str) -> int:
    """How many rows a view of a store under way has so far."""
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
            return int(connection.execute(f"select count(*) from {view}").fetchone()[0])
    except sqlite3.Error:
        return 0


def _pull(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "payhealth", "--config", str(config), "pull"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _records(config: Path) -> dict[str, list[dict[str, Any]]]:
    """Everything a store holds, without the store's own clock."""
    app = application(config)
    try:
        tables = {}
        for kind in RECORD_TYPES:
            table = app.store.records(kind)
            kept = table.select([name for name in table.column_names if name not in CLOCK_COLUMNS])
            tables[kind.__name__] = sorted(kept.to_pylist(), key=repr)
        return tables
    finally:
        app.close()


def _pointed_at(pulled: Pulled, folder: Path, stripe_url: str) -> Path:
    """The world's configuration with a store of its own."""
    text = pulled.config.read_text(encoding="utf-8")
    text = text.replace(str(pulled.config.parent / "payhealth.db"), str(folder / "payhealth.db"))
    config = folder / "payhealth.toml"
    config.write_text(text.replace(pulled.world.stripe_url, stripe_url), encoding="utf-8")
    return config


@pytest.fixture(scope="module")
def undisturbed(pulled: Pulled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What a store holds after one pull that nobody disturbs."""
    config = _pointed_at(pulled, tmp_path_factory.mktemp("undisturbed"), pulled.world.stripe_url)
    done = _pull(config)
    output, errors = done.communicate(timeout=DEADLINE_S)
    assert done.returncode == 0, (output, errors)
    return _records(config)


@pytest.mark.parametrize("view", ["v_charges", "v_balance_transactions"])
def test_killed_pull_is_healed_by_the_next(
    pulled: Pulled, undisturbed: dict[str, list[dict[str, Any]]], tmp_path: Path, view: str
) -> None:
    """Records after kill -9 in mid-pull and one more pull equal those of an undisturbed pull."""
    slow = LoopbackServer(build_app(pulled.world.account, rate_limit_per_s=1000, page_delay_s=0.04))
    with slow:
        config, store = _pointed_at(pulled, tmp_path, slow.url), tmp_path / "payhealth.db"
        process = _pull(config)
        deadline = time.monotonic() + DEADLINE_S
        while not _rows_in(store, view) and process.poll() is None:
            assert time.monotonic() < deadline, f"nothing arrived in {view}"
            time.sleep(0.01)
        assert process.poll() is None, "the pull ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not _rows_in(store, "v_entries"), "it was killed too late to matter"
        finished = _pull(config)
        output, errors = finished.communicate(timeout=DEADLINE_S)
        assert finished.returncode == 0, (output, errors)
    assert _records(config) == undisturbed
