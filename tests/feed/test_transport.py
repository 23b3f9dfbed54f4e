"""The fake socket of these tests behaves like a real one wherever a reader depends on it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.feed.transport import FakeTransport

LARGE = bytes(range(256)) * 65_536
"""16 MiB: more than the buffers of a kernel take."""


class Listener(asyncio.Protocol):
    """Records the calls of a transport."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.changed = asyncio.Event()

    def _note(self, what: str) -> None:
        self.calls.append(what)
        self.changed.set()

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")

    async def wait_called(self, what: str) -> None:
        async with asyncio.timeout(20):
            while what not in self.calls:
                self.changed.clear()
                await self.changed.wait()


class FakeWire:
    """A fake transport, and its peer, which reads only when asked."""

    def __init__(self) -> None:
        self.listener = Listener()
        self.transport: Any = FakeTransport()
        self.transport.set_protocol(self.listener)
        self.transport.set_write_buffer_limits(high=0)
        self.transport.stall()

    async def read(self, count: int) -> bytes:
        """Read exactly this many bytes; whether more are accepted meanwhile is up to the kernel."""
        before = len(self.transport.taken)
        self.transport.take(count)
        return bytes(self.transport.taken[before:])

    async def read_all(self, count: int) -> bytes:
        """Read this many bytes, which must be all."""
        read = await self.read(count)
        self.transport.take()
        self.transport.turn()
        return read

    async def turn(self) -> None:
        self.transport.turn()


class RealWire:
    """A real pair of sockets."""

    def __init__(self, transport: asyncio.Transport, listener: Listener, peer: socket.socket) -> None:
        self.transport = transport
        self.listener = listener
        self._peer = peer

    async def read(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        read = b""
        async with asyncio.timeout(20):
            while len(read) < count:
                piece = await loop.sock_recv(self._peer, min(1 << 20, count - len(read)))
                assert piece
                read += piece
        return read

    read_all = read

    async def turn(self) -> None:
        await asyncio.sleep(0)


Wire = FakeWire | RealWire


@asynccontextmanager
async def _real() -> AsyncIterator[RealWire]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    listener = Listener()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(lambda: listener, ours)
    transport.set_write_buffer_limits(high=0)
    try:
        yield RealWire(transport, listener, theirs)
    finally:
        transport.abort()
        await listener.wait_called("lost")
        theirs.close()


@asynccontextmanager
async def _fake() -> AsyncIterator[FakeWire]:
    yield FakeWire()


@pytest.fixture(params=[_fake, _real], ids=["fake", "real"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    make: Callable[[], Any] = request.param
    async with make() as wire:
        yield wire


async def test_a_socket_that_accepts_everything_does_not_pause(wire: Wire) -> None:
    """Bytes that are sent at once pause nobody."""
    if isinstance(wire, FakeWire):
        wire.transport.take()  # as a kernel's buffer does
    wire.transport.write(b"a few bytes")
    wire.transport.write(b" and some more")
    assert wire.listener.calls == []
    if isinstance(wire, RealWire):
        assert await wire.read(25) == b"a few bytes and some more"
    else:
        assert wire.transport.taken == b"a few bytes and some more"


async def test_a_full_socket_pauses_before_write_returns(wire: Wire) -> None:
    """With a limit of 0 a writer knows after each write whether everything was sent."""
    wire.transport.write(LARGE)
    assert wire.listener.calls == ["pause"]
    wire.transport.write(b"more")
    assert wire.listener.calls == ["pause"]


async def test_writing_resumes_only_when_everything_is_sent(wire: Wire) -> None:
    """Not when a part is; and the bytes arrive in order."""
    wire.transport.write(LARGE)
    first = await wire.read(1 << 20)
    await wire.turn()
    assert wire.listener.calls == ["pause"]
    rest = await wire.read_all(len(LARGE) - len(first))
    assert first + rest == LARGE
    await wire.listener.wait_called("resume")
    assert wire.listener.calls == ["pause", "resume"]


async def test_an_aborted_transport_drops_its_buffer(wire: Wire) -> None:
    """Its protocol is notified later, not within the call, and is not asked to continue writing."""
    wire.transport.write(LARGE)
    wire.transport.abort()
    assert wire.transport.is_closing()
    wire.transport.write(b"to nobody")
    assert wire.listener.calls == ["pause"]
    await wire.turn()
    await wire.listener.wait_called("lost")
    assert wire.listener.calls == ["pause", "lost"]


async def test_a_closed_transport_sends_its_buffer(wire: Wire) -> None:
    """Only then is the connection lost."""
    wire.transport.write(LARGE)
    wire.transport.close()
    assert wire.transport.is_closing()
    assert "lost" not in wire.listener.calls
    assert await wire.read_all(len(LARGE)) == LARGE
    await wire.listener.wait_called("lost")


async def test_a_peer_that_hangs_up_is_a_lost_connection(wire: Wire) -> None:
    """However much was pending."""
    wire.transport.write(LARGE)
    if isinstance(wire, RealWire):
        wire._peer.shutdown(socket.SHUT_RDWR)
        wire._peer.close()
    else:
        wire.transport.hang_up()
        wire.transport.turn()
    await wire.listener.wait_called("lost")
    assert "resume" not in wire.listener.calls


async def test_nothing_can_be_written_to_a_lost_connection(wire: Wire) -> None:
    """The writer must have dropped it by then."""
    wire.transport.abort()
    await wire.turn()
    await wire.listener.wait_called("lost")
    with pytest.raises(RuntimeError, match="handler is closed"):
        wire.transport.write(b"to nobody")
