"""Push doors for tests of publishers, in the process of the test."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSMsgType, web

from gateway.wire.session import SUBPROTOCOL


@asynccontextmanager
async def a_door(*routes: web.RouteDef, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve routes on a port of their own; yield the URL."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


async def accepting(request: web.Request, most: int | None = None) -> web.WebSocketResponse:
    """Accept every report over a WebSocket, or the first ones until it is closed."""
    socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,))
    await socket.prepare(request)
    await socket.send_json({"type": "hello", "credit": 8})
    answered = 0
    while answered != most and (message := await socket.receive()).type is WSMsgType.TEXT:
        result = {"id": message.json()["id"], "outcome": "accepted"}
        await socket.send_json({"type": "results", "credit": 8, "results": [result]})
        answered += 1
    return socket
