"""The command line's edge: every error one line and an exit code, every interruption told, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from payhealth import __main__, cli
from payhealth.domain.errors import InvariantError, SourceUnavailableError, StoreVersionError

SECRET = "sk_live_51PlantedSecretValue"
HEADER_P = "id,kind,account,reference,amount,asset,occurred_at\n"
HEADER_L = "id,account,reference,amount,asset,occurred_at\n"
PAYMENT = "p1,charge,acct_1,ch_1,10.00,USD,2026-01-01T00:00:00Z\n"
CREDIT = "e1,acct_1,ch_1,10.00,USD,2026-01-01T00:00:10Z\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no configuration from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYHEALTH_CONFIG", raising=False)
    return tmp_path


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make every command raise."""

    def invoke(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "invoke", invoke)


def lines(text: str) -> list[str]:
    """The lines of an output."""
    return text.splitlines()


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailableError("cards: no answer", hint="is the network up?"),
        StoreVersionError("the store is older", hint="payhealth db upgrade"),
        InvariantError("does not add up"),
        ValueError("unforeseen"),
        RecursionError("deep"),
        MemoryError(),
    ],
)
def test_any_error_is_a_line_and_a_hint_and_exits_3(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody meets a traceback unasked, whatever broke."""
    raising(monkeypatch, error)
    assert __main__.run(["pull"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert 1 <= len(lines(said.err)) <= 2
    assert lines(said.err)[0].startswith("payhealth: ")
    assert str(error) in said.err


def test_debug_shows_the_traceback_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--debug`` the traceback stands before the line."""
    raising(monkeypatch, ValueError("unforeseen"))
    assert __main__.run(["--debug", "pull"]) == 3
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert lines(said)[-2].startswith("payhealth: ")


def test_what_a_source_says_moves_no_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error's text may come from a stranger: no escape sequence, no second line."""
    raising(monkeypatch, SourceUnavailableError("\x1b[2J\x1b]0;x\x07no\rAll is well.\nsecond \u202eline"))
    assert __main__.run(["pull"]) == 3
    said = capsys.readouterr().err
    assert len(lines(said)) == 1
    assert not set(said) & set("\x1b\x07\r\u202e")


def test_an_interruption_exits_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is told in one line and has its own code."""
    raising(monkeypatch, KeyboardInterrupt())
    assert __main__.run(["pull"]) == 130
    assert lines(capsys.readouterr().err) == ["payhealth: interrupted; nothing was left half-written"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["pul"], "pul"),
        (["pull", "--formt", "json"], "--formt"),
        (["pull", "--format", "yaml"], "yaml"),
        (["reconcile", "--payments", "p.csv"], "--ledger"),
        (["reconcile", "--ledger", "l.csv"], "--payments"),
        (["reconcile", "--rules", "r.toml"], "--rules"),
        (["reconcile", "--payments", "p", "--ledger", "l", "--as-of", "2026-01-01"], "2026-01-01"),
        (["reconcile", "--payments", "missing.csv", "--ledger", "missing.csv"], "missing.csv"),
        (["check"], "payhealth.toml"),
        (["--config", "nowhere.toml", "pull"], "nowhere.toml"),
        (["demo", "--days", "0"], "--days"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_is_a_line_that_names_it_and_exits_3(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unknown commands, options and values, missing partners and files are configuration errors."""
    assert __main__.run(arguments) == 3
    said = capsys.readouterr().err
    assert named in said
    assert lines(said)[0].startswith("payhealth: ")
    assert "Traceback" not in said


def test_help_and_version_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Asking is healthy."""
    for arguments in (["--help"], ["--version"], ["breaks", "--help"], ["pull", "--help"]):
        assert __main__.run(arguments) == 0
        assert capsys.readouterr().out


def test_no_command_shows_the_help_and_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was judged."""
    assert __main__.run([]) == 3
    assert "reconcile" in capsys.readouterr().out


def test_init_writes_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The template is written where nothing is, and never over something."""
    assert __main__.run(["init"]) == 0
    written = (here / "payhealth.toml").read_text(encoding="utf-8")
    assert "[connectors.cards]" in written
    (here / "payhealth.toml").write_text("mine", encoding="utf-8")
    assert __main__.run(["init"]) == 3
    assert (here / "payhealth.toml").read_text(encoding="utf-8") == "mine"
    assert __main__.run(["init", "no/such/folder/payhealth.toml"]) == 3
    assert "no/such/folder" in capsys.readouterr().err


def reconcile(payments: str, ledger: str, *options: str) -> int:
    """Reconcile two files of these contents."""
    Path("p.csv").write_text(payments, encoding="utf-8")
    Path("l.csv").write_text(ledger, encoding="utf-8")
    return __main__.run(["reconcile", "--payments", "p.csv", "--ledger", "l.csv", *options])


def test_two_files_that_agree_exit_0_and_that_do_not_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    """A payment without its credit is a break; nothing else is."""
    assert reconcile(HEADER_P + PAYMENT, HEADER_L + CREDIT) == 0
    assert lines(capsys.readouterr().out)[-1] == "All is well."
    assert reconcile(HEADER_P + PAYMENT, HEADER_L) == 1
    assert lines(capsys.readouterr().out)[-1] == "Not all is well: 1 break."


def test_json_output_is_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes to standard output can be piped into a parser."""
    assert reconcile(HEADER_P + PAYMENT, HEADER_L, "--format", "json") == 1
    read = json.loads(capsys.readouterr().out)
    assert [row["primary_reason"] for row in read["breaks"]] == ["paid_not_credited"]
    assert read["statement"][0]["paid_in"] == "10"


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ("[[rule]]\npass = 'exact'\n", "rules"),
        ("[[rules]]\npass = 'exakt'\n", "exact"),
        ("[policy.default]\nfee_rat = '0.1'\n", "fee_rate"),
        ("[store]\nurl = 'x'\n", "store"),
    ],
)
def test_a_rules_file_names_its_own_faults(
    rules: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that is wrong is the one that is named."""
    Path("r.toml").write_text(rules, encoding="utf-8")
    assert reconcile(HEADER_P + PAYMENT, HEADER_L + CREDIT, "--rules", "r.toml") == 3
    said = capsys.readouterr().err
    assert said.startswith("payhealth: r.toml: ")
    assert named in said


def configuration(here: Path, text: str) -> None:
    """Write ``payhealth.toml``."""
    (here / "payhealth.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("command", ["pull", "reconcile", "check", "run", "doctor", "report", "daemon"])
def test_a_wrong_configuration_stops_every_command_before_anything_is_written(
    command: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, exit 3, no store on the disk, and no secret in what is said."""
    monkeypatch.setenv("PLANTED", SECRET)
    configuration(
        here,
        "[store]\nurl='sqlite:///s.db'\n[connectors.cards]\nkind='stripe'\napi_key='env:PLANTED'\nstrt=1\n",
    )
    assert __main__.run([command]) == 3
    said = capsys.readouterr()
    assert "connectors.cards.strt" in said.out + said.err
    assert SECRET not in said.out + said.err
    assert command == "doctor" or not (here / "s.db").exists()


def test_a_new_store_without_sources_has_no_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new install exits 0, says that nothing was judged, and exits 3 where data is required."""
    configuration(here, "[store]\nurl='sqlite:///s.db'\n")
    assert __main__.run(["run"]) == 0
    said = capsys.readouterr().out
    assert "All is well" not in said
    assert "had no data" in lines(said)[-1]
    assert __main__.run(["run", "--require-data"]) == 3
    capsys.readouterr()
    assert __main__.run(["check", "--format", "json"]) == 0
    outcomes = {result["outcome"] for result in json.loads(capsys.readouterr().out)["checks"]}
    assert outcomes == {"no_data"}


def test_checks_are_selected_by_name_and_tag(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and tags choose and exclude; an unknown one names the nearest."""
    configuration(here, "[store]\nurl='sqlite:///s.db'\n")
    for options, expected in (
        (["--select", "failure_rate"], {"failure_rate"}),
        (["--select", "cards", "--exclude", "failure_rate"], {"dispute_activity"}),
    ):
        assert __main__.run(["check", "--format", "json", *options]) == 0
        read = json.loads(capsys.readouterr().out)
        assert {result["check"] for result in read["checks"]} == expected
    assert __main__.run(["check", "--select", "failure_rat"]) == 3
    assert "did you mean failure_rate?" in capsys.readouterr().err
