"""What this machine can do at most: Postgres, sockets, HTTP and JSON by themselves, in the same run."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import orjson
from aiohttp import web

ROWS_BATCH = 500


async def postgres_rows_s(database_url: str, bodies: Sequence[bytes]) -> float:
    """Rows a second that Postgres takes by unnest in batches of ROWS_BATCH, one connection, same durability."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE UNLOGGED TABLE IF NOT EXISTS warm (n bigint)")
        await connection.execute("CREATE TABLE ceiling (n bigint PRIMARY KEY, digest bytea, body bytea)")
        started = time.perf_counter()
        for first in range(0, len(bodies), ROWS_BATCH):
            part = bodies[first : first + ROWS_BATCH]
            await connection.execute(
                "INSERT INTO ceiling SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])",
                list(range(first, first + len(part))),
                [bytes(32)] * len(part),
                part,
            )
        return len(bodies) / (time.perf_counter() - started)
    finally:
        await connection.execute("DROP TABLE IF EXISTS ceiling, warm")
        await connection.close()


def orjson_us(bodies: Sequence[bytes]) -> float:
    """Microseconds in which orjson alone decodes a report."""
    started = time.perf_counter()
    for body in bodies:
        orjson.loads(body)
    return 1e6 * (time.perf_counter() - started) / len(bodies)


def sends_s(sockets: int = 500, rounds: int = 100, size: int = 400) -> float:
    """Calls of `socket.send` a second to many sockets whose other ends a second process reads."""
    pairs = [socket.socketpair() for _ in range(sockets)]
    if (child := os.fork()) == 0:
        for near, far in pairs:
            near.close()
            far.setblocking(False)
        asyncio.run(_swallow([far for _, far in pairs]))
        os._exit(0)
    for _, far in pairs:
        far.close()
    data = bytes(size)
    started = time.perf_counter()
    for _ in range(rounds):
        for near, _ in pairs:
            near.send(data)
    rate = sockets * rounds / (time.perf_counter() - started)
    for near, _ in pairs:
        near.close()
    os.waitpid(child, 0)
    return rate


async def _swallow(sockets: Sequence[socket.socket]) -> None:
    loop = asyncio.get_running_loop()

    async def read(far: socket.socket) -> None:
        while await loop.sock_recv(far, 1 << 16):
            pass

    await asyncio.gather(*(read(far) for far in sockets))


@asynccontextmanager
async def bare_handler() -> AsyncIterator[str]:
    """An aiohttp handler that reads, parses and answers, and no more; in a process of its own. Gives its URL."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    if (child := os.fork()) == 0:
        _answer_for_ever(sock)
    port = sock.getsockname()[1]
    sock.close()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        os.kill(child, 9)
        await asyncio.to_thread(os.waitpid, child, 0)


def _answer_for_ever(sock: socket.socket) -> None:
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
