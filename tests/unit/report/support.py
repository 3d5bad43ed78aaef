"""A hostile corpus, and documents in which every text of a stranger's is hostile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa

from payhealth.domain.coverage import CoverageUnit, Hole, HoleKind
from payhealth.domain.results import CheckResult, Outcome, Segment
from payhealth.outcomes import PullReport, ReconcileReport, RunReport
from payhealth.ports import PullOutcome
from payhealth.report import Document, run_document

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LARGEST = "99999999999999999999.999999999999999999"
SMALLEST = "0.000000000000000001"

HOSTILE: dict[str, str] = {
    "ansi": "a\x1b[31mred\x1b[0m",
    "csi as one character": "a\x9b2Jb",
    "osc link": "\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "title": "\x1b]0;owned\x07",
    "carriage return": "fine\rpayhealth: All is well.",
    "newline": "one\ntwo\r\n::error::three",
    "backspace": "fail\x08\x08\x08\x08pass",
    "null": "a\x00b",
    "bidi": "USD\u202e001\u2066x\u2069",
    "zero width": "US\u200bD\u2060C\ufeff",
    "line separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "surrogate": "a\ud800b",
    "noncharacter": "a\ufffe\uffffb",
    "rich": "[bold red]x[/bold red][/]",
    "rich close": "[/red][/dim][/]",
    "rich link": "[link=https://evil.example]x[/link]",
    "rich half": "[/red",
    "rich other half": "dim] ]",
    "backslash": "x\\",
    "backslashes": "\\\\\\[red]\\\\\\",
    "emoji": ":skull: :boom:",
    "markdown": "**b** _i_ `c` ~~s~~ # h | cell | [x](https://evil.example) ![i](http://evil.example/i.png)",
    "mentions": "@everyone @here <@123456> <!channel> <@&99> @alice",
    "bare links": "https://evil.example HTTPS://EVIL.example ftp://e.example www.evil.example WWW.x.example",
    "references": "#1 GH-1 user/repo#2",
    "script": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "entity": "&lt;b&gt; &#60;script&#62; &amp;",
    "svg": "</text></svg><script>alert(1)</script>",
    "cdata": "]]> --> <!-- <![CDATA[",
    "workflow command": "::error file=a,line=1::x",
    "workflow properties": "a,line=9::b:c%0A::set-output name=x::y",
    "percent": "100%25 %0A %0D",
    "template": "{{ 7 * 7 }} {% raw %} ${x} %s {0}",
    "formula": '=HYPERLINK("http://evil.example")',
    "nothing": "",
    "long": "x" * 5000,
}

UNPRINTABLE = "\x1b\x9b\x07\x08\x00\r\x0b\x0c\x85\u2028\u2029\u202e\u2066\u2069\u2060\ufeff\ud800\ufffe\uffff"
"""What may stand in no output."""


def breaks_table(text: str, amount: str = LARGEST) -> pa.Table:
    """One break whose every text is the given one."""
    clean = text.encode("utf-8", "replace").decode()
    value = Decimal(amount)
    return pa.table(
        {
            "break_id": [clean],
            "primary_reason": ["paid_not_credited"],
            "reasons": [["paid_not_credited", clean]],
            "movement_ids": [[clean]],
            "entry_ids": pa.array([[]], pa.list_(pa.string())),
            "amount": pa.array([value], pa.decimal128(38, 18)),
            "at_risk": pa.array([value.copy_abs()], pa.decimal128(38, 18)),
            "asset": [clean],
            "effective_at": pa.array([NOW], pa.timestamp("us", "UTC")),
            "explanation": [clean],
        }
    )


def empty_breaks() -> pa.Table:
    """No break, with the columns of one."""
    return breaks_table("x").slice(0, 0)


def check_result(outcome: Outcome, text: str = "said", name: str = "failure_rate") -> CheckResult:
    """A verdict whose every text is the given one."""
    return CheckResult(
        check=name,
        outcome=outcome,
        message=text,
        evaluated_at=NOW,
        value=LARGEST,
        thresholds={"fail": {"amount": "1000"}},
        segments=(Segment(name="decline_code", value=text, share=0.5),),
        examples=(text,),
        not_seen=text,
        next_step=text,
    )


def pull_outcome(error: str | None, stream: str = "charges") -> PullOutcome:
    """How a stream's pull ended."""
    return PullOutcome(
        connector="cards",
        stream=stream,
        started_at=NOW,
        finished_at=NOW,
        objects_read=1,
        new=1,
        changed=0,
        rejected=0,
        requests=1,
        error=error,
        coverage=((0, 5),),
    )


def hole(text: str = "not read") -> Hole:
    """A hole with this reason."""
    return Hole(
        connector=text,
        stream=text,
        kind=HoleKind.GAP,
        unit=CoverageUnit.BLOCK,
        lower=1,
        upper=2,
        reason=text,
    )


def statement_row(asset: str = "USD", *, broken: str | None = None) -> dict[str, object]:
    """A line of the statement at the edge of the domain."""
    return {
        "asset": asset,
        "rail": "card",
        "paid_in": LARGEST,
        "credited": f"-{LARGEST}",
        "fees_kept": SMALLEST,
        "within_tolerance": "0",
        "in_flight": f"-{SMALLEST}",
        "written_off": "0",
        "breaks": {"paid_not_credited": broken, "amount_over": broken} if broken else {},
        "explained": "0.999999",
    }


def reconcile_report(
    *,
    breaks: pa.Table | None = None,
    holes: Sequence[Hole] = (),
    text: str = "USD",
    rejected: Sequence[str] = (),
) -> ReconcileReport:
    """A reconciliation whose asset and symbol are the given text."""
    broken = breaks is not None and breaks.num_rows > 0
    return ReconcileReport(
        as_of=NOW,
        matches=pa.table({"match_id": ["m"]}),
        breaks=empty_breaks() if breaks is None else breaks,
        open=pa.table({"id": ["a", "b"], "side": ["movement"] * 2, "why": ["in_flight"] * 2}),
        rejected=pa.table(
            {
                "file": list(rejected),
                "line": list(range(len(rejected))),
                "reason": list(rejected),
                "row": list(rejected),
            }
        ),
        summary={"statement": [statement_row(text, broken=LARGEST if broken else None)], "explained": "0.5"},
        holes=tuple(holes),
        symbols={text: text} if text else {},
    )


def run_report(
    *,
    outcomes: Sequence[Outcome] = (Outcome.PASS,),
    breaks: pa.Table | None = None,
    holes: Sequence[Hole] = (),
    pull_error: str | None = None,
) -> RunReport:
    """A run with these checks, breaks, holes and pull."""
    return RunReport(
        pull=PullReport(streams=(pull_outcome(pull_error),)),
        reconcile=reconcile_report(breaks=breaks, holes=holes),
        checks=tuple(check_result(outcome, name=f"check_{n}") for n, outcome in enumerate(outcomes)),
    )


def hostile_document(text: str) -> Document:
    """A run's document in which everything that a stranger may write is the given text."""
    clean = text.encode("utf-8", "replace").decode()
    report = RunReport(
        pull=PullReport(streams=(pull_outcome(text),)),
        reconcile=reconcile_report(
            breaks=breaks_table(text), holes=[hole(text)], text=clean, rejected=[clean]
        ),
        checks=(check_result(Outcome.FAIL, text),),
    )
    return run_document(report)
