"""Logs in JSON, one object a line, without secrets."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, TextIO
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import structlog

from payhealth.secrets import MASK

_KEYS = re.compile(r"\b(?:sk|rk|pk|whsec)_[A-Za-z0-9_]{6,}")
_USERINFO = re.compile(r"(?<=://)[^/\s]+@")
_TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_\-.~]{16,}")
_SHORTEST = 6
"""Shorter values are no secrets worth the name, and masking them would garble every line."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """The text without known secrets, keys of known shape, and credentials in URLs."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return _USERINFO.sub(f"{MASK}@", _KEYS.sub(MASK, text))


def spellings(secret: str) -> Iterator[str]:
    """A secret and the parts and forms of it that a library's message may hold without the rest.

    Of a URL that is its password, and what looks like a token in its path or query.
    """
    yield secret
    yield quote(secret, safe="")
    yield repr(secret)[1:-1]
    try:
        parts = urlsplit(secret)
        password = parts.password
    except ValueError:
        return
    if not parts.scheme or not parts.netloc:
        return
    if password:
        yield from (password, unquote(password))
    inside = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    yield from (text for text in inside if _TOKEN.fullmatch(text))


def _cleaned(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {redact(str(key), secrets): _cleaned(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(inner, secrets) for inner in value]
    return value if isinstance(value, (int, float, bool, type(None))) else redact(str(value), secrets)


def logger(secrets: Iterable[str] = (), *, to: TextIO | None = None) -> Any:
    """A logger whose every field is redacted.

    Args:
        secrets: values that must never be written.
        to: where lines go; standard error without.
    """
    known = tuple({spelling for secret in secrets for spelling in spellings(secret)})

    def without_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {redact(key, known): _cleaned(value, known) for key, value in event.items()}

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


class _Forwarding(logging.Handler):
    """Hands what libraries say to our own logger, so that every line is JSON and none holds a secret."""

    def __init__(self, log: Any) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on."""
        try:
            tell = self._log.error if record.levelno >= logging.ERROR else self._log.warning
            tell("library", source=record.name, message=record.getMessage(), exc_info=record.exc_info or None)
        except Exception:  # noqa: BLE001 - a broken log line must not break what it is about
            self.handleError(record)


def capture(log: Any) -> None:
    """Send the warnings and errors of every library, and of threads that die, through our logger."""
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.WARNING, handlers=[_Forwarding(log)], force=True)

    def died(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is not SystemExit:
            log.error(
                "thread_died", thread=what.thread.name if what.thread else "", error=str(what.exc_value)
            )

    threading.excepthook = died
