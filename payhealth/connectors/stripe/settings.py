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

OptionalStream = Literal["setup_intents", "radar/early_fraud_warnings", "checkout/sessions", "invoices"]
"""Lists that an account may do without: no money moves in them."""


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
        client_reference_is: what ``client_reference_id`` of a checkout session holds: the business's
            ``account``, its ``reference`` of the payment, or ``nothing`` of use.
        ip_metadata_keys: metadata keys that may hold the customer's IP address, the first wins.
        hash_key: the key that addresses and IPs are hashed with; without one they are not kept at all.
        stripe_account: a connected account to read instead of the key's own, ``acct_…``.
        skip_streams: lists that are not read, such as ``setup_intents`` where the key may not see them.
        overlap_s: how far behind its cursor every pull reads again, for objects that are listed late.
        repull_days: how far back objects are read again once a day, for changes whose event was lost.
        dispute_repull_days: the same for disputes, which take months to close and are few.
        repull_every_s: how often that is done.
        balance_margin_s: by how much the balance and the list may be apart in time.
        parallel_windows: how many stretches of time are read at once.
        history: how the first reading of the balance's transactions is done: by ``lists``, or by ``reports``,
            which are faster for a long history and need a key that may make them.
        webhook_secrets: signing secrets of the webhook endpoint, new beside old while they are rotated.
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
    client_reference_is: Literal["account", "reference", "nothing"] = "account"
    ip_metadata_keys: tuple[str, ...] = ("ip_address", "client_ip")
    hash_key: SecretReference | None = None
    stripe_account: str | None = Field(default=None, pattern=r"^acct_[A-Za-z0-9]{1,64}$")
    skip_streams: tuple[OptionalStream, ...] = ()
    overlap_s: int = Field(default=600, ge=0, le=86_400)
    repull_days: int = Field(default=35, ge=0, le=3650)
    dispute_repull_days: int = Field(default=180, ge=0, le=3650)
    repull_every_s: int = Field(default=86_400, ge=0, le=31_536_000)
    balance_margin_s: int = Field(default=300, ge=0, le=86_400)
    parallel_windows: int = Field(default=8, ge=1, le=64)
    history: Literal["lists", "reports"] = "lists"
    webhook_secrets: tuple[SecretReference, ...] = ()
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
