"""Stripe: charges, refunds, disputes, payment intents, balance transactions and payouts."""

from __future__ import annotations

from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.plugins import AsgiApp, ConnectorPlugin, Heard
from payhealth.ports import Source, Store


def _build(name: str, settings: StripeSettings) -> Source:
    # Imported here so that naming the plugin does not load an HTTP client.
    from payhealth.connectors.stripe.source import StripeSource

    return StripeSource(name, settings)


def _webhooks(name: str, settings: StripeSettings, store: Store, heard: Heard) -> AsgiApp | None:
    if not settings.webhook_secrets:
        return None
    from payhealth.connectors.stripe.webhooks import webhook_app

    return webhook_app(name, settings, store, heard=heard)


PLUGIN = ConnectorPlugin(kind="stripe", settings=StripeSettings, build=_build, webhooks=_webhooks)
"""The entry point of kind ``stripe``."""
