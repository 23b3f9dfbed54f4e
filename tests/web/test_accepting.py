"""Connections are counted when they are accepted: which ones are evicted, and what is buffered for slow clients."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast
from unittest.mock import Mock

import pytest
import structlog
import trustme
from aiohttp import web

from gateway.config import Config
from gateway.telemetry.metrics import DoorMetrics
from gateway.web import accepting as accepting_module
from gateway.web import connections as connections_module
from gateway.web import unread as unread_module
from gateway.web.accepting import accepting
from gateway.web.aiohttp_connection import (
    AHEAD_MAX,
    FRAMING_MAX,
    INPUT_COST,
    SLICE,
    connection_of,
    deliver,
    door_handlers,
    write_part,
)
from gateway.web.aiohttp_problems import HEAD_MAX
from gateway.web.connections import IDLE_MIN_S, Connection, Connections
from gateway.web.unread import UnreadBytes
from tests.web.doors import TIMEOUT_S, until

MIB = 1 << 20
HERE, ELSEWHERE = "127.0.0.2", "127.0.0.3"
SHARED = bytes(MIB)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class DoorUnderTest:
    """A door in this process, and clients at any local address."""

    def __init__(
        self, stack: AsyncExitStack, port: int, connections: Connections, metrics: DoorMetrics
    ) -> None:
        self._stack = stack
        self.port = port
        self.connections = connections
        self.metrics = metrics
        self.proceed = asyncio.Event()
        self.waiting = 0

    async def get_wait(self, request: web.Request) -> web.Response:
        """Answer once `proceed` is set; with `?token`, to a sender with a valid token."""
        if "token" in request.query:
            connection = connection_of(request)
            assert connection is not None
            self.connections.authenticate(connection, request.query["token"])
        self.waiting += 1
        await self.proceed.wait()
        self.waiting -= 1
        return web.Response(body=b"done")

    async def get_own(self, _: web.Request) -> web.Response:
        """Return a large answer that is not shared."""
        return web.Response(body=bytes(MIB))

    async def get_shared(self, request: web.Request) -> web.StreamResponse:
        """Return a large answer that all clients share."""
        return await deliver(request, web.Response(body=SHARED))

    async def get_small(self, _: web.Request) -> web.Response:
        """Return an answer that is written without waiting."""
        return web.Response(body=bytes(30_000))

    async def get_stream(self, request: web.Request) -> web.StreamResponse:
        """Return an answer in parts."""
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(2):
            await write_part(request, response, bytes(MIB), TIMEOUT_S)
        return response

    async def post_size(self, request: web.Request) -> web.Response:
        """Return the length of the body."""
        return web.Response(text=str(len(await request.read())))

    async def connect(
        self, address: str, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None
    ) -> Streams:
        """Connect from an address."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        sock.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname="127.0.0.1" if tls else None, limit=8 * MIB
        )
        self._stack.push_async_callback(_closed, writer)
        return reader, writer

    async def ask(self, path: str, address: str = HERE, *, read: bool = False) -> Streams:
        """Send a request on a new connection; without `read`, nothing of the answer is read."""
        reader, writer = await self.connect(address, receive_buffer=None if read else 4096)
        if not read:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request(path))
        return reader, writer

    async def is_served(self, address: str, path: str = "/now") -> bool:
        """Return whether a request from an address is answered with 200."""
        try:
            reader, writer = await self.ask(path, address, read=True)
            async with asyncio.timeout(TIMEOUT_S):
                line = await reader.readline()
            await _closed(writer)
            return line.startswith(b"HTTP/1.1 200 ")
        except ConnectionError:
            return False

    def counted(self, name: str, reason: str) -> float:
        """Return the value of a counter."""
        return (
            self.metrics.registry.get_sample_value(f"valgnatt_connections_{name}_total", {"reason": reason})
            or 0
        )


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: door", *headers, "", ""]).encode()


