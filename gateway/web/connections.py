"""The connections of a door: how many there are, for how many clients, and which ones to close when there are too many.

They are counted when they are accepted: until the head of a request is read, a connection costs a socket and a task and
does not show who its client is. Independent of HTTP: `aiohttp_connection` reports when requests begin and end.
"""

import array
import asyncio
import fcntl
import socket
import termios
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from random import Random
from typing import Protocol

from gateway.clock import SYSTEM_CHANCE, SYSTEM_CLOCK, Clock
from gateway.config import Config
from gateway.telemetry.metrics import ConnectionMetrics
from gateway.web.client_address import ClientAddresses
from gateway.web.concurrency_limit import ConcurrencyLimit
from gateway.web.eviction import ByAddress
from gateway.web.send_buffers import Buffered, SendBuffers
from gateway.web.turns import Turns

HEAD_S = 10.0
"""Timeout for the TLS handshake and the head of the first request, in seconds; for later heads it is `keepalive_s`."""
HANDSHAKES_MAX = 1024
"""TLS handshakes in progress in a process, each of which takes about 45 kB of memory; a new one evicts the oldest."""
IDLE_MIN_S = 1.0
"""A connection that was accepted or became idle more recently than this, in seconds, is not evicted for another one of
its own address, nor for one of an address with as many connections. Otherwise a client that reconnects all the time
would evict all others before they send a request."""
BEHIND_PROXIES = "proxies"
"""The address under which the buffers of trusted proxies are counted."""


class Handler(Buffered, Protocol):
    """What serves a connection."""

    connection: "Connection"

    def abort(self) -> None:
        """Close at once."""


class Connection:
    """An accepted connection, from before its TLS handshake until it is closed or becomes an event stream."""

    __slots__ = (
        "address",
        "ending",
        "handler",
        "head_received",
        "protected",
        "queue",
        "sender",
        "since",
        "sock",
    )

    def __init__(self, address: str | None, sock: socket.socket) -> None:
        self.address = address
        """The client that it counts for; None for a trusted proxy, which is not counted."""
        self.sock = sock
        self.handler: Handler | None = None
        self.head_received = False
        """Whether the head of any request was read."""
        self.ending = False
        """Whether it is about to be closed."""
        self.sender: Hashable | None = None
        """The sender whose valid token it presented, unless that sender has enough such connections already."""
        self.protected = False
        """Whether a request of its sender is in progress, or its push WebSocket is open: it is not evicted then."""
        self.queue: ByAddress[Connection] | None = None
        """The eviction queue it is in. One that is protected may still be in that of idle ones, see `_unprotected`."""
        self.since = 0.0
        """When it entered that queue, by the loop's clock."""

    @property
    def authenticated(self) -> bool:
        """Whether it counts as a sender's."""
        return self.sender is not None

    def abort(self) -> None:
        """Close at once; without a handler the socket still belongs to its transport, so it is only shut down."""
        if self.handler is not None:
            self.handler.abort()
            return
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client has closed it already

    def unsent_by_kernel(self) -> int:
        """Return the bytes that the peer has not acknowledged. Source: Linux, tcp(7), SIOCOUTQ."""
        size = array.array("i", [0])
        try:
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, size)
        except (OSError, ValueError):
            return 0  # it is closed
        return size[0]


