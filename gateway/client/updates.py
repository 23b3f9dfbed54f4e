"""PURE: what a subscriber applies to its copy as a whole: a block of the stream, or the newest files of a mirror."""

from collections.abc import Container, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import orjson


class BlockHeader(msgspec.Struct, frozen=True):
    """The members used here of a `block` document."""

    sequence: int
    chain: str
    published_at: datetime | None
    snapshot: bool
    areas: int
    server_time: datetime
    holds: int = 0


_header = msgspec.json.Decoder(BlockHeader)


def read_header(document: bytes) -> BlockHeader:
    """Read a `block` document. Raises ValueError."""
    return _header.decode(document)


class _AreaIdentifier(msgspec.Struct):
    area: str


_identifier = msgspec.json.Decoder(_AreaIdentifier)


class Areas:
    """The areas of an update, as far as they are selected."""

    def __init__(self, decode: bool, raw: bool, selected: Container[str] | None = None) -> None:
        """Collect areas: decoded, as bytes, both, or neither; without `selected`, all of them."""
        self.decoded: dict[str, Mapping[str, Any]] = {}
        self.raw: dict[str, bytes] = {}
        self._decode = decode
        self._raw = raw
        self._selected = selected

    def take(self, document: bytes) -> None:
        """Add an `area` document, which replaces an earlier one. Raises ValueError, KeyError or TypeError."""
        if not self._decode and not self._raw:
            return
        if self._decode and self._selected is None:
            area = orjson.loads(document)
            name = area["area"]
        else:
            name = _identifier.decode(document).area
            if self._selected is not None and name not in self._selected:
                return
            area = orjson.loads(document) if self._decode else None
        if self._decode:
            self.decoded[name] = area
        if self._raw:
            self.raw[name] = document


class Update(NamedTuple):
    """Changes up to a sequence, or everything as of it."""

    cursor: str
    sequence: int
    chain: str
    published_at: datetime | None
    snapshot: bool
    server_time: datetime
    holds: int
    areas: Areas
    history: str | None = None
    """That of the mirror; None if it comes from a stream."""
