"""Formats: exact amounts, right counts, and a verdict that is never better than the data."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from payhealth.domain.coverage import Hole
from payhealth.domain.results import Outcome
from payhealth.outcomes import PullReport
from payhealth.report import (
    Case,
    Document,
    check_document,
    html,
    machine,
    pull_document,
    reconcile_document,
    run_document,
)
from payhealth.report.documents import as_json
from payhealth.report.text import grouped, render, share
from tests.unit.report.support import (
    LARGEST,
    NOW,
    SMALLEST,
    breaks_table,
    check_result,
    hole,
    pull_outcome,
    reconcile_report,
    run_report,
)


def as_text(document: Document) -> str:
    """The text format without colours."""
    out = io.StringIO()
    render(document, Console(file=out, width=400, emoji=False, highlight=False, color_system=None))
    return out.getvalue()


def numbers_of(value: object) -> list[str]:
    """Every number in JSON that was not written as text, as text."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in numbers_of(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in numbers_of(inner)]
    return [repr(value)] if isinstance(value, float) else []


def test_amounts_are_exact_text_in_json() -> None:
    """The extremes of both signs are strings of all their digits; no amount is a JSON number."""
    document = run_document(run_report(breaks=breaks_table("x", f"-{LARGEST}")))
    read = json.loads(machine.to_json(document))
    assert read["breaks"][0]["amount"] == f"-{LARGEST}"
    assert read["breaks"][0]["at_risk"] == LARGEST
    row = read["statement"][0]
    assert (row["paid_in"], row["credited"], row["fees_kept"]) == (LARGEST, f"-{LARGEST}", SMALLEST)
    assert read["schema_version"] == 1
    assert set(numbers_of({key: read[key] for key in ("statement", "breaks")})) == set()


def test_json_of_a_pull_has_what_the_contract_names() -> None:
    """Per connector and stream: read, new, changed, rejected, requests, seconds, coverage."""
    read = json.loads(machine.to_json(pull_document(PullReport(streams=(pull_outcome("refused"),)))))
    assert set(read["streams"][0]) == {
        "connector",
        "stream",
        "read",
        "new",
        "changed",
        "rejected",
        "requests",
        "seconds",
        "coverage",
        "error",
    }


def test_json_of_a_run_has_what_the_contract_names() -> None:
    """A run gives its statement, breaks, checks and coverage."""
    assert {"statement", "breaks", "checks", "holes", "pull"} <= set(run_document(run_report()).data)


def test_values_become_what_json_can_carry() -> None:
    """Decimals become plain text, moments ISO text, whatever they stand in."""
    assert as_json({"a": [Decimal("1E+3"), NOW, (Decimal("-0.0"),)]}) == {
        "a": ["1000", "2026-03-01T12:00:00Z", ["0"]]
    }


@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_grouping_changes_nothing_but_blanks(scaled: int) -> None:
    """Without its blanks a grouped amount is the amount; every group but the first has three digits."""
    from payhealth.domain.money import from_scaled, plain

    text = plain(from_scaled(scaled))
    shown = grouped(text)
    assert Decimal(shown.replace(" ", "")) == Decimal(text)
    whole = shown.lstrip("-").partition(".")[0].split(" ")
    assert all(len(group) == 3 for group in whole[1:])
    assert 1 <= len(whole[0]) <= 3
    assert shown.startswith("-") == (scaled < 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("0", "0"),
        ("-3", "-3"),
        ("12345.6", "12 345.60"),
        ("-12345.67", "-12 345.67"),
        ("1000", "1 000"),
        ("999", "999"),
        (SMALLEST, SMALLEST),
        (LARGEST, "99 999 999 999 999 999 999.999999999999999999"),
    ],
)
def test_amounts_are_grouped_for_people(text: str, shown: str) -> None:
    """Thousands apart, cents in two digits, no digit rounded."""
    assert grouped(text) == shown


@pytest.mark.parametrize(
    ("explained", "shown"),
    [(None, "-"), ("1", "100.00 %"), ("0.999999999", "99.99 %"), ("0", "0.00 %"), ("0.123456", "12.34 %")],
)
def test_a_hundred_percent_means_all_of_it(explained: str | None, shown: str) -> None:
    """Shares are rounded down."""
    assert share(explained) == shown


ONE_BREAK, ONE_HOLE = breaks_table("x"), (hole(),)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("breaks", [None, ONE_BREAK], ids=["no break", "break"])
@pytest.mark.parametrize("holes", [(), ONE_HOLE], ids=["no hole", "hole"])
@pytest.mark.parametrize("error", [None, "refused"], ids=["read", "refused"])
def test_all_is_well_only_when_it_is(
    outcome: Outcome, breaks: object, holes: Sequence[Hole], error: str | None
) -> None:
    """Text and page say that all is well exactly when every check passed and nothing is broken or unread."""
    report = run_report(outcomes=(Outcome.PASS, outcome), breaks=breaks, holes=holes, pull_error=error)
    document = run_document(report)
    last = as_text(document).strip().splitlines()[-1]
    spotless = outcome is Outcome.PASS and breaks is None and not holes and error is None
    assert (last == "All is well.") == spotless
    if report.exit_code(fail_on_warn=True):
        assert last.startswith("Not all is well: ")
        assert html.verdict(document)[0] != "pass"
    if breaks is not None or outcome is Outcome.FAIL:
        assert html.verdict(document)[0] == "fail"
    elif holes or error or outcome in (Outcome.STALE, Outcome.ERROR):
        assert html.verdict(document)[0] == "stale"


