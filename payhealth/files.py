"""Reconciling two files, and leaving the result in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from payhealth import settings
from payhealth.api import reconcile
from payhealth.domain.errors import ConfigurationError
from payhealth.outcomes import ReconcileReport

RULE_TABLES = ("rules", "policy")


def reconcile_files(
    payments: Path, ledger: Path, *, rules: Path | None, as_of: datetime | None, out: Path | None
) -> ReconcileReport:
    """Match a file of payments with a file of ledger entries.

    Args:
        rules: a TOML file with ``[[rules]]`` and ``[policy.*]`` tables and nothing else.
        out: a folder for matches, breaks, open and rejected rows and the summary; made if needed.

    Raises:
        InputError: a file cannot be read or used.
        ConfigurationError: the rules file names an unknown key.
    """
    tables = settings.read_toml(rules) if rules is not None else {}
    for name in tables:
        if name not in RULE_TABLES:
            near = settings.nearest(name, list(RULE_TABLES))
            raise ConfigurationError(f"{rules.name if rules else ''}: unknown key {name}{near}")
    if rules is not None:
        _check(rules, tables)
    report = reconcile(payments, ledger, rules=tables.get("rules"), policy=tables.get("policy"), as_of=as_of)
    if out is not None:
        write(out, report)
    return report


def _check(rules: Path, tables: Mapping[str, Any]) -> None:
    """Refuse a wrong rule by the name of its file; reading them again later costs nothing."""
    from payhealth.matching.model import parse_rules

    try:
        parse_rules(tables)
    except ConfigurationError as error:
        raise ConfigurationError(f"{rules.name}: {error.message}", hint=error.hint) from None


def write(out: Path, report: ReconcileReport) -> None:
    """Leave a reconciliation in a folder, whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    from payhealth.tabular import empty_rejected, write_outputs

    rejected = report.rejected if report.rejected is not None else empty_rejected()
    write_outputs(out, report, rejected)
