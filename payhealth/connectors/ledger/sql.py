"""The entry point of kind ``ledger.sql``; the database library is loaded when a source is built."""

from __future__ import annotations

from payhealth.connectors.ledger.settings import LedgerSqlSettings
from payhealth.plugins import ConnectorPlugin
from payhealth.ports import Source


def _build(name: str, settings: LedgerSqlSettings) -> Source:
    from payhealth.connectors.ledger.sql_source import LedgerSqlSource

    return LedgerSqlSource(name, settings)


PLUGIN = ConnectorPlugin(kind="ledger.sql", settings=LedgerSqlSettings, build=_build)
