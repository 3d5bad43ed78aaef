"""Configuration faults: one line that names the file, the key and the nearest valid one, never a value."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from payhealth import bootstrap, settings
from payhealth.domain.errors import ConfigurationError, PayhealthError

SECRET = "sk_live_51PlantedSecretValue"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Writes a configuration and gives its path; the variables that it names are set."""
    monkeypatch.setenv("PLANTED", SECRET)
    monkeypatch.setenv("LEDGER_URL", "sqlite:///ledger.db")
    monkeypatch.delenv("NOT_THERE", raising=False)

    def to_file(text: str) -> Path:
        file = tmp_path / "payhealth.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def fault(file: Path) -> str:
    """The message of the error that loading and building everything raises."""
    with pytest.raises(ConfigurationError) as caught:
        bootstrap.application(file).validate()
    error = caught.value
    for text in (error.message, error.hint, str(error), repr(error)):
        assert "\n" not in text
        assert SECRET not in text
    return error.message


STRIPE = '[connectors.cards]\nkind = "stripe"\napi_key = "env:PLANTED"\nstart = 2026-01-01\n'


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("stor = 1\n", "stor", "store"),
        ("[storee]\nurl = 'x'\n", "storee", "store"),
        ("[store]\nurll = 'x'\n", "store.urll", "url"),
        ("_env_file = '.env'\n", "_env_file", "store"),
        ("[daemon]\nbnd = 'x'\n", "daemon.bnd", "bind"),
        ("[daemon.jobs.pull]\nevery = 60\n", "daemon.jobs.pull.every", "every_s"),
        ("[alerts]\ntarget = []\n", "alerts.target", "targets"),
        ("[attribution]\nurl='env:PLANTED'\nquery='x'\nqery='x'\n", "attribution.qery", "query"),
        (STRIPE + "strt = 2026-01-01\n", "connectors.cards.strt", "start"),
        ('[connectors.cards]\nkind = "strip"\n', "connectors.cards.kind", "stripe"),
        ('[connectors.l]\nkind = "ledger.sq"\n', "connectors.l.kind", "ledger.sql"),
        ("[checks.failure_rat]\nwindow_s = 5\n", "checks.failure_rat", "failure_rate"),
        ("[checks.failure_rate]\nwindow = 5\n", "checks.failure_rate.window", "window_s"),
        ("[checks.failure_rate]\nwarn = { shift = 5 }\n", "checks.failure_rate.warn.shift", "shift_points"),
        ("[policy.default]\nbasiss = 'gross'\n", "basiss", "basis"),
        ("[[rules]]\npass = 'exakt'\n", "exakt", "exact"),
        ("[[rules]]\npass = 'exact'\nwindows_s = 5\n", "windows_s", "window_s"),
    ],
    ids=lambda value: str(value).strip().partition("\n")[0][:40],
)
def test_an_unknown_key_names_file_key_and_nearest(write: object, text: str, key: str, near: str) -> None:
    """Whatever table it is in, a misspelt key is found before anything runs, and its likeness is told."""
    message = fault(write(text))  # type: ignore[operator]
    assert message.startswith("payhealth.toml: ")
    assert key in message
    assert near in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("store = 'sqlite:///x'\n", "store"),
        ("[store]\nurl = 5\n", "store.url"),
        ("[connectors]\ncards = 5\n", "connectors.cards"),
        ("[connectors.cards]\napi_key = 'env:PLANTED'\n", "connectors.cards.kind"),
        (f"[connectors.cards]\nkind = 'stripe'\nstart = 2026-01-01\napi_key = '{SECRET}'\n", "api_key"),
        (f"[alerts]\ntargets = ['discord://{SECRET}']\n", "alerts.targets.0"),
        ("[daemon.jobs.pull]\n", "daemon.jobs.pull"),
        ("[daemon.jobs.pull]\nevery_s = 60\ncron = '* * * * *'\n", "daemon.jobs.pull"),
        ("[daemon.jobs.pull]\nevery_s = 0\n", "daemon.jobs.pull.every_s"),
        ("[daemon.jobs.pull]\nevery_s = -5\n", "daemon.jobs.pull.every_s"),
        ("[daemon.jobs.pull]\nevery_s = inf\n", "daemon.jobs.pull.every_s"),
        ("[daemon.jobs.pull]\nevery_s = nan\n", "daemon.jobs.pull.every_s"),
        ("[daemon.jobs.pull]\nevery_s = 1e12\n", "daemon.jobs.pull.every_s"),
        ("[daemon.jobs.pull]\nevery_s = 'often'\n", "daemon.jobs.pull.every_s"),
        ("[attribution]\nurl = 'env:PLANTED'\n", "attribution.query"),
    ],
    ids=lambda value: str(value).strip().replace("\n", " ")[:50],
)
def test_a_value_that_cannot_be_names_file_and_key(write: object, text: str, key: str) -> None:
    """A wrong type, a missing or contradicting value, a secret in plain sight: file and key, no value."""
    message = fault(write(text))  # type: ignore[operator]
    assert message.startswith("payhealth.toml: ")
    assert key in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[store]\nurl = 'env:NOT_THERE'\n", "store.url"),
        ("[alerts]\ntargets = ['env:NOT_THERE']\n", "alerts.targets.0"),
        (
            "[connectors.cards]\nkind='stripe'\nstart=2026-01-01\napi_key='env:NOT_THERE'\n",
            "connectors.cards.api_key",
        ),
    ],
)
def test_a_missing_secret_names_file_key_and_variable(write: object, text: str, key: str) -> None:
    """The variable is named beside the key that wants it."""
    message = fault(write(text))  # type: ignore[operator]
    assert message.startswith(f"payhealth.toml: {key}: ")
    assert "NOT_THERE" in message


