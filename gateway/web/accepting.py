"""Accepting the connections of a door: each is counted when it is accepted, before anything is spent on it.

asyncio's servers report a connection only after its TLS handshake, so handshakes could be neither counted nor refused
there. And uvloop's close their listening socket for good when `accept` fails because no file descriptors are left.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import structlog

from gateway.web.connections import Connection, Connections
from gateway.web.tls_transport import TlsTransport

log = structlog.get_logger()

BACKLOG = 4096
"""Length of the kernel's queue of connections to accept; the kernel's own limit may be lower."""
ACCEPTS = 64
"""Connections accepted before other work has its turn."""
PAUSE_S = 0.25
"""How long nothing is accepted after the process has run out of file descriptors or memory, in seconds."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


Make = Callable[[Connection], asyncio.Protocol]
"""Makes the protocol that serves a connection."""


class Listener:
    """A listening socket whose connections are counted and served.

    Invariant: it accepts until `close`, whatever happens to single connections or without file descriptors.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        make: Make,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._connections = connections
        self._make = make
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._opening: dict[asyncio.Task[None], None] = {}
        self._handshakes: dict[Connection, None] = {}
        """Connections whose TLS handshake is in progress."""
        self._paused: asyncio.TimerHandle | None = None
        self._exhausted = False
        """Whether file descriptors ran out, which has been logged, and nothing was accepted since."""
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""
        if self._paused is not None:
            self._paused.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    async def end(self) -> None:
        """Close, and abandon TLS handshakes in progress.

        A connection is open within a turn of the loop, so it is waited for. uvloop would close a cancelled one without
        notifying its handler, whose answer to a request then fails with a RuntimeError.
        """
        self.close()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in tuple(self._handshakes):
            connection.abort()

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return
                continue  # the client was gone before it was accepted; others are queued behind it
            self._take(sock, address)
        self._exhausted = False

    def _take(self, sock: socket.socket, address: object) -> None:
        peer = address[0] if isinstance(address, tuple) else None
        connection = self._connections.admit(peer, sock, handshake=self._tls is not None)
        if connection is None:
            sock.close()
            return
        sock.setblocking(False)
        task = self._loop.create_task(self._open(connection, sock), name="connection")
        self._opening[task] = None
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("connection not opened", exc_info=error)

    def _pause(self, error: OSError) -> None:
        """Accept nothing for a moment, and close a few idle connections to free file descriptors."""
        if not self._exhausted:
            self._exhausted = True
            log.warning("connections not accepted", reason=error.strerror)
        self._connections.evict_for_files()
        self._loop.remove_reader(self._listener)
        self._paused = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener, self._accept)

    async def _open(self, connection: Connection, sock: socket.socket) -> None:
        """Serve a connection."""
        try:
            await self._loop.connect_accepted_socket(lambda: self._protocol(connection), sock)
        except OSError:
            self._connections.remove(connection)
        except BaseException:
            self._connections.remove(connection)
            connection.abort()
            raise

    def _protocol(self, connection: Connection) -> asyncio.Protocol:
        if self._tls is None:
            return self._make(connection)
        handshakes = self._handshakes
        handshakes[connection] = None
        return TlsTransport(
            self._tls,
            _Handshake(self._connections, connection, self._make, lambda: handshakes.pop(connection, None)),
            connection.sock,
            clock=self._connections.clock,
        )


class _Handshake(asyncio.Protocol):
    """A connection during its TLS handshake; what serves it is made afterwards, so that silent clients cost little."""

    def __init__(
        self, connections: Connections, connection: Connection, make: Make, done: Callable[[], object]
    ) -> None:
        self._connections = connections
        self._connection = connection
        self._make = make
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection over to what serves requests."""
        self._done()
        self._connections.handshake_done(self._connection)
        handler = self._make(self._connection)
        cast("asyncio.Transport", transport).set_protocol(handler)
        handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Stop counting the connection: the handshake failed."""
        self._done()
        self._connections.remove(self._connection)


@asynccontextmanager
async def accepting(
    sock: socket.socket,
    connections: Connections,
    make: Make,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Listener]:
    """Accept and serve the connections of a bound socket, within a context."""
    listener = Listener(sock, connections, make, tls)
    try:
        yield listener
    finally:
        await listener.end()
