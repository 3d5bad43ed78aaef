"""Printing a document in the format that was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from payhealth.report.documents import Document

if TYPE_CHECKING:
    from rich.console import Console


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


def _untold(connector: str, stream: str, objects: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def progress() -> Iterator[Callable[[str, str, int], None]]:
    """A line of progress on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield _untold
        return
    from rich.console import Console

    from payhealth.report.escape import terminal

    with Console(stderr=True).status("reading…") as status:

        def tell(connector: str, stream: str, objects: int) -> None:
            status.update(f"reading {terminal(connector)}.{terminal(stream)}: {objects} objects")

        yield tell
