"""Secrets by reference: a configuration names where a secret lies, never the secret itself."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from payhealth.domain.errors import ConfigurationError

_MAX_BYTES = 64 * 1024
MASK = "********"


class Secret:
    """A value that does not show itself; ``reveal`` is called where it goes over the wire.

    Args:
        reference: where it comes from, ``env:NAME`` or ``file:PATH``; safe to show.
    """

    __slots__ = ("_value", "reference")

    def __init__(self, value: str, reference: str) -> None:
        self._value = value
        self.reference = reference

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.reference})"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a secret cannot be pickled")


def is_reference(text: str) -> bool:
    """Whether the text names a secret rather than being a value."""
    return text.startswith(("env:", "file:"))


def resolve(reference: str) -> Secret:
    """Read a secret from the environment or a file.

    Raises:
        ConfigurationError: the variable or file is missing, empty or holds a line break or the like (which
            a library would refuse with the value in its message); the value is never shown.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name, "").strip()
        if not value:
            raise ConfigurationError(
                f"the environment variable {name} is not set", hint=f"export {name} before you run payhealth"
            )
        return Secret(_one_line(value, f"the environment variable {name}"), reference)
    if kind == "file":
        return Secret(_one_line(_read(Path(name)), f"the secret file {name}"), reference)
    raise ConfigurationError(
        "a secret must be given as env:NAME or file:PATH, not written into the configuration",
        hint="put the value into an environment variable and name it here",
    )


def _one_line(value: str, where: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise ConfigurationError(f"{where} holds a line break or another control character")
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            value = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"the secret file {path} cannot be read: {error.strerror}") from error
    if len(value) > _MAX_BYTES or not value.strip():
        raise ConfigurationError(f"the secret file {path} is empty or larger than {_MAX_BYTES} bytes")
    return value.decode("utf-8", "replace").strip()


def _only_reference(value: object) -> object:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not is_reference(value):
        raise ValueError("must be given as env:NAME or file:PATH, never the secret itself")
    return _resolved(value)


def _text_or_reference(value: object) -> object:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text, or env:NAME or file:PATH")
    return _resolved(value) if is_reference(value) else Secret(value, "configuration")


def _resolved(reference: str) -> Secret:
    """As :func:`resolve`, with an error that the settings complete with file and key."""
    try:
        return resolve(reference)
    except ConfigurationError as error:
        raise ValueError(f"{error.message} ({error.hint})" if error.hint else error.message) from None


class _SecretSchema:
    @staticmethod
    def __get_pydantic_core_schema__(source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(Secret)


SecretReference = Annotated[Secret, _SecretSchema, BeforeValidator(_only_reference)]
"""A settings field that accepts references alone."""

SecretText = Annotated[Secret, _SecretSchema, BeforeValidator(_text_or_reference)]
"""A settings field for values that often hold a secret, such as URLs: a reference or the value."""


def is_found_again(secret: Secret) -> bool:
    """Whether another process on this machine finds the same value by the secret's reference."""
    try:
        return resolve(secret.reference).reveal() == secret.reveal()
    except ConfigurationError:
        return False
