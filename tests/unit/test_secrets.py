"""Secrets: named in the configuration, never written there, never shown."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from payhealth.domain.errors import ConfigurationError
from payhealth.secrets import Secret, SecretReference, SecretText, is_reference, resolve

VALUE = "sk_live_51PlantedSecretValue"


class Holder(BaseModel):
    """A table with one field of each kind."""

    key: SecretReference
    url: SecretText


def test_a_secret_shows_only_where_it_comes_from() -> None:
    """Text, representation, format and a container's representation hold the reference, never the value."""
    secret = Secret(VALUE, "env:KEY")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>80}", repr([secret]), repr({"k": secret})]
    assert all(VALUE not in text and "env:KEY" in text for text in shown)
    assert secret.reveal() == VALUE


@pytest.mark.parametrize("use", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps])
def test_a_secret_cannot_be_carried_off(use: object) -> None:
    """Pickling, copying and JSON refuse a secret, and their error does not tell it."""
    with pytest.raises(TypeError) as caught:
        use(Secret(VALUE, "env:KEY"))  # type: ignore[operator]
    assert VALUE not in str(caught.value)


def test_a_table_with_secrets_shows_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that holds secrets neither prints nor dumps their values."""
    monkeypatch.setenv("PLANTED", VALUE)
    holder = Holder.model_validate({"key": "env:PLANTED", "url": f"https://user:{VALUE}@host/"})
    assert holder.key.reveal() == VALUE
    assert VALUE not in repr(holder)
    assert VALUE not in str(holder.model_dump())


@pytest.mark.parametrize("value", [VALUE, "", 5, None, ["env:X"], "ENV:X", "environment:X"])
def test_a_key_written_into_the_configuration_is_refused(value: object) -> None:
    """Only a reference will do, and the refusal does not repeat what was written."""
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"key": value, "url": "x"})
    message = caught.value.errors(include_url=False, include_input=False)[0]["msg"]
    assert "env:NAME or file:PATH" in message
    assert VALUE not in message


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and says what to do."""
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(ConfigurationError, match="NOT_THERE") as caught:
        resolve("env:NOT_THERE")
    assert "NOT_THERE" in caught.value.hint


@pytest.mark.parametrize("value", ["", "   ", "\n"])
def test_a_blank_variable_is_a_missing_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """An empty value would become an empty credential."""
    monkeypatch.setenv("BLANK", value)
    with pytest.raises(ConfigurationError, match="BLANK"):
        resolve("env:BLANK")


def test_the_line_break_at_the_end_of_a_file_or_variable_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``echo KEY > file`` and a variable from such a file give the key itself."""
    file = tmp_path / "key"
    file.write_text(f"{VALUE}\n", encoding="utf-8")
    monkeypatch.setenv("PLANTED", f"{VALUE}\n")
    assert resolve(f"file:{file}").reveal() == resolve("env:PLANTED").reveal() == VALUE


@pytest.mark.parametrize("where", ["env", "file"])
def test_a_line_break_inside_a_secret_is_refused_without_showing_it(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """HTTP libraries refuse such a header with the value in their message, so it stops here."""
    file = tmp_path / "key"
    file.write_text(f"{VALUE}\nsecond", encoding="utf-8")
    monkeypatch.setenv("PLANTED", f"{VALUE}\nsecond")
    with pytest.raises(ConfigurationError, match="control character") as caught:
        resolve("env:PLANTED" if where == "env" else f"file:{file}")
    assert VALUE not in str(caught.value)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    """Missing, empty, a folder or far too large: one line that names the path."""
    empty, large = tmp_path / "empty", tmp_path / "large"
    empty.touch()
    large.write_bytes(b"x" * 70_000)
    for path in (tmp_path / "missing", empty, large, tmp_path):
        with pytest.raises(ConfigurationError) as caught:
            resolve(f"file:{path}")
        assert str(path) in caught.value.message
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "yes"), [("env:A", True), ("file:/a", True), ("a:env:b", False), ("", False)]
)
def test_a_reference_is_told_by_its_beginning(text: str, yes: bool) -> None:
    """``env:`` and ``file:`` and nothing else."""
    assert is_reference(text) is yes
