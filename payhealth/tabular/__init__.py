"""Tables in and out: payments and ledger entries, validated row by row, and a reconciliation's files.

Nothing is dropped silently: a malformed row is listed in ``rejected`` with its file, line and reason.
"""

from __future__ import annotations

from payhealth.tabular.output import empty_rejected, rejected_table, write_outputs
from payhealth.tabular.read import ledger_table, payments_table
from payhealth.tabular.schema import LEDGER, PAYMENTS, TableIn

__all__ = [
    "LEDGER",
    "PAYMENTS",
    "TableIn",
    "empty_rejected",
    "ledger_table",
    "payments_table",
    "rejected_table",
    "write_outputs",
]
