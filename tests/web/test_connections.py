"""Clients that do not read their answers are disconnected, and delay nothing until then."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.config import Config
from gateway.telemetry.metrics import DoorMetrics
from gateway.web import aiohttp_connection, send_buffers
from gateway.web.accepting import accepting
from gateway.web.aiohttp_connection import deliver, door_handlers
from gateway.web.connections import Connections
from tests.web.doors import TIMEOUT_S, open_connection, until

LARGE = bytes(16 << 20)
"""More than a kernel keeps for a connection."""
REQUEST = b"GET %s HTTP/1.1\r\nHost: door\r\n\r\n"


class Server:
    """A server of large answers that counts the requests in progress."""

    def __init__(self, url: str, connections: Connections) -> None:
        self.url = url
        self.connections = connections
        self.under_way = 0

    async def get_later(self, _: web.Request) -> web.Response:
        """Let aiohttp write the answer."""
        return web.Response(body=LARGE)

    async def get_now(self, request: web.Request) -> web.StreamResponse:
        """Count the request until its answer is read."""
        self.under_way += 1
        try:
            return await deliver(request, web.Response(body=LARGE))
        finally:
            self.under_way -= 1

    async def ask(self, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request and read nothing of the answer."""
        reader, writer = await open_connection(self.url, 4096)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(REQUEST % path)
        return reader, writer

    async def is_left(self) -> bool:
        return not len(self.connections)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that answers in two ways, at `/later` and `/now`."""
    connections = Connections(Config(), DoorMetrics())
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}", connections)
    application = web.Application()
    application.router.add_get("/later", server.get_later)
    application.router.add_get("/now", server.get_now)
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    make = door_handlers(connections, runner.server)
    sweeping = asyncio.create_task(connections.run())
    async with accepting(listener, connections, make):
        yield server
        sweeping.cancel()
        await runner.cleanup()


@pytest.mark.parametrize("path", [b"/later", b"/now"])
async def test_a_client_that_does_not_read_its_answer_is_disconnected(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    """After the time that its size allows; then nothing is buffered or counted any more."""
    monkeypatch.setattr(aiohttp_connection, "SEND_TIMEOUT_S", 0.05)
    monkeypatch.setattr(aiohttp_connection, "SEND_RATE", 1 << 30)
    _, writer = await server.ask(path)
    await until(lambda: _has(server, 1))
    await until(server.is_left)
    await until(lambda: _idle(server))
    writer.transport.abort()


@pytest.mark.parametrize("path", [b"/later", b"/now"])
async def test_a_client_that_reads_nothing_is_disconnected_early(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    """Its unsent bytes do not change between two measurements."""
    monkeypatch.setattr(send_buffers, "STALLED_S", 0.5)
    _, writer = await server.ask(path)
    await until(lambda: _has(server, 1))
    await until(server.is_left)
    await until(lambda: _idle(server))
    writer.transport.abort()


@pytest.mark.parametrize("path", [b"/later", b"/now"])
async def test_a_client_that_reads_its_answer_in_time_gets_all_of_it_and_may_send_another_request(
    server: Server, path: bytes
) -> None:
    """However late it starts; a request whose answer is delivered counts until it is read."""
    reader, writer = await server.ask(path)
    await until(lambda: _has(server, 1))
    for _ in range(2):
        if path == b"/now":
            await until(lambda: _counts(server))
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(len(LARGE)) == LARGE
        await until(lambda: _idle(server))
        writer.write(REQUEST % path)
    writer.transport.abort()


async def _has(server: Server, count: int) -> bool:
    return len(server.connections) == count


async def _counts(server: Server) -> bool:
    return server.under_way == 1


async def _idle(server: Server) -> bool:
    return server.under_way == 0
