"""What the pages tell to type works, or is at least understood where it needs an account."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from payhealth import settings
from payhealth.__main__ import run
from payhealth.bootstrap import Application
from payhealth.cli import app
from payhealth.daemon.service import address, build_scheduler, notifiers
from payhealth.files import reconcile_files
from payhealth.store import open_store
from tests.docs.pages import PAGES, ROOT, Block, blocks, prose, read

VARIABLES = {
    "STRIPE_API_KEY": "rk_test_documentation",
    "BASE_RPC_URL": "http://127.0.0.1:9/key",
    "BASE_RPC_URL_2": "http://127.0.0.1:9/another",
    # The account of the mnemonic that development chains share: it is everybody's.
    "DEPOSIT_XPUB": (
        "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"
    ),
    "LEDGER_DATABASE_URL": "postgresql+psycopg://readonly@db.invalid/credits",
    "DISCORD_ALERT_URL": "discord://1234567890/documentation_token",
    "PAYHEALTH_DATABASE_URL": "sqlite://",
}
OFFLINE = """
[connectors.credits]
kind = "ledger.files"
paths = ["ledger.csv"]
"""


class _NoJobs:
    """Stands for the daemon's jobs where only their schedules matter."""

    def named(self, _: str) -> Any:
        return lambda: None


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the example's files and a configuration that needs no account."""
    for note in ("payments", "ledger"):
        [block] = blocks("csv", note)
        (tmp_path / f"{note}.csv").write_text(block.text, encoding="utf-8")
    (tmp_path / "payhealth.toml").write_text(OFFLINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _said(arguments: list[str]) -> tuple[int, str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run(arguments)
    return code, out.getvalue()


@pytest.mark.parametrize("block", blocks("toml", ""), ids=str)
def test_configurations_hold(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every configuration on the pages loads, and builds its sources, rules, checks, schedules and alerts."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "payhealth.toml"
    file.write_text(block.text, encoding="utf-8")
    loaded = settings.load(file)
    opened = Application(settings=loaded, file=file)
    try:
        opened.validate()
        build_scheduler(loaded, _NoJobs())  # type: ignore[arg-type]
        address(loaded.daemon.bind)
        notifiers(loaded)
    finally:
        opened.close()


def test_template_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `payhealth init` writes is valid as it stands."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "payhealth.toml"
    assert _said(["init", str(file)])[0] == 0
    opened = Application(settings=settings.load(file), file=file)
    opened.validate()
    opened.close()


@pytest.mark.parametrize("block", blocks("toml", "rules"), ids=str)
def test_rules_hold(block: Block, place: Path) -> None:
    """Every rules file on the pages is accepted beside two files."""
    rules = place / "rules.toml"
    rules.write_text(block.text, encoding="utf-8")
    reconcile_files(place / "payments.csv", place / "ledger.csv", rules=rules, as_of=None, out=None)


@pytest.mark.parametrize("block", [*blocks("python", ""), *blocks("python", "config")], ids=str)
def test_python_runs(block: Block, place: Path) -> None:
    """Every Python example on the pages runs as it stands."""
    assert place.exists()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(block.text, str(block), "exec"), {"__name__": "example"})  # noqa: S102 - our own pages


@pytest.mark.parametrize("block", blocks("sql"), ids=str)
def test_queries_run(block: Block, tmp_path: Path) -> None:
    """Every query on the pages runs on a fresh store."""
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    try:
        assert list(store.rows(block.text)) == []
    finally:
        store.close()


def _file_commands() -> list[tuple[str, list[str]]]:
    return [
        (str(block), shlex.split(line)[2:])
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith("$ payhealth reconcile --payments")
    ]


@pytest.mark.parametrize(("where", "arguments"), _file_commands())
def test_two_files_give_what_the_readme_shows(where: str, arguments: list[str], place: Path) -> None:
    """The command on two files finds the breaks that README's capture shows, and leaves the five files."""
    code, said = _said([*arguments, "--format", "json"])
    assert code == 1, where
    found = {(row["primary_reason"], row["amount"]) for row in json.loads(said)["breaks"]}
    [capture] = blocks("text", "files")
    shown = set(re.findall(r"^ ([a-z_]+) +(-?[0-9.]+) +USD ", capture.text, re.MULTILINE))
    assert found == shown
    names = {path.name for path in (place / "result").iterdir()}
    listed = set(re.findall(r"^### (\S+\.(?:parquet|json))$", read("docs/files.md"), re.MULTILINE))
    assert names == listed


def _typed() -> list[tuple[str, str]]:
    """Every use of the command on every page, with where it stands."""
    inline = [
        (page.name, " ".join(found.split()))
        for page in PAGES
        for found in re.findall(r"`(payhealth [^`]+)`", prose(page))
    ]
    lines = [
        (str(block), line.removeprefix("$ ").partition(" # ")[0])
        for language in ("console", "", "text", "ini")
        for block in blocks(language)
        for line in block.text.splitlines()
        if line.startswith(("$ payhealth ", "payhealth "))
    ]
    services = [
        (str(block), "payhealth " + found)
        for block in blocks("ini")
        for found in re.findall(r"ExecStart=\S+/payhealth (.*)", block.text)
    ]
    return [*inline, *lines, *services]


@pytest.mark.parametrize(("where", "typed"), _typed())
def test_commands_exist(where: str, typed: str) -> None:
    """Every command and option that a page names is one that the program has."""
    command: Any = typer.main.get_command(app)
    known = {option for param in command.params for option in param.opts} | {"--help"}
    for word in [word.strip("[]") for word in typed.split()[1:]]:
        inner = getattr(command, "commands", None)
        if word.startswith("--"):
            assert word in known, f"{where}: {typed}: no option {word}"
        elif inner and word.islower() and "/" not in word:
            assert word in inner, f"{where}: {typed}: no command {word}"
            command = inner[word]
            known |= {option for param in command.params for option in param.opts}


def test_make_targets_exist() -> None:
    """Every `make` target that a page names is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", text))
        assert named <= targets, f"{page.name}: {named - targets}"
