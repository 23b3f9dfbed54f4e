"""The server's side of a WebSocket (RFC 6455). aiohttp reads the request; everything after it comes here.

aiohttp's own WebSocket accepts frames without a mask, answers any number of pings, and keeps up to 768 KiB of what
nobody has read. Here the owner takes one frame after another, and those that it does not take stay in the socket. There
is no task: the event loop calls this protocol, which calls its owner.
"""

import asyncio
import base64
import socket
from collections.abc import Callable
from typing import Protocol, cast

from aiohttp import hdrs, web

from gateway.web.aiohttp_connection import half_closed
from gateway.web.aiohttp_takeover import mask, switch_protocols
from gateway.web.answers import Problem
from gateway.wire.frames import PING, PONG, Frame, FrameReader, accept_of, close_frame, frame

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
SEND_S = 30.0
"""How long a client may leave what was written unread before its connection is aborted, in seconds."""
CHECK_MAX_S = 2.0
"""Seconds that one check counts at most: while the event loop is stalled, nothing can be received."""
PONG_ROOM = 64 << 10
"""Unsent bytes above which a ping is not answered; the answer to a later one suffices (RFC 6455, section 5.5.3)."""


class Owner(Protocol):
    """What speaks over a WebSocket."""

    def received(self) -> None:
        """Take the frames that have arrived, if any is complete."""

    def writable(self) -> None:
        """Go on: the client has taken everything that was written."""

    def lost(self) -> None:
        """End: the connection is closed. Called once."""


class WebSocket(asyncio.Protocol):
    """One connection after its handshake. Invariants:

    * Of bytes that were not taken it keeps at most one message and one read of the event loop. When it has more than
      a message, it reads no more from the socket until frames are taken.
    * It aborts a client that is silent for SILENT_S although it was pinged, but never one from which it does not read,
      and one that leaves what was written unread for SEND_S.
    * It keeps nothing that follows an error, or `ignore`.
    """

    def __init__(self, message_max: int, owner: Owner) -> None:
        self.ended = False
        """Whether the client is gone."""
        self.closing = False
        """Whether a close frame was sent."""
        self._frames = FrameReader(message_max, mask)
        self._kept_max = message_max + HEAD_MAX
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._stop_counting: Callable[[], None] | None = None
        self._ignoring = False
        self._held = False
        self._paused = False
        self._unsent = False
        """Whether the client has not taken everything that was written."""
        self._unsent_s = 0.0
        self._received = True
        self._checked_at: float | None = None
        self._silent_s = 0.0
        self._since_ping_s = 0.0

    async def open(self, request: web.Request, subprotocol: str) -> None:
        """Answer the handshake and take the connection over. Raises Problem, and ConnectionError."""
        headers = _handshake(request, subprotocol)
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        _bound_kernel(request.transport)
        switched = await switch_protocols(request, headers, self)
        self._stop_counting = switched.closed
        self.connection_made(switched.transport)
        if switched.received:
            self._frames.feed(switched.received)

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write to this transport from now on; what was written before may be unsent."""
        self._transport = connection = cast("asyncio.Transport", transport)
        connection.set_write_buffer_limits(high=0, low=0)
        self._unsent = connection.get_write_buffer_size() > 0

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        self._received = True
        if not self._ignoring:
            self._frames.feed(data)
            if self._frames.kept > self._kept_max:
                self._pause()
            self._owner.received()

    def pause_writing(self) -> None:
        """Note that the client does not take everything at once."""
        self._unsent, self._unsent_s = True, 0.0

    def resume_writing(self) -> None:
        """Note that it has taken everything."""
        self._unsent = False
        self._owner.writable()

    def eof_received(self) -> bool:
        """Close the connection when the client has closed its side."""
        self.ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note that the connection is closed."""
        self.ended = True
        if self._stop_counting is not None:
            self._stop_counting()
        self._owner.lost()
        self._transport = None
        del self._owner  # neither is called from now on, and both refer to this object

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
        if self._paused:
            self._resume_unless_full()
        return taken

    def ignore(self) -> None:
        """Discard everything received, now and later: the connection is closing."""
        self._ignoring = True
        self._frames = FrameReader(0)
        self._resume()

    def hold(self) -> None:
        """Leave in the socket what arrives from now on, until `close`."""
        self._held = True
        self._pause()

    def takes_all(self) -> bool:
        """Whether bytes written now leave at once; never after a close frame."""
        return not (self._unsent or self.closing or self.ended)

    def write(self, data: bytes) -> None:
        """Write whole frames without waiting; nothing happens if the client is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pong(self, payload: bytes | bytearray) -> None:
        """Answer a ping."""
        transport = self._transport
        if transport is None or self.closing or transport.is_closing():
            return
        if transport.get_write_buffer_size() < PONG_ROOM:
            transport.write(frame(PONG, bytes(payload)))

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, once; nothing is to be written after it."""
        if not self.closing:
            self.closing = True
            self.write(close_frame(code, reason))
            self._held = False
            self._resume_unless_full()

    def close_transport(self) -> None:
        """Close the connection once everything written has left."""
        self.closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def check_timeouts(self, now: float) -> None:
        """Ping a silent client, and abort one that stays silent or reads nothing.

        Called about once per second with the loop's time.
        """
        elapsed_s = min(CHECK_MAX_S, now - self._checked_at) if self._checked_at is not None else 0.0
        self._checked_at = now
        self._unsent_s += elapsed_s
        self._since_ping_s += elapsed_s
        self._silent_s = 0.0 if self._received or self._paused else self._silent_s + elapsed_s
        self._received = False
        if self._silent_s >= SILENT_S or (self._unsent and self._unsent_s > SEND_S):
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

    def _resume_unless_full(self) -> None:
        if not self._held and self._frames.kept <= self._kept_max:
            self._resume()

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
    return {
        hdrs.UPGRADE: "websocket",
        hdrs.CONNECTION: "upgrade",
        hdrs.SEC_WEBSOCKET_ACCEPT: accept_of(key.encode()).decode(),
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
