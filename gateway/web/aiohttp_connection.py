"""How a door serves a connection with aiohttp.

One of the modules that rely on aiohttp's internals (`aiohttp_*.py`; a test checks that no other does): the protocol of
a connection, its queue of requests and its write flow control.

* `DoorHandler`: reports requests and buffers to `Connections`, and closes connections whose clients do not read.
* `DirectRequest`: a request that is answered without aiohttp's task for the connection, and without the application.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from gateway.web.aiohttp_problems import HEAD_MAX, REQUEST_LINE_MAX, ProblemHandler
from gateway.web.answers import Head, Problem
from gateway.web.connections import BEHIND_PROXIES, Connection, Connections, Upgraded

REQUESTS_LOGGER = logging.getLogger("gateway.requests")
"""What aiohttp logs about requests."""

SEND_TIMEOUT_S, SEND_RATE = 30.0, 8 << 10
"""How long a client may take to read an answer: so many seconds, and one more for each SEND_RATE bytes."""
SMALL_MAX = 32 << 10
"""Bytes of an answer that is written without waiting: with its head it stays below the high-water mark (64 KiB)."""
SLICE = 128 << 10
"""Bytes of a large answer that are written at a time: TLS copies what is written, for each connection."""
WRITE_S = 100e-6
"""Approximate seconds to write a slice, which the kernel copies; addresses take turns at it."""
AHEAD_MAX = 64 << 10
"""Bytes of later requests that a client may send while one is in progress."""
FRAMING_MAX = 16 << 10
"""Consecutive bytes of a chunked body that are not content of a chunk: sizes and trailers."""
INPUT_MIN = 4 << 10
"""Size of an incomplete head from which it counts as buffered for its connection, in bytes."""
INPUT_COST = 4
"""Bytes of memory for each byte of a head: with many short fields, the objects take several times its size."""


class DirectRequest:
    """A POST request that arrived whole, in one read, on a connection without another one.

    What takes it calls `answer` once, later. Its connection may be lost by then.
    """

    __slots__ = ("_handler", "content", "headers", "path")

    def __init__(self, handler: "DoorHandler", path: str, headers: Mapping[str, str], content: bytes) -> None:
        self._handler = handler
        self.path = path
        """The target as it was sent, with its query."""
        self.headers = headers
        self.content = content

    @property
    def connection(self) -> Connection:
        """The connection that it arrived on."""
        return self._handler.connection

    def answer(self, head: Head, body: bytes) -> None:
        """Write the answer, which is small, in one piece."""
        self._handler.answer_directly(head, body)


Take = Callable[[DirectRequest], bool]
"""Takes a request, to answer it later, and returns True; or returns False, and the application answers it.

