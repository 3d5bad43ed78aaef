"""Starting quickly, counted in modules and not in seconds; and the public names."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import payhealth

HEAVY = {
    "adbc_driver_manager",
    "alembic",
    "apprise",
    "apscheduler",
    "duckdb",
    "eth_abi",
    "httpx",
    "jinja2",
    "numpy",
    "pandas",
    "polars",
    "prometheus_client",
    "psycopg",
    "pyarrow",
    "pydantic",
    "pydantic_settings",
    "scipy",
    "sqlalchemy",
    "sqlmodel",
    "starlette",
    "stripe",
    "structlog",
    "uvicorn",
    "web3",
}
PUBLIC = {"Money", "PayHealth", "PayhealthError", "reconcile"}


def modules_after(code: str) -> tuple[set[str], set[str]]:
    """The modules that a fresh interpreter has before and after some code."""
    script = (
        "import json, sys\nbefore = sorted(sys.modules)\n"
        f"{code}\n"
        "after = sorted(sys.modules)\n"
        "sys.stderr.write('\\n' + json.dumps([before, after]))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    before, after = json.loads(ended.stderr.splitlines()[-1])
    return set(before), set(after)


def tops(modules: set[str]) -> set[str]:
    """The top-level names."""
    return {name.partition(".")[0] for name in modules}


def test_importing_payhealth_loads_payhealth_alone() -> None:
    """``import payhealth`` brings no third-party module and none of its own floors."""
    before, after = modules_after("import payhealth")
    new = after - before
    assert {name for name in new if name.startswith("payhealth")} == {"payhealth"}
    assert not tops(new) - {"payhealth"} - set(sys.stdlib_module_names)
    assert len(new) <= 30


def test_importing_money_and_errors_loads_the_domain_alone() -> None:
    """The names that need no engine do not load one."""
    before, after = modules_after("from payhealth import Money, PayhealthError")
    assert not tops(after - before) - {"payhealth"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["breaks", "--help"], ["run", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    """The command line imports what a command needs inside the command.

    Typer itself takes pydantic to read the options of a subcommand; the overview does without.
    """
    before, after = modules_after(f"from payhealth.__main__ import run\nassert run({arguments!r}) == 0")
    new = after - before
    assert not tops(new) & (HEAVY - ({"pydantic"} if len(arguments) > 1 else set()))
    assert not {name for name in new if name.startswith(("payhealth.store", "payhealth.matching"))}
    assert len(new) <= 450


@pytest.mark.parametrize(
    "module",
    ["payhealth.ports", "payhealth.plugins", "payhealth.registry", "payhealth.outcomes", "payhealth.report"],
)
def test_the_floors_between_load_no_engine(module: str) -> None:
    """Protocols, plugin records and reports are importable without database or matching libraries."""
    before, after = modules_after(f"import {module}")
    assert not tops(after - before) & (HEAVY - {"pydantic"})


def test_the_public_names_are_these() -> None:
    """A name that goes away breaks a caller; a new one is a promise: both change this list first."""
    assert set(payhealth.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(payhealth, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        payhealth.nonsense  # noqa: B018
