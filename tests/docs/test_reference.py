"""The reference pages hold what the code has: no more, no less, with the same defaults."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from payhealth import registry, settings
from payhealth.cli import app
from payhealth.connectors.evm.settings_parts import ChainSettings, Depth, FeedSettings, TokenSettings
from payhealth.daemon.metrics import Metrics
from payhealth.daemon.server import build_app
from payhealth.domain.breaks import BreakFlag, BreakReason
from payhealth.domain.money import plain
from payhealth.domain.results import Outcome
from payhealth.matching import inputs, model
from payhealth.matching.policy import PassName, Policy, Rule
from payhealth.secrets import Secret
from payhealth.store import open_store
from payhealth.tabular import schema
from tests.docs.pages import headings, read, rows, section

CONFIGURATION, CHECKS, CLI = "docs/configuration.md", "docs/checks.md", "docs/cli.md"
VIEWS, FILES, OPERATIONS = "docs/views.md", "docs/files.md", "docs/operations.md"

MODELS: Mapping[str, type[BaseModel]] = {
    "[store]": settings.StoreSettings,
    "[attribution]": settings.AttributionSettings,
    "[daemon]": settings.DaemonSettings,
    "[daemon.jobs.NAME]": settings.JobSettings,
    "[alerts]": settings.AlertSettings,
    "tokens": TokenSettings,
    "feeds": FeedSettings,
    "finality": Depth,
    "chain": ChainSettings,
    **{f'kind = "{kind}"': registry.connector(kind).settings for kind in registry.connector_kinds()},  # type: ignore[union-attr]
}


def shown(value: Any) -> str:
    """A default as the pages write it."""
    if value is None:
        return "none"
    if isinstance(value, Secret):
        return json.dumps(value.reveal())
    if isinstance(value, (BaseModel, dict)):
        return "{}"
    if isinstance(value, Decimal):
        return json.dumps(plain(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def defaults(of: type[BaseModel]) -> dict[str, str]:
    """Key -> default of a pydantic model, as the pages write it."""
    return {
        name: "required" if field.is_required() else shown(_default(field))
        for name, field in of.model_fields.items()
    }


def _default(field: FieldInfo) -> Any:
    # Not get_default(): that copies, which a secret refuses.
    factory: Any = field.default_factory
    return factory() if factory is not None else field.default


def documented(page: str, heading: str) -> dict[str, str]:
    """Key -> default of the table under a heading."""
    return {row[0]: row[2] for row in rows(section(page, heading))}


@pytest.mark.parametrize("heading", MODELS)
def test_every_key_of_a_table_is_documented(heading: str) -> None:
    """Keys and defaults on the configuration page are those of the settings."""
    assert documented(CONFIGURATION, heading) == defaults(MODELS[heading])


def test_every_table_is_documented() -> None:
    """Every table of the configuration has a section."""
    found = {heading.strip("[]").partition(".")[0] for heading in headings(CONFIGURATION)}
    assert set(settings.Settings.model_fields) <= found


def test_every_key_of_a_policy_is_documented() -> None:
    """Keys and defaults of policies are those that the rules are read with."""
    policy = Policy()
    keys = {key: shown(getattr(policy, key)) for key in model._POLICY_KEYS} | {"when": "{}"}
    later = {key: shown(value) for key, value in model._LATER.items()}
    assert documented(CONFIGURATION, "[policy.NAME]") == keys | later
    assert documented(CONFIGURATION, "when") == dict.fromkeys(model._WHEN_KEYS, "none")


def test_every_key_of_a_rule_is_documented() -> None:
    """Keys and defaults of rules likewise, and every pass is named."""
    rule = Rule(name=PassName.REFERENCE)
    keys = {key: shown(getattr(rule, key)) for key in model._RULE_KEYS}
    assert documented(CONFIGURATION, "[[rules]]") == keys | {"pass": "required"}
    text = section(CONFIGURATION, "[[rules]]")
    assert [name for name in PassName if f"`{name}`" not in text.replace('"', "")] == []


def test_every_threshold_is_documented() -> None:
    """Every threshold of every installed check stands in the configuration with its default."""
    written = {
        (check, key): tomllib.loads(f"value = {default}")["value"]
        for check, key, default in rows(section(CONFIGURATION, "[checks.NAME]"))
    }
    assert written == {
        (plugin.name, key): value for plugin in registry.checks() for key, value in plugin.defaults.items()
    }


def test_every_check_is_documented() -> None:
    """Every installed check has a section with question, reasons read, what it cannot see and what to do."""
    for plugin in registry.checks():
        text = section(CHECKS, plugin.name)
        assert f"**Question.** {plugin.question}" in text
        for part in ("**How.**", "**Could not see.**", "**What to do.**"):
            assert part in text, f"{plugin.name} lacks {part}"
        if plugin.reasons:
            reads = re.search(r"\*\*Reads\.\*\* (.*)\.", text)
            assert reads is not None
            assert set(re.findall(r"`(\w+)`", reads[1])) == set(plugin.reasons), plugin.name
        assert all(f"Tag {tag}" in headings(CHECKS) for tag in plugin.tags)


def test_every_outcome_reason_and_flag_is_documented() -> None:
    """Outcomes, break reasons and flags are all explained, and none besides."""
    assert {row[0] for row in rows(section(CHECKS, "Checks"))} == set(map(str, Outcome))
    named = section(CHECKS, "What breaks are called")
    assert [row[0] for row in rows(named)] == list(map(str, BreakReason))
    assert [flag for flag in BreakFlag if f"`{flag}`" not in named] == []


def commands(command: Any = None, path: str = "payhealth") -> Iterator[tuple[str, Any]]:
    """Every command of the program with its full name, groups left out."""
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, child in inner.items():
        yield from commands(child, f"{path} {name}")


def test_every_command_is_documented() -> None:
    """Every command has a section and says what it is for; no section names a command that is not there."""
    named = {heading for heading in headings(CLI) if heading.startswith("payhealth ")}
    assert named == {path for path, _ in commands()}
    assert [path for path, command in commands() if not command.help] == []


def test_every_option_is_documented() -> None:
    """Each command's table holds its options and arguments, and nothing else."""
    root = typer.main.get_command(app)
    for path, command in [("payhealth", root), *commands()]:
        table = {row[0].split()[0].lower() for row in rows(section(CLI, path))}
        own = {param.opts[0] for param in command.params if param.opts[0] != "--help"}
        assert table == own, path