If it raises, the answer is an internal error, and that of the request, should it come, is not written.
"""


class DoorHandler(ProblemHandler):
    """A connection of a door: reports when requests begin and end, and what is buffered for its client.

    Invariant: a request is answered by aiohttp's task for the connection, or directly by what `take` stands for. While
    one is answered directly, that task waits, and requests that arrive meanwhile are queued for it.
    """

    __slots__ = (
        "_ahead",
        "_body",
        "_busy",
        "_connections",
        "_directly",
        "_framing",
        "_take",
        "_written",
        "connection",
        "encrypted",
        "ended",
        "half_closed",
        "streaming",
        "writing_large",
    )

    def __init__(
        self,
        connections: Connections,
        connection: Connection,
        server: web.Server,
        *,
        take: Take | None = None,
        **options: Any,
    ) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self.connection = connection
        self._take = take
        self._directly: asyncio.Future[None] | None = None
        """While a request is answered directly, what aiohttp's task waits for; aiohttp does not know it meanwhile."""
        self.encrypted = False
        """Whether what is written is encrypted, and so copied, for this connection."""
        self.ended = False
        """Whether the client has closed its side, which ends the connection."""
        self.half_closed = False
        """Whether the client has closed its side, and the connection ends after the answers to what it has sent."""
        self.streaming = False
        """Whether the answer in progress is a stream, which ends when the client closes its side."""
        self.writing_large = False
        """Whether a large answer is being written, whose bytes are counted already."""
        self._written = 0
        """Under TLS, bytes of answers written since all of them were last found to be taken."""
        self._ahead = 0
        """Bytes of incomplete heads, or of requests after the one in progress."""
        self._body: StreamReader | None = None
        """The body of the request that was read last, if it was not complete then."""
        self._framing = 0
        """Bytes since its content last grew; aiohttp would buffer up to 2 MiB of the trailers of a chunked body."""
        self._busy = False
        """Whether a request is in progress."""

    # What the client has not read, and what it sent ahead.

    @property
    def account(self) -> str:
        """The client address that buffered bytes count for."""
        return self.connection.address or BEHIND_PROXIES

    @property
    def unsent(self) -> int:
        """Bytes written that the client has not taken."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    @property
    def buffered(self) -> int:
        """Bytes buffered for the connection: what its client has not taken, and what it sent ahead.

        Under TLS it is an upper bound: what was written counts until the kernel has nothing left to send, and what the
        transport still has of it counts twice.
        """
        if self.transport is None:
            return 0
        unsent = self.unsent
        if self._written:
            if unsent or self.connection.unsent_by_kernel():
                unsent += min(self._written, SLICE)
            else:
                self._written = 0
        ahead = self._ahead if self._ahead >= INPUT_MIN and not self.connection.authenticated else 0
        return unsent + INPUT_COST * ahead

    @property
    def _copied(self) -> int:
        """Bytes of a large answer that are copied for this connection."""
        return SLICE if self.encrypted else 0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection."""
        self.connection.handler = self
        self.encrypted = transport.get_extra_info("sslcontext") is not None
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting the connection, unless its protocol was switched."""
        if self.connection.handler is self:
            self._connections.remove(self.connection)
        self._end_direct_request()
        super().connection_lost(exc)

    def switch(self, transport: asyncio.Transport) -> Callable[[], None]:
        """Let the door count the connection on without this handler, until the returned function is called."""
        self._connections.buffers.forget(self)
        self.connection.handler = Upgraded(self.connection, transport)
        return partial(self._connections.remove, self.connection)

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp returns None, which closes the connection
        """Close the connection, but not before the requests that have arrived are answered.

        A client may close its side after a request (RFC 9112, section 9.6). One that is gone sends the same; it is
        noticed when it is answered. A body without its end is an error at once. TLS cannot be closed in one direction
        here: asyncio drops what is written from now on and does not report it.
        """
        if not self._busy or self.streaming or self._payload_parser is not None or self.encrypted:
            self.ended = True
            self._connections.end(self.connection)
            return False
        self.half_closed = True
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(
                web.RequestPayloadError("the client has closed its side before the end of it")
            )
            self._body.feed_eof()
        return True

    def data_received(self, data: bytes) -> None:
        """Read requests; refuse a head that is too large, abort if the client sends too much ahead of its answers."""
        before = self._request_count
        in_body = self._body is not None and not self._body.is_eof()
        arrived = self._body.total_bytes if self._body is not None else 0
        waiter, self._waiter = self._waiter, None  # it is woken below, and not for what is answered directly
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if in_body and self._body is not None:
            self._framing = self._framing + len(data) if self._body.total_bytes == arrived else 0
            if self._framing > FRAMING_MAX:
                self._abort_input()
                return
        if self._request_count != before and self._messages:
            body = self._messages[-1][1]
            self._body = None if body.is_eof() else body
            if not self._busy:
                self._begin(len(data))
                if not self._is_taken(len(data)):
                    self._wake()
                return
        if data and not in_body and self._payload_parser is None and not self._upgraded:
            self._read_ahead(len(data))

    def _begin(self, size: int) -> None:
        """Record that a request is in progress, of which the last `size` bytes have just been read."""
        self._busy = True
        self._connections.request_started(self.connection)
        self._ahead += size
        for _, body in self._messages:
            self._ahead -= body.total_bytes
        if self._ahead > HEAD_MAX and any(_head_size(message) > HEAD_MAX for message, _ in self._messages):
            self.refuse_head()
        elif self._body is not None:
            self._ahead = 0  # the rest is a body, which is bounded where it is read
        elif self._ahead >= INPUT_MIN:
            self._connections.buffers.add(self, size)

    def _read_ahead(self, size: int) -> None:
        self._ahead += size
        if self._ahead > HEAD_MAX and not self._busy:
            self._busy = True
            self._connections.request_started(self.connection)
            self.refuse_head()
        elif self._ahead > AHEAD_MAX:
            self._abort_input()
        elif self._ahead >= INPUT_MIN:
            self._connections.buffers.add(self, size)

    def _abort_input(self) -> None:
        self._connections.metrics.evicted_connections["input"].inc()
        self.abort()

    # Requests that are answered directly.

    def _is_taken(self, size: int) -> bool:
        """Have a request that has just begun answered directly, if it may be; return whether it is."""
        waiter = self._waiter
        if self._take is None or size > HEAD_MAX or len(self._messages) != 1:
            return False
        if waiter is None or waiter.done() or self._close or self.unsent:
            return (
                False  # aiohttp's task has not finished the one before, or the client has not read its answer
            )
        message, body = self._messages[0]
        if not isinstance(message, RawRequestMessage) or message.method != hdrs.METH_POST:
            return False
        if message.version != HttpVersion11 or message.should_close or message.upgrade or message.chunked:
            return False
        if body is EMPTY_PAYLOAD or self._body is not None or len(body._buffer) != 1:
            return False  # it has none, or not arrived whole
        content = body._buffer[0]  # it is not consumed: the application may have to read it
        try:
            if not self._take(DirectRequest(self, message.path, message.headers, content)):
                return False
        except Exception as error:
            self.answer_error(error)
            return True
        self._messages.clear()
        assert self._parser is not None
        self._parser.message_consumed()
        self._directly, self._waiter = waiter, None
        self._request_in_progress = True
        return True

    def answer_directly(self, head: Head, body: bytes) -> None:
        """Answer the request that was taken, and let the connection go on as after any other answer."""
        if not self._end_direct_request() or self.transport is None or self.transport.is_closing():
            return  # the connection is lost, or about to be
        answer = head.before(body, rfc822_formatted_time())
        self.transport.write(answer)
        self._record_written(len(answer))
        now = self._loop.time()
        if self._finished(now):
            self._close = True
        if self._force_close or (self._close and not self._messages):
            self._connections.end(self.connection)
            self.force_close()
        elif self._messages:
            self._wake()
        else:
            self._keep_alive(now)

    def _end_direct_request(self) -> bool:
        """Let aiohttp's task, and its shutdown, go on; return False if no request is being answered directly."""
        if self._directly is None:
            return False
        self._waiter, self._directly = self._directly, None
        self._request_in_progress = False
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        return True

    def _keep_alive(self, now: float) -> None:
        """Keep the connection open for another request, as aiohttp's task does after an answer."""
        until = now + self._keepalive_timeout
        self._next_keepalive_close_time = until
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(until, self._process_keepalive)

    # Answers.

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, or close the connection if its client does not read it."""
        if (
            self.transport is None
        ):  # it was taken over as a stream, or is closed: there is no client to answer
            return resp, True
        delivered = isinstance(resp, web.Response) and resp.prepared
        if not delivered and not self.fits_buffer(resp):
            resp = await self.write(request, resp)
        finished = await super().finish_response(request, resp, start_time)
        if not finished[1]:
            body = resp.body if isinstance(resp, web.Response) else None
            self._record_written(
                512 + (len(body) if isinstance(body, bytes) and len(body) < SMALL_MAX else 0)
            )
            if self._finished(self._loop.time()):
                self._close = True
            if self._close or not resp.keep_alive:
                self._connections.end(self.connection)
        return finished

    def _finished(self, now: float) -> bool:
        """Record that an answer is written, at this time of the loop; return whether the connection ends with it."""
        self._ahead = 0
        if self._messages:
            return False
        self._busy = False
        self._connections.request_finished(self.connection, now)
        return self.half_closed

    def fits_buffer(self, answer: web.StreamResponse) -> bool:
        """Return whether an answer is written without waiting: it is small, and everything before it was taken."""
        body = answer.body if isinstance(answer, web.Response) else None
        return isinstance(body, bytes) and len(body) < SMALL_MAX and not self.unsent

    def _record_written(self, size: int) -> None:
        """Record an answer of about `size` bytes, to be measured later."""
        if self.transport is not None:
            if self.encrypted:
                self._written += size
            self._connections.buffers.add(self, size)

    async def write(self, request: web.BaseRequest, answer: web.StreamResponse) -> web.StreamResponse:
        """Write an answer and wait until it is taken, or close the connection; return what was written.

        If too many bytes are buffered already, for this address or in total, a problem document is written instead.
        """
        body = answer.body if isinstance(answer, web.Response) else None
        large = body if isinstance(body, bytes) and len(body) >= SMALL_MAX and not answer.prepared else None
        if large is not None:
            try:
                self._admit(request, large)
            except Problem as problem:
                answer, large = problem.response(chance=self._connections.chance), None
        try:
            async with asyncio.timeout(_send_timeout_s(answer)):
                if large is None:
                    await answer.prepare(request)
                    await answer.write_eof()
                else:
                    await self._write_large(request, answer, large)
        except (TimeoutError, ConnectionError):
            self.abort()
        finally:
            self.writing_large = False
            if large is not None:
                self._connections.buffers.release(self)
        return answer

    async def write_part(self, answer: web.StreamResponse, data: bytes, timeout_s: float) -> None:
        """Write a part of an answer that has begun, and wait until it is taken. Raises TimeoutError, ConnectionError.

        ConnectionError also if too many bytes are buffered already: the connection is to be closed.
        """
        buffers = self._connections.buffers
        try:
            buffers.admit(self, self.account, self._copied, data)
        except Problem as problem:
            raise ConnectionResetError(problem.detail) from None
        try:
            self.writing_large = True
            async with asyncio.timeout(timeout_s):
                await self._write_slices(answer, data)
        finally:
            self.writing_large = False
            buffers.release(self)

    def _admit(self, request: web.BaseRequest, body: bytes) -> None:
        client = self._connections.addresses.of_request(request)
        self._connections.buffers.admit(self, client, self._copied, body)
        self.writing_large = True

    async def _write_large(self, request: web.BaseRequest, answer: web.StreamResponse, body: bytes) -> None:
        await answer.prepare(request)
        empty = request.method == "HEAD" or answer.status in (204, 304)
        if empty or answer.compression:
            await answer.write_eof()
            return
        await self._write_slices(answer, body)
        await web.StreamResponse.write_eof(answer)

    async def _write_slices(self, answer: web.StreamResponse, body: bytes) -> None:
        """Write without a copy of the whole, and wait until nothing of it is left in the transport.

        A transport keeps the whole body as long as one byte of it is not sent, so the last byte is waited for too.
        """
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the connection is closed")
        transport.set_write_buffer_limits(high=0, low=0)
        view = memoryview(body)
        for start in range(0, len(body), SLICE):
            if self.ended:
                raise ConnectionResetError("the client has closed its side")
            async with self._connections.turns.work(self.account, WRITE_S):
                await answer.write(view[start : start + SLICE])
            if self._paused:
                await self._drain_helper()
            self._connections.buffers.progress(self)
        if self.transport is not None and not self.transport.is_closing():
            self.transport.set_write_buffer_limits()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


def door_handlers(
    connections: Connections, server: web.Server, **options: Any
) -> Callable[[Connection], DoorHandler]:
    """Return what makes the protocol of each connection of a door; `options` are those of `ProblemHandler`."""
    defaults = {
        "access_log": None,
        "logger": REQUESTS_LOGGER,
        "keepalive_timeout": connections.keepalive_s,
        "max_line_size": REQUEST_LINE_MAX,
        "max_field_size": HEAD_MAX,
        "auto_decompress": False,
        "loop": asyncio.get_running_loop(),
    }
    return lambda connection: DoorHandler(connections, connection, server, **(defaults | options))


async def deliver(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Write an answer while its request still counts against limits, or close the connection; return the answer.

    aiohttp then finds it written. A small one is written without waiting: it stays in the buffer of its connection,
    and no other request of the connection is answered while that is full.
    """
    handler = request.protocol
    if not isinstance(handler, DoorHandler):
        return answer  # aiohttp's own server writes it
    if not handler.fits_buffer(answer):
        return await handler.write(request, answer)
    try:
        await answer.prepare(request)
        await answer.write_eof()
    except ConnectionError:
        handler.abort()
    return answer


