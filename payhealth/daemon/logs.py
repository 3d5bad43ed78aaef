"""Logs in JSON, one object a line, without secrets."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, TextIO

import structlog

from payhealth.secrets import MASK

_KEYS = re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_]{6,}")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_SHORTEST = 6
"""Shorter values are no secrets worth the name, and masking them would garble every line."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without known secrets, keys of known shape, and credentials in URLs."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return _USERINFO.sub(f"{MASK}@", _KEYS.sub(MASK, text))


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {key: _cleaned(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(inner, secrets) for inner in value]
    return value if isinstance(value, (int, float, bool, type(None))) else redact(str(value), secrets)


def logger(secrets: Iterable[str] = (), *, to: TextIO | None = None) -> Any:
    """A logger whose every field is redacted.

    Args:
        secrets: values that must never be written.
        to: where lines go; standard error without.
    """
    known = tuple(secrets)

    def without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: _cleaned(value, known) for key, value in event.items()}

    return structlog.wrap_logger(
        structlog.PrintLogger(to or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            structlog.processors.JSONRenderer(),
        ],
    )
