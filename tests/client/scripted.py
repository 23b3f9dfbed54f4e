"""A server whose every answer a test chooses, down to the bytes: what proxies, portals and failing doors send."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple


class Request(NamedTuple):
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    """By name in small letters."""
    body: bytes


class Open(bytes):
    """An answer after which the connection stays open."""


Script = Callable[[Request], bytes | None]
"""Returns the bytes to answer with; the connection is closed after them. None: no answer, and no end."""


class Scripted:
    """A running server."""

    def __init__(self, port: int, *, tls: bool) -> None:
        self.url = f"{'https' if tls else 'http'}://localhost:{port}"
        self.port = port
        self.requests: list[Request] = []


def answer(
    status: int, body: bytes | str = b"", *, kind: str = "", length: int | None = None, **headers: str
) -> bytes:
    """Return an answer over HTTP; underscores in names of headers are hyphens."""
    body = body.encode() if isinstance(body, str) else body
    lines = [
        f"HTTP/1.1 {status} Any",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
    ]
    lines += [f"Content-Type: {kind}"] if kind else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def web_page(status: int) -> bytes:
    """Return what a proxy or a portal shows to people."""
    return answer(status, "<html>maintenance</html>", kind="text/html; charset=utf-8")


@asynccontextmanager
async def scripted(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Run a server on a port of its own."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        server.requests.append(request)
        given = script(request)
        if given is not None:
            writer.write(given)
            await writer.drain()
        if given is None or isinstance(given, Open):
            await reader.read()

    async with serving(serve, tls) as port:
        server = Scripted(port, tls=tls is not None)
        yield server


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen on a port of 127.0.0.1 and yield it; at the end, every connection is closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read the head of a request and its body; end at once if it is a TLS handshake."""
    first_byte = await reader.readexactly(1)
    if first_byte == b"\x16":
        raise asyncio.IncompleteReadError(first_byte, None)
    head = (first_byte + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
