"""Who may read what: keys, their permissions and the accounts that they open.

A key opens the account that knows it; a request's ``Stripe-Account`` header leads on to one of the
connected accounts of the same mode. Writing includes reading.
Source: https://docs.stripe.com/keys#limit-access and https://docs.stripe.com/connect/authentication
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from payhealth.sandbox.stripe.errors import expired, no_access, not_permitted, unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payhealth.sandbox.stripe.account import StripeAccount

PERMISSIONS: Final[Mapping[str, str]] = {
    "account": "accounts_kyc_basic",
    "accounts": "accounts_kyc_basic",
    "balance": "balance",
    "balance_transactions": "balance_transaction_source",
    "charges": "charge",
    "checkout/sessions": "checkout_session",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "files": "file",
    "invoice_payments": "invoice",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payouts": "payout",
    "radar/early_fraud_warnings": "early_fraud_warning",
    "refunds": "charge",
    "reporting/report_runs": "report_runs_and_report_types",
    "reporting/report_types": "report_runs_and_report_types",
    "setup_intents": "setup_intent",
}
"""What a restricted key needs for each path under ``/v1/``, followed by ``_read`` or ``_write``.

Charges and refunds share one, as in Stripe's dashboard.
"""

_KNOWN: Final = frozenset(f"{noun}_{verb}" for noun in PERMISSIONS.values() for verb in ("read", "write"))


class Keys:
    """The keys of one account.

    Args:
        keys: each key with its permissions, such as ``{"charge_read"}``, or None for all.
        livemode: the account's mode; a key says its own by ``_live_`` in it.

    Raises:
        ValueError: a permission that there is not, or a key of the other mode.
    """

    def __init__(self, keys: Mapping[str, Iterable[str] | None], *, livemode: bool) -> None:
        self._permissions: dict[str, frozenset[str] | None] = {}
        self._revoked: set[str] = set()
        for key, permissions in keys.items():
            if ("_live_" in key) != livemode:
                raise ValueError("an account's keys are all of its own mode")
            self._permissions[key] = None if permissions is None else _checked(permissions)

    def __contains__(self, key: str) -> bool:
        return key in self._permissions

    def revoke(self, key: str) -> None:
        """From now on a key is refused as expired.

        Raises:
            KeyError: there is no such key.
        """
        if key not in self._permissions:
            raise KeyError("no such key")
        self._revoked.add(key)

    def is_revoked(self, key: str) -> bool:
        """Whether a key was taken back."""
        return key in self._revoked

    def may(self, key: str, permission: str) -> bool:
        """Whether a key has a permission, such as ``charge_read``."""
        granted = self._permissions[key]
        if granted is None or permission in granted:
            return True
        noun, _, verb = permission.rpartition("_")
        return verb == "read" and f"{noun}_write" in granted


class Doors:
    """The accounts that one server shows, and the way from a request to one of them.

    Args:
        homes: the accounts that keys open by themselves: one, or one of each mode.
        connected: the accounts that only ``Stripe-Account`` leads to.

    Raises:
        ValueError: two accounts share a key, or an id in the same mode.
    """

    def __init__(self, homes: Iterable[StripeAccount], connected: Iterable[StripeAccount]) -> None:
        self._homes = tuple(homes)
        everyone = (*self._homes, *connected)
        self._accounts = {(account.account_id, account.livemode): account for account in everyone}
        if len(self._accounts) != len(everyone):
            raise ValueError("accounts of one mode need ids of their own")
        if len({home.livemode for home in self._homes}) != len(self._homes):
            raise ValueError("a second account to open by key must be of the other mode")

    def enter(self, authorization: str | None, stripe_account: str | None) -> tuple[StripeAccount, str]:
        """The account that a request is for, and its key.

        Args:
            authorization: the ``Authorization`` header.
            stripe_account: the ``Stripe-Account`` header.

        Raises:
            StripeRefusedError: 401 for no key, a wrong or a revoked one; 403 for another's account.
        """
        key = _key_of(authorization)
        if not key:
            raise unauthenticated(
                "You did not provide an API key. You need to provide your API key in the Authorization "
                "header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
        home = next((home for home in self._homes if key in home.keys), None)
        if home is None:
            raise unauthenticated(f"Invalid API Key provided: {_shown(key)}")
        if home.keys.is_revoked(key):
            raise expired(_shown(key))
        return (home if stripe_account is None else self.account(home, key, stripe_account)), key

    def account(self, home: StripeAccount, key: str, account_id: str) -> StripeAccount:
        """An account by its id, of the mode of the one that the key opens."""
        found = self._accounts.get((account_id, home.livemode))
        if found is None:
            raise no_access(_shown(key), account_id)
        return found

    def check(self, key: str, account: StripeAccount, path: str, *, write: bool) -> None:
        """Refuse what a restricted key may not do.

        Args:
            key: one that ``enter`` let in.
            account: what it wants to reach.
            path: the resource under ``/v1/``; one that is in no table needs no permission.
            write: whether it wants to change something.
        """
        noun = PERMISSIONS.get(path)
        home = next(home for home in self._homes if key in home.keys)
        permission = f"{noun}_{'write' if write else 'read'}"
        if noun is not None and not home.keys.may(key, permission):
            raise not_permitted(_shown(key), account.account_id, permission)


def _checked(permissions: Iterable[str]) -> frozenset[str]:
    found = frozenset(permission.removeprefix("rak_") for permission in permissions)
    if not found <= _KNOWN:
        raise ValueError(f"unknown permissions: {sorted(found - _KNOWN)}; there are {sorted(_KNOWN)}")
    return found


def _shown(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "*" * len(key)


def _key_of(header: str | None) -> str:
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
