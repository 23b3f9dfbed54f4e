"""Files of a mirror as gzip, and back. PURE."""

import gzip
import zlib

GZIP_LEVEL = 6
_GZIP_WINDOW = zlib.MAX_WBITS | 16


class NotGzip(ValueError):
    """Bytes that are not one whole gzip member."""


def compressed(body: bytes) -> bytes:
    """Return a body as gzip (RFC 1952), without a time: the same body always has the same bytes."""
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def uncompressed(content: bytes, most: int) -> bytes | None:
    """Return what a gzip member contains; None if that is more than `most` bytes. Raises NotGzip.

    No more than `most` bytes and one are ever kept, however well the content is compressed.
    """
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    try:
        body = decoder.decompress(content, most + 1)
    except zlib.error as error:
        raise NotGzip(str(error)) from None
    if len(body) > most:
        return None
    if not decoder.eof or decoder.unused_data:
        raise NotGzip("it ends too early, or too late")
    return body
