"""PURE: read the WebSocket frames of a client from a stream of bytes, and encode the frames of the server.

Source: RFC 6455, "The WebSocket Protocol", section 5. No extension is negotiated, so reserved bits are errors.
"""

import base64
import hashlib
from collections.abc import Callable

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PART = 0
"""Opcode of a continuation frame; `next` returns it for a frame that does not complete its message."""

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, NO_STATUS = 1000, 1001, 1002, 1003, 1005
NOT_UTF8, POLICY, TOO_BIG = 1007, 1008, 1009
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
"""Codes below 3000 that a close frame may carry (section 7.4.1)."""
_WHOLE_TEXT = 0x80 | TEXT
CONTROL_MAX = 125
"""Bytes of payload of a control frame (section 5.5)."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Appended to a client's key before it is hashed (section 1.3)."""


Frame = tuple[int, bytearray]
"""Opcode and payload, unmasked."""


class FrameError(Exception):
    """The client violated the protocol; `code` is the close code for the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def accept_of(key: bytes) -> bytes:
    """Return the value of Sec-WebSocket-Accept for that of Sec-WebSocket-Key (section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def apply_mask(mask: bytes, payload: bytearray) -> None:
    """Mask or unmask a payload in place (section 5.3)."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size])
    payload[:] = (int.from_bytes(payload) ^ key).to_bytes(size)


class FrameReader:
    """Reads the frames of one client. Invariants:

    * Every frame is masked, as section 5.1 requires; an unmasked frame is an error.
    * An error is detected as soon as the header of its frame is complete, and nothing is read after it.
    * It buffers the bytes that were fed and not read, and at most `message_max` bytes of an incomplete message.
    """

    def __init__(self, message_max: int, apply_mask: Callable[[bytes, bytearray], None] = apply_mask) -> None:
        self._message_max = message_max
        self._apply_mask = apply_mask
        self._bytes = b""
        self._at = 0
        self._opcode = PART  # of the incomplete message; PART if there is none
        self._message = bytearray()

    @property
    def kept(self) -> int:
        """The number of bytes in the buffer."""
        return len(self._bytes) - self._at + len(self._message)

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._bytes = self._bytes[self._at :] + data if self._at < len(self._bytes) else data
        self._at = 0

    def next(self) -> Frame | None:
        """Return the opcode and payload of the next frame, None while it is incomplete.

        A fragmented message is returned as a whole with its last frame; its other frames are returned as PART.
        Raises FrameError.
        """
        data, at = self._bytes, self._at
        left = len(data) - at
        if left < 2:
            return None
        first, second = data[at], data[at + 1]
        whole_text = first == _WHOLE_TEXT and not self._opcode
        if not whole_text or second < 0x80:
            self._check(first, second)
        size, start = second & 0x7F, at + 6
        if size >= 126:
            start += 2 if size == 126 else 8
            if left < start - 4 - at:
                return None
            size = int.from_bytes(data[at + 2 : start - 4])
        if size + len(self._message) > self._message_max and first & 0x0F < CLOSE:
            raise FrameError(TOO_BIG, f"a message has at most {self._message_max} bytes")
        end = start + size
        if len(data) < end:
            return None
        self._at = end
        payload = bytearray(data[start:end])
        self._apply_mask(data[start - 4 : start], payload)
        if not whole_text:
            return self._other(first, payload)
        return (TEXT, payload) if payload.isascii() else _text(payload)

    def _check(self, first: int, second: int) -> None:
        """Check the first two bytes of a frame. Raises FrameError."""
        if second < 0x80:
            raise FrameError(PROTOCOL_ERROR, "frames of a client must be masked (RFC 6455, section 5.1)")
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "a reserved bit is set, but no extension was negotiated")
        opcode = first & 0x0F
        if BINARY < opcode < CLOSE or opcode > PONG:
            raise FrameError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if opcode >= CLOSE:
            self._check_control(first, second & 0x7F)
        elif (opcode == PART) != (self._opcode != PART):
            expected = "a continuation frame" if self._opcode else "the first frame of a message"
            raise FrameError(PROTOCOL_ERROR, f"expected {expected}, got opcode {opcode}")

    def _check_control(self, first: int, size: int) -> None:
        if first < 0x80:
            raise FrameError(PROTOCOL_ERROR, "a control frame must not be fragmented")
        if size > CONTROL_MAX:
            raise FrameError(PROTOCOL_ERROR, f"a control frame has at most {CONTROL_MAX} bytes")

    def _other(self, first: int, payload: bytearray) -> Frame:
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return opcode, payload
        if first < 0x80:
            self._opcode = self._opcode or opcode
            self._message += payload
            return PART, payload
        if opcode == PART:
            opcode, self._opcode = self._opcode, PART
            payload, self._message = self._message + payload, bytearray()
        return _text(payload) if opcode == TEXT else (opcode, payload)


def _text(payload: bytearray) -> Frame:
    """Return a text frame. Raises FrameError."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8, "a text message must be UTF-8") from None
    return TEXT, payload


def close_code(payload: bytes | bytearray) -> int:
    """Return the code of a client's close frame, NO_STATUS if it has none. Raises FrameError."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 0
    if code not in _CLOSE_CODES and not 3000 <= code < 5000:
        raise FrameError(PROTOCOL_ERROR, "the close frame has an incomplete or invalid code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(NOT_UTF8, "the reason of a close frame must be UTF-8") from None
    return code


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a complete frame of the server, which is not masked (section 5.1)."""
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (0x80 | opcode, size, payload)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (0x80 | opcode, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (0x80 | opcode, size.to_bytes(8), payload)


def text_frame(payload: bytes) -> bytes:
    """Return a text message as one frame of the server."""
    return frame(TEXT, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame. Its reason is truncated to fit a control frame."""
    if code == NO_STATUS:
        return frame(CLOSE, b"")
    shortened = reason.encode()[: CONTROL_MAX - 2].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(2) + shortened)