@asynccontextmanager
async def opened(config: Config, tls: ssl.SSLContext | None = None) -> AsyncIterator[DoorUnderTest]:
    metrics = DoorMetrics()
    connections = Connections(config, metrics)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_SNDBUF, 16384
    )  # else the kernel takes the whole of an answer
    async with AsyncExitStack() as stack:
        door = DoorUnderTest(stack, listener.getsockname()[1], connections, metrics)
        application = web.Application(client_max_size=8 * MIB)
        application.router.add_get("/now", _done)
        for path in ("wait", "own", "shared", "small", "stream"):
            application.router.add_get(f"/{path}", getattr(door, f"get_{path}"))
        application.router.add_post("/size", door.post_size)
        runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
        await runner.setup()
        assert runner.server is not None
        make = door_handlers(connections, runner.server)
        sweeping = asyncio.create_task(connections.run())
        try:
            async with accepting(listener, connections, make, tls):
                yield door
        finally:
            door.proceed.set()
            sweeping.cancel()
            await runner.cleanup()


async def _done(_: web.Request) -> web.Response:
    return web.Response(body=b"done")


@pytest.fixture
async def door() -> AsyncIterator[DoorUnderTest]:
    """At most eight connections, and four per address."""
    async with opened(Config(connections_max=8, connections_per_address=4)) as door:
        yield door


@pytest.fixture
async def wide() -> AsyncIterator[DoorUnderTest]:
    """Many connections, and few bytes of unread answers."""
    async with opened(Config()) as door:
        door.connections.buffers.unread = UnreadBytes(8 * MIB, 4 * MIB)
        yield door


def fact(holds: Callable[[], bool]) -> Callable[[], "asyncio.Future[bool]"]:
    async def check() -> bool:
        return holds()

    return check  # type: ignore[return-value]


# Eviction.


async def test_active_connections_are_not_evicted_for_another_one_of_their_address(
    door: DoorUnderTest,
) -> None:
    """The excess connection is closed and counted; requests in progress are answered."""
    active = [await door.ask("/wait", read=True) for _ in range(4)]
    await until(fact(lambda: door.waiting == 4))
    assert not await door.is_served(HERE)
    assert door.counted("refused", "address") == 1
    assert await door.is_served(ELSEWHERE)
    door.proceed.set()
    for reader, _ in active:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_when_all_connections_are_active_one_of_the_largest_address_without_a_valid_token_is_evicted(
    door: DoorUnderTest,
) -> None:
    """Requests with a valid token are always answered; if no connection can be evicted, the new one is closed."""
    senders = [await door.ask("/wait?token", f"127.0.1.{number}", read=True) for number in range(4)]
    anonymous = [await door.ask("/wait", read=True) for _ in range(4)]
    await until(fact(lambda: door.waiting == 8))
    assert await door.is_served(ELSEWHERE)
    assert await anonymous[0][0].read() == b""
    more = [await door.ask("/wait?token", f"127.0.2.{number}", read=True) for number in range(4)]
    await until(fact(lambda: door.counted("evicted", "full") >= 3))
    await until(fact(lambda: len(door.connections) == 8))
    door.proceed.set()
    for reader, _ in senders:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    assert len(more) == 4