async def write_part(
    request: web.Request, response: web.StreamResponse, data: bytes, timeout_s: float
) -> None:
    """Write a part of a streamed answer and wait until it is taken. Raises TimeoutError, ConnectionError."""
    handler = request.protocol
    if isinstance(handler, DoorHandler):
        await handler.write_part(response, data, timeout_s)
    else:
        async with asyncio.timeout(timeout_s):
            await response.write(data)


def connection_of(request: web.BaseRequest) -> Connection | None:
    """Return the connection of a request; None if it is served by aiohttp's own server, as in some tests."""
    handler = request.protocol
    return handler.connection if isinstance(handler, DoorHandler) else None


def half_closed(request: web.BaseRequest) -> bool:
    """Return whether the client has closed its side after the request, and still waits for the answer."""
    handler = request.protocol
    return isinstance(handler, DoorHandler) and handler.half_closed


def end_at_eof(request: web.BaseRequest) -> None:
    """Let the connection end when its client closes its side: the answer is a stream, which has no other end."""
    handler = request.protocol
    if isinstance(handler, DoorHandler):
        handler.streaming = True


async def send_continue(request: web.Request) -> None:
    """Send `100 Continue`, for which the client waits with its body. Source: RFC 9110, section 10.1.1."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # nothing of the answer itself has been written


def _send_timeout_s(answer: web.StreamResponse) -> float:
    """Return how long a client may take to read an answer, in seconds."""
    body = answer.body if isinstance(answer, web.Response) else None
    return SEND_TIMEOUT_S + (len(body) if isinstance(body, bytes | bytearray) else 0) / SEND_RATE


def _head_size(message: Any) -> int:
    """Return the bytes of the header fields of a request; 0 for what could not be read as one."""
    return sum(len(name) + len(value) for name, value in getattr(message, "raw_headers", ()))
