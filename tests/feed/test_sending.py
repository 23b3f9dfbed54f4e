"""Blocks go to the socket directly: whole, in order, and never to the socket of another connection."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from gateway.feed.channel import BUFFERED, Channel, Reader
from tests.feed.transport import FakeTransport

LARGE = bytes(range(256)) * 65_536
"""16 MiB: more than the buffers of a kernel take."""


class Resumed:
    """In place of a channel: notes that its reader accepts bytes again."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def resume(self, _: Reader) -> None:
        self.event.set()


class Opened:
    """A reader on a real socket, and its peer, which reads only when asked."""

    def __init__(self, reader: Reader, sock: socket.socket, peer: socket.socket, lost: asyncio.Event) -> None:
        self.reader = reader
        self.sock = sock
        self.peer = peer
        self.lost = lost

    async def read(self, count: int) -> bytes:
        """Read exactly this many bytes."""
        loop, read = asyncio.get_running_loop(), bytearray()
        async with asyncio.timeout(20):
            while len(read) < count:
                piece = await loop.sock_recv(self.peer, min(1 << 20, count - len(read)))
                assert piece
                read += piece
        return bytes(read)

    async def wait_lost(self) -> None:
        async with asyncio.timeout(20):
            await self.lost.wait()


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    """Open a reader as the feed door does."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, ours)
    lost = asyncio.Event()
    reader = Reader(transport, lost.set, ours)
    transport.set_protocol(reader)
    try:
        yield Opened(reader, ours, theirs, lost)
    finally:
        reader.abort()
        theirs.close()


async def test_what_a_socket_does_not_accept_follows_in_order() -> None:
    """The transport sends the rest, from the shared block, and the reader is paused until then."""
    async with opened() as each:
        sent = each.reader.send_some(LARGE)
        assert 0 < sent < len(LARGE)
        assert not each.reader.paused
        each.reader.send_rest(LARGE, sent)
        assert each.reader.paused
        resumed = Resumed()
        each.reader.channel = cast("Channel", resumed)
        assert await each.read(len(LARGE)) == LARGE
        async with asyncio.timeout(20):
            await resumed.event.wait()
        assert not each.reader.paused
        each.reader.channel = None
        assert each.reader.send_some(b"next") == 4
        assert await each.read(4) == b"next"


async def test_a_full_socket_accepts_nothing_and_loses_nothing() -> None:
    """A block for a socket whose buffer is full goes to the transport completely."""
    async with opened() as each:
        first = each.reader.send_some(LARGE)
        try:
            sent = each.reader.send_some(b"a block")
        except BlockingIOError:
            sent = 0
        each.reader.send_rest(b"a block", sent)
        assert each.reader.paused
        assert await each.read(first + 7) == LARGE[:first] + b"a block"


async def test_nothing_is_sent_to_a_descriptor_after_its_connection_was_lost() -> None:
    """The same number may be that of another connection by then."""
    async with opened() as each:
        send, number = each.sock.send, each.sock.fileno()
        each.peer.close()
        await each.wait_lost()
        assert each.sock.fileno() == -1
        others = [socket.socketpair() for _ in range(8)]
        assert number in {sock.fileno() for pair in others for sock in pair}
        with pytest.raises(OSError, match="Bad file descriptor"):
            send(b"to nobody")
        assert each.reader.send_some(b"to nobody") == 9
        for sock in (sock for pair in others for sock in pair):
            sock.close()


async def test_a_connection_that_fails_is_closed_by_its_transport() -> None:
    """An error of the system call is no error of the pass over the readers."""
    async with opened() as each:
        each.sock.shutdown(socket.SHUT_WR)
        try:
            sent = each.reader.send_some(b"a block")
        except OSError:
            sent = 0
        each.reader.send_rest(b"a block", sent)
        await each.wait_lost()


def test_a_reader_that_is_being_closed_is_sent_nothing_more() -> None:
    """Neither behind its last bytes, nor ahead of them while the socket has not accepted them."""
    for stalled in (False, True):
        transport = FakeTransport()
        reader = Reader(transport.as_transport(), lambda: None, transport.as_socket())
        transport.set_protocol(reader)
        if stalled:
            transport.stall()
        reader.end(b"retry: 9\n\n")
        assert reader.send_some(b"a block") == (BUFFERED if stalled else 7)
        reader.send_rest(b"a block", BUFFERED)
        transport.take()
        assert transport.taken == b"retry: 9\n\n"
        assert transport.overruns == 0


def test_without_a_sender_everything_goes_through_the_transport() -> None:
    transport = FakeTransport(encrypted=True)
    reader = Reader(transport.as_transport(), lambda: None)
    transport.set_protocol(reader)
    transport.stall(room=100)
    assert reader.send_some(b"a block") == BUFFERED
    assert (reader.paused, transport.unsent) == (True, b"a block")
