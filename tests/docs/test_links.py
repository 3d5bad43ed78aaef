"""Pages lead only to what exists."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, read


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    """Every link to a file leads to one that is there, and every anchor to a heading."""
    for target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_relative_to(ROOT), f"{page.name}: {target} leads out of the repository"
        assert found.exists(), f"{page.name}: {target} is not there"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}: no such heading"


def test_every_page_is_reachable() -> None:
    """README leads to every page under docs."""
    led_to = {target.partition("#")[0] for target in links(ROOT / "README.md")}
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in led_to]
    assert missing == []


def test_pictures_are_small() -> None:
    """No picture is larger than 300 KB: they are cloned with the code."""
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 300_000, picture.name


def test_changelog_names_the_version() -> None:
    """The changelog has a dated heading for the version that the package has."""
    assert re.search(
        rf"^## \[{re.escape(version('payhealth'))}\] - \d{{4}}-\d\d-\d\d$", read("CHANGELOG.md"), re.MULTILINE
    )
