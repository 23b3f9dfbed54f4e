"""TLS of one connection, over a transport in memory: handshake, bytes in pieces of any size, flow control, ends."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.feed.channel import BUFFERED
from gateway.web.tls_transport import RECORD_MAX, TURN_S, TlsTransport

AUTHORITY = trustme.CA()
SERVING = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
AUTHORITY.issue_cert("door").configure_cert(SERVING)
RECORD_OVERHEAD = 64
"""More bytes than TLS adds to a record."""


class Hand:
    """A clock that a test moves."""

    at = 0.0

    def monotonic(self) -> float:
        return self.at


class Below(asyncio.Transport):
    """The transport of a socket whose peer takes bytes when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.upper: TlsTransport
        self.unsent = b""
        self.taken = b""
        self.room = 1 << 30
        """Bytes that the socket accepts at once."""
        self.stalled = self.reading_paused = self.closed = self.aborted = False
        self._high = 64 << 10
        self._paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.unsent += data
        if not self.stalled:
            self.take()
        if len(self.unsent) > self._high and not self._paused:
            self._paused = True
            self.upper.pause_writing()

    def send(self, data: bytes) -> int:
        """Send past this transport, as its socket does."""
        assert not self.unsent
        self.stalled = self.room < len(data)
        if not self.room:
            raise BlockingIOError
        sent = min(self.room, len(data))
        self.taken += data[:sent]
        self.room -= sent
        return sent

    def take(self) -> None:
        """Let the peer take everything."""
        self.taken += self.unsent
        self.unsent = b""
        if self._paused:
            self._paused = False
            self.upper.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 << 10 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed


class Upper(asyncio.Protocol):
    """What serves the connection: notes everything, and does what a test says with what it receives."""

    def __init__(self) -> None:
        self.transport: TlsTransport | None = None
        self.received = b""
        self.events: list[str] = []
        self.on_data: Callable[[bytes], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("TlsTransport", transport)
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def eof_received(self) -> None:
        self.events.append("end")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")


class Pair:
    """A server's side under test, and a client of OpenSSL."""

    def __init__(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, name: str = "door") -> None:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        context.maximum_version = version
        self.from_server, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.from_server, self._to_server, server_hostname=name)
        self.below, self.upper, self.clock = Below(), Upper(), Hand()
        self.server = self.below.upper = TlsTransport(
            SERVING, self.upper, cast("socket.socket", self.below), clock=cast("Clock", self.clock)
        )
        self.server.connection_made(self.below)

    def send(self, size: int | None = None) -> None:
        """Give the server what the client has to send, in pieces of a size."""
        data = self._to_server.read()
        step = size or len(data) or 1
        for start in range(0, len(data), step):
            self.server.data_received(data[start : start + step])

    def fetch(self) -> None:
        """Give the client what the server has sent."""
        self.from_server.write(self.below.taken)
        self.below.taken = b""

    def shake_hands(self, size: int | None = None) -> None:
        for _ in range(4):
            self.fetch()
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.send(size)

    def read(self) -> bytes:
        """Return what the client can decrypt."""
        self.fetch()
        found = b""
        try:
            while piece := self.client.read(1 << 20):
                found += piece
        except ssl.SSLWantReadError:
            pass
        return found


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    pair.shake_hands()
    return pair


@settings(deadline=None, max_examples=30)
@given(
    version=st.sampled_from((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)),
    size=st.sampled_from((1, 7, 100, 5000)),
    requests=st.lists(st.binary(min_size=1, max_size=3 * RECORD_MAX), max_size=3),
    answers=st.lists(st.binary(max_size=3 * RECORD_MAX), max_size=3),
)
def test_bytes_arrive_in_order_in_pieces_of_any_size(
    version: ssl.TLSVersion, size: int, requests: list[bytes], answers: list[bytes]
) -> None:
    pair = Pair(version)
    pair.shake_hands(size)
    assert pair.upper.events == ["made"]
    for request in requests:
        pair.client.write(request)
    pair.send(max(size, 100))
    for answer in answers:
        pair.server.write(answer)
    pair.server.writelines(answers)
    assert pair.upper.received == b"".join(requests)
    assert pair.read() == b"".join(answers) * 2


