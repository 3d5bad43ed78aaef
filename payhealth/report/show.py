"""Printing a document in the format that was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from payhealth.report.documents import Document

if TYPE_CHECKING:
    from rich.console import Console

    from payhealth.outcomes import PullProgress


def show(form: str, document: Document) -> None:
    """Print a document to standard output.

    Args:
        form: text, json, junit, markdown or github.
        document: what to print.
    """
    if form == "text":
        from payhealth.report.text import render

        render(document, console())
        return
    from payhealth.report import machine

    sys.stdout.write(machine.FORMATS[form](document))


def console() -> Console:
    """A console that uses colour on a terminal alone and never guesses at markup or emoji."""
    from rich.console import Console

    plain_width = None if sys.stdout.isatty() else 120
    return Console(highlight=False, emoji=False, width=plain_width, soft_wrap=False)


def _untold(progress: PullProgress) -> None:
    """Progress that nobody watches."""


@contextmanager
def progress() -> Iterator[Callable[[PullProgress], None]]:
    """A line of progress on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield _untold
        return
    from rich.console import Console

    from payhealth.report.escape import terminal

    with Console(stderr=True).status("reading…") as status:

        def tell(progress: PullProgress) -> None:
            status.update(terminal(progress_line(progress)))

        yield tell


def progress_line(progress: PullProgress) -> str:
    """How far a pull has come: windows, objects, rate and, where the length is known, the time left."""
    part, seconds = progress.part, progress.seconds
    words = [part.detail or f"{part.windows:,} windows"] if part else []
    words.append(f"{progress.objects:,} objects")
    if seconds >= 1:
        words.append(f"{progress.objects / seconds:,.0f}/s")
    if part and seconds >= 1 and 0 < part.done < part.total:
        left = timedelta(seconds=round(seconds * (part.total - part.done) / part.done))
        words.append(f"{left} left")
    return f"reading {progress.connector}.{progress.stream}: {', '.join(words)}"
