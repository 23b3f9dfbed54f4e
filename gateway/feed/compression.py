"""Shared compression: one gzip stream a connection, made of pieces that many connections get.

Each connection starts with a gzip header and then takes pieces of raw deflate, each ended by a full flush. A piece
may go to any connection, where it was made by itself, or to those that were all sent the same text before, where it
refers to that. The stream ends without a trailer (RFC 1951, RFC 1952; zlib, Z_FULL_FLUSH).
"""

import zlib

GZIP_START = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""A gzip header without name and time (RFC 1952, section 2.3)."""
REACH = 32 << 10
"""Bytes of text that deflate can refer back over."""


WELL, QUICKLY = 6, 1
"""Levels of zlib, for what many are sent and for what few are: 16 and 4 µs a kilobyte."""


def deflate(text: bytes, after: bytes = b"", *, level: int = WELL) -> bytes:
    """Compress one piece of a shared stream; it refers to `after`, the text that was sent just before it."""
    if after:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=after)
    else:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)


class Window:
    """The text that some readers were all sent last, the newest REACH bytes of it, for what comes next to refer to.

    A compressor that is kept would save reading that text again for each piece (40 µs), and take 256 kB.
    """

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = b""

    def __bool__(self) -> bool:
        return bool(self._text)

    def deflate(self, text: bytes) -> bytes:
        """Compress the next piece, to be sent to all of them, and take it in."""
        packed = deflate(text, self._text)
        self.take(text)
        return packed

    def take(self, text: bytes) -> None:
        """Take in what all of them are sent."""
        self._text = (self._text + text)[-REACH:]

    def clear(self) -> None:
        """Forget it: what comes next may go to others as well."""
        self._text = b""