def test_the_protocol_is_not_told_of_a_connection_before_the_handshake_is_complete() -> None:
    """If the handshake fails, here because the client expects another name, it is notified of the end only."""
    pair = Pair(name="elsewhere")
    with pytest.raises(ssl.SSLCertVerificationError):
        pair.shake_hands()
    pair.send()
    assert (pair.below.closed, pair.upper.events) == (True, [])
    pair.server.connection_lost(None)
    assert pair.upper.events == ["lost"]


def test_plain_http_ends_the_connection() -> None:
    pair = Pair()
    pair.server.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert (pair.below.closed, pair.upper.events) == (True, [])


def test_a_client_that_does_not_take_the_answers_of_tls_is_not_read_until_it_does() -> None:
    pair = Pair()
    pair.server.set_write_buffer_limits(high=0, low=0)
    pair.below.stalled = True
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.send()
    assert pair.below.reading_paused
    pair.below.stalled = False
    pair.below.take()
    assert not pair.below.reading_paused
    pair.shake_hands()
    assert pair.upper.events == ["made"]


def test_a_record_that_was_changed_on_its_way_ends_the_connection(pair: Pair) -> None:
    pair.client.write(b"report")
    data = bytearray(pair._to_server.read())
    data[-1] ^= 1
    pair.server.data_received(bytes(data))
    assert (pair.below.closed, pair.upper.received) == (True, b"")
    pair.server.write(b"nothing is written any more")


def test_flow_control_is_that_of_the_transport_below(pair: Pair) -> None:
    """A limit of 0 pauses the protocol as soon as the peer does not take everything."""
    pair.server.set_write_buffer_limits(high=0, low=0)
    pair.server.write(b"taken")
    assert pair.upper.events == ["made"]
    pair.below.stalled = True
    pair.server.write(b"not taken")
    assert pair.upper.events == ["made", "pause"]
    assert 9 < pair.server.get_write_buffer_size() < 9 + RECORD_OVERHEAD
    pair.below.take()
    assert pair.upper.events == ["made", "pause", "resume"]
    assert pair.read() == b"takennot taken"


@settings(deadline=None, max_examples=50)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6),
    room=st.integers(0, 1000),
)
def test_what_is_sent_past_the_transport_arrives_in_order(pieces: list[bytes], room: int) -> None:
    """The transport has what the socket does not accept, and pauses the protocol."""
    pair = Pair()
    pair.shake_hands()
    pair.server.set_write_buffer_limits(high=0, low=0)
    pair.below.room = room
    for piece in pieces:
        sent = pair.server.send(piece)
        assert (sent == BUFFERED) == (pair.upper.events[-1] == "pause")
        if sent == BUFFERED:
            pair.below.room, pair.below.stalled = 1 << 30, False
            pair.below.take()
        else:
            assert sent == len(piece)
    assert pair.read() == b"".join(pieces)


def test_more_than_a_record_is_not_sent_past_the_transport(pair: Pair) -> None:
    """Nothing is, once the connection is closed."""
    assert pair.server.send(bytes(RECORD_MAX)) == RECORD_MAX
    assert pair.server.send(bytes(RECORD_MAX + 1)) == 0
    assert pair.read() == bytes(RECORD_MAX)
    pair.server.close()
    pair.fetch()
    assert (pair.server.send(b"late"), pair.below.taken) == (0, b"")


def test_what_is_longer_than_a_record_passes_through_tls_in_pieces(pair: Pair) -> None:
    """OpenSSL's buffers keep the size of the most that was in them, for as long as the connection exists."""
    received: list[int] = []
    written: list[int] = []
    records = pair.server._records

    def noted(size: int = -1) -> bytes:
        found = records(size)
        written.append(len(found))
        return found

    pair.server._records = noted
    pair.upper.on_data = lambda _: received.append(pair.server._received.pending)
    pair.client.write(bytes(20 * RECORD_MAX))
    pair.send()
    pair.server.write(bytes(20 * RECORD_MAX))
    pair.server.writelines([bytes(3 * RECORD_MAX), b"end"])
    assert pair.upper.received == bytes(20 * RECORD_MAX)
    assert pair.read() == bytes(23 * RECORD_MAX) + b"end"
    assert max(received) <= RECORD_MAX
    assert max(written) <= RECORD_MAX + RECORD_OVERHEAD


