"""Stripe's Reporting API: a run is asked for, waited for, and its file read line by line as it comes.

It is a faster way to a long history than lists of a hundred lines a page. The data is prepared twice a day,
ends are exclusive, and what a report lacks is read otherwise (:mod:`report_rows`, :mod:`report_history`).

Source: https://docs.stripe.com/reports/api, https://docs.stripe.com/api/reporting/report_run
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import pyarrow.compute as pc

from payhealth.connectors.stripe.errors import NotPermittedError
from payhealth.connectors.stripe.http import Answer
from payhealth.connectors.stripe.payouts import Composition
from payhealth.connectors.stripe.report_rows import (
    ACTIVITY,
    PAYOUTS,
    PaidOut,
    Part,
    activity,
    blocks,
    paid_out,
)
from payhealth.connectors.stripe.translate import Rules
from payhealth.domain.errors import SourceDataError, SourceRefusedError, SourceUnavailableError
from payhealth.domain.money import total
from payhealth.domain.times import from_us

BALANCE_ACTIVITY = "balance_change_from_activity.itemized.3"
PAYOUT_RECONCILIATION = "payout_reconciliation.itemized.5"

_HINT = 'the next pull asks for it anew; history = "lists" does without reports'


class ReportClient(Protocol):
    """What is asked of Stripe here."""

    def post(self, path: str, form: Mapping[str, str | list[str]]) -> Any:
        """The body of the answer to a form that was posted."""

    def fetch(self, resource: str, object_id: str, *, expand: tuple[str, ...] = ()) -> Answer:
        """One object by its id."""

    def stream_lines(self, url: str) -> Iterator[bytes]:
        """The lines of a file as they arrive, without line ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How long a run is waited for, and its file read.

    Args:
        poll_s: after how long a run is first asked for; each wait is twice the one before ...
        poll_s_max: ... up to this.
        run_s_max: how long a run may take to be made.
        file_s_max: how long its file may take to arrive.
        sleep: waits so many seconds.
        monotonic: a clock in seconds that never goes back.
    """

    poll_s: float = 1.0
    poll_s_max: float = 30.0
    run_s_max: float = 3600.0
    file_s_max: float = 3600.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """For which stretch ``[from_s, to_s)`` of unix seconds a type of report has its data.

    ``to_s`` is also the report's clock: what it says is how things stood then.
    """

    from_s: int
    to_s: int

    def within(self, from_s: int, to_s: int) -> tuple[int, int] | None:
        """The part of a stretch for which there is data, None where there is none."""
        lower_s, upper_s = max(from_s, self.from_s), min(to_s, self.to_s)
        return (lower_s, upper_s) if lower_s < upper_s else None


def prepared(client: ReportClient, connector: str, report_type: str = BALANCE_ACTIVITY) -> Prepared:
    """For which stretch a type of report can be had.

    Raises:
        SourceError: Stripe does not say.
    """
    try:
        body = client.fetch("reporting/report_types", report_type).body
    except NotPermittedError as error:
        raise _refused(connector) from error
    bounds = [_whole(body, name) for name in ("data_available_start", "data_available_end")]
    if None in bounds:
        raise SourceDataError(f"{connector}: Stripe has no report {report_type}", hint=_HINT)
    return Prepared(from_s=bounds[0] or 0, to_s=bounds[1] or 0)


def history(
    client: ReportClient, rules: Rules, *, from_s: int, to_s: int, waiting: Waiting | None = None
) -> Iterator[Part]:
    """The balance transactions of ``[from_s, to_s)``, some thousand at a time, payouts left out.

    Args:
        from_s, to_s: unix seconds inside what :func:`prepared` says.

    Raises:
        SourceError: the run failed, took too long or broke off; what was yielded stays valid.
    """
    lines = _lines(client, rules, BALANCE_ACTIVITY, ACTIVITY, (from_s, to_s), waiting or Waiting())
    for block in blocks(lines, ACTIVITY, rules.connector):
        part = activity(block, rules.connector)
        _refuse_other_times(part, from_s, to_s, rules.connector)
        yield part


def payout_composition(
    client: ReportClient, rules: Rules, *, from_s: int, to_s: int, waiting: Waiting | None = None
) -> dict[str, Composition]:
    """What the automatic payouts that arrive in ``[from_s, to_s)`` are made of, by payout.

    One with a line that is not told plainly is left out: its list is to be read.

    Raises:
        SourceError: the run failed, took too long or broke off.
    """
    lines = _lines(client, rules, PAYOUT_RECONCILIATION, PAYOUTS, (from_s, to_s), waiting or Waiting())
    found: dict[str, list[PaidOut]] = {}
    for block in blocks(lines, PAYOUTS, rules.connector):
        for each in paid_out(block):
            found.setdefault(each.payout_id, []).append(each)
        if block.lost or "" in found:
            # It may belong to any payout, so that none of the sums is to be trusted.
            raise SourceDataError(f"{rules.connector}: a line of Stripe's report names no payout", hint=_HINT)
    return {
        payout: _composed(parts) for payout, parts in found.items() if all(p.net is not None for p in parts)
    }


def _composed(parts: Sequence[PaidOut]) -> Composition:
    nets: list[Decimal] = [part.net for part in parts]
    one_asset = len({part.asset for part in parts}) == 1
    return Composition(
        net=total(nets) if one_asset else None, transactions=sum(part.transactions for part in parts)
    )


def _refuse_other_times(part: Part, from_s: int, to_s: int, connector: str) -> None:
    """A report of another stretch, or one whose times are of another zone, is none of ours."""
    if not part.told.num_rows:
        return
    seen = pc.min_max(part.told["created_at"])
    lower, upper = from_us(from_s * 1_000_000), from_us(to_s * 1_000_000)
    if seen["min"].as_py() < lower or seen["max"].as_py() >= upper:
        raise SourceDataError(
            f"{connector}: Stripe's report holds another time than was asked for", hint=_HINT
        )


def _lines(
    client: ReportClient,
    rules: Rules,
    report_type: str,
    columns: Sequence[str],
    stretch: tuple[int, int],
    waiting: Waiting,
) -> Iterator[bytes]:
    """The lines of a new run's file, every byte of it."""
    run = _run(client, rules.connector, report_type, columns, stretch)
    file = _file(client, rules, run, waiting)
    yield from _whole_file(client.stream_lines(file["url"]), _whole(file, "size"), rules.connector, waiting)


