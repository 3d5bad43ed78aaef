"""Formats for machines and CI: JSON, JUnit, markdown, GitHub annotations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from payhealth.domain.results import Outcome
from payhealth.report.documents import Case, Document
from payhealth.report.escape import github_message, github_property, markdown, xml

MAX_ANNOTATIONS = 10
"""GitHub shows at most ten annotations a step: what is beyond is said in the last one."""


def to_json(document: Document) -> str:
    """The document's data, indented, in ASCII: what a terminal would obey is escaped."""
    return json.dumps(document.data, indent=2) + "\n"


def to_junit(document: Document) -> str:
    """One case each; a failure is a verdict, an error is the lack of one, no data is skipped."""
    suite = ET.Element("testsuite", name=xml(f"payhealth {document.title}"), tests=str(len(document.cases)))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for case in document.cases:
        element = ET.SubElement(suite, "testcase", classname=f"payhealth.{case.group}", name=xml(case.name))
        kind = _junit_kind(case.outcome)
        if kind is not None:
            tag, count = kind
            counts[count] += 1
            ET.SubElement(element, tag, message=xml(case.message))
        else:
            ET.SubElement(element, "system-out").text = xml(f"{case.outcome}: {case.message}")
    for name, count_ in counts.items():
        suite.set(name, str(count_))
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _junit_kind(outcome: Outcome) -> tuple[str, str] | None:
    if outcome is Outcome.FAIL:
        return ("failure", "failures")
    if outcome in (Outcome.ERROR, Outcome.STALE):
        return ("error", "errors")
    return ("skipped", "skipped") if outcome is Outcome.NO_DATA else None


def to_github(document: Document) -> str:
    """Workflow commands, worst first and aggregated below the limit of a step."""
    told = [case for case in document.cases if case.outcome not in (Outcome.PASS, Outcome.NO_DATA)]
    told.sort(key=lambda case: (case.outcome is Outcome.WARN, case.group, case.name))
    lines = [
        _annotation(case) for case in told[: MAX_ANNOTATIONS - 1 if len(told) > MAX_ANNOTATIONS else None]
    ]
    if rest := told[len(lines) :]:
        level = "warning" if all(case.outcome is Outcome.WARN for case in rest) else "error"
        lines.append(f"::{level} title=payhealth::and {len(rest)} more")
    return "".join(line + "\n" for line in lines) or "payhealth: nothing to report\n"


def _annotation(case: Case) -> str:
    level = "warning" if case.outcome is Outcome.WARN else "error"
    title = github_property(f"payhealth {case.group}: {case.name} ({case.outcome})")
    return f"::{level} title={title}::{github_message(case.message)}"


def to_markdown(document: Document) -> str:
    """Tables for a chat message or a job summary."""
    parts = [f"## payhealth {markdown(document.title)}\n"]
    if statement := document.data.get("statement"):
        parts.append(
            _table(("asset", "rail", "paid_in", "credited", "fees_kept", "in_flight", "explained"), statement)
        )
    if breaks := document.data.get("breaks"):
        parts.append("### Breaks\n\n" + _table(("primary_reason", "amount", "asset", "explanation"), breaks))
    if checks := document.data.get("checks"):
        parts.append("### Checks\n\n" + _table(("outcome", "check", "message"), checks))
    if streams := document.data.get("streams"):
        parts.append(_table(("connector", "stream", "read", "new", "changed", "rejected", "error"), streams))
    if items := document.data.get("items"):
        parts.append(_table(tuple(items[0]), items))
    return "\n".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = [markdown("" if row.get(column) is None else row[column]) for column in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Document], str]] = {
    "json": to_json,
    "junit": to_junit,
    "markdown": to_markdown,
    "github": to_github,
}
