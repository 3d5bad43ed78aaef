"""The settings of a Stripe connector: ``[connectors.NAME]`` with ``kind = "stripe"``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from payhealth.connectors import start_moment
from payhealth.secrets import SecretReference

API_VERSION = "2026-10-28.endive"
"""The version every answer is asked to be rendered at; the account's own default is never relied on."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TEST_KEYS = ("sk_test_", "rk_test_")


class StripeSettings(BaseModel):
    """How a Stripe account is read.

    Args:
        api_key: where the key lies; a restricted key with read permissions is enough.
        api_base: the server, without a path; a sandbox may stand elsewhere.
        start: from when on everything must be covered.
        rate_limit_per_s: requests a second over all endpoints (Stripe: 100 live, 25 in a sandbox).
        per_endpoint_rate_limit_per_s: requests a second on one endpoint (Stripe: 25).
        account_metadata_key: the metadata key that names the business's account.
        reference_metadata_keys: metadata keys that may hold the business's reference, the first wins.
        repull_days: how far behind its cursor every pull reads again, for changes of known objects.
        dispute_repull_days: the same for disputes, which take months to close and are few.
        timeout_s: how long one answer may take before it is tried again.
        max_attempts: how often one request is tried in all.

    Source: https://docs.stripe.com/rate-limits
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["stripe"] = "stripe"
    api_key: SecretReference
    api_base: str = "https://api.stripe.com"
    start: Annotated[datetime, BeforeValidator(start_moment)]
    rate_limit_per_s: float = Field(default=80, gt=0, le=10_000)
    per_endpoint_rate_limit_per_s: float = Field(default=25, gt=0, le=10_000)
    account_metadata_key: str = "account_id"
    reference_metadata_keys: tuple[str, ...] = ("order_id", "reference")
    repull_days: int = Field(default=35, ge=0, le=3650)
    dispute_repull_days: int = Field(default=180, ge=0, le=3650)
    timeout_s: float = Field(default=30, gt=0, le=600)
    max_attempts: int = Field(default=6, ge=1, le=20)

    @field_validator("api_base")
    @classmethod
    def _server(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL such as https://api.stripe.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no credentials, query or fragment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _no_live_key_in_clear(self) -> Self:
        parts = urlsplit(self.api_base)
        in_clear = parts.scheme == "http" and parts.hostname not in _LOOPBACK
        if in_clear and not self.api_key.reveal().startswith(_TEST_KEYS):
            raise ValueError("api_base is plain http: a live key would travel in clear; use https")
        return self