def _run(
    client: ReportClient, connector: str, report_type: str, columns: Sequence[str], stretch: tuple[int, int]
) -> Mapping[str, Any]:
    """A new run; asking for one twice costs nothing but Stripe's time."""
    form: dict[str, str | list[str]] = {
        "report_type": report_type,
        "parameters[interval_start]": str(stretch[0]),
        "parameters[interval_end]": str(stretch[1]),
        "parameters[columns][]": list(columns),
    }
    try:
        return _object(client.post("/v1/reporting/report_runs", form), connector)
    except NotPermittedError as error:
        raise _refused(connector) from error


def _refused(connector: str) -> SourceRefusedError:
    return SourceRefusedError(
        f"{connector}: the key may not make reports (403)",
        hint='allow writing report runs and reading files for this key, or set history = "lists"',
    )


def _file(client: ReportClient, rules: Rules, run: Mapping[str, Any], waiting: Waiting) -> Mapping[str, Any]:
    """The file of a run, once there is one.

    Raises:
        SourceError: it failed, or took too long.
    """
    name, pause_s = rules.connector, waiting.poll_s
    deadline_s = waiting.monotonic() + waiting.run_s_max
    while run.get("status") == "pending":
        if waiting.monotonic() + pause_s > deadline_s:
            raise SourceUnavailableError(f"{name}: Stripe's report is not made in time", hint=_HINT)
        waiting.sleep(pause_s)
        pause_s = min(2 * pause_s, waiting.poll_s_max)
        run = _object(client.fetch("reporting/report_runs", str(run["id"])).body, name)
    live = run.get("livemode")
    if rules.live is not None and type(live) is bool and live is not rules.live:
        raise SourceDataError(f"{name}: Stripe's report is of the other mode")
    file = run.get("result")
    if run.get("status") != "succeeded" or type(file) is not dict or type(file.get("url")) is not str:
        # Stripe's own words are left out: they may repeat what stands in the account.
        raise SourceUnavailableError(f"{name}: Stripe could not make a report", hint=_HINT)
    return file


def _whole_file(
    lines: Iterable[bytes], size_bytes: int | None, connector: str, waiting: Waiting
) -> Iterator[bytes]:
    """The lines, if they come in time and are all that Stripe says there is."""
    deadline_s = waiting.monotonic() + waiting.file_s_max
    came = 0
    for line in lines:
        if waiting.monotonic() > deadline_s:
            raise SourceUnavailableError(f"{connector}: Stripe's report arrives too slowly", hint=_HINT)
        came += len(line) + 1
        yield line
    # The last line may have no end.
    if size_bytes is not None and size_bytes not in (came, came - 1):
        raise SourceUnavailableError(f"{connector}: Stripe's report broke off", hint=_HINT)


def _object(body: Any, connector: str) -> Mapping[str, Any]:
    if (
        type(body) is not dict
        or body.get("object") != "reporting.report_run"
        or type(body.get("id")) is not str
    ):
        raise SourceDataError(f"{connector}: the answer is no report run of Stripe's", hint="check api_base")
    return body


def _whole(body: Any, name: str) -> int | None:
    found = body.get(name) if type(body) is dict else None
    return found if type(found) is int else None
