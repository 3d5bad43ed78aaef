"""Documents and pages made from the store: lists, stories of one break or match, the HTML report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from payhealth.checks.stats import wilson_interval
from payhealth.domain.coverage import CoverageUnit
from payhealth.domain.errors import InputError
from payhealth.domain.money import plain, total
from payhealth.domain.times import from_us, iso, to_us
from payhealth.outcomes import ReconcileReport, RunReport
from payhealth.report.charts import Band, Series, horizontal_bars, line_with_band, stacked_bars, timeline
from payhealth.report.documents import Document, as_json, check_document, reconcile_document, run_document
from payhealth.report.html import Chart, page

if TYPE_CHECKING:
    from payhealth.bootstrap import Application
    from payhealth.domain.coverage import StreamState

MAX_DAYS = 60
_INTERNAL = ("content_hash", "change_seq", "previous_seq", "version_id")

_DAILY_ATTEMPTS = "select created_at, status from v_charges where status in ('succeeded', 'failed')"

_LISTED = {
    "breaks": (
        "break_id",
        "state",
        "primary_reason",
        "amount",
        "at_risk",
        "asset",
        "effective_at",
        "explanation",
    ),
    "matches": ("match_id", "state", "rule", "confidence", "residual", "asset", "reasons"),
}
_ORDER: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "breaks": lambda row: (-Decimal(row["at_risk"]), row["break_id"]),
    "matches": lambda row: (str(row["recorded_at"]), row["match_id"]),
}
_STATES = {
    "breaks": ("open", "acknowledged", "reopened", "resolved"),
    "matches": ("confirmed", "proposed", "rejected", "revoked", "superseded"),
}


def list_document(app: Application, what: str, state: str | None) -> Document:
    """The store's breaks or matches.

    Args:
        what: ``breaks`` or ``matches``.
        state: only those in this state; without, all that still count.

    Raises:
        InputError: there is no such state.
    """
    if state is not None and state not in _STATES[what]:
        raise InputError(f"there is no state {state}; {what} are {', '.join(_STATES[what])}")
    chosen = {} if state is None else {"states": (state,)}
    found = app.store.breaks(**chosen) if what == "breaks" else app.store.matches(**chosen)
    found.sort(key=_ORDER[what])
    items = [_listed(what, row) for row in found]
    return Document(title=what, data={"items": items})


def _listed(what: str, row: Mapping[str, Any]) -> dict[str, Any]:
    values = as_json({name: row[name] for name in _LISTED[what]})
    return {name: ", ".join(value) if isinstance(value, list) else value for name, value in values.items()}


def story_document(app: Application, what: str, identifier: str) -> Document:
    """One break or match: what it is now, its rows, and how it came to be so.

    Raises:
        InputError: there is none with this id.
    """
    history = app.store.break_history(identifier) if what == "breaks" else app.store.match_history(identifier)
    if not history:
        raise InputError(
            f"there is no {what.rstrip('es')} {identifier}", hint=f"payhealth {what} list shows them"
        )
    now = as_json(history[-1])
    story = {name: value for name, value in now.items() if name not in _INTERNAL and value is not None}
    if len(history) > 1:
        story["history"] = [as_json({"at": row["recorded_at"], "state": row["state"]}) for row in history]
    return Document(title=f"{what} {identifier}", data={"story": story})


def write_html(app: Application, out: Path, run: RunReport | None = None) -> None:
    """Write the report page, whole or not at all.

    Args:
        run: the run to report; without, the store is matched and judged anew and nothing is kept.

    Raises:
        InputError: the file cannot be written.
    """
    now = app.clock.now()
    if run is not None:
        document, reconciled = run_document(run), run.reconcile
    else:
        reconciled = app.reconcile(keep=False)
        document = _joined(reconcile_document(reconciled), check_document(app.check(keep=False)))
    _write_whole(out, page(document, charts(app, reconciled, now), generated_at=now))


def _joined(left: Document, right: Document) -> Document:
    return Document(
        title="report",
        data={**left.data, **right.data},
        cases=(*left.cases, *right.cases),
        symbols=left.symbols,
    )


def _write_whole(out: Path, text: str) -> None:
    try:
        with NamedTemporaryFile("w", encoding="utf-8", dir=out.parent, delete=False) as file:
            file.write(text)
        Path(file.name).replace(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error


def charts(app: Application, report: ReconcileReport, now: datetime) -> list[Chart]:
    """The report's pictures."""
    drawn = [
        _payments_by_day(app, report),
        _failure_rate_by_day(app),
        _breaks_by_reason(report),
        _coverage(report.coverage, now),
    ]
    return [chart for chart in drawn if chart is not None]


def _day(moment: Any) -> str:
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%d}"
    return str(moment)[:10]


def _days(names: Iterable[str]) -> list[str]:
    return sorted(set(names))[-MAX_DAYS:]