class Upgraded:
    """A connection whose protocol was switched, as its door counts it."""

    __slots__ = ("_transport", "connection")
    writing_large = False

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self.connection = connection
        self._transport = transport

    @property
    def account(self) -> str:
        """The client address that buffered bytes count for."""
        return self.connection.address or BEHIND_PROXIES

    @property
    def unsent(self) -> int:
        """Bytes written that the client has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def buffered(self) -> int:
        """Bytes buffered for the connection, apart from what its protocol keeps."""
        return self.unsent

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class Connections:
    """The connections of one door, apart from event streams. Invariants:

    * At most `connections_max` in total, and `connections_per_address` from one address that is not a trusted proxy's;
      they are counted when they are accepted. At most HANDSHAKES_MAX of them are in their TLS handshake.
    * When the limit is reached, a new connection evicts another one, in this order: idle connections and those without
      a request that presented no valid token, idle connections of senders, active ones without a valid token. Within
      each class the address with the most connections comes first, and of these the one that was idle longest; then
      the one of all addresses that was. A connection whose address has no more connections than that of the new one is
      evicted only if it was idle for IDLE_MIN_S. Requests with a valid token, open push WebSockets and connections of
      trusted proxies are never evicted.
    * A sender has as many authenticated connections as it may have requests and WebSockets; any others are treated as
      anonymous. One with a request in progress takes the place of the one that was idle longest.
    * A connection that has not sent the head of a request within HEAD_S is closed, within a second.
    """

    def __init__(
        self,
        config: Config,
        metrics: ConnectionMetrics,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: Random = SYSTEM_CHANCE,
    ) -> None:
        self.clock = clock
        self.chance = chance
        self.addresses = ClientAddresses(config)
        self.metrics = metrics
        self.buffers: SendBuffers[Handler] = SendBuffers(self._close_handler)
        self.turns = Turns(clock=clock)
        self.keepalive_s = config.keepalive_s
        """How long an idle connection is kept open, in seconds."""
        self._limit = config.connections_max
        self._open: dict[Connection, None] = {}
        self._per_address = ConcurrencyLimit(config.connections_per_address)
        self._ending = ConcurrencyLimit(None)
        """Connections that are about to be closed, by address."""
        self._per_sender_max = config.requests_per_sender + config.sockets_per_sender
        self._of_sender: dict[Hashable, dict[Connection, None]] = {}
        """The authenticated connections of each sender that has any."""
        self._handshakes: ByAddress[Connection] = ByAddress()
        self._idle_anonymous: ByAddress[Connection] = ByAddress()
        self._idle_senders: ByAddress[Connection] = ByAddress()
        self._active_anonymous: ByAddress[Connection] = ByAddress()
        self._awaiting_head: OrderedDict[Connection, float] = OrderedDict()
        """Connections without a request so far, with their deadlines, the earliest first."""

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, peer: str | None, sock: socket.socket, *, handshake: bool = False) -> Connection | None:
        """Count a new connection; return None if there is no room for it, and it has to be closed."""
        now = _now()
        address = self.addresses.of_connection(peer)
        if address is not None and self._per_address.full(address) and not self._evict_of(address, now):
            self.metrics.refused_connections["address"].inc()
            return None
        if len(self._open) >= self._limit and not self._evict_for(address, now):
            self.metrics.refused_connections["full"].inc()
            return None
        if handshake and len(self._handshakes) >= HANDSHAKES_MAX:
            self._evict(self._handshakes.victim(), "handshakes")
        connection = Connection(address, sock)
        self._open[connection] = None
        self._awaiting_head[connection] = now + HEAD_S
        if address is not None:
            self._per_address.enter(address)
            if handshake:
                self._handshakes.add(address, connection)
        self._enqueue(connection, self._idle_anonymous, now)
        return connection

    def handshake_done(self, connection: Connection) -> None:
        """Record that the TLS handshake is complete."""
        if connection.address is not None:
            self._handshakes.discard(connection.address, connection)

    def remove(self, connection: Connection) -> None:
        """Stop counting a connection: it is closed, or was taken over as an event stream."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._awaiting_head.pop(connection, None)
        self._enqueue(connection, None, 0.0)
        self._withdraw(connection)
        if connection.handler is not None:
            self.buffers.forget(connection.handler)
        if connection.address is not None:
            self._per_address.leave(connection.address)
            if connection.ending:
                self._ending.leave(connection.address)
            self._handshakes.discard(connection.address, connection)

    def request_started(self, connection: Connection) -> None:
        """Record that a request is in progress."""
        if not connection.head_received:
            connection.head_received = True
            self._awaiting_head.pop(connection, None)
        if connection.authenticated:
            connection.protected = True
        else:
            self._enqueue(connection, self._active_anonymous, _now())

    def request_finished(self, connection: Connection, now: float) -> None:
        """Record that the connection is idle since `now`, in loop time."""
        if connection not in self._open:
            return
        connection.protected = False
        if not connection.authenticated:
            self._enqueue(connection, self._idle_anonymous, now)
        elif connection.queue is not self._idle_senders:
            self._enqueue(connection, self._idle_senders, now)
        elif connection.address is not None:
            connection.since = now
            connection.queue.renew(connection.address, connection)

    def end(self, connection: Connection) -> None:
        """Record that a connection is about to be closed, since its last answer is written or its client has left.

        That takes some turns of the event loop. It counts against the limits until then, but where shares are compared
        it does not count against a new connection of its client. If there is something that its client has not taken,
        it may take much longer, and the connection counts like any other.
        """
        handler = connection.handler
        if handler is not None and handler.unsent:
            return
        if connection.address is not None and not connection.ending and connection in self._open:
            connection.ending = True
            self._ending.enter(connection.address)

    def authenticate(self, connection: Connection, sender: Hashable) -> None:
        """Record that the request in progress has a sender's valid token: its connection is not evicted meanwhile."""
        if connection.sender is not None or connection not in self._open:
            return
        others = self._of_sender.setdefault(sender, {})
        if len(others) >= self._per_sender_max:
            idle = min((each for each in others if not each.protected), key=_since, default=None)
            if idle is None:
                return
            self._withdraw(idle)
            self._enqueue(idle, self._idle_anonymous, idle.since)
        self._of_sender.setdefault(sender, {})[connection] = None
        connection.sender = sender
        connection.protected = True
        self._enqueue(connection, None, 0.0)

    def _withdraw(self, connection: Connection) -> None:
        """Treat a connection as anonymous."""
        sender, connection.sender = connection.sender, None
        connection.protected = False
        if sender is not None:
            del self._of_sender[sender][connection]
            if not self._of_sender[sender]:
                del self._of_sender[sender]

    def evict_for_files(self) -> None:
        """Close a few connections because the process has reached its limit of open files."""
        for _ in range(8):
            idle = self._unprotected(self._idle_anonymous.victim)
            self._evict(idle or self._unprotected(self._idle_senders.victim), "files")

    async def run(self) -> None:
        """Each second, close connections whose head is late or whose client reads nothing, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self._close_late_heads(loop.time())
            handlers = [each.handler for each in self._open if each.handler is not None]
            self.buffers.sweep(handlers, loop.time())
            self.metrics.unread.set(self.buffers.unread.total)

    def _enqueue(self, connection: Connection, queue: "ByAddress[Connection] | None", now: float) -> None:
        """Move a connection to an eviction queue, or out of all of them."""
        address = connection.address
        if address is None or (queue is not None and connection not in self._open):
            return  # one that was removed may still read what its socket had received
        if connection.queue is not None:
            connection.queue.discard(address, connection)
        connection.queue = queue
        connection.since = now
        if queue is not None:
            queue.add(address, connection)

    def _unprotected(self, find: Callable[[], Connection | None]) -> Connection | None:
        """Return what `find` chooses of a queue, among those that may be evicted.

        The request of an authenticated connection does not take it out of its queue, since it is soon idle again and
        hardly any is evicted meanwhile. Those that are met here are taken out.
        """
        while (found := find()) is not None and found.protected:
            self._enqueue(found, None, 0.0)
        return found

    def _evict_of(self, address: str, now: float) -> bool:
        """Evict an idle connection of an address; return whether there was one."""
        for queue in (self._idle_anonymous, self._idle_senders):
            oldest = self._unprotected(partial(queue.oldest, address))
            if oldest is not None and oldest.since <= now - IDLE_MIN_S:
                self._evict(oldest, "address")
                return True
        return False

    def _evict_for(self, address: str | None, now: float) -> bool:
        """Evict some connection for a new one of an address; return whether there was one."""
        most = 1 + self._per_address.count(address or "") - self._ending.count(address or "")
        for queue in (self._idle_anonymous, self._idle_senders, self._active_anonymous):
            victim = self._unprotected(queue.victim)
            if victim is None:
                continue
            if self._per_address.count(victim.address or "") <= most:
                if queue is self._active_anonymous:
                    continue
                if victim.since > now - IDLE_MIN_S:
                    victim = self._unprotected(queue.first)
                if victim is None or victim.since > now - IDLE_MIN_S:
                    continue
            self._evict(victim, "full")
            return True
        return False

    def _evict(self, connection: Connection | None, reason: str) -> None:
        if connection is not None:
            self.metrics.evicted_connections[reason].inc()
            self.remove(connection)
            connection.abort()

    def _close_handler(self, handler: Handler, reason: str) -> None:
        self._evict(handler.connection, reason)

    def _close_late_heads(self, now: float) -> None:
        while self._awaiting_head:
            connection, deadline = next(iter(self._awaiting_head.items()))
            if deadline > now:
                break
            self.metrics.refused_connections["head"].inc()
            self.remove(connection)
            connection.abort()


def _since(connection: Connection) -> float:
    return connection.since


def _now() -> float:
    return asyncio.get_running_loop().time()
