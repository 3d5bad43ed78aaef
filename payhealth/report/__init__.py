"""Reports: read only. Documents are plain data; each format renders them with its own escaper."""

from __future__ import annotations

from payhealth.report.documents import (
    Case,
    Document,
    check_document,
    pull_document,
    reconcile_document,
    run_document,
)
from payhealth.report.show import progress, show

__all__ = [
    "Case",
    "Document",
    "check_document",
    "progress",
    "pull_document",
    "reconcile_document",
    "run_document",
    "show",
]
