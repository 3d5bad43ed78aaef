"""The wheel: built through the sdist, whole, claiming one import name, and usable where it is installed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        check=True,
        capture_output=True,
        cwd=out,
    )
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """What lies in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel in it.

    It borrows the libraries of the environment that runs the tests, by a line in a .pth file; the .pth
    files of that environment are not read again, so payhealth itself can come from the wheel alone. What
    this proves is that the wheel is whole. That its list of dependencies is, is another test below.
    """
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-index",
            "--no-deps",
            "-q",
            str(wheel),
        ],
        check=True,
        capture_output=True,
    )
    (site,) = (folder / "lib").glob("python*/site-packages")
    lent = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "zz_lent.pth").write_text("\n".join(lent) + "\n", encoding="utf-8")
    return python


def test_the_only_top_level_name_is_payhealth(names: set[str]) -> None:
    """Installing it claims one import name and its metadata."""
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"payhealth", f"payhealth-{PROJECT['version']}.dist-info"}


def test_every_file_of_the_package_is_in_the_wheel(names: set[str]) -> None:
    """Modules, templates, TOML, SQL, HTML, contracts and ``py.typed``: what the code opens is there."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "payhealth"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    expected = {name for name in tracked if (ROOT / name).is_file()}
    assert expected - names == set()
    for needed in (
        "payhealth/py.typed",
        "payhealth/templates/payhealth.toml",
        "payhealth/report/templates/report.html",
        "payhealth/connectors/evm/registry/chains.toml",
        "payhealth/store/migrations/script.py.mako",
    ):
        assert needed in names
    assert any(name.startswith("payhealth/matching/sql/") and name.endswith(".sql") for name in names)
    assert any(name.startswith("payhealth/store/views/") and name.endswith(".sql") for name in names)


def test_no_litter_is_in_the_wheel_or_the_sdist(built: Path, names: set[str]) -> None:
    """No caches, tests, stores or secrets travel along."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        everything = names | set(archive.getnames())
    litter = re.compile(r"__pycache__|\.pyc$|\.db$|\.env|(^|/)tests/|\.git/|\.venv|node_modules")
    assert not {name for name in everything if litter.search(name)}


def test_the_wheel_says_what_the_project_says(wheel: Path) -> None:
    """Name, version, Python, licence and entry points are those of pyproject.toml."""
    with zipfile.ZipFile(wheel) as archive:
        folder = f"payhealth-{PROJECT['version']}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        points = archive.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "MIT"
    assert "payhealth = payhealth.__main__:main" in points
    for group, members in PROJECT["entry-points"].items():
        assert f"[{group}]" in points
        for name, value in members.items():
            assert f"{name} = {value}" in points


LOAD_EVERYTHING = """
import json, payhealth
from importlib.metadata import distribution
points = distribution("payhealth").entry_points
loaded = {f"{point.group}:{point.name}": type(point.load()).__name__ for point in points}
print(json.dumps([payhealth.__file__, loaded]))
"""


def test_installed_elsewhere_every_entry_point_loads(installed: Path, tmp_path: Path) -> None:
    """From the wheel alone, in a folder that is not the project's, each plugin and the command load."""
    ended = subprocess.run(
        [installed, "-c", LOAD_EVERYTHING], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    file, loaded = json.loads(ended.stdout)
    assert Path(file).is_relative_to(installed.parent.parent)
    expected = sum(len(members) for members in PROJECT["entry-points"].values()) + len(PROJECT["scripts"])
    assert len(loaded) == expected
    kinds = {name.partition(":")[0]: kind for name, kind in loaded.items()}
    assert kinds == {
        "console_scripts": "function",
        "payhealth.connectors": "ConnectorPlugin",
        "payhealth.checks": "CheckPlugin",
        "payhealth.notifiers": "NotifierPlugin",
    }


def test_installed_elsewhere_the_command_works(installed: Path, tmp_path: Path) -> None:
    """The script writes its template, makes a store with its migrations and views, and judges it."""
    command = installed.parent / "payhealth"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("init", "template.toml").returncode == 0
    assert (tmp_path / "template.toml").read_text(encoding="utf-8").startswith("# payhealth")
    (tmp_path / "payhealth.toml").write_text("[store]\nurl = 'sqlite:///store.db'\n", encoding="utf-8")
    ended = run("run", "--html", "report.html", "--format", "json")
    assert (ended.returncode, json.loads(ended.stdout)["breaks"]) == (0, []), ended.stderr
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def imported(folder: Path) -> dict[str, set[str]]:
    """Top-level names that the package's files import, with the files."""
    found: dict[str, set[str]] = {}
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            for module in modules:
                found.setdefault(module.partition(".")[0], set()).add(str(file.relative_to(ROOT)))
    return found


def normal(name: str) -> str:
    """A distribution's name as registries compare it, without version and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", name, maxsplit=1)[0]).lower()


OFFERED = {"pandas", "polars"}
"""Tables that a caller may hand in: used where they are there, never asked for."""


def brought(names: set[str]) -> set[str]:
    """Distributions, and those that they require without any extra."""
    found = set(names)
    for name in names:
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            continue
        found |= {normal(each) for each in needed if "extra ==" not in each}
    return found


def test_every_imported_library_is_brought_along() -> None:
    """What the code imports is declared, or required outright by something declared.

    For the sandbox and the demo their extra counts too: nothing is there by accident alone.
    """
    declared = brought({normal(name) for name in PROJECT["dependencies"]})
    extra = brought({normal(name) for names in PROJECT["optional-dependencies"].values() for name in names})
    owners = packages_distributions()
    missing = {}
    for top, files in imported(ROOT / "payhealth").items():
        if top in sys.stdlib_module_names or top == "payhealth" or top in OFFERED:
            continue
        distributions = {normal(name) for name in owners.get(top, [top])}
        sandboxed = all("sandbox" in file for file in files)
        if not distributions & (declared | (extra if sandboxed else set())):
            missing[top] = sorted(files)
    assert missing == {}
