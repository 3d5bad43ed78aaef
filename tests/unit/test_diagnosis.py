"""``payhealth doctor``: findings with levels; a warning is shown and does not fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from payhealth import __main__, bootstrap, settings
from payhealth.diagnosis import diagnose
from payhealth.domain.errors import SourceRefusedError
from payhealth.ports import Advice, Level, StoreReader

GOOD = "answers, and is what it should be"


class Source:
    """A source that can only say the first thing that is wrong."""

    name, kind = "cards", "odd"

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def streams(self) -> Sequence[Any]:
        """None."""
        return []

    def verify(self) -> None:
        """As told."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Nothing is open."""


class Telling(Source):
    """A source that says all that is wrong."""

    def __init__(self, *advice: Advice, error: Exception | None = None) -> None:
        super().__init__(error)
        self._advice = advice
        self.reader: StoreReader | None = None

    def diagnose(self, reader: StoreReader | None) -> Sequence[Advice]:
        """As told."""
        self.reader = reader
        self.verify()
        return self._advice


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a configuration and no source."""
    (tmp_path / "payhealth.toml").write_text("[store]\nurl='sqlite:///s.db'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(place: Path, source: Any) -> list[tuple[str, str, bool]]:
    """What is found of one source: level, message, and whether it may stay."""
    file = place / "payhealth.toml"
    app = bootstrap.Application(settings=settings.load(file), file=file)
    app.__dict__["sources"] = (source,)
    try:
        findings = diagnose(app, deep=False)
    finally:
        app.close()
    subject = f"{source.name} ({source.kind})"
    return [(str(each.level), each.message, each.ok) for each in findings if each.subject == subject]


def advice(level: Level, message: str) -> Advice:
    """One piece of advice."""
    return Advice(level=level, message=message, hint="do it")


def test_a_simple_source_is_verified(place: Path) -> None:
    """It answers, or the first thing that is wrong is told."""
    assert found(place, Source()) == [("ok", GOOD, True)]
    assert found(place, Source(SourceRefusedError("no"))) == [("fail", "no", False)]


def test_everything_that_a_source_advises_is_told(place: Path) -> None:
    """All of it, in order; a source is well only where nothing fails."""
    warning, fault = advice(Level.WARN, "careful"), advice(Level.FAIL, "broken")
    assert found(place, Telling()) == [("ok", GOOD, True)]
    assert found(place, Telling(warning)) == [("ok", GOOD, True), ("warn", "careful", True)]
    both = found(place, Telling(fault, warning))
    assert both == [("fail", "broken", False), ("warn", "careful", True)]
    assert found(place, Telling(error=SourceRefusedError("no"))) == [("fail", "no", False)]


def test_a_source_may_ask_what_the_store_knows(place: Path) -> None:
    """It gets the store to read from, and nothing where there is none."""
    source = Telling()
    found(place, source)
    assert source.reader is not None
    (place / "s.db").write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    source = Telling()
    found(place, source)
    assert source.reader is None


@pytest.mark.parametrize(
    ("level", "code", "shown"), [(Level.WARN, 0, "warn cards (odd): said"), (Level.FAIL, 3, "fail cards")]
)
def test_only_a_fault_is_no_success(
    level: Level,
    code: int,
    shown: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`payhealth doctor` exits 0 with a warning and 3 with a fault, and shows both with what to do."""
    assert place.exists()
    monkeypatch.setattr(bootstrap.Application, "sources", (Telling(advice(level, "said")),))
    assert __main__.run(["doctor"]) == code
    said = capsys.readouterr().out
    assert shown in said
    assert "do it" in said
