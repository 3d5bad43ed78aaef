"""The configuration: ``payhealth.toml``, checked whole before anything runs."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from payhealth.domain.errors import ConfigurationError
from payhealth.secrets import Secret, SecretReference, SecretText

DEFAULT_FILE = "payhealth.toml"
MAX_EVERY_S = 31 * 86_400
"""Jobs run at least monthly; a scheduler cannot count to infinity."""
_MAX_BYTES = 1024 * 1024


class Table(BaseModel):
    """Base of every table: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StoreSettings(Table):
    """Where payhealth keeps what it learned."""

    url: SecretText = Secret("sqlite:///payhealth.db", "default")


class AttributionSettings(Table):
    """Where to look up whose a deposit address or customer id is."""

    url: SecretText
    query: str


class JobSettings(Table):
    """When a job runs: an interval, or a cron line in a time zone."""

    every_s: float | None = Field(default=None, gt=0, le=MAX_EVERY_S)
    cron: str | None = None
    timezone: str = "UTC"

    @model_validator(mode="after")
    def _one_of_both(self) -> JobSettings:
        if (self.every_s is None) == (self.cron is None):
            raise ValueError("give either every_s or cron")
        return self


class DaemonSettings(Table):
    """How the daemon runs."""

    bind: str = "127.0.0.1:8080"
    jobs: dict[str, JobSettings] = Field(default_factory=dict)


class AlertSettings(Table):
    """Whom to tell."""

    targets: list[SecretReference] = Field(default_factory=list)


class Settings(BaseSettings):
    """The whole configuration; connectors, checks, policies and rules are checked by their owners."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    store: StoreSettings = Field(default_factory=StoreSettings)
    connectors: dict[str, dict[str, Any]] = Field(default_factory=dict)
    attribution: AttributionSettings | None = None
    policy: dict[str, dict[str, Any]] = Field(default_factory=dict)
    rules: list[dict[str, Any]] = Field(default_factory=list)
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    daemon: DaemonSettings = Field(default_factory=DaemonSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the file counts: a stray environment variable must not change what is reconciled."""
        return (init_settings,)


def find(path: str | Path | None) -> Path:
    """The configuration file: the one named, else ``PAYHEALTH_CONFIG``, else the working directory's.

    Raises:
        ConfigurationError: there is none.
    """
    found = Path(path or os.environ.get("PAYHEALTH_CONFIG") or DEFAULT_FILE)
    if not found.is_file():
        raise ConfigurationError(
            f"there is no configuration at {found}",
            hint="write one with `payhealth init`, or name it: payhealth --config PATH COMMAND",
        )
    return found


def load(path: str | Path | None = None) -> Settings:
    """Read and check the configuration.

    Raises:
        ConfigurationError: names the file, the key, and the nearest valid key.
    """
    file = find(path)
    tables = read_toml(file)
    for key in tables:
        # Keys such as _env_file would otherwise reach the settings library as its own options.
        if key not in Settings.model_fields:
            raise ConfigurationError(f"{file.name}: unknown key {key}{nearest(key, Settings.model_fields)}")
    try:
        return Settings(**tables)
    except ValidationError as error:
        raise ConfigurationError(describe(error, file=file.name, model=Settings)) from None


def read_toml(file: Path) -> dict[str, Any]:
    """A TOML file as plain tables, bounded in size.

    Raises:
        ConfigurationError: unreadable, too large or not TOML.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ConfigurationError(f"{file.name}: larger than {_MAX_BYTES} bytes")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from error
    except RecursionError:
        raise ConfigurationError(f"{file.name}: not valid TOML: nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file.name}: not valid TOML: {error}") from error


def describe(error: ValidationError, *, file: str, model: type[BaseModel], prefix: str = "") -> str:
    """One fault of a validation in one line: file, key, what is wrong, the nearest valid key.

    An unknown key comes before a missing one: it is often the missing one, misspelt.
    """
    faults = error.errors(include_url=False, include_input=False)
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    location = [str(part) for part in first["loc"]]
    key = ".".join([*([prefix] if prefix else []), *location]) or prefix or "the file"
    if first["type"] == "extra_forbidden":
        return f"{file}: unknown key {key}{nearest(location[-1], _keys(model, location[:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{file}: {key}: {message[0].lower() + message[1:]}"


def nearest(key: str, valid: Mapping[str, Any] | list[str]) -> str:
    """``; did you mean …?`` for the valid key that looks most like it, else the list of valid ones."""
    close = difflib.get_close_matches(key, list(valid), n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; valid are {', '.join(sorted(valid))}" if valid else ""


def _keys(model: type[BaseModel], location: list[str]) -> list[str]:
    """The field names of the model at a location inside another."""
    current: Any = model
    for part in location:
        current = _inside(current, part)
    return list(current.model_fields) if _is_model(current) else []


def _inside(current: Any, part: str) -> Any:
    if _is_model(current) and part in current.model_fields:
        annotation = current.model_fields[part].annotation
        models = [argument for argument in (annotation, *get_args(annotation)) if _is_model(argument)]
        return models[0] if models else None
    return current


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
