"""The server's side of a WebSocket (RFC 6455). aiohttp reads the request; everything after it comes here.

aiohttp's own WebSocket accepts frames without a mask, answers any number of pings, and keeps up to 768 KiB of what
nobody has read. Here the owner takes one frame after another, and those that it does not take stay in the socket.
"""

import asyncio
import base64
import hashlib
import socket
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from gateway.web.aiohttp_connection import half_closed, mask, switch_protocols
from gateway.web.answers import Problem
from gateway.wire.frames import PING, PONG, Frame, FrameReader, close_frame, frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Appended to a client's key before it is hashed (RFC 6455, section 1.3)."""
KEY_BYTES = 16
HEAD_MAX = 14
"""Bytes of the head of a frame."""
RECEIVE_BUFFER = 64 << 10
"""Bytes that the kernel keeps of what was not read, and so the most that is read at once; Linux doubles the value."""
PING_S, SILENT_S = 20.0, 30.0
"""After how many seconds of silence a client is pinged, and after how many its connection is aborted."""
PAUSED_PING_S = 8.0
"""How often a client is pinged while its frames are left in the socket, in seconds. Its answer is not read then, but a
write to a dead connection fails."""
UNACKNOWLEDGED_S = 60.0
"""How long the kernel waits for a client to acknowledge what was sent to it, in seconds."""
CHECK_MAX_S = 2.0
"""Seconds that one check counts at most: while the event loop is stalled, nothing can be received."""
PONG_ROOM = 64 << 10
"""Unsent bytes above which a ping is not answered; the answer to a later one suffices (RFC 6455, section 5.5.3)."""


class WebSocket:
    """One connection after its handshake. Invariants:

    * Of bytes that were not taken it keeps at most one message and one read of the event loop. When it has more than
      a message, it reads no more from the socket until frames are taken.
    * It aborts a client that is silent for SILENT_S although it was pinged, but never one from which it does not read.
    * It keeps nothing that follows an error, or `ignore`.
    """

    def __init__(self, message_max: int, wake: Callable[[], None]) -> None:
        self.ended = False
        """Whether the client is gone."""
        self._frames = FrameReader(message_max, mask)
        self._kept_max = message_max + HEAD_MAX
        self._wake = wake
        self._transport: asyncio.Transport | None = None
        self._drain: Callable[[], Awaitable[None]] | None = None
        self._ignoring = False
        self._paused = False
        self._closing = False
        self._received = True
        self._checked_at: float | None = None
        self._silent_s = 0.0
        self._since_ping_s = 0.0

    async def open(self, request: web.Request, subprotocol: str) -> web.StreamResponse:
        """Answer the handshake and take the connection over. Raises Problem."""
        headers = _handshake(request, subprotocol)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        self._transport = transport
        _bound_kernel(transport)
        answer, self._drain = await switch_protocols(request, headers, self)
        return answer

    # Called by aiohttp.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes from the client."""
        self._received = True
        if not self._ignoring:
            self._frames.feed(data)
            if self._frames.kept > self._kept_max:
                self._pause()
            self._wake()
        return False, b""

    def feed_eof(self) -> None:
        """Note that the connection is lost."""
        self.ended = True
        self._wake()

    # Called by the owner.

    @property
    def kept(self) -> int:
        """The number of bytes received and not taken."""
        return self._frames.kept

    def next_frame(self) -> Frame | None:
        """Return opcode and payload of the next frame, see `FrameReader.next`. Raises FrameError."""
        if self._ignoring:
            return None
        taken = self._frames.next()
        if self._paused and self._frames.kept <= self._kept_max:
            self._resume()
        return taken

    def ignore(self) -> None:
        """Discard everything received, now and later: the connection is closing."""
        self._ignoring = True
        self._frames = FrameReader(0)
        self._resume()

    def takes_all(self) -> bool:
        """Whether bytes written now leave at once."""
        transport = self._transport
        return (
            transport is not None
            and not (self.ended or self._closing or transport.is_closing())
            and not transport.get_write_buffer_size()
        )

    def write(self, data: bytes) -> None:
        """Write whole frames without waiting. Raises ConnectionError if the client is gone."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Write whole frames, and wait while too much is unsent. Raises ConnectionError if the client is gone."""
        self.write(data)
        assert self._drain is not None
        await self._drain()

    def pong(self, payload: bytes | bytearray) -> None:
        """Answer a ping."""
        transport = self._transport
        if transport is None or self._closing or transport.is_closing():
            return
        if transport.get_write_buffer_size() < PONG_ROOM:
            transport.write(frame(PONG, bytes(payload)))

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, once."""
        if not self._closing and self._transport is not None and not self._transport.is_closing():
            self._closing = True
            self._transport.write(close_frame(code, reason))

    def close_transport(self) -> None:
        """Close the connection once everything written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def check_timeouts(self, now: float) -> None:
        """Ping a silent client, and abort one that stays silent; called about once per second with the loop's time."""
        elapsed_s = min(CHECK_MAX_S, now - self._checked_at) if self._checked_at is not None else 0.0
        self._checked_at = now
        self._since_ping_s += elapsed_s
        self._silent_s = 0.0 if self._received or self._paused else self._silent_s + elapsed_s
        self._received = False
        if self._silent_s >= SILENT_S:
            self.abort()
        elif self._since_ping_s >= (PAUSED_PING_S if self._paused else PING_S) and (
            self._paused or self._silent_s >= PING_S
        ):
            self._since_ping_s = 0.0
            if self.takes_all():
                self.write(frame(PING, b""))

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()


def _handshake(request: web.Request, subprotocol: str) -> dict[str, str]:
    """Return the headers that accept a client's handshake (RFC 6455, section 4.2). Raises Problem."""
    if request.headers.get(hdrs.SEC_WEBSOCKET_VERSION, "") != "13":
        headers = {"Sec-WebSocket-Version": "13"}
        raise Problem(400, "bad_request", "Sec-WebSocket-Version must be 13", headers=headers)
    if half_closed(request):
        raise Problem(400, "bad_request", "the client has closed its side of the connection")
    connection = request.headers.get(hdrs.CONNECTION, "")
    if "upgrade" not in [each.strip().lower() for each in connection.split(",")]:
        raise Problem(400, "bad_request", "Connection must name upgrade")
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    try:
        good = len(base64.b64decode(key, validate=True)) == KEY_BYTES
    except ValueError:  # binascii.Error, or a character that is not ASCII
        good = False
    if not good:
        raise Problem(400, "bad_request", f"Sec-WebSocket-Key must be {KEY_BYTES} bytes in base64")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest())
    return {
        hdrs.UPGRADE: "websocket",
        hdrs.CONNECTION: "upgrade",
        hdrs.SEC_WEBSOCKET_ACCEPT: accept.decode(),
        hdrs.SEC_WEBSOCKET_PROTOCOL: subprotocol,
    }


def _bound_kernel(transport: asyncio.Transport) -> None:
    """Bound the kernel's buffer for a connection that is not read, and its wait for one that is gone."""
    connection = transport.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = round(UNACKNOWLEDGED_S * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
