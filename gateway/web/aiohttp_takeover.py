"""Connections that are taken from aiohttp: an event stream and a WebSocket need no request, no parser and no task.

One of the modules that rely on aiohttp's internals (`aiohttp_*.py`): how it releases a connection, and what it has read
of one whose protocol is switched.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from aiohttp import web
from aiohttp._websocket.helpers import websocket_mask

from gateway.web.aiohttp_connection import DoorHandler, connection_of
from gateway.web.tls_transport import TlsTransport

mask = websocket_mask
"""Mask or unmask a payload in place (RFC 6455, section 5.3); written in C, six times as fast as Python."""


class Switched(NamedTuple):
    """A connection whose protocol was switched."""

    transport: asyncio.Transport
    received: bytes
    """What the client has sent after its request."""
    closed: Callable[[], None]
    """To be called when the connection is lost: until then its door counts it."""


async def switch_protocols(
    request: web.Request, headers: Mapping[str, str], protocol: asyncio.Protocol
) -> Switched:
    """Answer with 101 and hand the connection over to `protocol`. Raises ConnectionError if the client is gone.

    As with `take_over`, nothing of aiohttp remains; but the connection counts against the limits of its door.
    """
    answer = web.StreamResponse(status=101, headers=headers)
    await answer.prepare(request)
    transport, handler = request.transport, request.protocol
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    received, paused = handler._message_tail, handler._buffer_paused
    closed = handler.switch(transport) if isinstance(handler, DoorHandler) else _nothing
    transport.set_protocol(protocol)
    _release(handler)
    if paused:
        transport.resume_reading()
    return Switched(transport, received, closed)


def _release(handler: web.RequestHandler) -> None:
    """Have aiohttp forget a connection without closing it: to aiohttp it appears to be lost."""
    handler.transport = None
    handler.connection_lost(None)


def _nothing() -> None:
    pass


R = TypeVar("R", bound=asyncio.BaseProtocol)


def take_over(
    request: web.Request,
    make: Callable[[asyncio.Transport, Callable[[], None], socket.socket | TlsTransport | None], R],
    gone: Callable[[], None],
) -> R | None:
    """Hand the connection of a request over to an event stream; return None if it is closed already.

    `make` creates the stream, which calls `gone` when it ends; the third argument, if any, sends without waiting: the
    socket of the transport, which remains its owner and closes it, or TLS. If the client is half closed, the stream has
    to end after what there is to send.
    """
    transport = request.transport
    handler = request.protocol
    if transport is None or transport.is_closing() or getattr(handler, "ended", False):
        return None
    connection = connection_of(request)
    sock = connection.sock if connection is not None else None
    stream = make(transport, gone, transport if isinstance(transport, TlsTransport) else sock)
    transport.set_protocol(stream)
    _release(handler)
    return stream
