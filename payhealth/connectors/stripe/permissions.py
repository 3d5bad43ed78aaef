"""What a key may and may not do: everything that the streams need is tried, and all that is missing is named.

Only ``payhealth doctor`` asks whether a key can write. It posts a refund without any parameter, which can
create nothing: a key that may not write is refused for who it is (403), any other for what is missing (400).

Source: https://docs.stripe.com/keys#limit-access, https://docs.stripe.com/api/errors
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from payhealth.connectors.stripe.client import StripeClient
from payhealth.connectors.stripe.errors import NotPermittedError
from payhealth.connectors.stripe.reports import BALANCE_ACTIVITY
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.domain.errors import SourceDataError, SourceError, SourceRefusedError
from payhealth.ports import Advice, Level

OPTIONAL = frozenset({"setup_intents", "radar/early_fraud_warnings", "checkout/sessions", "invoices"})
"""What may be left out with ``skip_streams``."""

OBJECTS: Mapping[str, str] = {"balance": "balance"}
"""Streams that read one object, and where under ``/v1`` it stands."""

WITHOUT_LIST = frozenset({"bookings", "payout_proofs"})
"""Streams that read only what others read too."""

REPORTS = "reporting/report_types"
"""What ``history = "reports"`` needs beside the streams."""

_WHOLE_KEY = re.compile(r"sk_(?:live|test)_")
_MODE = re.compile(r"(?:sk|rk)_(live|test)_")


def _try(client: StripeClient, stream: str) -> None:
    """Ask for as little of a stream as can be asked for."""
    if stream in OBJECTS:
        client.single(OBJECTS[stream])
    elif stream == REPORTS:
        client.fetch(stream, BALANCE_ACTIVITY)
    else:
        client.first(stream)


def faults(
    name: str, client: StripeClient, settings: StripeSettings, streams: Sequence[str]
) -> list[SourceError]:
    """What is wrong with reading the streams: all missing permissions as one error, then any other.

    Args:
        name: the connector's.

    Raises:
        SourceError: a wrong key or account, or no answer: then nothing is known about any stream.
    """
    missing: list[str] = []
    others: list[SourceError] = []
    reports = [REPORTS] if settings.history == "reports" else []
    for stream in (*streams, *reports):
        if stream in WITHOUT_LIST:
            continue
        try:
            _try(client, stream)
        except NotPermittedError:
            missing.append(stream)
        except SourceDataError as error:
            others.append(error)
    return [*([_missing(name, missing, settings.stripe_account)] if missing else []), *others]


def _missing(name: str, missing: Sequence[str], account: str | None) -> SourceRefusedError:
    hint = f"allow reading {_listed(missing)} for this key"
    optional = [stream for stream in missing if stream in OPTIONAL]
    if optional:
        hint += f"; without {_listed(optional)} you can do: name them in skip_streams"
    if account is not None:
        hint += f"; where it may read nothing of {account}, check that the account is connected"
    return SourceRefusedError(f"{name}: the key may not read {_listed(missing)} (403)", hint=hint)


def verify(name: str, client: StripeClient, settings: StripeSettings, streams: Sequence[str]) -> None:
    """Refuse a key that lacks a permission.

    Raises:
        SourceError: one error that names every list that the key may not read, or the first other failure.
    """
    for fault in faults(name, client, settings, streams):
        raise fault


def examine(
    name: str, client: StripeClient, settings: StripeSettings, streams: Sequence[str]
) -> list[Advice]:
    """Everything about a key that its owner should know; nothing where it is as it should be.

    Args:
        name: the connector's.
        streams: what a pull would read.

    Raises:
        SourceError: a wrong key or account, or no answer: then nothing else is known.
    """
    advice = [
        Advice(level=Level.FAIL, message=fault.message, hint=fault.hint)
        for fault in faults(name, client, settings, streams)
    ]
    return [*advice, *_mode(name, client, settings), *_writing(name, client, settings)]


def _mode(name: str, client: StripeClient, settings: StripeSettings) -> Iterator[Advice]:
    """A key whose name says one mode and whose objects say the other."""
    named = _MODE.match(settings.api_key.reveal())
    if named is None:
        return
    try:
        found = client.single("balance").body
    except SourceError:
        # It was tried among the streams, and said there.
        return
    live = found.get("livemode") if isinstance(found, dict) else None
    if isinstance(live, bool) and live != (named[1] == "live"):
        said, is_live = named[1], "live" if live else "test"
        yield Advice(
            level=Level.FAIL,
            message=f"{name}: the key's name says {said} mode, and what it reads is of {is_live} mode",
            hint="check api_base and the key: the two modes are never mixed",
        )


def _writing(name: str, client: StripeClient, settings: StripeSettings) -> Iterator[Advice]:
    """A key that can do more than read is a danger wherever it lies."""
    hint = "make a restricted key (rk_…) with read permissions alone, and revoke this one"
    if _WHOLE_KEY.match(settings.api_key.reveal()):
        message = f"{name}: the key is a full secret key: whoever finds it can move money"
        yield Advice(level=Level.WARN, message=message, hint=hint)
        return
    try:
        if not client.can_write():
            return
        message = f"{name}: the key can write: it may make refunds"
    except SourceError:
        message, hint = f"{name}: whether the key can write could not be found out", "run it again"
    yield Advice(level=Level.WARN, message=message, hint=hint)


def _listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
