"""Stripe: charges, refunds, disputes, payment intents, balance transactions and payouts."""

from __future__ import annotations

from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.plugins import ConnectorPlugin
from payhealth.ports import Source


def _build(name: str, settings: StripeSettings) -> Source:
    # Imported here so that naming the plugin does not load an HTTP client.
    from payhealth.connectors.stripe.source import StripeSource

    return StripeSource(name, settings)


PLUGIN = ConnectorPlugin(kind="stripe", settings=StripeSettings, build=_build)
"""The entry point of kind ``stripe``."""