def _payments_by_day(app: Application, report: ReconcileReport) -> Chart | None:
    """How many payments of each day are explained, in flight or broken."""
    from payhealth.domain.records import Movement

    fates = _fates(report)
    table = app.store.records(Movement).select(["movement_id", "effective_at"])
    counted: Counter[tuple[str, str]] = Counter()
    for identifier, moment in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if identifier in fates:
            counted[_day(moment), fates[identifier]] += 1
    days = _days(day for day, _ in counted)
    if not days:
        return None
    kinds = (("good", "matched"), ("open", "open"), ("bad", "in a break"))
    series = [
        Series(name=name, css=css, values=tuple(float(counted[day, css]) for day in days))
        for css, name in kinds
    ]
    return Chart(
        title="Payments by day, and what became of them",
        caption="Movements that expect an entry, by the day they happened.",
        svg=stacked_bars([day[5:] for day in days], series, label="payments by day"),
        legend=kinds,
    )


def _fates(report: ReconcileReport) -> dict[str, str]:
    fates = {}
    for css, lists in (("good", report.matches["movement_ids"]), ("bad", report.breaks["movement_ids"])):
        fates.update({identifier: css for ids in lists.to_pylist() for identifier in ids})
    for row in report.open.to_pylist():
        if row["side"] == "movement":
            fates.setdefault(row["id"], "open")
    return fates


def _failure_rate_by_day(app: Application) -> Chart | None:
    """Failed attempts in percent with the Wilson interval, by day."""
    attempts: Counter[tuple[str, str]] = Counter()
    for row in app.store.rows(_DAILY_ATTEMPTS):
        attempts[_day(row["created_at"]), row["status"]] += 1
    days = _days(day for day, _ in attempts)
    if not days:
        return None
    pairs = [(attempts[day, "failed"], attempts[day, "failed"] + attempts[day, "succeeded"]) for day in days]
    bounds = [wilson_interval(failed, total) for failed, total in pairs]
    band = Band(
        values=tuple(100 * failed / total for failed, total in pairs),
        lower=tuple(100 * lower for lower, _ in bounds),
        upper=tuple(100 * upper for _, upper in bounds),
    )
    return Chart(
        title="Failed card attempts by day",
        caption="Percent of attempts, with the 95 % Wilson interval: wide where there were few.",
        svg=line_with_band([day[5:] for day in days], band, label="failed attempts by day", unit=" %"),
    )


def _breaks_by_reason(report: ReconcileReport) -> Chart | None:
    """How many breaks there are of each reason, and how much is at risk."""
    counts: Counter[str] = Counter()
    sums: defaultdict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for row in report.breaks.to_pylist():
        counts[row["primary_reason"]] += 1
        sums[row["primary_reason"], row["asset"]].append(row["at_risk"])
    if not counts:
        return None
    rows = [
        (reason, float(count), f"{count}: {_at_risk(reason, sums, report.symbols)}")
        for reason, count in counts.most_common()
    ]
    return Chart(
        title="Breaks by reason",
        caption="How many, and what is at risk in them.",
        svg=horizontal_bars(rows, label="breaks by reason", css="bad"),
    )


def _at_risk(
    reason: str, sums: Mapping[tuple[str, str], Sequence[Decimal]], symbols: Mapping[str, str]
) -> str:
    amounts = sorted((asset, total(each)) for (owner, asset), each in sums.items() if owner == reason)
    return ", ".join(f"{plain(amount)} {symbols.get(asset, asset)}" for asset, amount in amounts)


def _coverage(states: Sequence[StreamState], now: datetime) -> Chart | None:
    """Which part of each stream was read; streams of blocks are drawn over their own range."""
    timed = [state for state in states if state.unit is CoverageUnit.TIME_US]
    if not states:
        return None
    end = to_us(now)
    start = min((_first_us(state) for state in timed), default=end - 1)
    rows = []
    for state in states:
        lower, upper = (start, end) if state.unit is CoverageUnit.TIME_US else _block_range(state)
        rows.append((f"{state.connector}.{state.stream}", _shares(state, lower, upper)))
    return Chart(
        title="What was read",
        caption="By stream; chains over their own blocks. Grey was not read.",
        svg=timeline(rows, label="coverage", start=iso(from_us(start))[:10], end=iso(now)[:10]),
    )


def _first_us(state: StreamState) -> int:
    """Where a timed stream begins: its start, or for one without any its first window's last day."""
    if state.required_lower > 0 or not state.covered:
        return state.required_lower
    return state.covered[-1][1] - 86_400_000_000


def _block_range(state: StreamState) -> tuple[int, int]:
    upper = max((window[1] for window in state.covered), default=state.required_lower + 1)
    return state.required_lower, max(upper, state.required_lower + 1)


def _shares(state: StreamState, lower: int, upper: int) -> list[tuple[float, float]]:
    span = max(1, upper - lower)
    return [
        (max(0.0, (first - lower) / span), min(1.0, (last - lower) / span))
        for first, last in state.covered
        if last > lower
    ]
