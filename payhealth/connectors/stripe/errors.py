"""Stripe's refusals in payhealth's words; neither the key nor an answer's text is ever shown.

Source: https://docs.stripe.com/api/errors and the exception classes of the stripe package.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payhealth.domain.errors import (
    SourceDataError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)

if TYPE_CHECKING:
    from stripe import StripeError

_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,80}", re.ASCII)
_HINT_KEY = "give a key of this account and mode; a restricted key with read permissions is enough"


class NotPermittedError(SourceRefusedError):
    """The key is a good one, but may not do this (403)."""


class NoSuchAccountError(SourceRefusedError):
    """The key has no access to the connected account, or there is none (403)."""


class NotGivenError(SourceDataError):
    """Stripe answered, and did not give this one thing: others may still be asked for.

    Args:
        why: in a word or two, the same at every attempt, without anything of the answer's.
    """

    def __init__(self, message: str, *, why: str) -> None:
        super().__init__(message)
        self.why = why


class IncompleteError(NotGivenError):
    """Stripe understood the request and misses something in it (400): it would have let us."""


def from_status(status: int, body: Any, *, connector: str, endpoint: str) -> SourceError:
    """The error for an answer that trying again does not mend.

    Args:
        status: the HTTP status, not 200.
        body: the parsed answer, or None where it was no JSON.
        endpoint: which list or object was asked for.
    """
    where = f"{connector}: Stripe"
    if status == 401:
        return SourceRefusedError(f"{where} refused the API key (401)", hint=_HINT_KEY)
    if status == 403 and _code(body) == "account_invalid":
        return NoSuchAccountError(
            f"{where} knows no account of that name for this key (403)",
            hint="check stripe_account, and that the account is still connected",
        )
    if status == 403:
        return NotPermittedError(
            f"{where} refused to show {endpoint} (403): the key lacks the permission",
            hint=f"allow reading {endpoint} for this key",
        )
    if 300 <= status < 400:
        return SourceDataError(f"{where} sent us elsewhere ({status})", hint="check api_base")
    kind = IncompleteError if status == 400 else NotGivenError
    return kind(f"{where} answered {status}{_codes(body)} to {endpoint}", why=str(status))


def _code(body: Any) -> Any:
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None


def _codes(body: Any) -> str:
    """Stripe's machine-readable words alone: its sentences may repeat what was sent."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    parts = [error.get(name) for name in ("type", "code", "param")]
    words = [part for part in parts if isinstance(part, str) and _CODE.fullmatch(part)]
    return f" ({', '.join(words)})" if words else ""


_UNAVAILABLE = frozenset({"APIError", "APIConnectionError", "RateLimitError"})
_REFUSED = frozenset(
    {"AuthenticationError", "PermissionError", "CapabilityNotEnabledError", "FeatureNotEnabledError"}
)
_DATA = frozenset(
    {
        *("StripeError", "StripeErrorWithParamCode", "CardError", "InvalidRequestError", "IdempotencyError"),
        *("SignatureVerificationError", "AlreadyCanceledError", "BlockedByStripeError"),
        *("CannotProceedError", "ControlledByAlternateResourceError", "FinancialAccountNotOpenError"),
        *("FxQuoteNeedsRefreshError", "InsufficientFundsError", "InvalidPaymentMethodError"),
        *("InvalidPayoutMethodError", "InvalidVaultedCredentialError", "NotCancelableError"),
        *("QuotaExceededError", "RecipientNotNotifiableError", "TemporarySessionExpiredError"),
        *("OAuthError", "InvalidClientError", "InvalidGrantError", "InvalidScopeError"),
        *("UnsupportedGrantTypeError", "UnsupportedResponseTypeError"),
        *("VerificationAttemptFailedError", "VerificationExpiredError", "VerificationNotInitiatedError"),
    }
)
"""Answers to requests that payhealth, which only reads, should never have made or received."""

SDK_ERRORS: dict[str, type[SourceError]] = (
    dict.fromkeys(_UNAVAILABLE, SourceUnavailableError)
    | dict.fromkeys(_REFUSED, SourceRefusedError)
    | dict.fromkeys(_DATA, SourceDataError)
)
"""Exception classes of the stripe package by name -> ours. A test fails when the package adds one."""


def from_sdk(error: StripeError, *, connector: str, endpoint: str) -> SourceError:
    """The error for an exception of the stripe package, by its nearest known class."""
    ours = next(SDK_ERRORS[base.__name__] for base in type(error).__mro__ if base.__name__ in SDK_ERRORS)
    status = f" ({error.http_status})" if error.http_status else ""
    name = type(error).__name__
    hint = _HINT_KEY if ours is SourceRefusedError else ""
    return ours(f"{connector}: Stripe's {endpoint} ended with {name}{status}", hint=hint)
