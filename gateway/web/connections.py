"""The connections of a door before and between requests: how many, how many of one address, how long without a request.

aiohttp looks after a request once its head is read. Until then a connection costs a socket and a task and does not
show whose it is; so connections are counted here from the moment they are accepted. One that takes too long over a head
is cut; one that does not take its answers is cut when its time is over, or when too many bytes are kept for it.
"""

import array
import asyncio
import fcntl
import socket
import termios
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from aiohttp import StreamReader, web

from gateway.config import Config
from gateway.telemetry.metrics import DoorMetrics
from gateway.web.answers import Problem
from gateway.web.eviction import ByAddress
from gateway.web.peers import Proxies, forwarded_for, group, without_port
from gateway.web.protocol import HEAD_MAX, ProblemHandler
from gateway.web.turns import Turns
from gateway.web.unread import Fit, Unread

HEAD_S = 10.0
"""Seconds for the handshake of TLS and the head of the first request; for later heads, KEEPALIVE_S."""
KEEPALIVE_S = 75.0
"""How long a connection is kept between requests: longer than proxies keep theirs, so that they close first."""
TAKE_S, TAKE_RATE = 30.0, 8 << 10
"""What a client may take over an answer: so many seconds, and one more for each TAKE_RATE bytes."""
AT_ONCE = 32 << 10
"""Bytes of an answer that needs no watch: with its head it stays below the high-water mark."""
SLICE = 128 << 10
"""Bytes of a large answer that are written at a time: TLS makes a copy of what is written, for each connection."""
WRITE_S = 100e-6
"""Seconds that writing a slice takes, about: the kernel copies it. Addresses have their turns at that."""
STALLED_S = 60.0
"""How long a connection may have bytes to send of which its client takes none."""
UNSEEN_MAX = 8 << 20
"""Bytes of small answers that are written before it is checked which of them were taken."""
AHEAD_MAX = 64 << 10
"""Bytes that a client may send of later requests while one is under way."""
FRAMING_MAX = 16 << 10
"""Bytes of a chunked body that may come one after the other and belong to no chunk's content: sizes and trailers."""
INPUT_SEEN = 4 << 10
"""Bytes of an unfinished head from which on it counts among the bytes that are kept for a connection."""
HANDSHAKES_MAX = 1024
"""TLS handshakes under way in a process, at some 45 kB of memory each; the oldest gives way to a new one."""
IDLE_MIN_S = 1.0
"""A connection that came or became idle more recently, in seconds, does not give way to another of its own address, nor
to one of an address that has as many: else whoever connects again and again would close all others before they ask."""
BEHIND_PROXIES = "proxies"
"""The address under which bytes for trusted proxies are counted."""


class Tally:
    """How many there are of each kind; nothing is kept of those of whom there is none. `most` None is no limit."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def full(self, name: str) -> bool:
        """Whether there are as many as may be."""
        return self._most is not None and self._counts.get(name, 0) >= self._most

    def count(self, name: str) -> int:
        """Return how many there are."""
        return self._counts.get(name, 0)

    def enter(self, name: str) -> None:
        """Count one in."""
        self._counts[name] = self._counts.get(name, 0) + 1

    def leave(self, name: str) -> None:
        """Count one out that was counted in."""
        count = self._counts[name] - 1
        if count:
            self._counts[name] = count
        else:
            del self._counts[name]


class Connection:
    """One accepted connection, from before its handshake of TLS until it is closed or taken over as a stream."""

    __slots__ = ("address", "asked", "handler", "queue", "sender", "since", "sock")

    def __init__(self, address: str | None, sock: socket.socket) -> None:
        self.address = address
        """What it is counted as; None for a trusted proxy, which is not counted."""
        self.sock = sock
        self.handler: Handler | None = None
        self.asked = False
        """Whether the head of a request was ever read."""
        self.sender: str | None = None
        """Whose valid token a request on it had, unless that sender has enough such connections already."""
        self.queue: ByAddress[Connection] | None = None
        """Among which connections it gives way to others; None where it does not."""
        self.since = 0.0

    @property
    def proven(self) -> bool:
        """Whether it counts as a sender's."""
        return self.sender is not None

    def cut(self) -> None:
        """Close at once. The socket belongs to a transport, so here it is only shut down."""
        if self.handler is not None and self.handler.transport is not None:
            self.handler.transport.abort()
            return
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client was quicker

    def unsent_by_kernel(self) -> int:
        """Return the bytes that the peer has not acknowledged. Source: Linux, tcp(7), SIOCOUTQ."""
        size = array.array("i", [0])
        try:
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, size)
        except (OSError, ValueError):
            return 0  # it is closed
        return size[0]


