"""Runs any ASGI app on the loopback interface, in a thread, for as long as a ``with`` block lasts."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

_HOST = "127.0.0.1"
_POLL_S = 0.005


class LoopbackServer:
    """An ASGI app served over HTTP on 127.0.0.1, on a port of the system's choice.

    Args:
        app: any ASGI application.
        port: a fixed port, or 0 (the default) for a free one.
        start_timeout_s: how long ``start`` waits until the app answers.
        stop_timeout_s: how long ``stop`` waits for open requests before it cuts them.

    Raises:
        RuntimeError: the server did not come up (or down) in time; the app's start-up may have failed.
    """

    def __init__(
        self, app: AsgiApp, *, port: int = 0, start_timeout_s: float = 10.0, stop_timeout_s: float = 5.0
    ) -> None:
        self._app = app
        self._wanted_port = port
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port being listened on."""
        if self._socket is None:
            msg = "the server is not running"
            raise RuntimeError(msg)
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The base address, such as ``http://127.0.0.1:40123``, without a slash at the end."""
        return f"http://{_HOST}:{self.port}"

    def start(self) -> Self:
        """Bind the port and serve in a thread; returns once requests are answered."""
        if self._thread is not None:
            msg = "the server is already running"
            raise RuntimeError(msg)
        # Bound here rather than by uvicorn: the port is known, and held, before the thread starts.
        # The protocol is named because asyncio switches Nagle's delay (40 ms a response) off only then.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((_HOST, self._wanted_port))
            self._socket.listen(128)
        except OSError:
            self._release()
            raise
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                log_level="warning",
                access_log=False,
                # An app that simulates another clock sends its own; two dates would contradict one another.
                date_header=False,
                timeout_graceful_shutdown=max(1, int(self._stop_timeout_s) - 1),
            )
        )
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            name=f"loopback-{self.port}",
            daemon=True,
        )
        self._thread.start()
        self._wait_until_started()
        return self

    def stop(self) -> None:
        """Stop serving and free the port; stopping a stopped server does nothing."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(self._stop_timeout_s)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(self._stop_timeout_s)
        still_running = self._thread.is_alive()
        self._release()
        if still_running:
            msg = "the loopback server did not stop in time"
            raise RuntimeError(msg)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _wait_until_started(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while self._server is not None and not self._server.started:
            dead = self._thread is None or not self._thread.is_alive()
            if dead or time.monotonic() > deadline:
                self.stop()
                self._release()
                msg = "the loopback server did not start"
                raise RuntimeError(msg)
            time.sleep(_POLL_S)

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._server = self._thread = None
