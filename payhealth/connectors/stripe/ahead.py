"""A long list read by a process of its own, one step ahead of the one that writes what it brings.

Reading and translating cost as much as writing, and Python lets one thread compute at a time. The child is
started as a program, not forked: the parent may have threads, and its main module must not run twice. It
gets the configuration with secrets by reference, never by value, and ends when its parent does.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, cast

import orjson

from payhealth.connectors import frames
from payhealth.connectors.stripe.reading import Reading, Seen
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.domain import errors
from payhealth.domain.errors import SourceError, SourceUnavailableError
from payhealth.domain.times import iso
from payhealth.ports import Batch
from payhealth.secrets import Secret, is_found_again


class ChildEndedError(SourceUnavailableError):
    """The child ended without saying why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the child hands over: a batch and what was noticed with it, or why it could not go on."""

    batch: Batch | None = None
    seen: tuple[Seen, ...] = ()
    unknown: Counter[str] | None = None
    failure: tuple[str, str, str] | None = None


def is_possible(settings: StripeSettings) -> bool:
    """Whether another process can find the same secrets by their references."""
    needed = [settings.api_key, *([settings.hash_key] if settings.hash_key else [])]
    return all(is_found_again(secret) for secret in needed)


def batches(reading: Reading, stream: str, cursor: str | None, now: datetime) -> Iterator[Batch]:
    """What :class:`ListPull` would yield, read by a child.

    Raises:
        ChildEndedError: the child ended without a word, or could not be started.
        SourceError: as the child met it.
    """
    asked = {
        "name": reading.name,
        "account_id": reading.account_id,
        "settings": _by_reference(reading.settings),
        "stream": stream,
        "cursor": cursor,
        "now": iso(now),
    }
    with _child(reading.name) as (child, answers):
        _ask(child, asked, reading.name)
        for step in _steps(answers, reading.name):
            reading.unknown.update(step.unknown or {})
            reading.seen.setdefault(stream, []).extend(step.seen)
            if step.batch is not None:
                yield step.batch


@contextmanager
def _child(name: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """What to write to a child and read from it; the child is ended with the block, however that ends."""
    command = [sys.executable, "-m", "payhealth.connectors.stripe.ahead_child"]
    try:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
    except OSError as error:
        raise _ended(name) from error
    asks, answers = cast("IO[bytes]", child.stdin), cast("IO[bytes]", child.stdout)
    try:
        yield asks, answers
    finally:
        child.kill()
        child.wait()
        answers.close()
        # What a child that died early did not read is still in the buffer, and nobody will read it.
        with suppress(OSError):
            asks.close()


def _ask(pipe: IO[bytes], asked: dict[str, Any], name: str) -> None:
    try:
        pipe.write(orjson.dumps(asked) + b"\n")
        pipe.flush()
    except OSError as error:
        raise _ended(name) from error


def _ended(name: str) -> ChildEndedError:
    return ChildEndedError(
        f"{name}: the process that reads Stripe ended unexpectedly", hint="the next pull goes on from here"
    )


def _by_reference(settings: StripeSettings) -> dict[str, Any]:
    """The settings as a configuration would write them; webhooks' secrets are of no use to the child."""
    plain = settings.model_dump(exclude={"webhook_secrets", "start"})
    plain["start"] = iso(settings.start)
    return {name: each.reference if isinstance(each, Secret) else each for name, each in plain.items()}


def _steps(pipe: IO[bytes], name: str) -> Iterator[Step]:
    """The steps of a child until its last."""
    while True:
        try:
            step: Step = frames.receive(pipe)
        except EOFError:
            raise _ended(name) from None
        if step.failure is not None:
            raise _error(step.failure)
        yield step
        if step.batch is None:
            return


def _error(failure: tuple[str, str, str]) -> SourceError:
    kind, message, hint = failure
    found = getattr(errors, kind, SourceUnavailableError)
    error: SourceError = found(message, hint=hint)
    return error
