"""What stands around the body of an answer of Stripe's: its clock, its wishes, and where an address leads."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from payhealth.domain.errors import PayhealthError
from payhealth.domain.times import utc


def host_of(url: str) -> tuple[str, str]:
    """Scheme and host of an address, empty where it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", "")
    return (parts.scheme, parts.netloc)


def retry_after_s(response: httpx.Response) -> float | None:
    """The server's wish in seconds; the form with a date is not used by Stripe."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def read_at(response: httpx.Response) -> datetime | None:
    """The server's clock, None where it does not say or says nonsense."""
    try:
        return utc(parsedate_to_datetime(response.headers["date"]))
    except (LookupError, ValueError, TypeError, OverflowError, PayhealthError):
        # The parser takes numbers of any size, and then fails on them in several ways.
        return None


def cursor_is_gone(answer: Any) -> bool:
    """Whether a refusal says that the object of ``starting_after`` is not there."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return (
        isinstance(error, dict)
        and error.get("code") == "resource_missing"
        and error.get("param") == "starting_after"
    )
