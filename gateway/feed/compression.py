"""Shared compression: one gzip stream per connection, made of pieces that are compressed once for many connections.

Each stream starts with a gzip header, followed by pieces of raw deflate that each end in a full flush. A piece that was
compressed independently can go to any connection. A piece that refers to earlier text can go only to the connections
that were all sent that text. An event stream ends without a trailer, a document with one (RFC 1951, RFC 1952; zlib,
Z_FULL_FLUSH).
"""

import struct
import zlib
from collections.abc import Generator
from io import BytesIO

GZIP_START = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""A gzip header without a name or a time (RFC 1952, section 2.3)."""
WINDOW_BYTES = 32 << 10
"""How far back deflate can refer, in bytes of text."""


LEVEL_SHARED, LEVEL_FAST = 6, 1
"""zlib levels for text that many readers are sent and for text that few are: 16 and 4 µs per kilobyte."""

STEP_BYTES = 128 << 10
"""Bytes of a document that are compressed in one step."""


def deflate(text: bytes, after: bytes = b"", *, level: int = LEVEL_SHARED) -> bytes:
    """Compress one piece of a shared stream. It may refer to `after`, the text that was sent just before it."""
    if after:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=after)
    else:
        compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_FULL_FLUSH)


def gzip_end(text: bytes, checksum: int, size: int) -> bytes:
    """Return the end of a document that consists of such pieces: its last text, compressed, and the trailer.

    `checksum` is the CRC-32 of the whole document and `size` its bytes. Source: RFC 1952, section 2.3.1.
    """
    last = zlib.compressobj(LEVEL_FAST, zlib.DEFLATED, -zlib.MAX_WBITS)
    return last.compress(text) + last.flush() + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def gzip_steps(text: bytes) -> Generator[None, None, bytes]:
    """Compress a long document as gzip, in steps of less than a millisecond."""
    compressor = zlib.compressobj(LEVEL_FAST, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = BytesIO()
    for start in range(0, len(text), STEP_BYTES):
        packed.write(compressor.compress(text[start : start + STEP_BYTES]))
        yield
    packed.write(compressor.flush())
    return packed.getvalue()


class Window:
    """The last WINDOW_BYTES of text that a group of readers were all sent; the next piece may refer to it.

    Keeping a compressor instead would save processing that text again for each piece (40 µs), but take 256 kB.
    """

    __slots__ = ("_text",)

    def __init__(self) -> None:
        self._text = b""

    def __bool__(self) -> bool:
        return bool(self._text)

    def deflate(self, text: bytes) -> bytes:
        """Compress the next piece for all readers of the group, and append it to the window."""
        packed = deflate(text, self._text)
        self.append(text)
        return packed

    def append(self, text: bytes) -> None:
        """Append text that all readers of the group are sent."""
        self._text = (self._text + text)[-WINDOW_BYTES:]

    def clear(self) -> None:
        """Clear the window, so that the next piece can go to other readers as well."""
        self._text = b""
