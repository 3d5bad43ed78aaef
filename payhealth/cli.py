"""The command line: reads arguments, calls a use case, prints a report, returns an exit code.

Heavy modules are imported inside the commands, so that ``--help`` stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from payhealth.bootstrap import Application
    from payhealth.outcomes import RunReport

app = typer.Typer(
    name="payhealth",
    help="Did every payment become the right credit, and was every credit paid for?",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
breaks_app = typer.Typer(help="What does not add up.", no_args_is_help=True, rich_markup_mode=None)
matches_app = typer.Typer(help="What was matched, and why.", no_args_is_help=True, rich_markup_mode=None)
db_app = typer.Typer(help="payhealth's own database.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(breaks_app, name="breaks")
app.add_typer(matches_app, name="matches")
app.add_typer(db_app, name="db")


class Format(StrEnum):
    """How a result is printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"
    GITHUB = "github"


class FailOn(StrEnum):
    """From which severity on the exit code tells."""

    FAIL = "fail"
    WARN = "warn"


@dataclass
class Globals:
    """What was given before the command."""

    config: Path | None = None
    exit_code: int = 0


STATE = Globals()

FormatOption = Annotated[Format, typer.Option("--format", help="How the result is printed.")]
AsOfOption = Annotated[
    str | None, typer.Option("--as-of", metavar="MOMENT", help="Judge at this moment (ISO 8601 with zone).")
]
FailOnOption = Annotated[FailOn, typer.Option(help="With `warn`, exit 2 where something only warned.")]
RequireDataOption = Annotated[bool, typer.Option("--require-data", help="Exit 3 where a check had no data.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"payhealth {version('payhealth')}")
        raise typer.Exit


@app.callback()
def _globals(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="PATH", help="The configuration file.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,  # noqa: ARG001 - read in __main__
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    STATE.config = config


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; usage errors are payhealth errors."""
    from payhealth.domain.errors import ConfigurationError

    STATE.config, STATE.exit_code = None, 0
    moved = [argument for argument in arguments if argument != "--debug"]
    try:
        typer.main.get_command(app).main(moved, prog_name="payhealth", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            return 3
        message = error.format_message()
        raise ConfigurationError(message, hint="payhealth --help lists the commands") from None
    return STATE.exit_code


def _with_application(use: Callable[[Application], int], *, validate: bool = True) -> None:
    """Open what the configuration describes, use it, close it, keep the exit code.

    Args:
        validate: refuse a wrong configuration before anything, a store included, is made.
    """
    from payhealth.bootstrap import application

    opened = application(STATE.config)
    try:
        if validate:
            opened.validate()
        STATE.exit_code = use(opened)
    finally:
        opened.close()


def _moment(text: str | None) -> datetime | None:
    from payhealth.domain.times import parse_moment

    return parse_moment(text) if text is not None else None


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write the configuration.")] = Path("payhealth.toml"),
) -> None:
    """Write a configuration to start from."""
    from importlib.resources import files

    from payhealth.domain.errors import ConfigurationError

    template = files("payhealth").joinpath("templates/payhealth.toml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template)
    except FileExistsError:
        raise ConfigurationError(f"{path} exists already", hint="name another file") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(f"wrote {path}: fill in the connectors, then run `payhealth doctor`")


@app.command()
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare the store's projection with its history.")
    ] = False,
) -> None:
    """Try everything that the configuration names."""
    from payhealth.report import text

    def use(opened: Application) -> int:
        from payhealth.diagnosis import diagnose

        findings = diagnose(opened, deep=deep)
        text.print_findings(findings)
        return 3 if any(not finding.ok for finding in findings) else 0

    _with_application(use, validate=False)


@app.command()
def pull(form: FormatOption = Format.TEXT) -> None:
    """Read every source to now into the store."""
    from payhealth import report

    def use(opened: Application) -> int:
        with report.progress() as progress:
            pulled = opened.pull(progress=progress)
        report.show(form, report.pull_document(pulled))
        return pulled.exit_code()

    _with_application(use)


@app.command()
def reconcile(
    payments: Annotated[
        Path | None, typer.Option(help="A file of payments: CSV, Parquet or JSON Lines.")
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="A file of ledger entries, likewise.")] = None,
    rules: Annotated[Path | None, typer.Option(help="A TOML file with [[rules]] and [policy.*].")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for the result's files.")] = None,
    as_of: AsOfOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Match payments with credits, from two files or from the store."""
    from payhealth import report
    from payhealth.domain.errors import ConfigurationError

    if payments is None and ledger is None:
        if rules is not None:
            raise ConfigurationError("--rules goes with files; the store's rules are in the configuration")
        _with_application(lambda opened: _reconcile_store(opened, _moment(as_of), out, form))
        return
    if payments is None or ledger is None:
        raise ConfigurationError("give both --payments and --ledger, or neither to use the store")
    from payhealth.files import reconcile_files

    result = reconcile_files(payments, ledger, rules=rules, as_of=_moment(as_of), out=out)
    report.show(form, report.reconcile_document(result))
    STATE.exit_code = result.exit_code()


def _reconcile_store(opened: Application, as_of: datetime | None, out: Path | None, form: Format) -> int:
    from payhealth import report

    result = opened.reconcile(as_of=as_of)
    if out is not None:
        from payhealth.files import write

        write(out, result)
    report.show(form, report.reconcile_document(result))
    return result.exit_code()


@app.command()
def check(
    select: Annotated[list[str] | None, typer.Option(help="Only checks of this name or tag.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No checks of this name or tag.")] = None,
    fail_on: FailOnOption = FailOn.FAIL,
    require_data: RequireDataOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Judge what the store holds, by the checks and their thresholds."""
    from payhealth import report
    from payhealth.domain.results import exit_code

    def use(opened: Application) -> int:
        results = opened.check(select=tuple(select or ()), exclude=tuple(exclude or ()))
        report.show(form, report.check_document(results))
        return exit_code(
            (result.outcome for result in results),
            fail_on_warn=fail_on is FailOn.WARN,
            require_data=require_data,
        )

    _with_application(use)


@app.command()
def run(
    fail_on: FailOnOption = FailOn.FAIL,
    require_data: RequireDataOption = False,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file too.")] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Pull, reconcile and check."""
    from payhealth import report

    def use(opened: Application) -> int:
        with report.progress() as progress:
            done = opened.run(progress=progress)
        report.show(form, report.run_document(done))
        if html is not None:
            _write_report(opened, html, done)
        return done.exit_code(fail_on_warn=fail_on is FailOn.WARN, require_data=require_data)

    _with_application(use)


@app.command(name="report")
def report_command(
    out: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("report.html"),
) -> None:
    """Write statement, breaks and checks as one HTML page."""

    def use(opened: Application) -> int:
        _write_report(opened, out)
        return 0

    _with_application(use)


def _write_report(opened: Application, out: Path, done: RunReport | None = None) -> None:
    from payhealth.reporting import write_html

    write_html(opened, out, done)
    typer.echo(f"wrote {out}", err=True)


@app.command()
def daemon() -> None:
    """Pull, reconcile and check on a schedule."""

    def use(opened: Application) -> int:
        from payhealth.daemon.service import serve

        return serve(opened)

    _with_application(use)


@app.command()
def demo(
    seed: Annotated[int | None, typer.Option(help="Which simulated business; random without.")] = None,
    days: Annotated[int, typer.Option(min=7, max=60, help="How many days it lives.")] = 14,
    end: Annotated[
        str | None, typer.Option(metavar="DATE", help="The day it ends, to live a seed again; today without.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where to leave the store, configuration and report.")
    ] = None,
) -> None:
    """Find the faults planted in a simulated business."""
    from payhealth.demo import run_demo

    STATE.exit_code = run_demo(seed=seed, days=days, end=end, folder=folder)


@breaks_app.command("list")
def breaks_list(
    state: Annotated[
        str | None, typer.Option(help="open, acknowledged, reopened or resolved; all unresolved without.")
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List breaks, what is most at risk first."""
    _list("breaks", state, form)


@breaks_app.command("show")
def breaks_show(
    break_id: Annotated[str, typer.Argument(help="As `breaks list` shows it.")],
    form: FormatOption = Format.TEXT,
) -> None:
    """Show one break: its rows, legs, explanation and history."""
    _show("breaks", break_id, form)


@matches_app.command("list")
def matches_list(
    state: Annotated[
        str | None, typer.Option(help="confirmed, proposed, rejected, revoked or superseded.")
    ] = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """List matches, the oldest first."""
    _list("matches", state, form)


@matches_app.command("show")
def matches_show(
    match_id: Annotated[str, typer.Argument(help="As `matches list` shows it.")],
    form: FormatOption = Format.TEXT,
) -> None:
    """Show one match: its rows, rule, reasons and history."""
    _show("matches", match_id, form)


def _list(what: str, state: str | None, form: Format) -> None:
    from payhealth import report, reporting

    def use(opened: Application) -> int:
        report.show(form, reporting.list_document(opened, what, state))
        return 0

    _with_application(use)


def _show(what: str, identifier: str, form: Format) -> None:
    from payhealth import report, reporting

    def use(opened: Application) -> int:
        report.show(form, reporting.story_document(opened, what, identifier))
        return 0

    _with_application(use)


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the store to this version of payhealth."""
    from payhealth import settings
    from payhealth.store import upgrade

    loaded = settings.load(STATE.config)
    typer.echo(upgrade(loaded.store.url.reveal()))
