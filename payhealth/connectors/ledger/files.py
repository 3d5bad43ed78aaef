"""The entry point of kind ``ledger.files``; the file readers are loaded when a source is built."""

from __future__ import annotations

from payhealth.connectors.ledger.settings import LedgerFilesSettings
from payhealth.plugins import ConnectorPlugin
from payhealth.ports import Source


def _build(name: str, settings: LedgerFilesSettings) -> Source:
    from payhealth.connectors.ledger.files_source import LedgerFilesSource

    return LedgerFilesSource(name, settings)


PLUGIN = ConnectorPlugin(kind="ledger.files", settings=LedgerFilesSettings, build=_build)
