"""The daemon's door: alive, ready, metrics."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from payhealth.daemon.metrics import Metrics

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def build_app(metrics: Metrics, *, alive: Callable[[], bool], ready: Callable[[], bool]) -> Starlette:
    """The ASGI application.

    Args:
        alive: whether the scheduler still runs.
        ready: whether the store can be reached; asked in a worker thread.
    """

    async def healthz(_: Request) -> Response:
        return _status(alive())

    def readyz(_: Request) -> Response:
        return _status(ready())

    async def expose(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=EXPOSITION)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", expose),
        ]
    )


def _status(good: bool) -> Response:
    return JSONResponse({"status": "ok" if good else "unavailable"}, status_code=200 if good else 503)
