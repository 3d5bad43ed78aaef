"""A long backfill is fetched by a process of its own, so that reading and storing each have a processor.

Python lets one thread compute at a time, and taking logs apart costs half as much as storing them. The child
is started as a program, not forked: the parent may have threads, and its main module must not run twice. It
gets the configuration over a pipe, secrets by reference, and ends when its parent does.
"""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, cast

import orjson

from payhealth.connectors import frames
from payhealth.connectors.evm.reading.scan import Fetched
from payhealth.connectors.evm.settings import EvmSettings
from payhealth.secrets import Secret, is_found_again

READY = "ready"
LITERAL = "configuration"
"""The reference of a value that stands in the configuration itself."""


def is_possible(settings: EvmSettings) -> bool:
    """Whether another process can read for us: it finds the same secrets, and whole blocks are not read."""
    return not settings.native and all(
        secret.reference == LITERAL or is_found_again(secret) for secret in _secrets(settings)
    )


def _secrets(settings: EvmSettings) -> list[Secret]:
    return [*settings.rpc_urls, *([settings.xpub] if settings.xpub else [])]


class AheadProcess:
    """A child that fetches final stretches, from where it is told to, one after the other.

    Until it is ready it costs nothing but its start; whatever goes wrong with it ends it, and the caller
    reads on by itself.

    Args:
        derived: how many addresses of the extended public key are watched.
        planner: what providers accept, as it was learned so far.
    """

    def __init__(
        self, settings: EvmSettings, connector: str, *, derived: int, planner: Mapping[str, Any]
    ) -> None:
        self._asked = {
            "settings": _plain(settings),
            "connector": connector,
            "derived": derived,
            "planner": planner,
        }
        command = [sys.executable, "-m", "payhealth.connectors.evm.reading.ahead_child"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
        self._asks = cast("IO[bytes]", self._child.stdin)
        self._answers = cast("IO[bytes]", self._child.stdout)
        self._running = False

    def take_over(self, lower: int, last: int) -> bool:
        """Let it read from a block on, where it is ready; False where it is not (yet)."""
        if not select.select([self._answers], [], [], 0)[0]:
            return False
        try:
            if frames.receive(self._answers) != READY:
                return False
            self._asks.write(orjson.dumps({**self._asked, "lower": lower, "last": last}) + b"\n")
            self._asks.flush()
        except (EOFError, OSError):
            return False
        self._running = True
        return True

    @property
    def running(self) -> bool:
        """Whether it has taken over."""
        return self._running

    def take(self) -> Fetched | None:
        """The next stretch; None where it could not go on, whatever the reason."""
        try:
            found = frames.receive(self._answers)
        except (EOFError, OSError):
            found = None
        if not isinstance(found, Fetched):
            self._running = False
            return None
        return found

    def close(self) -> None:
        """End the child."""
        self._running = False
        self._child.kill()
        self._child.wait()
        self._answers.close()
        # What a child that died early did not read is still in the buffer, and nobody will read it.
        with suppress(OSError):
            self._asks.close()


def _plain(settings: EvmSettings) -> dict[str, Any]:
    """The settings as a configuration would write them."""
    return {
        name: _as_written(value)
        for name, value in settings.model_dump(exclude_none=True, mode="python").items()
    }


def _as_written(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal() if value.reference == LITERAL else value.reference
    if isinstance(value, dict):
        return {name: _as_written(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_written(one) for one in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