def test_every_view_is_documented(tmp_path: Path) -> None:
    """Every view of a fresh store has a section whose table is its columns, in order."""
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    try:
        views = [row["name"] for row in store.rows("select name from sqlite_master where type = 'view'")]
        columns = {
            view: [row["name"] for row in store.rows(f"select name from pragma_table_info('{view}')")]
            for view in views
        }
    finally:
        store.close()
    assert {heading for heading in headings(VIEWS) if heading.startswith("v_")} == set(views)
    for view in views:
        table = rows(section(VIEWS, view))
        assert [row[0] for row in table] == columns[view], view
        assert all(row[1] for row in table), f"{view}: a column without a meaning"


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("payments", [*schema.PAYMENTS.columns]),
        ("ledger", [*schema.LEDGER.columns]),
        ("matches.parquet", inputs.MATCHES.names),
        ("breaks.parquet", inputs.BREAKS.names),
        ("open.parquet", inputs.OPEN.names),
        ("rejected.parquet", schema.REJECTED.names),
    ],
)
def test_file_columns_are_documented(heading: str, expected: list[str]) -> None:
    """The columns of files in and out are those that are read and written, in order."""
    assert [row[0] for row in rows(section(FILES, heading))] == expected


def test_every_metric_is_documented() -> None:
    """Every metric of the daemon stands in the table with its type, and none besides."""
    exposed = re.findall(r"^# TYPE (\w+) (\w+)$", Metrics().exposition().decode(), re.MULTILINE)
    table = [(row[0], row[1]) for row in rows(section(OPERATIONS, "Metrics"))]
    assert sorted(table) == sorted((name, kind) for name, kind in exposed if not name.endswith("_created"))


def test_every_endpoint_is_documented() -> None:
    """The daemon answers the documented paths and no others."""
    served = {route.path for route in build_app(Metrics(), alive=bool, ready=bool).routes}  # type: ignore[attr-defined]
    assert {row[0] for row in rows(section(OPERATIONS, "Health"))} == served


def test_exit_codes_agree() -> None:
    """README and the page on commands list the same exit codes."""
    codes = [row[0] for row in rows(section(CLI, "Exit codes"))]
    assert (
        codes == [row[0] for row in rows(section("README.md", "Exit codes"))] == ["1", "3", "2", "0", "130"]
    )


def test_demo_bounds_are_documented() -> None:
    """The bounds of the demo's days are the documented ones."""
    days = next(
        p for path, c in commands() for p in c.params if path == "payhealth demo" and p.name == "days"
    )
    assert f"{days.min} to {days.max}" in read(CLI)
