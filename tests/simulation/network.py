"""A network in memory: the kernel's side of TCP sockets, between processes that are named.

asyncio's own transports run on these sockets, so flow control, half-close, `close` and `abort` are those of production.
A connection has two streams of bytes. What a process writes arrives after the delay of the link, in order, in pieces of
random sizes; a stream has room for so many bytes, and a writer waits while it is full.

What can happen to a link between two processes (or to a process and an address, or `ANY`):

* `cut`: nothing arrives until `heal`. Neither side notices, until timeouts: those of the code, or of TCP (a connection
  whose bytes are not acknowledged for GIVE_UP_S breaks; opening one fails after CONNECT_S). What was sent meanwhile
  arrives after `heal`, when TCP sends it again.
* `stall`: a cut that heals after some seconds. `delay`: how long bytes are on their way.
* `reset_all`: connections break on both sides.

TCP duplicates nothing. A process that is killed leaves its sockets to its kernel, which sends what was written, and
then the end of the stream, or a reset if something received was not read; after a loss of power nothing is sent.
"""

import asyncio
import contextvars
import errno
import functools
import random
import socket
import ssl
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler

from tests.simulation.loop import OWNER, Owner, SimulatedLoop, Strand

P = TypeVar("P", bound=asyncio.BaseProtocol)

ANY = "*"
"""Stands for every process in the name of a link."""
DELAY_S = (0.0001, 0.003)
"""Shortest and longest time that bytes are on their way, unless `delay` says otherwise, in seconds."""
RETRANSMIT_S = 1.0
"""Longest time until TCP sends again after a cut has healed, in seconds."""
CONNECT_S = 127.0
"""Time until opening a connection fails if nobody answers (tcp_syn_retries is 6), in seconds."""
GIVE_UP_S = 924.0
"""Time until a connection breaks whose bytes are not acknowledged (tcp_retries2 is 15), in seconds."""
ROOM = (4 << 10, 16 << 10, 64 << 10, 256 << 10)
"""Bytes that a stream has room for: one of these for each connection."""
PIECES = 0.25
"""Share of writes that arrive in pieces."""
BACKLOG = 4096
"""Connections that wait to be accepted."""
UNCHECKED = 0.1
"""Share of connections that a load balancer gives to a server without knowing whether it listens."""


