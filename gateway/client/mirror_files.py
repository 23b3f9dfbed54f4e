"""PURE: read the files of a mirror: what is too large, cut off or of another form is refused as a whole."""

import zlib
from collections.abc import Iterable

from gateway.client.updates import Areas, BlockHeader, read_header
from gateway.wire.mirror import MalformedMirror

FILE_MAX = 64 << 20
"""Bytes of a snapshot or delta, unpacked; the units of a county in the largest election take some 5 MB."""


class Unpacker:
    """Unpacks an answer piece by piece, up to `most` bytes."""

    def __init__(self, most: int, *, gzip: bool) -> None:
        self._left = most
        self._most = most
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Add what arrived. Raises MalformedMirror if it is too large, or not gzip."""
        if self._gzip is not None:
            try:
                piece = self._gzip.decompress(piece, self._left + 1)
            except zlib.error:
                raise MalformedMirror("the content is not gzip") from None
        self._left -= len(piece)
        if self._left < 0 or (self._gzip is not None and self._gzip.unconsumed_tail):
            raise MalformedMirror(f"the file is larger than {self._most} bytes")
        if self._gzip is not None and self._gzip.unused_data:
            raise MalformedMirror("something follows the end of the gzip stream")
        self._pieces.append(piece)

    def content(self) -> bytes:
        """Return what was unpacked, once everything has arrived. Raises MalformedMirror if the end is missing."""
        if self._gzip is not None and not self._gzip.eof:
            raise MalformedMirror("the file is cut off")
        return b"".join(self._pieces)


def take_file(content: bytes, path: str, *, snapshot: bool, areas: Areas) -> BlockHeader:
    """Add the areas of a snapshot or delta, and return its block. Raises MalformedMirror.

    The last line is the block, which counts the lines before it, and is for the sequence in the name of the file.
    """
    lines = content.removesuffix(b"\n").split(b"\n")
    try:
        header = read_header(lines[-1])
    except (ValueError, RecursionError):
        raise MalformedMirror(
            "the last line is not a block: the file is cut off, or not of a mirror"
        ) from None
    if header.areas != len(lines) - 1:
        raise MalformedMirror(f"the block counts {header.areas} areas, but the file has {len(lines) - 1}")
    if header.sequence != _sequence_of(path) or header.snapshot is not snapshot:
        raise MalformedMirror("the block is not that of this file")
    _take(lines[:-1], areas)
    return header


def _take(lines: Iterable[bytes], areas: Areas) -> None:
    for number, line in enumerate(lines, 1):
        try:
            areas.take(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise MalformedMirror(f"line {number} is not an area") from None


def _sequence_of(path: str) -> int:
    """Return the sequence that a file leads to, by its name: `at_{it}.ndjson` or `{since}_{it}.ndjson`."""
    return int(path.removesuffix(".ndjson").rpartition("_")[2])