class Connections:
    """The connections of one door that aiohttp holds. Invariants:

    * At most `connections_max`, and `connections_per_address` from one address that is not a trusted proxy's; they are
      counted when they are accepted. At most HANDSHAKES_MAX of them are in the handshake of TLS.
    * When there is no room, connections give way to a new one in this order: idle ones and those without a request on
      which no valid token was shown, idle ones of senders, requests under way without a valid token. Within each, those
      of the address with the most, the longest idle first. None gives way that is of an address with no more
      connections than that of the new one, unless it is idle for IDLE_MIN_S. A request with a valid token and an open
      push WebSocket never give way, nor does a trusted proxy's connection.
    * As many connections count as a sender's as it may have requests and WebSockets; more are like those of strangers.
    * One that has not sent the head of a request in HEAD_S is cut, within a second.
    * An answer is kept for no longer than TAKE_S and TAKE_RATE allow, and one of which nothing is taken no longer than
      STALLED_S. What its buffers hold below their high-water mark (64 KiB) counts as taken before.
    * The bytes that are kept for answers are bounded as `unread` says, small ones to within UNSEEN_MAX.
    """

    def __init__(
        self, config: Config, metrics: DoorMetrics, answer_headers: Mapping[str, str] | None = None
    ) -> None:
        self.proxies = Proxies(config.trusted_proxies)
        self.metrics = metrics
        self.unread: Unread[Handler] = Unread()
        self.turns = Turns()
        self._answer_headers = answer_headers
        self._header = config.proxy_header
        self._most = config.connections_max
        self._ipv6_prefix = config.ipv6_prefix
        self._open: dict[Connection, None] = {}
        self._of_address = Tally(config.connections_per_address)
        self._of_sender = Tally(config.requests_per_sender + config.sockets_per_sender)
        self._handshakes: ByAddress[Connection] = ByAddress()
        self._strangers: ByAddress[Connection] = ByAddress()
        self._senders: ByAddress[Connection] = ByAddress()
        self._strangers_busy: ByAddress[Connection] = ByAddress()
        self._headless: OrderedDict[Connection, float] = OrderedDict()
        self._unsent: dict[Handler, tuple[int, float]] = {}
        """Bytes that a connection has to send, and since when so many."""
        self._unseen: dict[Handler, None] = {}
        self._unseen_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    # Which connections there are.

    def admit(self, peer: str | None, sock: socket.socket, *, handshake: bool = False) -> Connection | None:
        """Count a new connection in; return None where there is no room for it, and it has to be closed."""
        now = _now()
        address = None if peer is None or peer in self.proxies else group(peer, self._ipv6_prefix)
        if address is not None and self._of_address.full(address) and not self._relieve_address(address, now):
            self.metrics.refused_connections["address"].inc()
            return None
        if len(self._open) >= self._most and not self._relieve(address, now):
            self.metrics.refused_connections["full"].inc()
            return None
        if handshake and len(self._handshakes) >= HANDSHAKES_MAX:
            self._evict(self._handshakes.victim(), "handshakes")
        connection = Connection(address, sock)
        self._open[connection] = None
        self._headless[connection] = now + HEAD_S
        if address is not None:
            self._of_address.enter(address)
            if handshake:
                self._handshakes.add(address, connection)
        self._queue(connection, self._strangers, now)
        return connection

    def greeted(self, connection: Connection) -> None:
        """Note that the handshake of TLS is done."""
        if connection.address is not None:
            self._handshakes.discard(connection.address, connection)

    def leave(self, connection: Connection) -> None:
        """Count a connection out: it is closed, or was taken over as a stream."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._headless.pop(connection, None)
        self._queue(connection, None, 0.0)
        if connection.sender is not None:
            self._of_sender.leave(connection.sender)
            connection.sender = None
        if connection.handler is not None:
            self._forget(connection.handler)
        if connection.address is not None:
            self._of_address.leave(connection.address)
            self._handshakes.discard(connection.address, connection)

    def begin(self, connection: Connection) -> None:
        """Note that a request is under way."""
        if not connection.asked:
            connection.asked = True
            self._headless.pop(connection, None)
        self._queue(connection, None if connection.proven else self._strangers_busy, _now())

    def rest(self, connection: Connection) -> None:
        """Note that the connection waits for a request."""
        if connection in self._open:
            self._queue(connection, self._senders if connection.proven else self._strangers, _now())

    def prove(self, request: web.BaseRequest, sender: str) -> None:
        """Note that a request has a sender's valid token: its connection does not give way while it is under way."""
        handler = request.protocol
        if not isinstance(handler, Handler):
            return
        connection = handler.connection
        if connection in self._open and not connection.proven and not self._of_sender.full(sender):
            connection.sender = sender
            self._of_sender.enter(sender)
            self._queue(connection, None, 0.0)

    def relieve_files(self) -> None:
        """Close a few connections because the process may not open more files."""
        for _ in range(8):
            self._evict(self._strangers.victim() or self._senders.victim(), "files")

    def _queue(self, connection: Connection, queue: "ByAddress[Connection] | None", now: float) -> None:
        address = connection.address
        if address is None or (queue is not None and connection not in self._open):
            return  # one that has left may still read what its socket had
        if connection.queue is not None:
            connection.queue.discard(address, connection)
        connection.queue = queue
        connection.since = now
        if queue is not None:
            queue.add(address, connection)

    def _relieve_address(self, address: str, now: float) -> bool:
        """Make room among the connections of an address; return whether there is."""
        for queue in (self._strangers, self._senders):
            oldest = queue.oldest(address)
            if oldest is not None and oldest.since <= now - IDLE_MIN_S:
                self._evict(oldest, "address")
                return True
        return False

    def _relieve(self, address: str | None, now: float) -> bool:
        """Make room among all connections for one of an address; return whether there is."""
        most = 1 + self._of_address.count(address or "")
        for queue in (self._strangers, self._senders, self._strangers_busy):
            victim = queue.victim()
            if victim is None:
                continue
            rested = queue is not self._strangers_busy and victim.since <= now - IDLE_MIN_S
            if rested or self._of_address.count(victim.address or "") > most:
                self._evict(victim, "full")
                return True
        return False

    def _evict(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            self.metrics.evicted_connections[reason].inc()
            self.leave(connection)
            connection.cut()

    def client(self, request: web.BaseRequest) -> str:
        """Return whose request it is, as one that is counted: see `peers`. Where there is no peer, `local`."""
        peer = _peer(request.transport) if request.transport is not None else None
        if peer is None:
            return "local"
        if peer not in self.proxies:
            return group(peer, self._ipv6_prefix)
        if self._header == "forwarded":
            hops = [without_port(element.get("for", "")) for element in request.forwarded]
        else:
            hops = [
                hop for value in request.headers.getall("X-Forwarded-For", ()) for hop in forwarded_for(value)
            ]
        return group(self.proxies.client(peer, hops), self._ipv6_prefix)

    def handler(self, server: web.Server, options: Mapping[str, Any], connection: Connection) -> "Handler":
        """Make the protocol of a connection."""
        return Handler(
            self,
            connection,
            server,
            loop=asyncio.get_running_loop(),
            answer_headers=self._answer_headers,
            **options,
        )

    # What is kept for them.

    def keep(self, handler: "Handler", address: str, own: int, body: bytes) -> None:
        """Take an answer into the account of bytes that are kept. Raises Problem where it does not fit."""
        now = _now()
        self.unread.drop(handler)
        fit, cut = self.unread.fit(address, own, body, now)
        self._cut_unread(cut)
        if fit is not Fit.YES:
            status = 429 if fit is Fit.ADDRESS_FULL else 503
            detail = "too many bytes of other answers are not read yet"
            raise Problem(status, "too_much_unread", detail, retry_after_s=2.0)
        self.unread.put(handler, address, own, body, now)

    def wrote(self, handler: "Handler", size: int) -> None:
        """Note that a small answer was written, or part of a head was read; see that not too much is unseen."""
        self._unseen[handler] = None
        self._unseen_bytes += size
        if self._unseen_bytes > UNSEEN_MAX:
            self._measure()

    def _see_all(self) -> None:
        """Have every connection measured that has something to send: also WebSockets, which write by themselves."""
        for connection in self._open:
            if connection.handler is not None and connection.handler.unsent:
                self._unseen[connection.handler] = None

    def _forget(self, handler: "Handler") -> None:
        self.unread.drop(handler)
        self._unseen.pop(handler, None)
        self._unsent.pop(handler, None)

    def _measure(self) -> None:
        """Look which connections have not taken what was written, and cut some if that is too much."""
        now = _now()
        unseen, self._unseen, self._unseen_bytes = self._unseen, {}, 0
        for handler in unseen:
            if handler not in self.unread and (kept := handler.kept):
                self.unread.put(handler, handler.connection.address or BEHIND_PROXIES, kept, None, now)
        for handler in list(self.unread):
            if handler.writing_large:
                continue
            if kept := handler.kept:
                self.unread.measured(handler, kept, now)
            else:
                self.unread.drop(handler)
        self._cut_unread(self.unread.excess(now))

    def _cut_unread(self, handlers: list["Handler"]) -> None:
        for handler in handlers:
            self._evict(handler.connection, "unread")

    async def run(self) -> None:
        """Cut, each second, connections that take too long over a head, and those that take nothing they are sent."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self._cut_headless(loop.time())
            self._see_all()
            self._measure()
            self._cut_stalled(loop.time())
            self.metrics.unread.set(self.unread.total)

    def _cut_headless(self, now: float) -> None:
        while self._headless:
            connection, until = next(iter(self._headless.items()))  # the oldest first
            if until > now:
                break
            self.metrics.refused_connections["head"].inc()
            self.leave(connection)
            connection.cut()

    def _cut_stalled(self, now: float) -> None:
        unsent: dict[Handler, tuple[int, float]] = {}
        for handler in list(self.unread):
            if size := handler.unsent:
                before, since = self._unsent.get(handler, (0, now))
                if size != before:
                    since = now
                if now - since < STALLED_S:
                    unsent[handler] = size, since
                else:
                    self._evict(handler.connection, "stalled")
        self._unsent = unsent


class Handler(ProblemHandler):
    """aiohttp's protocol of one connection, which says when a request begins and ends, and what is kept for it."""

    __slots__ = (
        "_ahead",
        "_body",
        "_busy",
        "_connections",
        "_framing",
        "_written",
        "connection",
        "ended",
        "writing_large",
    )

    def __init__(
        self, connections: Connections, connection: Connection, server: web.Server, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self.connection = connection
        self.ended = False
        """Whether the client has closed its side, with which the connection ends."""
        self.writing_large = False
        self._written = 0
        """Under TLS, bytes of answers since everything was last seen to be taken."""
        self._ahead = 0
        """Bytes of heads that are not finished, or of requests after the one under way."""
        self._body: StreamReader | None = None
        """That of the request that was read last."""
        self._framing = 0
        """Bytes since its content last grew: of the trailers of a chunked body aiohttp keeps up to 2 MiB."""
        self._busy = False
        """Whether a request is under way."""

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to take what was sent before."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    @property
    def kept(self) -> int:
        """Bytes that are kept for the connection: what its client has not taken, and what it sent ahead.

        Under TLS, bytes that are encrypted already do not show in the transport, so what was written counts until the
        kernel has nothing left to send.
        """
        if self.transport is None:
            return 0
        unsent = self.unsent
        if self._written:
            if unsent or self.connection.unsent_by_kernel():
                unsent += min(self._written, SLICE)
            else:
                self._written = 0
        ahead = self._ahead if self._ahead >= INPUT_SEEN and not self.connection.proven else 0
        return unsent + ahead

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve, unless the connection has given way to another one meanwhile."""
        self.connection.handler = self
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count out."""
        self._connections.leave(self.connection)
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Note that the client has closed its side. TLS drops what is written from now on and does not say so."""
        self.ended = True
        super().eof_received()

    def data_received(self, data: bytes) -> None:
        """Read requests; refuse a head that is too large, and cut a client that sends too much ahead of its answers."""
        before = self._request_count
        in_body = self._body is not None and not self._body.is_eof()
        arrived = self._body.total_bytes if self._body is not None else 0
        super().data_received(data)
        if in_body and self._body is not None:
            self._framing = self._framing + len(data) if self._body.total_bytes == arrived else 0
            if self._framing > FRAMING_MAX:
                self._cut_input()
                return
        if self._request_count != before and self._messages:
            self._body = self._messages[-1][1]
            if not self._busy:
                self._begin(len(data))
                return
        if data and not in_body and self._payload_parser is None and not self._upgraded:
            self._read_ahead(len(data))

    def _begin(self, size: int) -> None:
        """Note that a request is under way, of which the last `size` bytes have just been read."""
        self._busy = True
        self._connections.begin(self.connection)
        self._ahead += size - sum(body.total_bytes for _, body in self._messages)
        if self._ahead > HEAD_MAX and any(head_size(message) > HEAD_MAX for message, _ in self._messages):
            self.refuse_head()
        elif self._body is not None and not self._body.is_eof():
            self._ahead = 0  # the rest is a body, which is bounded where it is read
        elif self._ahead >= INPUT_SEEN:
            self._connections.wrote(self, size)

    def _read_ahead(self, size: int) -> None:
        self._ahead += size
        if self._ahead > HEAD_MAX and not self._busy:
            self._busy = True
            self._connections.begin(self.connection)
            self.refuse_head()
        elif self._ahead > AHEAD_MAX:
            self._cut_input()
        elif self._ahead >= INPUT_SEEN:
            self._connections.wrote(self, size)

    def _cut_input(self) -> None:
        self._connections.metrics.evicted_connections["input"].inc()
        self.cut()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, or cut the connection if its client does not take it."""
        if self.transport is None:  # it was taken over as a stream, or is gone: there is nobody to answer
            return resp, True
        delivered = isinstance(resp, web.Response) and resp.prepared
        if not delivered and not self.takes(resp):
            resp = await self.write(request, resp)
        finished = await super().finish_response(request, resp, start_time)
        if not finished[1]:
            self._note_written(resp)
            self._ahead = 0
            if not self._messages:
                self._busy = False
                self._connections.rest(self.connection)
        return finished

    def takes(self, answer: web.StreamResponse) -> bool:
        """Whether an answer is written without waiting: all before was taken, and it fits below the high-water mark."""
        body = answer.body if isinstance(answer, web.Response) else None
        return isinstance(body, bytes) and len(body) < AT_ONCE and not self.unsent

    def _note_written(self, answer: web.StreamResponse) -> None:
        """Have it checked later whether an answer was taken."""
        body = answer.body if isinstance(answer, web.Response) else None
        size = 512 + (len(body) if isinstance(body, bytes) and len(body) < AT_ONCE else 0)
        if self.transport is not None:
            if self.encrypted:
                self._written += size
            self._connections.wrote(self, size)

    @property
    def encrypted(self) -> bool:
        """Whether what is written is encrypted, and so copied, for this connection."""
        return self.transport is not None and self.transport.get_extra_info("sslcontext") is not None

    @property
    def _copied(self) -> int:
        """Bytes of a large answer of which there is a copy for this connection."""
        return SLICE if self.encrypted else 0

    async def write(self, request: web.BaseRequest, answer: web.StreamResponse) -> web.StreamResponse:
        """Write an answer and wait until it is taken, or cut the connection; return what was written.

        Where too many bytes are kept already, for this address or in all, that is another answer, which says so.
        """
        body = answer.body if isinstance(answer, web.Response) else None
        large = body if isinstance(body, bytes) and len(body) >= AT_ONCE and not answer.prepared else None
        if large is not None:
            try:
                self._keep(request, large)
            except Problem as problem:
                answer, large = problem.response(), None
        try:
            async with asyncio.timeout(_take_s(answer)):
                if large is None:
                    await answer.prepare(request)
                    await answer.write_eof()
                else:
                    await self._write_large(request, answer, large)
        except (TimeoutError, ConnectionError):
            self.cut()
        finally:
            self.writing_large = False
            if large is not None:
                self._connections.unread.drop(self)
        return answer

    async def write_part(self, answer: web.StreamResponse, data: bytes, timeout_s: float) -> None:
        """Write a part of an answer that has begun, and wait until it is taken. Raises TimeoutError, ConnectionError.

        Where too many bytes are kept already, the connection is to be closed: ConnectionError.
        """
        try:
            self._connections.keep(self, self.connection.address or BEHIND_PROXIES, self._copied, data)
        except Problem as problem:
            raise ConnectionResetError(problem.detail) from None
        try:
            self.writing_large = True
            async with asyncio.timeout(timeout_s):
                await self._write_slices(answer, data)
        finally:
            self.writing_large = False
            self._connections.unread.drop(self)

    def _keep(self, request: web.BaseRequest, body: bytes) -> None:
        self._connections.keep(self, self._connections.client(request), self._copied, body)
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
        # At 0, TLS would pause for ever: it does so at the limit, and not beyond it.
        transport.set_write_buffer_limits(high=1 if self.encrypted else 0, low=0)
        view = memoryview(body)
        for start in range(0, len(body), SLICE):
            if self.ended:
                raise ConnectionResetError("the client has closed its side")
            async with self._connections.turns.work(self.connection.address or BEHIND_PROXIES, WRITE_S):
                await answer.write(view[start : start + SLICE])
            if self._paused:
                await self._drain_helper()
            self._connections.unread.progress(self, _now())
        if self.transport is not None and not self.transport.is_closing():
            self.transport.set_write_buffer_limits()

    def cut(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


async def deliver(request: web.Request, answer: web.Response) -> web.StreamResponse:
    """Write an answer now, while its request still counts, or cut its connection; return it for aiohttp to find done.

    One below the high-water mark of the connection (64 KiB) is written without waiting: it is kept in its buffer, and
    no other request of the connection is answered while that is full.
    """
    handler = request.protocol
    if not isinstance(handler, Handler):
        return answer  # aiohttp's own server writes it
    if not handler.takes(answer):
        return await handler.write(request, answer)
    try:
        await answer.prepare(request)
        await answer.write_eof()
    except ConnectionError:
        handler.cut()
    return answer


def _take_s(answer: web.StreamResponse) -> float:
    """Return what a client may take over an answer, in seconds."""
    body = answer.body if isinstance(answer, web.Response) else None
    return TAKE_S + (len(body) if isinstance(body, bytes | bytearray) else 0) / TAKE_RATE


def head_size(message: Any) -> int:
    """Return the bytes of the header fields of a request; 0 for what could not be read as one."""
    return sum(len(name) + len(value) for name, value in getattr(message, "raw_headers", ()))


def _now() -> float:
    return asyncio.get_running_loop().time()


def _peer(transport: asyncio.BaseTransport) -> str | None:
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None
