"""What ``doctor`` does: try everything that the configuration names, and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from payhealth import pipeline
from payhealth.bootstrap import Application
from payhealth.domain.coverage import HoleKind
from payhealth.domain.errors import PayhealthError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    subject: str
    ok: bool
    message: str
    hint: str = ""


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
        yield _tried(f"{source.name} ({source.kind})", source.verify, "answers, and is what it should be")
    if store.ok:
        _, holes = pipeline.coverage(app.store, sources)
        for hole in holes:
            unread = hole.kind is HoleKind.UNREAD
            hint = "run `payhealth pull`" if unread else ""
            subject = f"{hole.connector}.{hole.stream}"
            yield Finding(subject=subject, ok=unread, message=hole.reason, hint=hint)
    if store.ok and deep:
        differences = app.store.verify_projection()
        yield Finding(
            subject="history",
            ok=not differences,
            message="; ".join(
                f"{row['table']} {row['key']}: only in {row['only_in']}" for row in differences[:5]
            )
            or "the current rows are what the history says",
        )


def _tried(subject: str, attempt: Callable[[], object], good: str) -> Finding:
    try:
        attempt()
    except PayhealthError as error:
        return Finding(subject=subject, ok=False, message=error.message, hint=error.hint)
    return Finding(subject=subject, ok=True, message=good)
