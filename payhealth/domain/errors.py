"""The error tree: every failure that a user or a caller may meet.

PayhealthError
├── ConfigurationError        a file, key or secret that must be changed before anything can run
│   └── PluginError           an entry point that does not load
├── InputError                rows or values that were handed in and cannot be used
│   ├── AmountError           an amount outside the domain or not an exact decimal
│   └── TimeError             a moment without a time zone
├── SourceError               a connector could not read its counterpart
│   ├── SourceUnavailableError    no answer, or a broken one, after bounded retries
│   ├── SourceRefusedError        the credentials were refused
│   └── SourceDataError           an answer that cannot be true (wrong chain id, token without code)
├── StoreError                payhealth's own database
│   ├── StoreVersionError     the store is newer or older than the code
│   └── StoreBusyError        somebody else holds it
├── DeliveryError             an alert or a ping that did not reach its target
└── InvariantError            an equation that must hold does not: a fault of payhealth itself
"""

from __future__ import annotations


class PayhealthError(Exception):
    """Base of every error that payhealth raises on purpose.

    Args:
        message: one clear line: what is wrong, where.
        hint: what to do about it, one line, or empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(PayhealthError):
    """A file, key or secret that must be changed before anything can run."""


class PluginError(ConfigurationError):
    """An entry point that does not load."""


class InputError(PayhealthError):
    """Rows or values that were handed in and cannot be used."""


class AmountError(InputError, ValueError):
    """An amount outside the domain, or not an exact decimal."""


class TimeError(InputError, ValueError):
    """A moment that carries no time zone."""


class SourceError(PayhealthError):
    """A connector could not read its counterpart."""


class SourceUnavailableError(SourceError):
    """No answer, or a broken one, after bounded retries."""


class SourceRefusedError(SourceError):
    """The credentials were refused."""


class SourceDataError(SourceError):
    """An answer that cannot be true, such as a wrong chain id or a token without code."""


class StoreError(PayhealthError):
    """payhealth's own database could not be used."""


class StoreVersionError(StoreError):
    """The store is newer or older than the code."""


class StoreBusyError(StoreError):
    """Somebody else holds the store."""


class DeliveryError(PayhealthError):
    """An alert or a ping that did not reach its target."""


class InvariantError(PayhealthError):
    """An equation that must hold does not: a fault of payhealth itself, never of the data."""
