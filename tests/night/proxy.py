"""A TCP proxy that cuts connections, for readers who must not care."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Passes bytes to a server and back, and cuts each connection after a random number of bytes read.

    Unlike a real network it never delays and never loses single bytes; a cut is a clean reset.
    """

    def __init__(self, port: int, seed: int, least: int, most: int) -> None:
        self.cuts = 0
        self.url = ""
        self._port = port
        self._random = random.Random(seed)
        self._least, self._most = least, most
        self._serving: set[asyncio.Task[None]] = set()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self._port)
        left = self._random.randint(self._least, self._most)
        asking = asyncio.create_task(_pass_on(reader, onward_writer))
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while left > 0 and (piece := await onward_reader.read(min(left, 65536))):
                writer.write(piece)
                await writer.drain()
                left -= len(piece)
            self.cuts += left <= 0
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            writer.transport.abort()
            onward_writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["CuttingProxy"]:
        """Take connections until the block is left."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for serving in self._serving:
                serving.cancel()
            if self._serving:
                await asyncio.wait(self._serving)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
