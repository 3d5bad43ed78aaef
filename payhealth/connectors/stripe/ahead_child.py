"""The child that reads a long list ahead: started by :mod:`ahead`, spoken to over its standard streams."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import IO, Any

import orjson

from payhealth.connectors import frames
from payhealth.connectors.stripe.ahead import Step
from payhealth.connectors.stripe.lists import ListPull
from payhealth.connectors.stripe.reading import Reading, Seen
from payhealth.connectors.stripe.settings import StripeSettings
from payhealth.connectors.stripe.source import StripeSource
from payhealth.connectors.stripe.streams import STREAMS
from payhealth.domain import errors
from payhealth.domain.errors import SourceError
from payhealth.domain.times import parse_moment


def serve(asked: dict[str, Any], pipe: IO[bytes]) -> None:
    """Read what is asked for and hand it over step by step."""
    source = StripeSource(asked["name"], StripeSettings.model_validate(asked["settings"]))
    reading = source.reading
    reading.account_id = asked["account_id"]
    stream, now = STREAMS[asked["stream"]], parse_moment(asked["now"])
    try:
        for batch in ListPull(reading, stream, asked["cursor"], now, None).batches():
            frames.send(pipe, Step(batch=batch, seen=_taken(reading), unknown=Counter(reading.unknown)))
            reading.unknown.clear()
        frames.send(pipe, Step())
    except SourceError as error:
        # A subclass of ours is told by the class that callers know.
        known = next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
        frames.send(pipe, Step(failure=(known, error.message, error.hint)))
    finally:
        source.close()


def _taken(reading: Reading) -> tuple[Seen, ...]:
    found = tuple(each for stretches in reading.seen.values() for each in stretches)
    reading.seen.clear()
    return found


if __name__ == "__main__":
    # Pages are trees without cycles: collecting would only walk again and again through what is in use.
    gc.freeze()
    gc.set_threshold(500_000, 20, 100)
    # A parent that is gone closes the pipe: writing to it ends this process, and there is nothing to say.
    try:
        serve(orjson.loads(sys.stdin.buffer.readline()), sys.stdout.buffer)
    except (BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)
