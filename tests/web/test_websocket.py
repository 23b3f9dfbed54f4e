"""A WebSocket on a transport that only notes what is done to it: when it reads, pings, and gives up."""

import asyncio
from collections import Counter

import pytest

from gateway.web.websocket import PAUSED_PING_S, PING_S, SEND_S, SILENT_S, WebSocket
from gateway.wire.frames import CLOSE, PING, PONG, TEXT, FrameError, frame

MOST = 1000
READ = 256 << 10
"""Bytes that an event loop may read at once."""


class Transport(asyncio.Transport):
    """Notes what is written, and whether it is read from."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.written: list[bytes] = []
        self.unsent = 0
        self.closed = ""

    def is_closing(self) -> bool:
        return bool(self.closed)

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the tests pause and resume writing."""

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = "close"

    def abort(self) -> None:
        self.closed = "abort"


class CountingOwner:
    """Counts the calls of each kind."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def received(self) -> None:
        self.calls["received"] += 1

    def writable(self) -> None:
        self.calls["writable"] += 1

    def lost(self) -> None:
        self.calls["lost"] += 1


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def owner() -> CountingOwner:
    return CountingOwner()


@pytest.fixture
def opened(transport: Transport, owner: CountingOwner) -> WebSocket:
    """A WebSocket after its handshake."""
    opened = WebSocket(MOST, owner)
    opened.connection_made(transport)
    return opened


def masked(opcode: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    whole = frame(opcode, payload)
    head = len(whole) - len(payload)
    return whole[:1] + bytes([whole[1] | 0x80]) + whole[2:head] + bytes(4) + payload


def looks(opened: WebSocket, seconds: float, since: float = 0.0) -> float:
    """Look once a second, and return the time after that."""
    for _ in range(round(seconds)):
        since += 1.0
        opened.check_timeouts(since)
    return since


def test_bytes_that_are_not_taken_stay_in_the_socket(
    opened: WebSocket, transport: Transport, owner: CountingOwner
) -> None:
    """After one message and one read, reading stops; it resumes when no more than a message is left."""
    report = masked(TEXT, b"x" * 400)
    opened.data_received(report)
    opened.data_received(report)
    assert transport.reading
    opened.data_received(report * (READ // len(report)))
    assert not transport.reading
    assert opened.kept <= MOST + 100 + READ
    assert owner.calls == {"received": 3}
    taken = 0
    while not transport.reading:
        assert opened.next_frame() == (TEXT, b"x" * 400)
        taken += 1
    assert opened.kept <= MOST + 14
    while opened.next_frame() is not None:
        taken += 1
    assert taken == 2 + READ // len(report)
    assert opened.kept == 0


@pytest.mark.parametrize("size", [0, 1, MOST - 1, MOST])
def test_a_message_of_any_size_is_read_in_any_segments(
    opened: WebSocket, transport: Transport, size: int
) -> None:
    """It is never left half read in a socket from which reading has stopped."""
    data = masked(TEXT, b"y" * size)
    for place in range(len(data)):
        assert transport.reading
        opened.data_received(data[place : place + 1])
        taken = opened.next_frame()
    assert taken == (TEXT, b"y" * size)


def test_a_silent_client_is_pinged_and_then_aborted(opened: WebSocket, transport: Transport) -> None:
    """Anything that it sends is a sign of life."""
    now = looks(opened, PING_S - 1)
    assert not transport.written
    now = looks(opened, 3, now)
    assert transport.written == [frame(PING, b"")]
    opened.data_received(b"\x8a")  # the first byte of a pong
    now = looks(opened, SILENT_S - 2, now)
    assert transport.written == [frame(PING, b"")] * 2
    assert not transport.closed
    looks(opened, 5, now)
    assert transport.closed == "abort"


def test_a_client_that_is_not_read_from_is_pinged_but_not_aborted(
    opened: WebSocket, transport: Transport
) -> None:
    """Its answers are not read; a ping from time to time keeps the connection alive, or fails if it is gone."""
    opened.data_received(masked(TEXT, b"z" * 900) * 10)
    assert not transport.reading
    now = looks(opened, 10 * SILENT_S)
    assert not transport.closed
    assert len(transport.written) == pytest.approx(10 * SILENT_S / PAUSED_PING_S, abs=2)
    while opened.next_frame() is not None:
        pass
    now = looks(opened, SILENT_S - 2, now)
    assert not transport.closed
    looks(opened, 5, now)
    assert transport.closed == "abort"


def test_seconds_in_which_the_loop_stalled_are_not_silence(opened: WebSocket, transport: Transport) -> None:
    """Nothing could be received then."""
    opened.check_timeouts(0.0)
    opened.check_timeouts(1000.0)
    assert not transport.closed


def test_a_ping_is_answered_unless_its_sender_reads_nothing(opened: WebSocket, transport: Transport) -> None:
    """So pongs cannot accumulate; a later one suffices."""
    opened.pong(b"1")
    transport.unsent = 1 << 20
    opened.pong(b"2")
    assert transport.written == [frame(PONG, b"1")]


def test_after_a_protocol_error_nothing_is_kept(opened: WebSocket, transport: Transport) -> None:
    """Bytes are discarded unread, for as long as the connection takes to close."""
    opened.data_received(frame(TEXT, b"{}") + masked(TEXT, b"{}") * 500)
    assert not transport.reading
    with pytest.raises(FrameError):
        opened.next_frame()
    opened.ignore()
    assert transport.reading
    opened.data_received(masked(TEXT, b"{}") * 500)
    assert (opened.kept, opened.next_frame(), transport.reading) == (0, None, True)
    opened.close(1002, "because")
    opened.close(1000)
    opened.pong(b"")
    assert transport.written == [frame(CLOSE, (1002).to_bytes(2) + b"because")]


def test_a_connection_that_is_lost_ends_its_owner(opened: WebSocket, owner: CountingOwner) -> None:
    """Nothing is written to it any more."""
    opened.connection_lost(None)
    assert (opened.ended, owner.calls) == (True, {"lost": 1})
    opened.close_transport()
    assert not opened.takes_all()
    opened.write(b"")
    opened.pong(b"")
    opened.close(1000)
    opened.abort()


def test_its_owner_goes_on_when_everything_written_was_taken(opened: WebSocket, owner: CountingOwner) -> None:
    """Until then nothing leaves at once."""
    assert opened.takes_all()
    opened.pause_writing()
    assert not opened.takes_all()
    opened.resume_writing()
    assert opened.takes_all()
    assert owner.calls == {"writable": 1}


def test_a_client_that_does_not_take_what_was_written_is_aborted(
    opened: WebSocket, transport: Transport
) -> None:
    """After SEND_S, which begin again when it has taken everything, however much it sends meanwhile."""
    now = 0.0
    for _ in range(3):
        opened.pause_writing()
        for _ in range(round(SEND_S)):
            opened.data_received(masked(TEXT, b""))
            assert opened.next_frame() is not None
            now = looks(opened, 1, now)
        assert not transport.closed
        opened.resume_writing()
    opened.pause_writing()
    looks(opened, SEND_S + 2, now)
    assert transport.closed == "abort"


def test_what_is_held_stays_in_the_socket_until_it_closes(opened: WebSocket, transport: Transport) -> None:
    """What was received before is read."""
    opened.data_received(masked(TEXT, b"1") + masked(TEXT, b"2"))
    opened.hold()
    assert not transport.reading
    assert [opened.next_frame(), opened.next_frame(), opened.next_frame()] == [
        (TEXT, b"1"),
        (TEXT, b"2"),
        None,
    ]
    assert not transport.reading
    opened.close(1001)
    assert transport.reading


def test_a_client_that_closes_its_side_is_gone(opened: WebSocket) -> None:
    """Its transport closes the connection."""
    assert opened.eof_received() is False
    assert opened.ended
    assert not opened.takes_all()
