"""The connections of a door before and between requests: how many, how many of one address, how long without a request.

aiohttp looks after a request once its head is read. Until then a connection costs a socket and a task and says nothing
of who it is; so they are counted here, and whoever takes too long over a head is cut.
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
    """

    def __init__(self, config: Config, metrics: DoorMetrics) -> None:
        self.proxies = Proxies(config.trusted_proxies)
        self._header = config.proxy_header
        self._most = config.connections_max
        self._metrics = metrics
        self._open: dict[Handler, str | None] = {}
        self._of_address = Tally(config.connections_per_address)
        self._headless: dict[Handler, float] = {}

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
        """Cut, each second, who is too long over a head."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            now = loop.time()
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve, or close at once: an EventSource comes back after that, and after any status but 200 it never does."""
        super().connection_made(transport)
        if not self._connections.enter(self, transport):
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count out."""
        self._connections.leave(self)
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


def _peer(transport: asyncio.BaseTransport) -> str | None:
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None