class _Stream:
    """One direction of a connection: what was sent and not yet read."""

    def __init__(self, network: "Network", sender: "Socket", room: int) -> None:
        self._network = network
        self._sender = sender
        self.receiver: Socket
        self._room = room
        self._used = 0
        """Bytes that were sent and, as far as the sender knows, not read."""
        self._under_way: deque[tuple[float, bytes]] = deque()
        """What was sent and has not arrived; b"" is the end of the stream."""
        self._last_arrival_s = 0.0
        self._unacknowledged_since: float | None = None
        self._held = False
        """Whether what is under way waits for the link to be healed."""
        self.full = False
        """Whether a write was refused since there was room."""
        self.arrived = bytearray()
        self.at_end = False
        """Whether the end of the stream has arrived."""
        self.lost = False
        """Whether nothing arrives any more."""

    @property
    def delivered(self) -> bool:
        """Whether everything sent has arrived."""
        return not self._under_way

    def take(self, data: Any) -> bytes:
        """Take bytes from the sender; return those that there was room for."""
        taken = bytes(memoryview(data)[: self._room - self._used])
        if len(taken) < len(data):
            self.full = True
        if taken:
            self._used += len(taken)
            self._send(taken)
        return taken

    def end(self) -> None:
        """Send the end of the stream."""
        self._enqueue(b"")

    def read(self, most: int) -> bytes:
        """Return what has arrived, and let the sender know that there is room again."""
        piece = bytes(self.arrived[:most])
        del self.arrived[:most]
        if self.full:
            self._network.later(self._sender, self._make_room, len(piece))
        else:
            self._used -= len(piece)
        return piece

    def _make_room(self, size: int) -> None:
        self._used -= size
        if self._used < self._room:
            self.full = False
            self._network.loop.socket_changed(self._sender)

    def _send(self, data: bytes) -> None:
        chance = self._network.chance
        while len(data) > 1 and chance.random() < PIECES:
            size = chance.randrange(1, len(data))
            self._enqueue(data[:size])
            data = data[size:]
        self._enqueue(data)

    def _enqueue(self, data: bytes) -> None:
        now = self._network.loop.time()
        if not self._under_way:
            self._unacknowledged_since = now
        self._last_arrival_s = max(self._last_arrival_s, now + self._network.draw_delay(self._sender))
        self._under_way.append((self._last_arrival_s, data))
        self._network.loop.call_world_at(self._last_arrival_s, self._arrive)

    def _arrive(self) -> None:
        """Deliver what is due, unless the link is cut."""
        now = self._network.loop.time()
        if not self._under_way or self.lost or self._held or self._under_way[0][0] > now:
            return
        if self._network.is_cut(self._sender):
            self._held = True
            self._network.hold(self._sender, self._arrive_again)
            since = self._unacknowledged_since
            give_up_s = self._sender.give_up_s
            self._network.loop.call_world(give_up_s, lambda: self._give_up(since))
            return
        while self._under_way and self._under_way[0][0] <= now:
            self._deliver(self._under_way.popleft()[1])
        self._unacknowledged_since = now if self._under_way else None

    def _arrive_again(self) -> None:
        """TCP sends again, after a cut."""
        self._held = False
        now = self._network.loop.time()
        again_s = now + self._network.chance.random() * RETRANSMIT_S
        self._under_way = deque((max(when, again_s), data) for when, data in self._under_way)
        self._last_arrival_s = max(self._last_arrival_s, again_s)
        self._network.loop.call_world_at(again_s, self._arrive)

    def _give_up(self, since: float | None) -> None:
        if since is not None and self._unacknowledged_since == since and not self.lost:
            self._sender.fail(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))

    def _deliver(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver.closed:
            if data:
                self._network.send_reset(receiver)
        elif data:
            self.arrived += data
            self._network.loop.socket_changed(receiver)
        else:
            self.at_end = True
            self._network.loop.socket_changed(receiver)


class Socket:
    """One end of a connection, with the methods of `socket.socket` that asyncio's transports use."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(
        self, network: "Network", owner: Owner, name: tuple[str, int], peer_name: tuple[str, int]
    ) -> None:
        self._network = network
        self._number = network.loop.register(self)
        self.strand: Strand | None = None
        self.owner = owner
        self.peer: Socket
        self.ends: tuple[str, ...] = (owner.name,)
        """The names of this end of the link."""
        self._name, self._peer_name = name, peer_name
        self.sending: _Stream
        self.receiving: _Stream
        self.give_up_s = GIVE_UP_S
        self.closed = False
        self._shut = False
        self._error: OSError | None = None
        self._broken = False

    # What asyncio calls.

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    def getsockname(self) -> tuple[str, int]:
        return self._name

    def getpeername(self) -> tuple[str, int]:
        return self._peer_name

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        """Do nothing: no simulated socket blocks."""

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if (level, option) == (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", -1)):
            self.give_up_s = value / 1000

    def getsockopt(self, level: int, option: int, size: int = 0) -> int:
        return 0

    def send(self, data: Any) -> int:
        if self._error is not None:
            raise self._take_error()
        if self._broken or self._shut or self.closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if self.sending.full:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        taken = self.sending.take(data)
        if not taken:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self._network.loop.record(zlib.crc32(taken).to_bytes(4, "big"))
        return len(taken)

    def recv(self, most: int) -> bytes:
        if self.receiving.arrived:
            return self.receiving.read(most)
        if self._error is not None:
            raise self._take_error()
        if self.receiving.at_end or self._broken:
            return b""
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    def recv_into(self, buffer: Any) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def shutdown(self, how: int) -> None:
        if self.closed or self._broken:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if how in (socket.SHUT_WR, socket.SHUT_RDWR) and not self._shut:
            self._shut = True
            self.sending.end()
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self.receiving.at_end = True
            self._network.loop.socket_changed(self)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._network.forget(self)
        if self._broken:
            return
        if self.receiving.arrived:
            self._network.send_reset(self)
        elif not self._shut:
            self.sending.end()

    # What the network does.

    def readable(self) -> bool:
        return bool(
            self.receiving.arrived or self.receiving.at_end or self._error is not None or self._broken
        )

    def writable(self) -> bool:
        return not self.sending.full or self._broken

    def fail(self, error: OSError) -> None:
        """Break the connection on this side."""
        if self._broken:
            return
        self._broken = True
        self._error = error
        self.sending.lost = True
        self._network.loop.socket_changed(self)

    def _take_error(self) -> OSError:
        error, self._error = self._error, None
        assert error is not None
        return error


class Listener:
    """A listening socket. `gateway.web.accepting` accepts its connections as it does those of a real one."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, network: "Network", owner: Owner, address: str) -> None:
        self._network = network
        self._number = network.loop.register(self)
        self.strand: Strand | None = None
        self.owner = owner
        self.address = address
        self.closed = False
        self._waiting: deque[Socket] = deque()

    def fileno(self) -> int:
        return -1 if self.closed else self._number

    def setblocking(self, flag: bool) -> None:
        """Do nothing: no simulated socket blocks."""

    def listen(self, backlog: int = BACKLOG) -> None:
        """Do nothing: it listens from the beginning."""

    def getsockname(self) -> tuple[str, int]:
        return self._network.name_of(self.owner, port_of(self.address))

    def accept(self) -> tuple[Socket, tuple[str, int]]:
        if not self._waiting:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        accepted = self._waiting.popleft()
        return accepted, accepted.getpeername()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._network.forget_listener(self)
            for each in self._waiting:
                self._network.send_reset(each)

    def readable(self) -> bool:
        return bool(self._waiting)

    def writable(self) -> bool:
        return False

    def offer(self, sock: Socket) -> None:
        """Add a connection to those that wait to be accepted."""
        self._waiting.append(sock)
        self._network.loop.socket_changed(self)


class Network:
    """Connections between processes. Links are named by two processes, or by a process and an address."""

    def __init__(self, loop: SimulatedLoop, chance: random.Random) -> None:
        self.loop = loop
        self.chance = chance
        self._listeners: dict[str, Listener] = {}
        self._sockets: dict[Socket, None] = {}
        self._hosts: dict[str, str] = {}
        self._balanced: dict[str, list[str]] = {}
        self._absent: dict[str, None] = {}
        """Processes whose machines have no power."""
        self._cuts: dict[tuple[str, str], int] = {}
        self._delays: dict[tuple[str, str], tuple[float, float]] = {}
        self._held: list[tuple[tuple[str, ...], tuple[str, ...], Callable[[], None]]] = []
        self._ports = 40000
        loop.connect = self._connect

    # For processes.

    def listen(
        self, process: Owner, address: str, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> Listener:
        """Serve the connections to an address until its process is killed or the listener is closed."""
        listener = self.listener(process, address)
        opening: dict[asyncio.Task[Any], None] = {}

        def accept() -> None:
            while listener.readable():
                sock, _ = listener.accept()
                task = self.loop.create_task(self._serve(protocol_factory, sock), name=f"accept {address}")
                opening[task] = None
                task.add_done_callback(lambda task: opening.pop(task))

        self._context(process).run(self.loop.add_reader, listener, accept)
        return listener

    def listener(self, process: Owner, address: str) -> Listener:
        """Return a listening socket, for code that accepts connections itself (`gateway.web.accepting`)."""
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{address} is in use")
        listener = self._listeners[address] = Listener(self, process, address)
        return listener

    def close_listener(self, address: str) -> None:
        """Accept nothing more at an address; accepted connections stay open."""
        listener = self._listeners.get(address)
        if listener is not None:
            listener.close()

    def balance(self, address: str, addresses: Iterable[str]) -> None:
        """Give each connection to `address` to one of several addresses, usually one at which somebody listens."""
        self._balanced[address] = list(addresses)

    async def connect(
        self, process: Owner, address: str, protocol_factory: Callable[[], P]
    ) -> tuple[asyncio.Transport, P]:
        """Open a connection. Raises ConnectionRefusedError, TimeoutError (both OSError)."""
        sock = await self.open(process, address)
        try:
            return await self.loop.connect_accepted_socket(protocol_factory, sock)  # type: ignore[return-value, arg-type]
        except BaseException:
            sock.close()
            raise

    def connector(self, process: Owner, *, limit: int = 100) -> aiohttp.BaseConnector:
        """Return what opens the connections of aiohttp's clients; host and port of a URL are the address."""
        return Connector(self, process, limit=limit)

    async def open(self, process: Owner, address: str) -> Socket:
        """Open a connection and return its socket. Raises as `connect` does."""
        answered: asyncio.Future[Socket] = self.loop.create_future()
        address = self._server_of(address)
        attempt = _Attempt(self, process, address, answered)
        self.loop.call_world(self._delay_between((process.name,), self._names_of(address)), attempt.arrive)
        try:
            return await answered
        except asyncio.CancelledError:
            attempt.abandon()
            raise

    # Faults.

    def cut(self, a: str, b: str) -> None:
        """Let nothing arrive between two processes, or a process and an address, until `heal`."""
        self._cuts[_key(a, b)] = self._cuts.get(_key(a, b), 0) + 1

    def heal(self, a: str, b: str) -> None:
        """End a cut."""
        left = self._cuts.pop(_key(a, b), 0) - 1
        if left > 0:
            self._cuts[_key(a, b)] = left
        self._release()

    def stall(self, a: str, b: str, seconds: float) -> None:
        """Cut, and heal after some seconds."""
        self.cut(a, b)
        self.loop.call_world(seconds, lambda: self.heal(a, b))

    def delay(self, a: str, b: str, lo_s: float, hi_s: float) -> None:
        """Let bytes between two processes be on their way for a time between these."""
        self._delays[_key(a, b)] = (lo_s, hi_s)

    def reset_all(self, name: str) -> int:
        """Break all connections of a process or to an address, on both sides; return how many there were."""
        broken = [each for each in self._sockets if name in each.ends]
        for sock in broken:
            for side in (sock, sock.peer):
                self.later(side, side.fail, _reset())
        return len(broken)

    # For sockets and processes.

    def process_started(self, process: Owner) -> None:
        """Let a process use the network; its machine has power again."""
        if process.name in self._absent:
            del self._absent[process.name]
            self._release()

    def process_killed(self, process: Owner, *, silent: bool) -> None:
        """Close what belonged to a process, as its kernel does; `silent` if that has no power either."""
        if silent:
            self._absent[process.name] = None
        for listener in [each for each in self._listeners.values() if each.owner is process]:
            listener.close()
        for sock in [each for each in self._sockets if each.owner is process]:
            if silent:
                sock.closed = True
                sock.sending.lost = True
                self.forget(sock)
            else:
                sock.close()

    def close(self) -> None:
        """Forget everything, at the end of a run."""
        self._held.clear()
        self._sockets.clear()
        self._listeners.clear()

    def is_absent(self, owner: Owner) -> bool:
        """Return whether the machine of a process has no power."""
        return owner.name in self._absent

    def draw_delay(self, sender: Socket) -> float:
        """Return how long bytes are on their way, in seconds."""
        return self._delay_between(sender.ends, sender.peer.ends)

    def is_cut(self, sender: Socket) -> bool:
        """Return whether nothing arrives from a socket."""
        return bool(self._cuts or self._absent) and self._is_cut(sender.ends, sender.peer.ends)

    def hold(self, sender: Socket, again: Callable[[], None]) -> None:
        """Call back when the link of a socket is healed."""
        self._held.append((sender.ends, sender.peer.ends, again))

    def later(self, sock: Socket, function: Callable[..., object], *args: Any) -> None:
        """Do something to a socket after the delay of its link; if that is cut, once it is healed."""

        def happen() -> None:
            if self.is_cut(sock):
                self._held.append((sock.ends, sock.peer.ends, happen))
            else:
                function(*args)

        self.loop.call_world(self.draw_delay(sock), happen)

    def send_reset(self, sock: Socket) -> None:
        """Reset the connection of a socket: its peer learns it after a delay."""
        if not self.is_absent(sock.owner):
            self.later(sock.peer, sock.peer.fail, _reset())

    def forget(self, sock: Socket) -> None:
        """Remove a socket that is closed."""
        self.loop.forget_socket(sock._number)
        self._sockets.pop(sock, None)

    def forget_listener(self, listener: Listener) -> None:
        """Remove a listening socket that is closed."""
        self.loop.forget_socket(listener._number)
        if self._listeners.get(listener.address) is listener:
            del self._listeners[listener.address]

    def name_of(self, owner: Owner, port: int) -> tuple[str, int]:
        """Return the IP address of the machine of a process, with a port."""
        number = len(self._hosts) + 1
        host = self._hosts.setdefault(owner.name, f"10.0.{number >> 8}.{number & 255}")
        return host, port

    def pair(self, client: Owner, address: str, listener: Listener) -> Socket:
        """Return the client's end of a new connection to an address; the other one waits to be accepted."""
        self._ports += 1
        client_name = self.name_of(client, self._ports)
        server_name = listener.getsockname()
        near = Socket(self, client, client_name, server_name)
        far = Socket(self, listener.owner, server_name, client_name)
        near.peer, far.peer = far, near
        far.ends = (listener.owner.name, address)
        room = self.chance.choice(ROOM)
        near.sending = far.receiving = _Stream(self, near, room)
        far.sending = near.receiving = _Stream(self, far, room)
        near.sending.receiver, far.sending.receiver = far, near
        self._sockets[near] = self._sockets[far] = None
        listener.offer(far)
        return near

    async def _connect(self, address: str, protocol_factory: Callable[[], P], *, tls: bool) -> Any:
        if tls:
            (await self.open(OWNER.get(), address)).close()
            raise ssl.SSLError("the simulated network has no TLS")
        return await self.connect(OWNER.get(), address, protocol_factory)

    async def _serve(self, factory: Callable[[], asyncio.BaseProtocol], sock: Socket) -> None:
        await self.loop.connect_accepted_socket(factory, sock)  # type: ignore[arg-type]

    def _context(self, process: Owner) -> Any:
        context = contextvars.Context()
        context.run(OWNER.set, process)
        return context

    def _server_of(self, address: str) -> str:
        """Return the address to which a connection is given, the address itself if it is not balanced."""
        servers = self._balanced.get(address)
        if servers is None:
            return address
        listening = [each for each in servers if each in self._listeners]
        if not listening or self.chance.random() < UNCHECKED:
            return self.chance.choice(servers)
        return self.chance.choice(listening)

    def _release(self) -> None:
        """Send again what waits for a link that is not cut any more."""
        held, self._held = self._held, []
        for from_, to, again in held:
            if self._is_cut(from_, to):
                self._held.append((from_, to, again))
            else:
                again()

    def _names_of(self, address: str) -> tuple[str, ...]:
        listener = self._listeners.get(address)
        return (host_of(address) if listener is None else listener.owner.name, address)

    def _is_cut(self, from_: Iterable[str], to: Iterable[str]) -> bool:
        if self._absent and any(each in self._absent for each in (*from_, *to)):
            return True
        return any(_key(a, b) in self._cuts for a in (*from_, ANY) for b in (*to, ANY))

    def _delay_between(self, from_: Iterable[str], to: Iterable[str]) -> float:
        lo_s, hi_s = DELAY_S
        if self._delays:
            for a in (*from_, ANY):
                for b in (*to, ANY):
                    lo_s, hi_s = self._delays.get(_key(a, b), (lo_s, hi_s))
        return lo_s + self.chance.random() * (hi_s - lo_s)


class _Attempt:
    """A connection that is being opened."""

    def __init__(
        self, network: Network, process: Owner, address: str, answered: "asyncio.Future[Socket]"
    ) -> None:
        self._network = network
        self._process = process
        self._address = address
        self._answered = answered
        self._sock: Socket | None = None
        self._unanswered = False

    def arrive(self) -> None:
        """Let the request arrive at the listener."""
        network = self._network
        names = network._names_of(self._address)
        if self._answered.done():
            return
        if network._is_cut((self._process.name,), names):
            network._held.append(((self._process.name,), names, self._again))
            self._leave_unanswered()
            return
        listener = network._listeners.get(self._address)
        back_s = network._delay_between(names, (self._process.name,))
        if listener is None or listener.closed:
            network.loop.call_world(back_s, self._refuse)
        else:
            self._sock = network.pair(self._process, self._address, listener)
            network.loop.call_world(back_s, self._accept)

    def _leave_unanswered(self) -> None:
        if not self._unanswered:
            self._unanswered = True
            self._network.loop.call_world(CONNECT_S, self._give_up)

    def _again(self) -> None:
        self._network.loop.call_world(self._network.chance.random() * RETRANSMIT_S, self.arrive)

    def _refuse(self) -> None:
        self._fail(ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed {self._address}"))

    def _accept(self) -> None:
        assert self._sock is not None
        if not self._process.alive or self._answered.done():
            self._sock.close()
        elif self._sock._broken:
            self._fail(_reset())
        else:
            self._answered.set_result(self._sock)

    def _give_up(self) -> None:
        self._fail(TimeoutError(errno.ETIMEDOUT, f"Connect call failed {self._address}"))

    def abandon(self) -> None:
        """Close the connection if it was opened meanwhile."""
        if self._answered.done() and not self._answered.cancelled() and self._answered.exception() is None:
            self._answered.result().close()

    def _fail(self, error: OSError) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)


class _ResponseHandler(ResponseHandler):
    """aiohttp's protocol of a client, with a hash that is the same in every run: connectors keep sets of them."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.serial = loop.next_serial()
        super().__init__(loop)

    def __hash__(self) -> int:
        return self.serial


class Connector(aiohttp.BaseConnector):
    """Opens the connections of aiohttp's clients over the simulated network."""

    def __init__(self, network: Network, process: Owner, *, limit: int) -> None:
        super().__init__(loop=network.loop, limit=limit)
        self._network = network
        self._process = process
        self._factory = functools.partial(_ResponseHandler, network.loop)

    async def _create_connection(
        self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        address = f"{req.url.host}:{req.url.port}"
        if req.is_ssl():
            raise aiohttp.ClientConnectionError("the simulated network has no TLS")
        try:
            async with asyncio.timeout(timeout.sock_connect):
                _, protocol = await self._network.connect(self._process, address, self._factory)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {req.url}") from error
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol


def host_of(address: str) -> str:
    """Return the host of an address."""
    return address.rpartition(":")[0]


def port_of(address: str) -> int:
    """Return the port of an address."""
    return int(address.rpartition(":")[2])


def _key(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)


def _reset() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
