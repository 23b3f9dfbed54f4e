"""The routes of every port, read from the applications."""

import asyncio
import socket
from collections.abc import Iterator
from unittest import mock

from aiohttp import web

from gateway.clock import SYSTEM_CHANCE
from gateway.machine.admin_port import admin_port
from gateway.telemetry.metrics import PushMetrics
from gateway.web.push_door import PushDoor
from tests.feed.served import a_feed_door


def all_routes() -> Iterator[tuple[str, str, str]]:
    """Return port, method and path of each; the routes of the push door need only its methods and metrics."""
    push = PushDoor.__new__(PushDoor)
    push._metrics = PushMetrics()
    push._chance = SYSTEM_CHANCE
    applications = {
        "push": push.application(lambda: True),
        "feed": a_feed_door().application(lambda: True),
        "admin": _admin(),
    }
    for port, application in applications.items():
        for route in application.router.routes():
            assert route.resource is not None
            yield port, route.method, route.resource.canonical


def _admin() -> web.Application:
    """Return the application of the admin port, which is created when it is served."""
    made: list[web.Application] = []

    async def serve() -> None:
        async def metrics() -> str:
            return ""

        with socket.create_server(("127.0.0.1", 0)) as sock:
            runner = web.AppRunner
            with mock.patch.object(
                web, "AppRunner", lambda app, **options: made.append(app) or runner(app, **options)
            ):
                async with admin_port(sock, lambda: (True, {}), metrics):
                    pass

    asyncio.run(serve())
    return made[0]
