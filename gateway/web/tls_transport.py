"""TLS of one connection of a door, between the transport of its socket and the protocol that serves it.

uvloop's own costs nearly twice as much for a small write, and asyncio's three times; most of the bytes of a feed are
small writes to many readers. Here a write is one call of OpenSSL and one write to the transport below, whose flow
control applies: its limits, its `pause_writing` and the size of its buffer are those of the encrypted bytes, so nothing
is buffered here. Received bytes are decrypted as they arrive; at most a part of one record stays, or what arrived in
one piece while reading was paused. OpenSSL's buffers in memory keep the size of the most that was ever in them, so what
is longer than a record passes through them in pieces.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, cast

from gateway.clock import SYSTEM_CLOCK, Clock
from gateway.feed.channel import BUFFERED

RECORD_MAX = 16 << 10
"""Bytes of content in a TLS record. Source: RFC 8446, section 5.1."""
TURN_S = 0.005
"""Seconds after which what else arrived in one piece waits for the next turn of the loop. 16 KiB of content take some
10 µs, but as much of changes of the key, which a client may send without end, take 10 ms."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """A server's side of a TLS connection: a protocol to the transport below, and a transport to the protocol above.

    That protocol is notified of the connection when the handshake is complete; `connection_lost` is called in any case,
    also if the handshake failed. There is no time limit of the handshake here: `Connections` closes connections whose
    first request is late. A client that ends its side of TLS ends the connection; so does the end of its bytes.
    """

    __slots__ = (
        "_below", "_closing", "_context", "_decrypt", "_encrypt", "_established", "_monotonic", "_reading", "_received",
        "_records", "_rest", "_sock", "_stalled", "_tls", "_unanswered", "_upper", "_written",
    )  # fmt: skip

    def __init__(
        self,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        sock: socket.socket,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """`sock`: the non-blocking socket of the transport below, which closes it."""
        super().__init__()
        self._sock = sock
        self._context = context
        self._upper = protocol
        self._monotonic = clock.monotonic
        self._received, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._written, server_side=True)
        self._decrypt, self._encrypt, self._records = self._tls.read, self._tls.write, self._written.read
        self._below: asyncio.Transport
        self._rest: list[memoryview] = []
        """What else arrived in one piece and has not had its turn, the last first. Nothing is read meanwhile."""
        self._established = False
        self._closing = False
        self._reading = True
        """Whether the protocol wants to be given what is received."""
        self._stalled = False
        """Whether the transport below accepts no more bytes for now."""
        self._unanswered = False
        """Whether nothing is read because the client does not take the answers of TLS itself, as to a new key."""

    # What the transport below calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to begin the handshake."""
        self._below = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the protocol."""
        self._closing = True
        upper, self._upper = self._upper, asyncio.Protocol()
        upper.connection_lost(exc)

    def pause_writing(self) -> None:
        """Let the protocol pause."""
        self._stalled = True
        if self._established:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Let the protocol continue."""
        self._stalled = False
        if self._established:
            self._upper.resume_writing()
        if self._unanswered:
            self._unanswered = False
            self._continue_reading()

    def eof_received(self) -> bool:
        """Close the connection, after the protocol was notified."""
        if self._established and not self._closing:
            self._upper.eof_received()
        self._closing = True
        return False

    def data_received(self, data: bytes) -> None:
        """Continue the handshake, or give the protocol what is complete."""
        if len(data) <= RECORD_MAX:
            self._receive(data)
        else:
            self._rest = [*_pieces(data)][::-1]
            self._take_rest()

    def _take_rest(self) -> None:
        """Receive what arrived in one piece, in pieces of a record, for about TURN_S; then others have their turn."""
        until = self._monotonic() + TURN_S
        while self._rest and self._may_read():
            self._receive(self._rest.pop())
            if self._rest and self._may_read() and self._monotonic() > until:
                self._below.pause_reading()
                asyncio.get_running_loop().call_soon(self._continue_reading)
                return

    def _receive(self, data: bytes | memoryview) -> None:
        self._received.write(data)
        try:
            if not self._established:
                self._tls.do_handshake()
                self._write_records()
                self._established = True
                self._upper.connection_made(self)
            while self._reading and not self._closing and self._received.pending:
                self._deliver(self._decrypt(RECORD_MAX))
        except ssl.SSLWantReadError:
            pass  # a record, or the handshake, is incomplete
        except ssl.SSLError:
            self._closing = True
            self._write_records()  # the alert that gives the reason
            self._below.close()
            return
        if self._write_records() and self._stalled:
            self._unanswered = True
            self._below.pause_reading()

    def _deliver(self, data: bytes) -> None:
        if data:
            self._upper.data_received(data)
        else:
            self._upper.eof_received()
            self.close()

    def _write_records(self) -> bool:
        """Write what TLS itself has to say; return whether there was anything."""
        if not self._written.pending or self._below.is_closing():
            return False
        self._below.write(self._records())
        return True

    def _may_read(self) -> bool:
        return self._reading and not self._unanswered and not self._closing

    def _continue_reading(self) -> None:
        if not self._may_read():
            return
        try:
            self._receive(b"")
            self._take_rest()
        except BaseException:
            self.abort()  # as the transport below does if it is called from there
            raise
        if self._may_read() and not self._rest:
            self._below.resume_reading()

    # What the protocol calls.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt, and write. Encrypted bytes are copies, for this connection alone."""
        if self._closing:
            return
        if len(data) > RECORD_MAX:
            self._below.writelines([self._encrypted(piece) for piece in _pieces(data)])
        elif data:
            self._below.write(self._encrypted(data))

    def _encrypted(self, data: bytes | bytearray | memoryview) -> bytes:
        self._encrypt(data)
        return self._records()

    def send(self, data: bytes) -> int:
        """Encrypt a record, send it past the transport below, in which nothing may be buffered, and return its size.

        Returns BUFFERED if the socket does not accept all of it, or has failed: then the transport below has the rest.
        Returns 0 for more than a record, of which nothing is sent.
        """
        if len(data) > RECORD_MAX or self._closing:
            return 0
        record = self._encrypted(data)
        try:
            sent = self._sock.send(record)
        except OSError:
            sent = 0
        if sent == len(record):
            return len(data)
        self._below.write(memoryview(record)[sent:])
        return BUFFERED

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Write pieces, as few records as possible."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """End TLS, and close the connection when everything written is sent."""
        if self._closing:
            return
        self._closing = True
        if self._established:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it wants the client's answer, for which nothing waits
            self._write_records()
        self._below.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._closing = True
        self._below.abort()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or is about to be."""
        return self._closing or self._below.is_closing()

    def pause_reading(self) -> None:
        """Give the protocol nothing more until `resume_reading`."""
        self._reading = False
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """Give the protocol what has been received meanwhile, and what follows."""
        self._reading = True
        asyncio.get_running_loop().call_soon(self._continue_reading)

    def is_reading(self) -> bool:
        """Return whether the protocol is given what is received."""
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Replace the protocol."""
        self._upper = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        return self._upper

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the transport below, in encrypted bytes."""
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the limits of the transport below."""
        return self._below.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        """Return the number of encrypted bytes that are not sent."""
        return self._below.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Return False: the end of this side ends the connection."""
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the TLS context as `sslcontext`, or what the transport below knows."""
        return self._context if name == "sslcontext" else self._below.get_extra_info(name, default)


def _pieces(data: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    view = memoryview(data)
    return (view[start : start + RECORD_MAX] for start in range(0, len(view), RECORD_MAX))