def test_the_verdict_counts_each_kind_once() -> None:
    """Breaks, failed checks, what was not judged and warnings are told apart."""
    report = run_report(
        outcomes=(Outcome.FAIL, Outcome.STALE, Outcome.ERROR, Outcome.WARN, Outcome.NO_DATA),
        breaks=ONE_BREAK,
        holes=ONE_HOLE,
        pull_error="refused",
    )
    last = as_text(run_document(report)).strip().splitlines()[-1]
    assert last == "Not all is well: 1 break, 1 failed, 4 could not be judged, 1 warned."


@pytest.mark.parametrize(
    ("document", "healthy"),
    [
        (pull_document(PullReport(streams=(pull_outcome(None),))), True),
        (pull_document(PullReport(streams=(pull_outcome("refused"),))), False),
        (reconcile_document(reconcile_report()), True),
        (reconcile_document(reconcile_report(breaks=ONE_BREAK)), False),
        (reconcile_document(reconcile_report(holes=ONE_HOLE)), False),
        (check_document([check_result(Outcome.PASS)]), True),
        (check_document([check_result(Outcome.WARN)]), False),
        (check_document([check_result(Outcome.NO_DATA)]), False),
    ],
)
def test_every_command_ends_with_a_verdict(document: Document, healthy: bool) -> None:
    """Pull, reconcile and check alone end with one line too."""
    assert (as_text(document).strip().splitlines()[-1] == "All is well.") == healthy


def test_breaks_whose_sum_leaves_the_domain_are_summed_exactly() -> None:
    """A statement line with two breaks of the largest amount is shown, not an arithmetic error."""
    assert "199 999 999 999 999 999 999.999999999999999998" in as_text(
        reconcile_document(reconcile_report(breaks=ONE_BREAK))
    )


def test_junit_counts_what_it_lists() -> None:
    """Failures are verdicts, errors the lack of one, no data is skipped; attributes and elements agree."""
    outcomes = list(Outcome)
    written = machine.to_junit(check_document([check_result(each, name=each) for each in outcomes]))
    suite = ET.fromstring(written)  # noqa: S314 - we wrote it
    counted = {name: int(suite.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": 6, "failures": 1, "errors": 2, "skipped": 1}
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert len(list(suite.iter(tag))) == counted[name]
    assert len(list(suite.iter("testcase"))) == 6


@pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 500])
@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.WARN, Outcome.STALE])
def test_github_annotations_stay_below_the_limit(number: int, outcome: Outcome) -> None:
    """At most ten, and the last one says how many more there are."""
    cases = tuple(Case(group="checks", name=f"c{n}", outcome=outcome, message="m") for n in range(number))
    lines = machine.to_github(Document(title="check", data={}, cases=cases)).splitlines()
    if not number:
        assert lines == ["payhealth: nothing to report"]
        return
    assert len(lines) == min(number, 10)
    level = "::warning " if outcome is Outcome.WARN else "::error "
    assert all(line.startswith(level) for line in lines)
    if number > 10:
        assert lines[-1].endswith(f"and {number - 9} more")


def test_github_tells_the_worst_first() -> None:
    """A failure is not pushed out by twenty warnings."""
    cases = [Case(group="a", name=f"w{n}", outcome=Outcome.WARN, message="m") for n in range(20)]
    cases.append(Case(group="z", name="bad", outcome=Outcome.FAIL, message="m"))
    first, *_, last = machine.to_github(Document(title="check", data={}, cases=tuple(cases))).splitlines()
    assert first.startswith("::error ")
    assert "bad" in first
    assert last.startswith("::warning ")


@pytest.mark.parametrize(
    ("form", "what"), list(product(machine.FORMATS, ("pull", "reconcile", "check", "run", "list")))
)
def test_every_format_renders_every_document(form: str, what: str) -> None:
    """No document is without a rendering, and each ends with a line."""
    documents = {
        "pull": pull_document(PullReport(streams=(pull_outcome(None),))),
        "reconcile": reconcile_document(reconcile_report()),
        "check": check_document([check_result(Outcome.PASS)]),
        "run": run_document(run_report()),
        "list": Document(title="breaks", data={"items": [{"break_id": "b", "amount": "1"}]}),
    }
    assert machine.FORMATS[form](documents[what]).endswith("\n")
