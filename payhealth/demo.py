"""``payhealth demo``: a simulated business with planted faults, read over HTTP like any other."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from payhealth.domain.errors import ConfigurationError
from payhealth.domain.money import plain

if TYPE_CHECKING:
    from rich.console import Console

    from payhealth.outcomes import RunReport
    from payhealth.sandbox.business.world import World

_CONFIG = """\
# Written by `payhealth demo`: a simulated business on loopback.
[store]
url = "sqlite:///{folder}/payhealth.db"

[connectors.cards]
kind = "stripe"
api_key = "file:{folder}/stripe_api_key"
api_base = "{stripe_url}"
start = {start}
rate_limit_per_s = 5000
per_endpoint_rate_limit_per_s = 5000

[connectors.chain]
kind = "evm"
chain_id = {chain_id}
rpc_urls = ["{rpc_url}"]
addresses = [{addresses}]
operators = [{operators}]
assets = ["USDX", "native"]
tokens = [{{ address = "{token}", symbol = "USDX", decimals = {decimals}, peg = "USD" }}]
finality = {{ depth = {depth} }}

[connectors.credits]
kind = "ledger.sql"
url = "{ledger_url}"
query = "select id, account, reference, amount, asset, occurred_at, kind, recorded_at from credit_entries"
kinds = {{ topup = "purchase", clawback = "reversal", promo = "grant", spend = "usage" }}

[attribution]
url = "{ledger_url}"
query = "select handle, account, valid_from, valid_to from payment_handles"

[policy.coin]
when = {{ asset = "eip155:{chain_id}/slip44:60" }}