async def test_idle_connections_of_senders_are_evicted_after_anonymous_ones(
    door: DoorUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long those of senders have been idle."""
    monkeypatch.setattr(connections_module, "IDLE_MIN_S", 0.0)
    door.proceed.set()
    sender, _ = await door.ask("/wait?token", "127.0.1.1", read=True)
    await sender.readuntil(b"done")
    anonymous = [await door.ask("/now", f"127.0.2.{number}", read=True) for number in range(7)]
    for reader, _ in anonymous:
        await reader.readuntil(b"done")
    for number in range(7):
        newcomer, _ = await door.ask("/wait?token", f"127.0.3.{number}", read=True)
        await newcomer.readuntil(b"done")
    for reader, _ in anonymous:
        assert await reader.read() == b""
    assert not sender.at_eof()
    await door.ask("/now", ELSEWHERE)
    async with asyncio.timeout(TIMEOUT_S):
        assert await sender.read() == b""


@pytest.mark.parametrize("path", ["/wait?token", "/wait"], ids=["idle, with a valid token", "under way"])
async def test_a_client_that_fills_a_door_and_reconnects_evicts_no_connection_before_its_first_request(
    path: str,
) -> None:
    """A token has no more authenticated connections than it can use, from any number of addresses."""
    config = Config(connections_max=8, connections_per_address=4, requests_per_sender=1, sockets_per_sender=1)
    async with opened(config) as door:
        if "token" in path:
            door.proceed.set()
        flood = [f"127.0.1.{number}" for number in (1, 2)]
        for address in flood * 4:
            reader, _ = await door.ask(path, address, read=True)
            if door.proceed.is_set():
                await reader.readuntil(b"done")
        await until(fact(lambda: len(door.connections) == 8))
        if not door.proceed.is_set():
            await until(fact(lambda: door.waiting == 8))
        reader, writer = await door.connect(ELSEWHERE)
        await until(fact(lambda: door.counted("evicted", "full") == 1))
        for address in flood * 3:
            await door.connect(address)
        await until(fact(lambda: door.counted("refused", "full") + door.counted("refused", "address") == 6))
        writer.write(request("/now"))
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"


async def test_an_idle_connection_of_any_address_gives_way_where_no_address_has_more_than_its_share() -> None:
    """The one that was idle longest, also if another address has more connections that were active just now."""
    connections = Connections(Config(connections_max=8, connections_per_address=4), DoorMetrics())
    now = asyncio.get_running_loop().time()
    with socket.socket() as sock, pytest.MonkeyPatch.context() as patch:

        def admitted(address: str, seconds: float) -> Connection | None:
            patch.setattr(connections_module, "_now", lambda: now + seconds)
            return connections.admit(address, sock)

        socket_of_sender = admitted(HERE, 0.0)
        assert socket_of_sender is not None
        connections.request_started(socket_of_sender)
        connections.authenticate(socket_of_sender, "a sender")
        idle = [admitted(f"192.0.2.{number}", 0.1 * number) for number in range(3)]
        for number in range(4):
            assert admitted(f"198.51.100.{number // 2}", IDLE_MIN_S) is not None
        for number in range(2):
            pushing = admitted(HERE, IDLE_MIN_S + 0.1 * number)
            assert pushing is not None
            assert idle[number] not in connections._open
            connections.remove(pushing)
            assert admitted(f"198.51.100.{2 + number}", IDLE_MIN_S + 0.1 * number) is not None
        assert admitted(HERE, IDLE_MIN_S + 0.15) is None
        assert admitted(HERE, IDLE_MIN_S + 0.2) is not None
        assert socket_of_sender in connections._open


async def test_a_connection_that_is_about_to_be_closed_does_not_keep_the_next_one_of_its_client_out() -> None:
    """It still counts, but not where shares are compared: others with as many connections give way."""
    connections = Connections(Config(connections_max=8, connections_per_address=4), DoorMetrics())
    with socket.socket() as sock:

        def active(address: str) -> Connection | None:
            connection = connections.admit(address, sock)
            if connection is not None:
                connections.request_started(connection)
                connections.authenticate(connection, address) if address == HERE else None
            return connection

        assert active(HERE) is not None
        last = active(HERE)
        assert last is not None
        for number in range(6):
            assert active(f"192.0.2.{number // 3}") is not None
        assert active(HERE) is None
        last.handler = Mock(unsent=1)
        connections.end(last)
        assert active(HERE) is None, "its client may leave it unread for as long as it likes"
        last.handler.unsent = 0
        for _ in range(2):
            connections.end(last)
        assert active(ELSEWHERE) is not None
        assert last in connections._open
        connections.remove(last)
        assert len(connections) == 7
        assert active(HERE) is not None
        assert active(HERE) is None


async def test_a_connection_ends_with_its_last_answer_and_with_its_client(door: DoorUnderTest) -> None:
    """Before it is closed, which takes some turns of the event loop."""
    remove, ending = door.connections.remove, []

    def remove_and_record(connection: Connection) -> None:
        ending.append(connection.ending)
        remove(connection)

    door.connections.remove = remove_and_record  # type: ignore[method-assign]
    for ask in (request("/now", "Connection: close"), request("/now")):
        reader, writer = await door.connect(HERE)
        writer.write(ask)
        await reader.readuntil(b"done")
        assert ending.count(False) == 0
        writer.close()
        await until(fact(lambda: len(door.connections) == 0))
    assert ending == [True, True]


async def test_a_push_socket_takes_the_place_of_an_idle_connection_of_its_sender() -> None:
    """So it is not evicted, however many idle connections the sender has; those that were idle longest are."""
    config = Config(connections_max=5, connections_per_address=5, requests_per_sender=1, sockets_per_sender=1)
    connections = Connections(config, DoorMetrics())
    now = asyncio.get_running_loop().time() - IDLE_MIN_S
    with socket.socket() as sock:

        def admitted(address: str, sender: str | None) -> Connection:
            connection = connections.admit(address, sock)
            assert connection is not None
            connections.request_started(connection)
            if sender is not None:
                connections.authenticate(connection, sender)
            return connection

        idle = [admitted(f"192.0.2.{number}", "one") for number in range(2)]
        for connection in idle:
            connections.request_finished(connection, now)
        push_socket = admitted(HERE, "one")
        assert [each.sender for each in (*idle, push_socket)] == [None, "one", "one"]
        beyond = admitted(ELSEWHERE, "one")
        assert [each.sender for each in (*idle, push_socket, beyond)] == [None, None, "one", "one"]
        excess = admitted(ELSEWHERE, "one")
        assert excess.sender is None  # both places are those of active ones
        for number in range(8):
            connections.admit(f"198.51.100.{number}", sock)
        assert push_socket in connections._open
        assert beyond in connections._open
        assert not connections._open.keys() & {*idle, excess}
        for connection in list(connections._open):
            connections.remove(connection)
        assert connections._of_sender == {}


async def test_a_request_of_a_sender_is_not_evicted_from_a_connection_that_was_idle_before() -> None:
    """Of several connections, those that are idle are; the one that was idle longest comes first."""
    connections = Connections(Config(connections_max=4, connections_per_address=4), DoorMetrics())
    now = asyncio.get_running_loop().time()
    with socket.socket() as sock, pytest.MonkeyPatch.context() as patch:
        opened = []
        for number in range(4):
            connection = connections.admit(HERE, sock)
            assert connection is not None
            connections.request_started(connection)
            connections.authenticate(connection, f"sender {number}")
            connections.request_finished(connection, now)
            opened.append(connection)
        connections.request_started(opened[0])
        connections.request_started(opened[1])
        connections.request_finished(opened[1], now + 0.5)
        connections.request_started(opened[3])
        patch.setattr(connections_module, "_now", lambda: now + 2.0)
        for number, gone in enumerate((opened[2], opened[1])):
            newcomer = connections.admit(f"192.0.2.{number}", sock)
            assert newcomer is not None
            assert gone not in connections._open
            connections.request_started(newcomer)
            connections.authenticate(newcomer, "of another")
        assert connections.admit(ELSEWHERE, sock) is None
        connections.request_finished(opened[0], now + 1.0)
        assert connections.admit(ELSEWHERE, sock) is not None
        assert next(iter(connections._open)) is opened[3]


async def test_an_evicted_connection_is_not_evicted_again() -> None:
    """Even if it reads a request that had arrived before; that makes no room."""
    connections = Connections(Config(connections_max=2), DoorMetrics())
    with socket.socket() as sock:
        for _ in range(4):
            gone = connections.admit(HERE, sock)
            assert gone is not None
            connections.remove(gone)
            connections.request_started(gone)
        for number in range(6):
            admitted = connections.admit(f"192.0.2.{number}", sock)
            assert (admitted is not None) == (number < 2)
            if admitted is not None:
                connections.request_started(admitted)
        assert len(connections) == 2


async def test_addresses_of_an_ipv6_network_count_as_one() -> None:
    """Its prefix length is configurable."""
    for prefix, admitted in (
        (64, [True, False, True]),
        (128, [True, True, True]),
        (48, [True, False, False]),
    ):
        connections = Connections(Config(connections_per_address=1, ipv6_prefix=prefix), DoorMetrics())
        peers = ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1")
        with socket.socket() as sock:
            assert [connections.admit(peer, sock) is not None for peer in peers] == admitted


# Accepting.


async def test_connections_are_counted_before_their_tls_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per address and in total; a client that completes its handshake is served."""
    authority = trustme.CA()
    tls, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(trusting)
    monkeypatch.setattr(connections_module, "HANDSHAKES_MAX", 6)
    async with opened(Config(connections_max=100, connections_per_address=4), tls) as door:
        for _ in range(50):
            await door.connect(HERE)
        await until(fact(lambda: door.counted("refused", "address") == 46))
        assert len(door.connections) == 4
        for number in range(20):
            await door.connect(f"127.0.1.{number}")
        await until(fact(lambda: door.counted("evicted", "handshakes") == 18))
        assert len(door.connections) == 6
        reader, writer = await door.connect(ELSEWHERE, trusting)
        writer.write(request("/now"))
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert door.counted("evicted", "handshakes") == 19


async def test_a_connection_whose_handshake_fails_is_removed() -> None:
    """If the client does not speak TLS, and if it disconnects."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with opened(Config(), tls) as door:
        _, talking = await door.connect(HERE)
        _, leaving = await door.connect(HERE)
        await until(fact(lambda: len(door.connections) == 2))
        talking.write(request("/now"))
        leaving.close()
        await until(fact(lambda: len(door.connections) == 0))


async def test_accepting_resumes_when_file_descriptors_are_available_again(
    door: DoorUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle connections are closed meanwhile, and the shortage is logged once."""
    idle, _ = await door.ask("/now", read=True)
    await idle.readuntil(b"done")
    accept, failures = socket.socket.accept, 3
    monkeypatch.setattr(accepting_module, "PAUSE_S", 0.01)

    def failing(listener: socket.socket) -> tuple[socket.socket, object]:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with structlog.testing.capture_logs() as logged:
        assert await door.is_served(ELSEWHERE)
    assert failures == 0
    assert await idle.read() == b""
    assert [line["event"] for line in logged] == ["connections not accepted"]


# What is buffered for clients.


async def test_unread_answers_of_an_address_are_limited_and_others_are_served(wide: DoorUnderTest) -> None:
    """Excess answers are refused with 429, or older ones are aborted; a client that reads gets its whole answer."""
    for _ in range(20):
        await wide.ask("/own")
    await until(fact(lambda: wide.connections.buffers.unread.of(HERE) >= 3 * MIB))
    for number in range(40):
        await wide.ask("/own", f"127.0.1.{number}")
        assert wide.connections.buffers.unread.total <= 8 * MIB
        assert wide.connections.buffers.unread.of(HERE) <= 4 * MIB
    await until(lambda: _reads_whole(wide, ELSEWHERE))
    await until(fact(lambda: wide.counted("evicted", "unread") > 0))
    assert wide.connections.buffers.unread.total <= 8 * MIB


async def _reads_whole(door: DoorUnderTest, address: str) -> bool:
    """Return whether a large answer is read to its end, on a new connection."""
    reader, writer = await door.ask("/own", address, read=True)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            return False
        assert await reader.readexactly(MIB) == bytes(MIB)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    finally:
        await _closed(writer)
    return True


async def test_a_refused_answer_says_why(wide: DoorUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a problem document, with Retry-After."""
    monkeypatch.setattr(unread_module, "STALLED_MIN_S", 1000.0)
    for _ in range(4):
        await wide.ask("/own")
    await until(fact(lambda: wide.connections.buffers.unread.of(HERE) == 4 * MIB))
    reader, _ = await wide.ask("/own", read=True)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: " in head
    assert b"too_much_unread" in await reader.readuntil(b"}")


async def test_an_answer_shared_by_many_connections_counts_once(wide: DoorUnderTest) -> None:
    """So it is refused to none of them."""
    for _ in range(30):
        await wide.ask("/shared")
    await until(fact(lambda: len(wide.connections.buffers.unread) == 30))
    assert wide.connections.buffers.unread.total == MIB


async def test_small_unread_answers_count_too(wide: DoorUnderTest) -> None:
    """A client that pipelines many requests and reads nothing uses no more than its buffers."""
    for _ in range(60):
        _, writer = await wide.ask("/small")
        for _ in range(20):
            writer.write(request("/small"))
    await until(fact(lambda: wide.counted("evicted", "unread") > 0))
    wide.connections.buffers.measure()
    assert wide.connections.buffers.unread.of(HERE) <= 4 * MIB
    assert await wide.is_served(ELSEWHERE, "/small")


async def test_a_part_of_a_stream_counts_until_it_is_read(wide: DoorUnderTest) -> None:
    """A stream that does not fit is closed; one that is read arrives complete."""
    for _ in range(20):
        await wide.ask("/stream")
    await until(fact(lambda: wide.connections.buffers.unread.of(HERE) == 4 * MIB))
    reader, _ = await wide.ask("/stream", ELSEWHERE, read=True)
    async with asyncio.timeout(TIMEOUT_S):
        assert len(await reader.readuntil(b"\r\n0\r\n\r\n")) > 2 * MIB


async def test_an_answer_that_was_read_is_released(wide: DoorUnderTest) -> None:
    """And the connection serves the next request."""
    reader, writer = await wide.ask("/own")
    await until(fact(lambda: wide.connections.buffers.unread.total == MIB))
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    for _ in range(2):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(MIB)
        await until(fact(lambda: wide.connections.buffers.unread.total == 0))
        writer.write(request("/own"))


@pytest.mark.parametrize("finished", [True, False])
async def test_a_head_that_is_too_large_is_refused_with_431(wide: DoorUnderTest, finished: bool) -> None:
    """If it arrives at once, and if it never ends."""
    head = request("/now", *(f"X-Filler-{number}: {'x' * 4000}" for number in range(8)))
    assert len(head) > HEAD_MAX
    reader, writer = await wide.connect(HERE)
    writer.write(head if finished else head[:-2])
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.0 431 ")
    assert b"head_too_large" in answer


@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_head_of_16_kb_in_one_field_is_accepted(wide: DoorUnderTest, pieces: int) -> None:
    """As a browser sends it with the cookies of a domain, at once or in parts, several times on one connection."""
    reader, writer = await wide.connect(HERE)
    head = request("/now", "Cookie: " + "x" * (16 << 10))
    for _ in range(3):
        for start in range(0, len(head), len(head) // pieces + 1):
            writer.write(head[start : start + len(head) // pieces + 1])
            await asyncio.sleep(0)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"done")


async def test_incomplete_heads_count_as_bytes_of_their_address(wide: DoorUnderTest) -> None:
    """As what they occupy, so that one address, and all together, are limited as with unread answers."""
    for _ in range(10):
        _, writer = await wide.connect(HERE)
        writer.write(request("/now", "Cookie: " + "x" * (16 << 10))[:-2])
    await until(fact(lambda: wide.connections.buffers.unread.of(HERE) >= 10 * INPUT_COST * (16 << 10)))
    assert wide.connections.buffers.unread.of(HERE) <= 10 * INPUT_COST * HEAD_MAX


async def test_an_idle_connection_is_closed_after_the_configured_time() -> None:
    """It serves requests until then."""
    async with opened(Config(keepalive_s=1)) as door:
        reader, writer = await door.connect(HERE)
        for _ in range(2):
            writer.write(request("/now"))
            await reader.readuntil(b"done")
        async with asyncio.timeout(TIMEOUT_S):
            assert await reader.read() == b""


async def test_pipelined_requests_are_bounded(wide: DoorUnderTest) -> None:
    """A client may send some while one is in progress; one that continues is disconnected."""
    reader, writer = await wide.ask("/wait", read=True)
    await until(fact(lambda: wide.waiting == 1))
    for _ in range(10):
        writer.write(request("/now"))
    wide.proceed.set()
    for _ in range(11):
        await reader.readuntil(b"done")
    wide.proceed.clear()
    writer.write(request("/wait"))
    await until(fact(lambda: wide.waiting == 1))
    for _ in range(3 * AHEAD_MAX // 4096):
        writer.write(request("/now", "X-Filler: " + "x" * 4000))
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
    assert wide.counted("evicted", "input") == 1


@pytest.mark.parametrize("size", [0, 100, AHEAD_MAX, 300_000, 3_000_000])
async def test_bodies_of_any_size_do_not_count_as_pipelined_requests(wide: DoorUnderTest, size: int) -> None:
    """Several times on one connection, one directly after the other."""
    reader, writer = await wide.connect(HERE)
    post = b"POST /size HTTP/1.1\r\nHost: door\r\nContent-Length: %d\r\n\r\n" % size
    for _ in range(3):
        writer.write(post + bytes(size))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"\r\n\r\n" + str(size).encode())


async def test_trailers_of_a_body_are_bounded(wide: DoorUnderTest) -> None:
    """Some are accepted; a client that continues is disconnected, even if nothing reads the body."""
    post = b"POST /size HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"1\r\nx\r\n" * (2 * FRAMING_MAX // 6) + b"0\r\n"
    trailer = b"X-Filler: " + b"x" * 4000 + b"\r\n"
    reader, writer = await wide.connect(HERE)
    writer.write(post + chunks + trailer + b"\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
    for cut, asked in enumerate((post, request("/now", "Transfer-Encoding: chunked")), 1):
        reader, writer = await wide.connect(HERE)
        writer.write(asked + b"1\r\nx\r\n0\r\n")
        await until(fact(lambda: len(wide.connections._awaiting_head) == 0))  # the head was read
        writer.write(trailer * 100)
        await until(fact(lambda wanted=cut: wide.counted("evicted", "input") == wanted))


async def test_addresses_take_turns_at_slices_of_large_answers(
    wide: DoorUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel copies each slice, so thousands of simultaneous answers would otherwise delay all other clients."""
    asked: list[object] = []
    turns = wide.connections.turns
    work = turns.work
    monkeypatch.setattr(turns, "work", lambda sender, s: asked.append(sender) or work(sender, s))
    reader, writer = await wide.ask("/own", read=True)
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(MIB)
    assert asked == [HERE] * (MIB // SLICE)
    writer.close()


async def test_a_connection_that_is_opened_while_the_door_closes_stays_with_its_handler() -> None:
    """The handler can answer, and it is notified when the connection is lost."""
    ending: list[asyncio.Task[None]] = []
    lost = asyncio.Event()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)
            ending.append(asyncio.create_task(door.end()))  # before what opens the connection continues

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

        def connection_lost(self, _: Exception | None) -> None:
            lost.set()

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with accepting(listener, Connections(Config(), DoorMetrics()), lambda _: Answering()) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"request")
            async with asyncio.timeout(TIMEOUT_S):
                assert await reader.readexactly(7) == b"request"
                await ending[0]
        finally:
            await _closed(writer)
        async with asyncio.timeout(TIMEOUT_S):
            await lost.wait()
