"""Taking a connection over from aiohttp, once its request is read and only a stream is left to write.

A stream needs no request, no parser and no task; without them an idle reader is a socket and one small object. aiohttp
is told that the connection is lost, and lets go of it without closing it.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from gateway.feed.channel import Reader
from gateway.web.answers import ANY_ORIGIN, HARD

R = TypeVar("R", bound=Reader)

_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\n"
    b"Vary: Accept-Encoding\r\n"
    b"X-Accel-Buffering: no\r\n"
    b"Connection: close\r\n"
) + "".join(f"{name}: {value}\r\n" for name, value in {**ANY_ORIGIN, **HARD}.items()).encode()


def stream_head(*, gzip: bool) -> bytes:
    """Return the head of an event-stream answer, whose body ends with the connection (RFC 9112, section 6.3)."""
    return _HEAD + (b"Content-Encoding: gzip\r\n\r\n" if gzip else b"\r\n")


def take_over(
    request: web.Request, make: Callable[[asyncio.Transport, Callable[[], None]], R], gone: Callable[[], None]
) -> R | None:
    """Make the connection of a request a reader's, who calls `gone` when it ends; None if it has ended already."""
    transport = request.transport
    handler = request.protocol
    if transport is None or transport.is_closing() or getattr(handler, "ended", False):
        return None
    reader = make(transport, gone)
    transport.set_protocol(reader)
    handler.transport = None
    handler.connection_lost(None)
    return reader