async def test_what_takes_long_to_receive_leaves_turns_to_others(pair: Pair) -> None:
    """Nothing more is read until all of it is received, and it stays in order."""
    content = b"".join(bytes([number]) * RECORD_MAX for number in range(5))

    def take_long(_: bytes) -> None:
        pair.clock.at += 2 * TURN_S

    pair.upper.on_data = take_long
    pair.client.write(content)
    pair.send()
    found = [len(pair.upper.received)]
    while found[-1] < len(content):
        assert pair.below.reading_paused
        await asyncio.sleep(0)
        found.append(len(pair.upper.received))
    assert found == [RECORD_MAX * number for number in range(1, 6)]
    assert (pair.upper.received, pair.below.reading_paused) == (content, False)


async def test_a_protocol_that_pauses_reading_while_others_have_their_turn_is_given_nothing(
    pair: Pair,
) -> None:
    content = bytes(5 * RECORD_MAX)

    def take_long(_: bytes) -> None:
        pair.clock.at += 2 * TURN_S

    pair.upper.on_data = take_long
    pair.client.write(content)
    pair.send()
    pair.server.pause_reading()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (len(pair.upper.received), pair.below.reading_paused) == (RECORD_MAX, True)
    pair.server.resume_reading()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (pair.upper.received, pair.below.reading_paused) == (content, False)


async def test_an_error_of_the_protocol_closes_the_connection_also_when_it_resumes_reading(
    pair: Pair,
) -> None:
    """Otherwise nothing would be read of it any more, and nothing would close it."""
    errors: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    pair.upper.on_data = lambda _: pair.server.pause_reading()
    pair.client.write(b"one")
    pair.client.write(b"two")
    pair.send()
    error = RuntimeError("unexpected")

    def fail(_: bytes) -> None:
        raise error

    pair.upper.on_data = fail
    pair.server.resume_reading()
    await asyncio.sleep(0)
    assert (pair.below.aborted, errors) == (True, [error])


async def test_a_protocol_that_pauses_reading_is_given_nothing_until_it_resumes(pair: Pair) -> None:
    """Then it is given everything, in order."""
    pair.upper.on_data = lambda _: pair.server.pause_reading()
    for text in (b"one ", b"two ", b"three"):
        pair.client.write(text)
    pair.send()
    assert (pair.upper.received, pair.below.reading_paused) == (b"one ", True)
    pair.upper.on_data = lambda _: None
    pair.server.resume_reading()
    await asyncio.sleep(0)
    assert (pair.upper.received, pair.below.reading_paused) == (b"one two three", False)


def test_the_end_that_a_client_announces_ends_the_connection(pair: Pair) -> None:
    """With the same announcement to the client."""
    pair.client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.send()
    assert (pair.upper.received, pair.upper.events) == (b"last", ["made", "end"])
    assert (pair.below.closed, pair.below.aborted) == (True, False)
    pair.fetch()
    pair.client.unwrap()


def test_the_end_of_the_bytes_ends_the_connection(pair: Pair) -> None:
    assert not pair.server.eof_received()
    pair.fetch()
    pair.server.write(b"to nobody")
    assert (pair.upper.events, pair.below.taken) == (["made", "end"], b"")
    assert pair.server.is_closing()


def test_a_connection_that_is_closed_announces_its_end_after_what_was_written(pair: Pair) -> None:
    pair.server.write(b"goodbye")
    pair.server.close()
    pair.server.close()
    pair.server.write(b"too late")
    assert pair.below.closed
    assert pair.read() == b"goodbye"
    pair.client.unwrap()  # close_notify was sent
    pair.server.connection_lost(None)
    assert pair.upper.events == ["made", "lost"]


def test_a_protocol_that_takes_the_connection_over_is_given_what_follows(pair: Pair) -> None:
    """Within one piece of what was received too."""
    other = Upper()
    pair.upper.on_data = lambda _: pair.server.set_protocol(other)
    pair.client.write(b"request")
    pair.client.write(b"more")
    pair.send()
    assert (pair.upper.received, other.received) == (b"request", b"more")
    assert pair.server.get_protocol() is other


def test_nothing_is_delivered_after_an_abort(pair: Pair) -> None:
    pair.upper.on_data = lambda _: pair.server.abort()
    pair.client.write(b"request")
    pair.client.write(b"more")
    pair.send()
    assert (pair.upper.received, pair.below.aborted) == (b"request", True)
