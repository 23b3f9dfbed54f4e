"""PURE: find the newest change in the bytes of event streams, once for all readers that receive the same bytes."""

import zlib
from datetime import datetime

from bench.load.crowd_messages import Group

WINDOW = 32 << 10
"""Bytes of text that the next block under gzip may refer to (RFC 1951)."""
PIECES_MAX = 256
"""Distinct pieces of bytes, and texts of up to WINDOW, that are remembered."""
PUBLISHED_MAX = 100_000
"""Changes whose times of publication are remembered."""

Known = dict[bytes, tuple[int, bytes]]
"""What a piece of bytes contains, by the text before it: the newest change (-1: none), and the text after it."""


class Inspector:
    """Remembers what pieces of bytes contain. A piece consists of complete events, compressed or not."""

    def __init__(self) -> None:
        self.published: dict[int, float] = {}
        """When each change was published, in seconds since 1970."""
        self.cursors: dict[int, bytes] = {}
        """The event ID of each change, if the readers return."""
        self.inspected = 0
        """Pieces that were inspected, because they were not known."""
        self.differing = 0
        """Pieces that do not decode, or decode to another text than others of the same length and changes."""
        self._pieces: dict[bytes, Known] = {}
        self._texts: dict[bytes, bytes] = {}
        self._checksums: dict[tuple[int, int, int], int] = {}
        """Checksum of the text, by the change before, the newest in it, and the length."""

    def known(self, data: bytes) -> Known:
        """Return what is known about a piece; `inspect` adds to it."""
        if data not in self._pieces and len(self._pieces) >= PIECES_MAX:
            self._pieces.clear()
            self._texts.clear()
            self._checksums.clear()
        return self._pieces.setdefault(data, {})

    def inspect(
        self, data: bytes, before: bytes, known: Known, group: Group, compared_from: int | None
    ) -> tuple[int, bytes]:
        """Decode a piece after some text; return the newest change, and the text after the piece.

        `compared_from`: the change that the reader had before; its text must be that of other readers. None: it is not
        compared.
        """
        self.inspected += 1
        text, after = data, b""
        if group.gzip:
            try:
                text = zlib.decompressobj(-zlib.MAX_WBITS, zdict=before).decompress(data)
            except zlib.error:
                self.differing += 1
                text = b""
            after = (before + text)[-WINDOW:]
            after = self._texts.setdefault(after, after)  # one object for all, so that comparing is cheap
        number = self._newest(text, group)
        if compared_from is not None and number > compared_from:
            checksum = zlib.crc32(text)
            if self._checksums.setdefault((compared_from, number, len(text)), checksum) != checksum:
                self.differing += 1
        known[before] = number, after
        return number, after

    def _newest(self, text: bytes, group: Group) -> int:
        marker = group.marker.encode()
        start = text.rfind(marker)
        if start < 0:
            return -1
        start += len(marker)
        number = int(_digits(text, start))
        if number not in self.published:
            if len(self.published) > PUBLISHED_MAX:
                self.published.clear()
                self.cursors.clear()
                self._pieces.clear()
            self.published[number] = _published_at(text, start)
            if group.returning:
                self.cursors[number] = text[start : text.index(b"\n", start)]
        return number


def _digits(data: bytes, start: int) -> bytes:
    end = start
    while data[end : end + 1].isdigit():
        end += 1
    return data[start:end]


def _published_at(data: bytes, start: int) -> float:
    """Read the value of the first `"published_at":` after some place: a date and time, or seconds since 1970."""
    place = data.index(b'"published_at":', start) + len(b'"published_at":')
    text = data[place : place + 48].partition(b",")[0].partition(b"}")[0].decode()
    if text == "null":  # nothing is published yet
        return 0.0
    return datetime.fromisoformat(text.strip('"')).timestamp() if text.startswith('"') else float(text)
