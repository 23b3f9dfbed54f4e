"""The admin port: health and metrics of the whole machine, for its operators.

Each request collects the state of all processes; the port keeps answering while they drain. Independent of how
processes are supervised: health and metrics are passed in as callables.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from gateway.web.aiohttp_problems import AdminHandler
from gateway.web.middleware import add_security_headers, problem_documents, refuse_bodies

_requests = logging.getLogger("gateway.requests")


@asynccontextmanager
async def admin_port(
    sock: socket.socket,
    health: Callable[[], tuple[bool, dict[str, Any]]],
    metrics: Callable[[], Awaitable[str]],
) -> AsyncIterator[None]:
    """Serve `/health/live`, `/health/ready` and `/metrics` on a bound socket until the block is left.

    `health` returns whether the machine is ready, and the document that describes its state.
    """

    async def live(_: web.Request) -> web.Response:
        return _json({"status": "live"})

    async def ready(_: web.Request) -> web.Response:
        is_ready, document = health()
        return _json(document, 200 if is_ready else 503)

    async def metrics_text(_: web.Request) -> web.Response:
        text = await metrics()
        return web.Response(
            body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    app = web.Application(middlewares=[problem_documents(lambda _: None), refuse_bodies])
    app.on_response_prepare.append(add_security_headers)
    app.add_routes(
        [web.get("/health/live", live), web.get("/health/ready", ready), web.get("/metrics", metrics_text)]
    )
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    make = partial(
        AdminHandler, runner.server, loop=loop, access_log=None, logger=_requests, auto_decompress=False
    )
    try:
        server = await loop.create_server(make, sock=sock)
        try:
            yield
        finally:
            server.close()  # also when cancelled: a loop with an open server does not close
    finally:
        await runner.cleanup()


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
