"""Ceilings of this machine: JSON alone, and HTTP with a bare handler in a separate process."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from aiohttp import web


def orjson_us(bodies: Sequence[bytes]) -> float:
    """Return the time in µs in which orjson alone decodes a report."""
    started = time.perf_counter()
    for body in bodies:
        orjson.loads(body)
    return 1e6 * (time.perf_counter() - started) / len(bodies)


@asynccontextmanager
async def bare_handler() -> AsyncIterator[str]:
    """Run an aiohttp handler that only reads, parses and answers, in a separate process; yield its URL."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    if (child := os.fork()) == 0:
        _serve_forever(sock)
    port = sock.getsockname()[1]
    sock.close()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        os.kill(child, 9)
        await asyncio.to_thread(os.waitpid, child, 0)


def _serve_forever(sock: socket.socket) -> None:
    import uvloop

    async def answer(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        return web.Response(body=b'{"outcome":"accepted"}', status=201, content_type="application/json")

    async def serve() -> None:
        application = web.Application()
        application.router.add_post("/", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.SockSite(runner, sock).start()
        await asyncio.Event().wait()

    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve())
