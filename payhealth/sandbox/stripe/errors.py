"""Refusals in Stripe's words: the same error in process and, by the server, over HTTP.

Source: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes
"""

from __future__ import annotations

from typing import Any


class StripeRefusedError(ValueError):
    """A request that Stripe would refuse.

    Args:
        message: Stripe's sentence.
        status: the HTTP status.
        code: Stripe's machine-readable code, None where it gives none.
        param: the parameter at fault.
        kind: Stripe's error type.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind

    def as_json(self) -> dict[str, Any]:
        """The answer's body."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


def missing(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> StripeRefusedError:
    """No such object; ``kind`` is its name, such as ``charge``."""
    noun = "event" if kind == "event" else kind.removeprefix("radar.")
    return StripeRefusedError(
        f"No such {noun}: '{object_id}'", status=status, code="resource_missing", param=param
    )


def unauthenticated(message: str) -> StripeRefusedError:
    """No key, or a wrong one."""
    return StripeRefusedError(message, status=401)


def expired(shown_key: str) -> StripeRefusedError:
    """A key that was revoked."""
    return StripeRefusedError(f"Expired API Key provided: {shown_key}", status=401, code="api_key_expired")


def not_permitted(shown_key: str, account: str, permission: str) -> StripeRefusedError:
    """A restricted key that may not do this; ``permission`` is such as ``charge_read``."""
    return StripeRefusedError(
        f"The provided key '{shown_key}' does not have the required permissions for this endpoint on "
        f"account '{account}'. Having the 'rak_{permission}' permission would allow this request to "
        "continue.",
        status=403,
    )


def no_access(shown_key: str, account: str) -> StripeRefusedError:
    """A connected account that is none of this key's."""
    return StripeRefusedError(
        f"The provided key '{shown_key}' does not have access to account '{account}' (or that account does "
        "not exist). Application access may have been revoked.",
        status=403,
        code="account_invalid",
    )


def rate_limited() -> StripeRefusedError:
    """Too many requests to one endpoint."""
    return StripeRefusedError(
        "Request rate limit exceeded. You can learn more about rate limits here "
        "https://stripe.com/docs/rate-limits.",
        status=429,
        code="rate_limit",
    )
