"""The crowd of readers: what it counts and compares, and what it does when connections end."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.crowd import crowd, feed_readers, readers
from bench.load.crowd_process import rounded_us
from bench.load.inspection import Inspector

LIMIT_S = 30.0
OK = b"HTTP/1.1 200 OK\r\n\r\n"
GZIPPED = feed_readers("http://127.0.0.1:1", "e", returning=True)


class FakeHub:
    """A server whose responses the test writes."""

    def __init__(self) -> None:
        self.port = 0
        self._connections: asyncio.Queue[tuple[bytes, asyncio.StreamWriter]] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def connection(self) -> tuple[bytes, asyncio.StreamWriter]:
        """Wait for the next request; return it, and the stream for the response."""
        return await asyncio.wait_for(self._connections.get(), LIMIT_S)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queue a request."""
        self._writers.append(writer)
        self._connections.put_nowait((await reader.readuntil(b"\r\n\r\n"), writer))

    async def close(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def fake_hub() -> AsyncIterator[FakeHub]:
    hub = FakeHub()
    server = await asyncio.start_server(hub.accept, "127.0.0.1", 0)
    hub.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield hub
        finally:
            await hub.close()


def block(sequence: int, filling: str = "") -> bytes:
    """Return a block event as a feed port sends it."""
    data = f'{{"published_at":"2025-09-08T20:00:00Z","filling":"{filling}"}}'
    return f"event: block\nid: {sequence}-0000abcd\ndata: {data}\n\n".encode()


def deflated(text: bytes, level: int = 6) -> bytes:
    """Return text as raw deflate that ends in a flush."""
    compressor = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)


# Counting.


async def test_a_crowd_counts_every_change_however_the_bytes_are_split() -> None:
    """Two events in one piece count as two; half an event counts when it is complete."""
    async with fake_hub() as hub:
        group = readers("127.0.0.1", hub.port, "/", marker='data: {"sequence":')
        async with crowd(group) as one:
            connecting = asyncio.create_task(one.connect(1))
            _, writer = await hub.connection()
            writer.write(OK)
            assert (await connecting).readers == 1
            await one.mark()
            writer.write(
                b'data: {"sequence":1,"published_at":1.5}\n\ndata: {"sequence":2,"published_at":2.5}\n\ndata: {"se'
            )
            seen = await one.wait(2, 5.0)
            assert (seen.covered, seen.behind) == (2, 0)
            assert (await one.wait(3, 0.05)).behind == 1
            writer.write(b'quence":3,"published_at":"2025-09-08T20:00:00Z"}\n\n')
            seen = await one.wait(3, 5.0)
            assert (seen.covered, seen.behind, seen.lost) == (3, 0, 0)
            assert (await one.mark()).covered == 0
            writer.close()
            await writer.wait_closed()
            assert (await one.wait(4, 5.0)).lost == 1


@given(st.floats(1e-6, 1000))
def test_rounding_changes_latencies_little(seconds: float) -> None:
    assert rounded_us(seconds) == pytest.approx(max(1, int(seconds * 1e6)), rel=0.1)
    assert rounded_us(seconds) <= max(1, int(seconds * 1e6))


# Connections.


async def test_readers_that_are_cut_off_return_with_their_cursor() -> None:
    """The first event of a connection counts as joining or returning, not as a delivery."""
    async with fake_hub() as hub:
        group = feed_readers(f"http://127.0.0.1:{hub.port}", "e", gzip=False, returning=True)
        async with crowd(group) as one:
            connecting = asyncio.create_task(one.connect(1))
            request, writer = await hub.connection()
            assert b"Last-Event-ID" not in request
            writer.write(OK + block(7))
            assert len((await connecting).joined) == 1
            await one.cut(0.0)
            request, writer = await hub.connection()
            assert b"Last-Event-ID: 7-0000abcd\r\n" in request
            writer.write(OK + block(9))
            seen = await one.wait(9, LIMIT_S)
            assert (seen.behind, seen.lost, seen.latencies) == (0, 0, {})
            assert len(seen.returned) == 1
            writer.write(block(10))
            assert sum((await one.wait(10, LIMIT_S)).latencies.values()) == 1
            assert (await one.stop()).numbers == {10: 1}


async def test_a_reader_that_is_refused_connects_again() -> None:
    async with fake_hub() as hub:
        group = feed_readers(f"http://127.0.0.1:{hub.port}", "e", gzip=False, returning=True)
        async with crowd(group) as one:
            connecting = asyncio.create_task(one.connect(1))
            _, writer = await hub.connection()
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            _, writer = await hub.connection()
            writer.write(OK + block(1))
            seen = await connecting
            assert (seen.readers, seen.refused, seen.silent) == (1, 1, 0)


async def test_a_crowd_whose_process_has_ended_says_so() -> None:
    """A reader that does not return makes its process fail when it is refused."""
    async with fake_hub() as hub, crowd(readers("127.0.0.1", hub.port, "/", marker="data: ")) as one:
        connecting = asyncio.create_task(one.connect(1))
        _, writer = await hub.connection()
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        with pytest.raises(RuntimeError, match="ended without an answer"):
            await connecting
        with pytest.raises(RuntimeError, match="ended without an answer"):
            await one.mark()


# Comparing.


def test_the_same_bytes_are_inspected_once() -> None:
    inspector, data = Inspector(), deflated(block(1))
    known = inspector.known(data)
    number, after = inspector.inspect(data, b"", known, GZIPPED, None)
    assert (number, after) == (1, block(1))
    assert inspector.known(data)[b""] == (1, block(1))
    assert inspector.inspected == 1
    assert inspector.cursors == {1: b"1-0000abcd"}


def test_the_same_text_compressed_otherwise_does_not_differ() -> None:
    inspector = Inspector()
    for level in (1, 9):
        data = deflated(block(1, "x" * 200), level)
        inspector.inspect(data, b"", inspector.known(data), GZIPPED, 0)
    assert inspector.differing == 0


def test_another_text_for_the_same_changes_differs() -> None:
    """As if one reader had been sent other figures than the others."""
    inspector = Inspector()
    for filling in ("12", "13"):
        data = deflated(block(1, filling))
        inspector.inspect(data, b"", inspector.known(data), GZIPPED, 0)
    assert inspector.differing == 1


def test_bytes_that_do_not_decode_differ() -> None:
    inspector, data = Inspector(), b"\xff\xff\xff\0\0\xff\xff"
    assert inspector.inspect(data, b"", inspector.known(data), GZIPPED, None)[0] == -1
    assert inspector.differing == 1
