"""A forward proxy for tests: it takes every name for this machine, and records what it was asked for."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.client.scripted import answer, serving


class ForwardProxy:
    """A running proxy, and the requests that it has let through."""

    def __init__(self, credentials: str | None, *, upgrades: bool) -> None:
        self.port = 0
        self.requests: list[str] = []
        """Method and host of each."""
        self._expected = base64.b64encode(credentials.encode()).decode() if credentials is not None else None
        self._upgrades = upgrades

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        method, target, version = first.split(" ")
        if self._expected is not None and f"Proxy-Authorization: Basic {self._expected}" not in lines:
            writer.write(answer(407, "<html>who are you</html>", kind="text/html"))
            return
        url = urlsplit(target if "://" in target else f"//{target}")
        self.requests.append(f"{method} {url.hostname}")
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", url.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            names = ("proxy-",) if self._upgrades else ("proxy-", "upgrade", "connection", "sec-websocket-")
            kept = [line for line in lines if not line.lower().startswith(names)]
            kept += [] if self._upgrades else ["Connection: close"]
            path = f"{url.path}?{url.query}" if url.query else url.path
            server_writer.write("\r\n".join([f"{method} {path} {version}", *kept, "", ""]).encode("latin-1"))
        both = {
            asyncio.ensure_future(_pass(reader, server_writer)),
            asyncio.ensure_future(_pass(server_reader, writer)),
        }
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.close()
            for each in both:
                each.cancel()
            await asyncio.wait(both)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def forward_proxy(
    credentials: str | None = None, *, upgrades: bool = True
) -> AsyncIterator[ForwardProxy]:
    """Run a proxy that requires `user:password`, if given; without `upgrades` it removes the headers of a WebSocket."""
    proxy = ForwardProxy(credentials, upgrades=upgrades)
    async with serving(proxy.serve) as proxy.port:
        yield proxy
