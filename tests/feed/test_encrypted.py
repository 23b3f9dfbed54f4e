"""Under TLS a stalled reader has little memory of its own: a block is written slice by slice."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from unittest.mock import patch

import pytest
import trustme

from gateway.election.state import ElectionState
from gateway.feed import hub as hub_module
from gateway.feed.blocks import BlockMaker
from gateway.feed.channel import TLS_BUFFER_BYTES, TLS_WRITE_BYTES, Channel, Reader
from gateway.feed.hub import Hub
from gateway.web.tls_transport import TlsTransport
from tests.feed.test_channel import METRICS, REGISTRY, SELECTIONS
from tests.feed.transport import FakeTransport

BLOCK = bytes(range(256)) * (256 << 10)
"""64 MiB: more than the buffers of a kernel take, and than a process grows by anything else."""
ROOM = 16 << 20


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def encrypted() -> tuple[FakeTransport, Reader, list[str]]:
    gone: list[str] = []
    transport = FakeTransport(encrypted=True)
    reader = Reader(transport.as_transport(), lambda: gone.append("gone"))
    transport.set_protocol(reader)
    return transport, reader, gone


def test_a_stalled_socket_gets_one_slice_and_later_the_rest_in_order() -> None:
    """Nothing is written behind unsent bytes, and a reader is paused until all are sent."""
    transport, reader, _ = encrypted()
    transport.stall()
    reader.send(b"head", BLOCK[: 10 * TLS_WRITE_BYTES])
    assert reader.paused
    assert len(transport.written) <= TLS_WRITE_BYTES
    turns = 0
    while reader.paused:
        transport.take(len(transport.unsent))
        turns += 1
        assert len(transport.unsent) <= TLS_WRITE_BYTES
    assert transport.taken == b"head" + BLOCK[: 10 * TLS_WRITE_BYTES]
    assert transport.overruns == 0
    assert turns <= 12


def test_a_small_block_is_one_write() -> None:
    """A change costs one TLS record."""
    transport, reader, _ = encrypted()
    reader.send(b"head", b"change")
    assert (transport.taken, reader.paused, reader.copied) == (b"headchange", False, 0)


def test_a_reader_that_is_closed_gets_its_block_to_the_end() -> None:
    """Then its connection is closed, without last bytes."""
    transport, reader, gone = encrypted()
    transport.stall()
    reader.send(BLOCK[: 5 * TLS_WRITE_BYTES])
    reader.end(b"come back")
    assert not transport.is_closing()
    transport.take()
    transport.turn()
    assert transport.taken == BLOCK[: 5 * TLS_WRITE_BYTES]
    assert gone == ["gone"]


def test_an_aborted_reader_keeps_nothing() -> None:
    """Neither does one whose client has disconnected."""
    for cut in (Reader.abort, lambda reader: reader.connection_lost(None)):
        transport, reader, _ = encrypted()
        transport.stall()
        reader.send(BLOCK[: 5 * TLS_WRITE_BYTES])
        cut(reader)
        assert not reader._pending


def test_a_reader_whose_pending_bytes_cannot_be_encrypted_is_closed() -> None:
    """It would wait for them for ever."""
    transport, reader, gone = encrypted()
    transport.stall()
    reader.send(BLOCK[: 5 * TLS_WRITE_BYTES])
    with patch.object(transport, "write", side_effect=ssl.SSLError("internal error")):
        transport.take()
    transport.turn()
    assert (gone, reader._pending) == (["gone"], [])


async def test_copies_count_in_the_memory_of_stalled_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of one block, which exists once, are closed if their copies take too much memory."""
    hub = Hub(None, METRICS, heartbeat_s=10)  # type: ignore[arg-type]
    maker = BlockMaker(ElectionState(REGISTRY))
    channel = Channel(SELECTIONS[0], False, 0, maker, METRICS)
    transports = []
    for _ in range(8):
        transport, reader, _ = encrypted()
        transport.stall()
        channel.add(reader, b"", None, 0.0)
        transports.append(transport)

    class Followed:
        channels = (channel,)

    monkeypatch.setattr(hub, "feeds", lambda: [Followed()])
    for most, closed in ((9 * TLS_BUFFER_BYTES, 0), (7 * TLS_BUFFER_BYTES, 8)):
        monkeypatch.setattr(hub_module, "PINNED_MAX", most)
        hub._limit_pinned()
        assert sum(transport.is_closing() for transport in transports) == closed


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[Reader, asyncio.StreamReader]]:
    """Return a reader over TLS and its client, which reads on request."""
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(serving)
    authority.configure_trust(trusting)
    ours, theirs = socket.socketpair()
    made: asyncio.Future[Reader] = asyncio.get_running_loop().create_future()

    class Greeting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            stream = cast("asyncio.Transport", transport)
            reader = Reader(stream, lambda: None, cast("TlsTransport", transport))
            stream.set_protocol(reader)
            made.set_result(reader)

    loop = asyncio.get_running_loop()
    accepting = asyncio.ensure_future(
        loop.connect_accepted_socket(lambda: TlsTransport(serving, Greeting(), ours), ours)
    )
    client, writer = await asyncio.open_connection(sock=theirs, ssl=trusting, server_hostname="localhost")
    await accepting
    reader = await made
    try:
        yield reader, client
    finally:
        writer.transport.abort()
        reader.abort()


async def test_an_unread_block_takes_no_memory_per_reader() -> None:
    """TLS would otherwise encrypt it completely for each reader; read later, it is complete."""
    async with talking() as (reader, client):
        before = resident()
        reader.send(b"head", BLOCK)
        assert reader.paused
        assert resident() - before < ROOM
        async with asyncio.timeout(60):
            assert await client.readexactly(4) == b"head"
            for start in range(0, len(BLOCK), 1 << 20):
                assert await client.readexactly(1 << 20) == BLOCK[start : start + (1 << 20)]
        assert not reader.paused
        reader.send(b"next")
        assert await client.readexactly(4) == b"next"


async def test_blocks_of_every_size_reach_the_client_past_the_transport_or_through_it() -> None:
    """In order, while the client reads nothing for a time."""
    async with talking() as (reader, client):
        sent = b""
        for size in (1, 400, TLS_WRITE_BYTES, TLS_WRITE_BYTES + 1, 400, *(10_000,) * 2000):
            block = bytes([size % 251]) * size
            part = reader.send_some(block)
            if part != size:
                reader.send_rest(block, part)
            sent += block
            if reader.paused:
                break
        assert reader.paused
        async with asyncio.timeout(60):
            assert await client.readexactly(len(sent)) == sent
            assert not reader.paused
            assert reader.send_some(b"next") == 4
            assert await client.readexactly(4) == b"next"