@pytest.mark.parametrize(
    "content",
    [b"[store\n", b"= 1\n", b"\xff\xfe\x00", b"a = 1\na = 2\n", b"x = " + b"[" * 5000],
    ids=["bracket", "no key", "not utf-8", "twice", "deep"],
)
def test_what_is_not_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    """A broken file is named, without a traceback."""
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not valid TOML") as caught:
        settings.load(file)
    assert caught.value.message.startswith("broken.toml: ")
    assert "\n" not in caught.value.message


def test_a_configuration_of_a_megabyte_is_refused(tmp_path: Path) -> None:
    """Everything read has a bound."""
    file = tmp_path / "large.toml"
    file.write_text("#" * (1024 * 1024 + 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="larger than"):
        settings.load(file)


def test_no_configuration_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file is named, and the command that writes one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAYHEALTH_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match=r"payhealth\.toml") as caught:
        settings.load()
    assert "payhealth init" in caught.value.hint


def test_the_file_is_the_named_one_then_the_variables_then_the_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--config`` before ``PAYHEALTH_CONFIG`` before ``payhealth.toml`` here."""
    names = ("named.toml", "variable.toml", "payhealth.toml")
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYHEALTH_CONFIG", "variable.toml")
    assert settings.find("named.toml").name == "named.toml"
    assert settings.find(None).name == "variable.toml"
    monkeypatch.delenv("PAYHEALTH_CONFIG")
    assert settings.find(None).name == "payhealth.toml"


def test_a_stray_environment_variable_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the file counts: a variable named like a setting is not one."""
    file = tmp_path / "payhealth.toml"
    file.touch()
    for name in ("STORE", "store", "DAEMON", "RULES", "PAYHEALTH_STORE"):
        monkeypatch.setenv(name, '{"url": "sqlite:///elsewhere.db"}')
    assert settings.load(file).store.url.reveal() == "sqlite:///payhealth.db"


@pytest.mark.parametrize("text", ["", "[daemon]\n", "[checks.failure_rate]\n", "[policy.default]\n"])
def test_any_subset_of_the_tables_is_valid(write: object, text: str) -> None:
    """A command that needs a missing table says so itself; loading does not."""
    bootstrap.application(write(text)).validate()  # type: ignore[operator]


def test_the_template_loads_once_its_variables_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``payhealth init`` writes is a configuration that builds; without secrets it names the first."""
    text = files("payhealth").joinpath("templates/payhealth.toml").read_text(encoding="utf-8")
    file = tmp_path / "payhealth.toml"
    file.write_text(text, encoding="utf-8")
    for name in ("STRIPE_API_KEY", "LEDGER_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="STRIPE_API_KEY"):
        bootstrap.application(file).validate()
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_1234567890")
    monkeypatch.setenv("LEDGER_DATABASE_URL", "sqlite:///ledger.db")
    application = bootstrap.application(file)
    application.validate()
    assert [source.name for source in application.sources] == ["cards", "credits"]
    assert {secret.reveal() for secret in application.secrets()} >= {
        "rk_test_1234567890",
        "sqlite:///ledger.db",
    }


def test_every_commented_line_of_the_template_is_valid_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking the ``#`` away gives keys that exist: the template teaches nothing wrong."""
    lines = files("payhealth").joinpath("templates/payhealth.toml").read_text(encoding="utf-8").splitlines()
    opened = [line.removeprefix("# ") for line in lines[3:]]
    text = "\n".join(opened).replace("0x…", "0x" + "11" * 20)
    file = tmp_path / "payhealth.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_1234567890")
    monkeypatch.setenv("LEDGER_DATABASE_URL", "sqlite:///ledger.db")
    monkeypatch.setenv("BASE_RPC_URL", "http://127.0.0.1:1/")
    application = bootstrap.application(file)
    application.validate()
    assert {source.kind for source in application.sources} == {"stripe", "evm", "ledger.sql", "attribution"}


def test_loaded_settings_show_no_secret(write: object) -> None:
    """Printing the whole configuration, or dumping it, tells references and no values."""
    loaded = settings.load(
        write(f"[store]\nurl = 'postgresql://u:{SECRET}@h/d'\n[alerts]\ntargets = ['env:PLANTED']\n")  # type: ignore[operator]
    )
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.model_dump())


@pytest.mark.parametrize(
    ("valid", "said"),
    [
        (["check", "zzz"], "; did you mean check?"),
        (["store", "connectors"], "; valid are connectors, store"),
        ([], ""),
    ],
)
def test_the_nearest_key_is_none_that_is_unlike(valid: list[str], said: str) -> None:
    """A likeness is told where there is one, else the list of what is valid."""
    assert settings.nearest("checkz", valid) == said


def test_errors_of_the_configuration_are_payhealth_errors() -> None:
    """One base class for callers to catch."""
    assert issubclass(ConfigurationError, PayhealthError)
