"""The demo as a user runs it, and that it would notice an engine that lost a rule."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from payhealth import demo, pipeline
from payhealth.matching import engine
from payhealth.matching.reasons import DEFAULT_REASON_RULES
from payhealth.outcomes import RunReport
from tests.simulation.conftest import Pulled

FIXED_SEED = 1


def _demo(seed: int, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "payhealth", "demo", "--seed", str(seed), "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)


@pytest.mark.parametrize("which", ["fixed", "fresh-1", "fresh-2"])
def test_demo_finds_what_was_planted(
    which: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], record_property: pytest.RecordProperty
) -> None:
    """For any seed, what the demo finds is exactly what was planted, and it leaves a report."""
    seed = FIXED_SEED if which == "fixed" else random.SystemRandom().randrange(1, 10**6)
    record_property("seed", seed)
    with capsys.disabled():
        print(f"\ndemo --seed {seed}", flush=True)  # noqa: T201 - a fresh seed that fails must be known
    done = _demo(seed, tmp_path / "demo")
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}\n{done.stderr}"
    assert "planted faults were found, and nothing else" in done.stdout
    assert "<svg" in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")


def _judged(pulled: Pulled, monkeypatch: pytest.MonkeyPatch, left_out: str | None) -> RunReport:
    """The pulled store, matched with one reason rule less."""
    rules = tuple(rule for rule in DEFAULT_REASON_RULES if rule.reason != left_out)
    whole = engine.reconcile
    monkeypatch.setattr(engine, "reconcile", lambda *args, **kw: whole(*args, **kw, reason_rules=rules))
    report = pulled.app.reconcile(keep=False)
    checks = pipeline.check(pulled.app.checks, pulled.app.store, pulled.app.context(), keep=False)
    return RunReport(pull=pipeline.PullReport(streams=()), reconcile=report, checks=checks)


def test_planted_is_found_with_all_rules(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every reason rule in place, planted and found agree line by line."""
    lines = demo.compare(pulled.world.truth, _judged(pulled, monkeypatch, None))
    assert [line for line in lines if not line.agrees] == []


PLANTED = (
    "paid_not_credited",
    "credited_not_paid",
    "wrong_account",
    "refund_not_clawed_back",
    "dispute_not_clawed_back",
    "reorg_not_clawed_back",
    "duplicate_credit",
    "amount_over",
    "clawed_back_not_refunded",
    "reversal_not_recredited",
    "amount_under",
)


def test_every_planted_reason_is_tried(pulled: Pulled) -> None:
    """The list of reasons to take out is exactly what the sandbox plants."""
    assert {fault.reason for fault in pulled.world.truth.faults} == set(PLANTED)


@pytest.mark.parametrize("reason", PLANTED)
def test_a_missing_rule_is_noticed(pulled: Pulled, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """Without the rule of a planted reason, planted and found disagree."""
    lines = demo.compare(pulled.world.truth, _judged(pulled, monkeypatch, reason))
    assert any(not line.agrees and line.reason == reason for line in lines)


def test_second_run_adds_nothing(pulled: Pulled) -> None:
    """Run twice in a row: the second adds no version, no match and no break."""
    pulled.app.run()
    again = pulled.app.run()
    assert sum(stream.new + stream.changed for stream in again.pull.streams) == 0
    assert again.reconcile.changes is not None
    assert again.reconcile.changes.total == 0