[policy.default]
asset = "USD"
"""


BEFORE_REORG = timedelta(minutes=60)
"""How long before its end the business is judged for the first time."""


class PhaseClock:
    """A clock that was set to a moment of the simulated business and goes on from there."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment
        self._started_s = time.monotonic()

    def now(self) -> datetime:
        """The moment, and the time since the clock was set."""
        return self._moment + timedelta(seconds=time.monotonic() - self._started_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One line of planted against found; ``found`` is empty where nothing was."""

    planted: str
    reason: str
    expected: str
    found: str
    agrees: bool


def run_demo(*, seed: int | None, days: int, end: str | None, folder: Path | None) -> int:
    """Simulate, reconcile twice, compare with what was planted, leave a report.

    Args:
        seed: which business; a fresh one without.
        days: how many days it lives.
        end: the day (ISO 8601) at whose midnight, UTC, it ends and is judged; today without. The same
            seed, days and end give the same business.
        folder: where store, configuration and report are left; a new temporary one without.

    Returns:
        0 when what was found is exactly what was planted, else 1.
    """
    from payhealth.report.show import console

    chosen = seed if seed is not None else random.SystemRandom().randrange(1, 10**6)
    last = _midnight(end)
    place = _place(folder)
    out = console()
    out.print(
        f"[bold]payhealth demo[/bold] --seed {chosen} --days {days} --end {last:%Y-%m-%d}: "
        "a credits business, simulated, on loopback"
    )
    with _world(chosen, days, last, place) as world:
        config = write_config(world, place)
        out.print("living through the days before the reorg …")
        world.run_until_before_reorg()
        before = _run(config, PhaseClock(last - BEFORE_REORG))
        out.print(
            f"first run, before a deposit is lost to a reorg: {before.reconcile.breaks.num_rows} breaks"
        )
        world.run_to_end()
        after = _run(config, PhaseClock(last), html=place / "report.html")
        compared = compare(world.truth, after)
        _show(after, compared, out)
    out.print(f"report: {place / 'report.html'}   configuration: {config}", soft_wrap=True)
    return 0 if all(line.agrees for line in compared) else 1


def _place(folder: Path | None) -> Path:
    place = folder or Path(mkdtemp(prefix="payhealth-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    if (place / "payhealth.db").exists():
        raise ConfigurationError(f"{place} holds an earlier demo's store", hint="name a new folder")
    return place.resolve()


def _midnight(day: str | None) -> datetime:
    try:
        chosen = date.fromisoformat(day) if day is not None else datetime.now(UTC).date()
    except ValueError:
        raise ConfigurationError(f"--end must be a day such as 2026-11-23, not {day}") from None
    return datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)


def _world(seed: int, days: int, end: datetime, folder: Path) -> World:
    try:
        from payhealth.sandbox.business.world import World
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs the package {error.name}", hint="pip install 'payhealth[demo]'"
        ) from error
    return World(seed=seed, days=days, end=end, folder=folder)


def write_config(world: World, folder: Path) -> Path:
    """Write the configuration that points payhealth at the simulated world."""
    key = folder / "stripe_api_key"
    key.touch(mode=0o600)
    key.write_text(world.stripe_api_key, encoding="utf-8")
    config = folder / "payhealth.toml"
    config.write_text(
        _CONFIG.format(
            folder=folder.as_posix(),
            stripe_url=world.stripe_url,
            start=world.start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            chain_id=world.chain_id,
            rpc_url=world.rpc_url,
            addresses=_quoted([*world.deposit_addresses, world.treasury_address]),
            operators=_quoted(world.operator_addresses),
            token=world.token_address,
            decimals=world.token_decimals,
            depth=world.finality_depth,
            ledger_url=world.ledger_url,
        ),
        encoding="utf-8",
    )
    return config


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


def _run(config: Path, clock: PhaseClock, *, html: Path | None = None) -> RunReport:
    """What ``payhealth run`` does, on its own connections, at a moment of the simulated business."""
    from payhealth.bootstrap import application
    from payhealth.reporting import write_html

    app = application(config, clock=clock)
    try:
        done = app.run()
        if html is not None:
            write_html(app, html, done)
        return done
    finally:
        app.close()


def compare(truth: Any, run: RunReport) -> list[Comparison]:
    """Planted against found, both ways: what was not found, and what nobody planted."""
    left = {row["break_id"]: row for row in run.reconcile.breaks.to_pylist()}
    lines = [_compare_fault(fault, left) for fault in truth.faults]
    lines += [_compare_check(planted, run) for planted in truth.checks]
    lines += [
        Comparison(
            planted="nothing",
            reason="",
            expected="",
            found=f"{row['primary_reason']} {plain(row['amount'])} ({row['explanation']})",
            agrees=False,
        )
        for row in left.values()
    ]
    lines += [
        Comparison(
            planted="nothing", reason="", expected="", found=f"{hole.stream}: {hole.reason}", agrees=False
        )
        for hole in run.reconcile.holes
    ]
    return lines


def _compare_fault(fault: Any, left: dict[str, dict[str, Any]]) -> Comparison:
    """Find the break that holds a fault's rows, and take it out of what is left."""
    found = [row for row in left.values() if set(fault.ids) & {*row["movement_ids"], *row["entry_ids"]}]
    for row in found:
        del left[row["break_id"]]
    agrees = len(found) == 1 and _same(fault, found[0])
    said = "; ".join(f"{row['primary_reason']} {plain(row['amount'])}" for row in found)
    return Comparison(
        planted=fault.fault,
        reason=fault.reason,
        expected=plain(Decimal(fault.amount)),
        found=said,
        agrees=agrees,
    )


def _same(fault: Any, row: Mapping[str, Any]) -> bool:
    found = (row["primary_reason"], row["amount"], row["at_risk"], row["asset"])
    return found == (fault.reason, Decimal(fault.amount), Decimal(fault.at_risk), fault.asset)


def _compare_check(planted: Any, run: RunReport) -> Comparison:
    results = [result for result in run.checks if result.check == planted.check]
    said = "; ".join(f"{result.outcome}: {result.message}" for result in results)
    return Comparison(
        planted=f"{planted.failed} of {planted.attempts} attempts failed in a burst",
        reason=planted.check,
        expected="fail",
        found=said,
        agrees=[str(result.outcome) for result in results] == ["fail"],
    )


def _show(run: RunReport, compared: Sequence[Comparison], out: Console) -> None:
    from rich import box
    from rich.table import Table

    from payhealth.report import run_document
    from payhealth.report.escape import terminal
    from payhealth.report.text import render

    render(run_document(run), out)
    table = Table(
        title="Planted and found",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    for name, justify in (
        ("", "left"),
        ("planted", "left"),
        ("to be found as", "left"),
        ("amount", "right"),
        ("found", "left"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for line in compared:
        mark = "[green]=[/green]" if line.agrees else "[red]≠[/red]"
        cells = (line.planted, line.reason, line.expected, line.found or "nothing")
        table.add_row(mark, *(terminal(cell) for cell in cells))
    out.print(table)
    wrong = sum(not line.agrees for line in compared)
    if wrong:
        out.print(
            f"[bold red]{wrong} of {len(compared)} do not agree: this is a fault of payhealth.[/bold red]"
        )
    else:
        out.print(
            f"[bold green]All {len(compared)} planted faults were found, and nothing else.[/bold green]"
        )
