"""The connections of a door before and between requests: how many, how many of one address, how long without a request.

aiohttp looks after a request once its head is read. Until then a connection costs a socket and a task and says nothing
of who it is; so they are counted here, and whoever takes too long over a head is cut. So is whoever does not take its
answer, which aiohttp would keep for ever.
"""

import asyncio
from typing import Any

from aiohttp import web

from gateway.config import Config
from gateway.metrics import DoorMetrics
from gateway.web.peers import Proxies, forwarded_for, group, without_port

HEAD_S = 10.0
"""What a client may take over the head of its first request; over later ones, KEEPALIVE_S."""
KEEPALIVE_S = 75.0
"""How long a connection is kept between requests: longer than proxies keep theirs, so that they close first."""
TAKE_S, TAKE_RATE = 30.0, 8 << 10
"""What a client may take over an answer: so many seconds, and one more for each TAKE_RATE bytes."""
AT_ONCE = 32 << 10
"""Bytes of an answer that needs no watch: with its head it stays below the high-water mark."""
STALLED_S = 60.0
"""How long a connection may have bytes to send of which its client takes none."""


class Tally:
    """How many there are of each kind; nothing is kept of those of whom there is none. `most` None is no limit."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._counts: dict[str, int] = {}

    def full(self, name: str) -> bool:
        """Whether there are as many as may be."""
        return self._most is not None and self._counts.get(name, 0) >= self._most

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


class Connections:
    """The connections of one door that aiohttp holds. Invariants:

    * At most `connections_max`, and `connections_per_address` from one address that is not a trusted proxy's.
    * One that has not sent the head of a request in HEAD_S is cut, within a second.
    * An answer is kept for no longer than TAKE_S and TAKE_RATE allow, and one of which nothing is taken no longer than
      STALLED_S. What its buffers hold below their high-water mark (64 KiB) counts as taken before.
    """

    def __init__(self, config: Config, metrics: DoorMetrics) -> None:
        self.proxies = Proxies(config.trusted_proxies)
        self._header = config.proxy_header
        self._most = config.connections_max
        self._metrics = metrics
        self._open: dict[Handler, str | None] = {}
        self._of_address = Tally(config.connections_per_address)
        self._headless: dict[Handler, float] = {}
        self._unsent: dict[Handler, tuple[int, float]] = {}
        """Bytes that a connection has to send, and since when so many."""

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, handler: "Handler", transport: asyncio.BaseTransport) -> bool:
        """Count a connection in; return False where it is one too many."""
        if len(self._open) >= self._most:
            self._metrics.refused_connections["full"].inc()
            return False
        peer = _peer(transport)
        counted = None if peer is None or peer in self.proxies else group(peer)
        if counted is not None:
            if self._of_address.full(counted):
                self._metrics.refused_connections["address"].inc()
                return False
            self._of_address.enter(counted)
        self._open[handler] = counted
        self._headless[handler] = asyncio.get_running_loop().time() + HEAD_S
        return True

    def leave(self, handler: "Handler") -> None:
        """Count a connection out: it is closed, or was taken over as a stream."""
        self._headless.pop(handler, None)
        counted = self._open.pop(handler, None)
        if counted is not None:
            self._of_address.leave(counted)

    def client(self, request: web.BaseRequest) -> str:
        """Return whose request it is, as one that is counted: see `peers`. Where there is no peer, `local`."""
        peer = _peer(request.transport) if request.transport is not None else None
        if peer is None:
            return "local"
        if peer not in self.proxies:
            return group(peer)
        if self._header == "forwarded":
            hops = [without_port(element.get("for", "")) for element in request.forwarded]
        else:
            hops = [
                hop for value in request.headers.getall("X-Forwarded-For", ()) for hop in forwarded_for(value)
            ]
        return group(self.proxies.client(peer, hops))

    def handler(self, server: web.Server, options: dict[str, Any]) -> "Handler":
        """Make the protocol of a new connection."""
        return Handler(self, server, loop=asyncio.get_running_loop(), **options)

    async def run(self) -> None:
        """Cut, each second, who is too long over a head, and who takes nothing of what it is sent."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self._cut_headless(loop.time())
            self._cut_stalled(loop.time())

    def _cut_headless(self, now: float) -> None:
        late = []
        for handler, until in self._headless.items():  # the oldest first
            if until > now:
                break
            late.append(handler)
        for handler in late:
            del self._headless[handler]
            if not handler.asked:
                self._metrics.refused_connections["head"].inc()
                handler.cut()

    def _cut_stalled(self, now: float) -> None:
        unsent: dict[Handler, tuple[int, float]] = {}
        for handler in tuple(self._open):
            if size := handler.unsent:
                before, since = self._unsent.get(handler, (0, now))
                if size != before:
                    since = now
                if now - since < STALLED_S:
                    unsent[handler] = size, since
                else:
                    handler.cut()
        self._unsent = unsent


class Handler(web.RequestHandler):
    """aiohttp's protocol of one connection, which counts itself in and out."""

    __slots__ = ("_connections",)

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections

    @property
    def asked(self) -> bool:
        """Whether the head of a request was ever read."""
        return self._request_count > 0

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to take what was sent before."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve, or close at once: an EventSource comes back after that, and after any status but 200 it never does."""
        super().connection_made(transport)
        if not self._connections.enter(self, transport):
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count out."""
        self._connections.leave(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer, or cut the connection of who does not take it; then nobody is left for another one."""
        if self.transport is None:  # it was taken over as a stream, or is gone: there is nobody to answer
            return resp, True
        if self.takes(resp):
            return await super().finish_response(request, resp, start_time)
        try:
            async with asyncio.timeout(_take_s(resp)):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self.cut()
            return resp, True

    def takes(self, answer: web.StreamResponse) -> bool:
        """Whether an answer is written without waiting: all before was taken, and it fits below the high-water mark."""
        body = answer.body if isinstance(answer, web.Response) else None
        return isinstance(body, bytes) and len(body) < AT_ONCE and not self.unsent

    def cut(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


async def deliver(request: web.Request, answer: web.Response) -> web.Response:
    """Write an answer now, while whoever asked still counts, or cut its connection; return it for aiohttp to find done.

    One below the high-water mark of the connection (64 KiB) is written without waiting: it is kept in its buffer, and
    no other request of the connection is answered while that is full.
    """
    try:
        if isinstance(request.protocol, Handler) and request.protocol.takes(answer):
            await answer.prepare(request)
            await answer.write_eof()
        else:
            async with asyncio.timeout(_take_s(answer)):
                await answer.prepare(request)
                await answer.write_eof()
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()
    return answer


def _take_s(answer: web.StreamResponse) -> float:
    """Return what a client may take over an answer, in seconds."""
    body = answer.body if isinstance(answer, web.Response) else None
    return TAKE_S + (len(body) if isinstance(body, bytes | bytearray) else 0) / TAKE_RATE


def _peer(transport: asyncio.BaseTransport) -> str | None:
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None
