"""What lies between the gateway and Postgres, for tests: hosts that say nothing, and lines that fall silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.journal.connection import hosts_of


class Line:
    """A port of 127.0.0.1, what is behind it, and how many have connected."""

    def __init__(self) -> None:
        self.port = 0
        self.connected = 0
        self.silent = False

    @property
    def host(self) -> str:
        """Where it is, as in a URL."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def a_line(to: int | None = None) -> AsyncIterator[Line]:
    """A line to another port of 127.0.0.1; to nobody, who takes connections and never answers, where none is given.

    Once it is `silent` it swallows what is said, in both directions, and no connection ends.
    """
    line = Line()
    writers: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if writer is not None and not line.silent:
                    writer.write(data)
        if writer is not None and not line.silent:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.connected += 1
        writers.add(writer)
        if to is None:
            await carry(reader, None)
            return
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", to)
        writers.add(other_writer)
        await asyncio.gather(carry(reader, other_writer), carry(other_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def through(url: str, *hosts: str) -> str:
    """Return the URL with other hosts."""
    login, _, rest = url.rpartition("@")
    return f"{login}@{','.join(hosts)}/{rest.partition('/')[2]}"


def port_of(url: str) -> int:
    """Return the port of the only host of a URL."""
    (host,) = hosts_of(url)
    assert host.port is not None
    return host.port
