"""A socket that accepts bytes when a test says so, and notifies its protocol as real ones do.

`test_transport.py` compares it with a real socket.
"""

import asyncio
import errno
import socket
from collections.abc import Iterable
from typing import cast


class FakeTransport:
    """The writing side of a transport: bytes are sent to the peer at once, or buffered while it is stalled.

    It is its own socket as well: `send` goes past the buffer.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        self._encrypted = encrypted
        self.taken = b""
        """What the peer has."""
        self.unsent = b""
        """What waits for it."""
        self.written = b""
        """Everything ever written."""
        self.stalled = False
        self._room = 0
        """Bytes that its socket accepts while it is stalled."""
        self.overruns = 0
        """How often something was written behind what was not taken yet."""
        self.protocol: asyncio.Protocol | None = None
        self._high = 64 << 10
        self._paused = False
        self._closing = False
        self._lost = False

    def as_transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)

    def as_socket(self) -> socket.socket:
        return cast("socket.socket", self)

    # What a transport does.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = cast("asyncio.Protocol", protocol)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self if name == "sslcontext" and self._encrypted else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 << 10 if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def writelines(self, lines: Iterable[bytes]) -> None:
        self.write(b"".join(lines))

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: bytes) -> None:
        if self._lost:
            raise RuntimeError("the handler is closed")
        if self._closing:
            return
        self.overruns += bool(self.unsent)
        self.written += data
        self.unsent += data
        if not self.stalled:
            self._give(len(self.unsent))
        if len(self.unsent) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def send(self, data: bytes) -> int:
        """Send what the socket accepts, as a non-blocking socket does."""
        assert not self._lost, "the descriptor may be that of another connection by now"
        if self._closing:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        self.overruns += bool(self.unsent)
        sent = min(self._room, len(data)) if self.stalled else len(data)
        if not sent:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self._room -= sent
        self.written += data[:sent]
        self.taken += data[:sent]
        return sent

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True
        self.unsent = b""

    # What a test does.

    @property
    def lost(self) -> bool:
        """Whether its protocol was notified that the connection is lost."""
        return self._lost

    @property
    def _protocol(self) -> asyncio.Protocol:
        assert self.protocol is not None
        return self.protocol

    def _give(self, most: int) -> None:
        self.taken += self.unsent[:most]
        self.unsent = self.unsent[most:]

    def stall(self, room: int = 0) -> None:
        """Let the peer accept nothing from now on; its socket accepts a few more bytes if they are sent directly."""
        self.stalled, self._room = True, room

    def take(self, most: int | None = None) -> None:
        """Let the peer accept this many buffered bytes or, with None, all of them and everything later."""
        self.stalled = most is not None
        self._give(len(self.unsent) if most is None else most)
        if self._paused and not self.unsent and not self._lost:
            self._paused = False
            self._protocol.resume_writing()

    def hang_up(self) -> None:
        """Let the peer disconnect."""
        self.abort()

    def turn(self) -> None:
        """Let the event loop run: a closed connection with an empty buffer is lost."""
        if self._closing and not self.unsent and not self._lost:
            self._lost = True
            self._protocol.connection_lost(None)
