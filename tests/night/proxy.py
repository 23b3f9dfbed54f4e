"""A TCP proxy that cuts connections at random, to test that readers resume."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Forwards bytes in both directions, and resets each connection after a random number of bytes to the client.

    Unlike a real network it neither delays nor drops single bytes.
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
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        remaining = self._random.randint(self._least, self._most)
        forwarding = asyncio.create_task(_forward(reader, server_writer))
        forwarding.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while remaining > 0 and (piece := await server_reader.read(min(remaining, 65536))):
                writer.write(piece)
                await writer.drain()
                remaining -= len(piece)
            self.cuts += remaining <= 0
        except ConnectionError:
            pass
        finally:
            forwarding.cancel()
            writer.transport.abort()
            server_writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["CuttingProxy"]:
        """Accept connections until the block ends."""
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


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
