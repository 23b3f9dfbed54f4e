"""Networks between the gateway and Postgres, for tests: hosts that never answer, and links that fall silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.database_url import read_database_url


class Link:
    """A TCP forwarder on a port of 127.0.0.1, with the number of connections made to it."""

    def __init__(self) -> None:
        self.port = 0
        self.connected = 0
        self.silent = False

    @property
    def host(self) -> str:
        """Host and port, as written in a URL."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def a_link(to: int | None = None) -> AsyncIterator[Link]:
    """Forward connections to another port of 127.0.0.1; without one, accept connections and never answer.

    While `silent` is set, bytes are dropped in both directions and no connection is closed.
    """
    link = Link()
    writers: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if writer is not None and not link.silent:
                    writer.write(data)
        if writer is not None and not link.silent:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.connected += 1
        writers.add(writer)
        if to is None:
            await carry(reader, None)
            return
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", to)
        writers.add(other_writer)
        await asyncio.gather(carry(reader, other_writer), carry(other_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def with_hosts(url: str, *hosts: str) -> str:
    """Return the URL with its hosts replaced."""
    login, _, rest = url.rpartition("@")
    return f"{login}@{','.join(hosts)}/{rest.partition('/')[2]}"


def port_of(url: str) -> int:
    """Return the port of the only host of a URL."""
    (host,) = read_database_url(url).hosts
    assert host.port is not None
    return host.port
