"""Health checks on every port: whether the process is live, and whether its door is ready."""

from collections.abc import Callable

from aiohttp import web

from gateway.web.answers import json_response

_HEADERS = {"Cache-Control": "no-store"}


def add_health(
    application: web.Application, ready: Callable[[], bool], unusable: Callable[[], bool] = lambda: False
) -> None:
    """Add `/health/live` and `/health/ready`; `ready` returns whether all workers of the door are.

    `unusable` returns whether this one cannot become ready until somebody changes a setting.
    """

    async def live(_: web.Request) -> web.Response:
        return json_response({"status": "live"}, headers=_HEADERS)

    async def is_ready(_: web.Request) -> web.Response:
        if ready():
            return json_response({"status": "ready"}, headers=_HEADERS)
        status = "unusable" if unusable() else "not ready"
        return json_response({"status": status}, 503, headers=_HEADERS)

    application.router.add_get("/health/live", live)
    application.router.add_get("/health/ready", is_ready)
