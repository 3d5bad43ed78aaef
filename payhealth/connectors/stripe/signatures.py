"""Whether a delivery was signed by Stripe, just now, with one of the endpoint's secrets.

The stripe package does the cryptography. It speaks to nobody here: its telemetry is a header of API requests,
and none is made.

Source: https://docs.stripe.com/webhooks#verify-manually, https://docs.stripe.com/webhooks#roll-endpoint-secrets
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stripe import SignatureVerificationError, WebhookSignature

from payhealth.plugins import WebhookOutcome
from payhealth.secrets import Secret

TOLERANCE_S = 300
"""How far a signature's time may be from ours, either way; Stripe's own default for the past."""

HEADER_CHARS_MAX = 4_096
"""A secret's signature has 67 characters, and while secrets are rotated there are several."""

_HEADER = re.compile(r"t=([0-9]{1,12})((?:,[a-z][a-z0-9]{0,15}=[A-Za-z0-9+/=_-]{1,256})+)", re.ASCII)


def verdict(payload: bytes, header: str, secrets: Sequence[Secret], *, now_s: float) -> WebhookOutcome | None:
    """What is wrong with a delivery's signature, None where nothing is.

    Args:
        payload: the body as it came, byte for byte.
        header: the value of ``Stripe-Signature``.
        secrets: the endpoint's signing secrets; one that fits is enough.
        now_s: our clock, in unix seconds.
    """
    # Held against a pattern first: of two times in one header nobody knows which was signed, and the
    # package does not expect letters that are not ASCII.
    found = _HEADER.fullmatch(header) if len(header) <= HEADER_CHARS_MAX else None
    if found is None or ",t=" in found[2]:
        return WebhookOutcome.MALFORMED_SIGNATURE
    # Every secret is tried, so that the time it takes tells nothing of which one fits.
    fitting = [secret for secret in secrets if _fits(payload, header, secret)]
    if not fitting:
        return WebhookOutcome.WRONG_SIGNATURE
    # The package's own tolerance reads the host's clock and does not know the future.
    age_s = now_s - int(found[1])
    if age_s > TOLERANCE_S:
        return WebhookOutcome.TOO_OLD
    return WebhookOutcome.TOO_NEW if age_s < -TOLERANCE_S else None


def _fits(payload: bytes, header: str, secret: Secret) -> bool:
    try:
        WebhookSignature.verify_header(payload, header, secret.reveal(), tolerance=None)
    except (SignatureVerificationError, UnicodeDecodeError):
        # Stripe sends UTF-8: bytes that are none were not signed by it.
        return False
    return True
