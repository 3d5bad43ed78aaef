"""The daemon's door: alive, ready, metrics, webhooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from payhealth.daemon.metrics import Metrics
from payhealth.plugins import AsgiApp, Receive, Scope, Send

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def build_app(
    metrics: Metrics,
    *,
    alive: Callable[[], bool],
    ready: Callable[[], bool],
    webhooks: Mapping[str, AsgiApp] | None = None,
) -> Starlette:
    """The ASGI application.

    Args:
        alive: whether the scheduler still runs.
        ready: whether the store can be reached; asked in a worker thread.
        webhooks: connector -> what takes its vendor's deliveries.
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
            Route("/webhooks/{connector}", _Webhooks(webhooks or {})),
        ]
    )


class _Webhooks:
    """Hands a request to its connector's application; an unknown name is told as any unknown page."""

    def __init__(self, apps: Mapping[str, AsgiApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        nowhere = PlainTextResponse("Not Found", status_code=404)
        await self._apps.get(scope["path_params"]["connector"], nowhere)(scope, receive, send)


def _status(good: bool) -> Response:
    return JSONResponse({"status": "ok" if good else "unavailable"}, status_code=200 if good else 503)
