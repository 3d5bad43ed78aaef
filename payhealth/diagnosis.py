"""What ``doctor`` does: try everything that the configuration names, and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from payhealth import pipeline
from payhealth.bootstrap import Application
from payhealth.domain.coverage import HoleKind
from payhealth.domain.errors import PayhealthError
from payhealth.ports import DiagnosedSource, Level, Source, StoreReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    subject: str
    level: Level
    message: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether it may stay as it is; a warning may."""
        return self.level is not Level.FAIL


def diagnose(app: Application, *, deep: bool) -> tuple[Finding, ...]:
    """Try configuration, store and every source; a stream that nobody pulled yet is said, not blamed.

    Args:
        deep: also compare the store's current rows with its history.
    """
    return tuple(_findings(app, deep=deep))


def _findings(app: Application, *, deep: bool) -> Iterator[Finding]:
    yield _tried("configuration", app.validate, "every key is known, every secret is there")
    store = _tried("store", lambda: app.store, "reachable, and of this version")
    yield store
    try:
        sources = app.sources
    except PayhealthError:
        return
    for source in sources:
        yield from _source(source, app.store if store.ok else None)
    if store.ok:
        _, holes = pipeline.coverage(app.store, sources)
        for hole in holes:
            unread = hole.kind is HoleKind.UNREAD
            hint = "run `payhealth pull`" if unread else ""
            subject = f"{hole.connector}.{hole.stream}"
            level = Level.OK if unread else Level.FAIL
            yield Finding(subject=subject, level=level, message=hole.reason, hint=hint)
    if store.ok and deep:
        differences = app.store.verify_projection()
        yield Finding(
            subject="history",
            level=Level.FAIL if differences else Level.OK,
            message="; ".join(
                f"{row['table']} {row['key']}: only in {row['only_in']}" for row in differences[:5]
            )
            or "the current rows are what the history says",
        )


def _source(source: Source, reader: StoreReader | None) -> Iterator[Finding]:
    """A source that can tell all that is wrong with it is asked for all, any other for the first."""
    subject, good = f"{source.name} ({source.kind})", "answers, and is what it should be"
    if not isinstance(source, DiagnosedSource):
        yield _tried(subject, source.verify, good)
        return
    try:
        advice = source.diagnose(reader)
    except PayhealthError as error:
        yield Finding(subject=subject, level=Level.FAIL, message=error.message, hint=error.hint)
        return
    if not any(each.level is Level.FAIL for each in advice):
        yield Finding(subject=subject, level=Level.OK, message=good)
    for each in advice:
        yield Finding(subject=subject, level=each.level, message=each.message, hint=each.hint)


def _tried(subject: str, attempt: Callable[[], object], good: str) -> Finding:
    try:
        attempt()
    except PayhealthError as error:
        return Finding(subject=subject, level=Level.FAIL, message=error.message, hint=error.hint)
    return Finding(subject=subject, level=Level.OK, message=good)
